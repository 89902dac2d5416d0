"""preprocess against what most projects do: json.loads and a flatten function a row; and its memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray

from pipelines.preprocess import preprocess
from poke_bc.contract.schema import load_schema
from poke_bc.data.shards import Shards
from tests.bench.common import Line, compare, enlarged_sample

BASIC = load_schema("basic")


def flatten_ids(observation: dict[str, Any]) -> list[int]:
    row: list[int] = []
    for field in BASIC.categories:
        value = observation.get(field.name, field.default)
        row.extend(value) if isinstance(value, list) else row.append(value)
    return row


def flatten_numbers(observation: dict[str, Any]) -> list[float]:
    row: list[float] = []
    for field in BASIC.numbers:
        value = observation.get(field.name, field.default)
        row.extend(map(float, value)) if isinstance(value, list) else row.append(float(value))
    return row


def common_way(raw: Path, out: Path) -> None:
    """What most projects do: all lines into a list of dicts, then a tensor for each item, stacked and saved."""
    with open(raw, encoding="utf-8") as file:
        trajectories = [json.loads(line) for line in file]
    features, legal, actions = [], [], []
    for trajectory in trajectories:
        for step in trajectory["steps"]:
            observation = step["observation"]
            features.append(torch.tensor(flatten_ids(observation) + flatten_numbers(observation), dtype=torch.float32))
            legal.append(torch.tensor(step["legal"]))
            actions.append(4 * step["action_type"] + step["action_target"])
    torch.save({"features": torch.stack(features), "legal": torch.stack(legal), "action": torch.tensor(actions)}, out)


def careful_way(raw: Path, out: Path) -> dict[str, NDArray[Any]]:
    """The leanest that json.loads and a row at a time allow: line by line, numpy, and the same columns as a shard."""
    columns: dict[str, list[Any]] = {name: [] for name in ("category", "number", "action", "legal", "reward", "return",
                                                           "done", "battle", "trajectory", "step")}
    with open(raw, encoding="utf-8") as file:
        for trajectory, line in enumerate(file):
            value = json.loads(line)
            battle = xxhash.xxh3_64_intdigest(value["replay_id"].encode())
            to_come = value["total_reward"]
            for number, step in enumerate(value["steps"]):
                columns["category"].append(np.array(flatten_ids(step["observation"]), np.uint16))
                columns["number"].append(np.array(flatten_numbers(step["observation"]), np.float16))
                columns["action"].append(4 * step["action_type"] + step["action_target"])
                columns["legal"].append(sum(1 << place for place, open_ in enumerate(step["legal"]) if open_))
                columns["reward"].append(step["reward"])
                columns["return"].append(to_come)
                columns["done"].append(step["done"])
                columns["battle"].append(battle)
                columns["trajectory"].append(trajectory)
                columns["step"].append(number)
                to_come -= step["reward"]
    dtypes = {"action": np.int8, "legal": np.uint16, "reward": np.float32, "return": np.float32, "done": np.uint8,
              "battle": np.uint64, "trajectory": np.uint32, "step": np.uint16}
    stacked = {name: np.stack(values) if name in ("category", "number") else np.array(values, dtypes[name])
               for name, values in columns.items()}
    np.savez(out, **stacked)
    return stacked


def check_equal(raw: Path, folder: Path) -> None:
    """Both ways must give the same columns, or the comparison means nothing."""
    preprocess([raw], folder / "check", workers=1)
    shards = Shards(folder / "check")
    for name, values in careful_way(raw, folder / "check.npz").items():
        if not np.array_equal(shards.column(name), values):
            raise AssertionError(f"column {name} differs")


def run(folder: Path) -> list[Line]:
    small, middle, large = (folder / f"{size}.jsonl" for size in ("small", "middle", "large"))
    decisions, _, many = enlarged_sample(small, 100), enlarged_sample(middle, 400), enlarged_sample(large, 1600)
    check_equal(small, folder)
    return [
        compare("preprocess, 1 process : list of dicts, a tensor an item", "decisions/s", decisions,
                lambda: preprocess([small], folder / "ours", workers=1),
                lambda: common_way(small, folder / "theirs.pt"), target=">= 2.5"),
        compare("preprocess, 1 process : leanest json.loads + flatten a row", "decisions/s", decisions,
                lambda: preprocess([small], folder / "ours", workers=1),
                lambda: careful_way(small, folder / "theirs.npz"), target=">= 2.5"),
        compare("preprocess, 2 processes : 1 process", "decisions/s", many,
                lambda: preprocess([large], folder / "two", workers=2),
                lambda: preprocess([large], folder / "one", workers=1), target=">= 1.6"),
        *_memory(folder, {400: middle, 1600: large}),
    ]


_MEASURE = """
import re, sys, threading
from pathlib import Path
from pipelines.preprocess import preprocess

def peak(process):
    try:
        return int(re.search(r"VmHWM:\\s+(\\d+)", Path(f"/proc/{process}/status").read_text())[1])
    except (OSError, TypeError):
        return 0

def watch(done, peaks):
    while not done.wait(0.05):
        for child in Path("/proc/self/task").glob("*/children"):
            for process in child.read_text().split():
                peaks[process] = max(peaks.get(process, 0), peak(process))

if __name__ == "__main__":
    done, peaks = threading.Event(), {}
    watcher = threading.Thread(target=watch, args=(done, peaks))
    watcher.start()
    preprocess([sys.argv[1]], sys.argv[2], workers=int(sys.argv[3]), shard_bytes=64 << 20)
    done.set()
    watcher.join()
    print((peak("self") + sum(peaks.values())) / 1024)
"""


def _memory(folder: Path, raw: dict[int, Path]) -> list[Line]:
    """Peak resident memory of all processes together (an upper bound: each one's own peak, summed)."""
    lines = []
    script = folder / "measure.py"
    script.write_text(_MEASURE)
    (small, before), (large, after) = raw.items()
    for workers in (1, 2):
        peak = {path: float(subprocess.run([sys.executable, script, path, folder / "memory", str(workers)],
                                           check=True, capture_output=True, text=True).stdout)
                for path in (before, after)}
        ratio = peak[after] / peak[before]
        lines.append(Line(f"peak memory at {large} MB : at {small} MB of input, {workers} process(es)",
                          peak[after], peak[before], "MB", ratio, (ratio, ratio), "<= 1.10, < 1200 MB"))
    return lines
