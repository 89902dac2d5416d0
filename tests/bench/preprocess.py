"""preprocess as a whole: read, decode, check, write, hash, fsync. Against Arrow's reader and what most projects do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq
import torch
import xxhash
from numpy.typing import NDArray

from pipelines.preprocess import preprocess
from poke_bc.contract.schema import load_schema
from poke_bc.data.shards import Shards
from tests.bench.common import (
    Line,
    arrow_only,
    compare,
    converted_battles,
    enlarged_sample,
    forget,
    line_of,
    rates,
    scanning,
    sized,
)

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


def arrow_way(raw: Path, out: Path) -> None:
    """The same preprocess with pyarrow's JSON reader for decoder."""
    with arrow_only():
        made_anew(raw, out, workers=1)


def made_anew(source: Path, out: Path, workers: int) -> None:
    """preprocess, with nothing there that it could keep."""
    shutil.rmtree(out, ignore_errors=True)
    preprocess([source], out, workers=workers)


def check_equal(raw: Path, folder: Path) -> None:
    """All ways must give the same columns, Arrow's the same files, or the comparison means nothing."""
    preprocess([raw], folder / "check", workers=1)
    shards = Shards(folder / "check")
    for name, values in careful_way(raw, folder / "check.npz").items():
        if not np.array_equal(shards.column(name), values):
            raise AssertionError(f"column {name} differs")
    arrow_way(raw, folder / "check-arrow")
    if Shards(folder / "check-arrow").manifest.shards != shards.manifest.shards:
        raise AssertionError("Arrow's reader gives other shards")


def copy_battles(raw: Path, path: Path, copies: int) -> None:
    """The same battles again and again, under new ids."""
    text, key = raw.read_bytes(), b'"replay_id": "'
    with open(path, "wb") as out:
        for copy in range(copies):
            out.write(text.replace(key, key + f"{copy}-".encode()))


PEERS = {
    "with pyarrow.json as the decoder": (arrow_way, ">= 3.5"),
    "json.loads, list of dicts, one tensor per item": (common_way, ">= 10"),
    "json.loads + flatten row by row, as lean as possible": (careful_way, "(none)"),
}


def run(folder: Path) -> Iterator[Line]:
    scanning()
    raw, packed = folder / "raw.jsonl", folder / "raw.jsonl.zst"
    decisions = enlarged_sample(raw, sized(100))
    with pa.CompressedOutputStream(str(packed), "zstd") as file:
        file.write(raw.read_bytes())
    check_equal(raw, folder)

    def ours(source: Path = raw, workers: int = 1) -> None:
        made_anew(source, folder / f"ours-{workers}", workers)

    theirs = {name: partial(way, raw, folder / f"theirs-{place}.npz") for place, (name, (way, _)) in
              enumerate(PEERS.items())}
    for cache in ("warm", "cold"):
        found = rates({"ours": ours} | theirs, decisions,
                      before=partial(forget, raw) if cache == "cold" else lambda: None)
        for name, (_, target) in PEERS.items():
            yield line_of(f"preprocess, 1 process : {name}", "decisions/s", found["ours"], found[name],
                          target=target, cache=cache)
    yield compare("preprocess, .zst input : plain text", "decisions/s", decisions, lambda: ours(packed), ours,
                  target="(none)")
    table = folder / "raw.parquet"
    pq.write_table(pyarrow.json.read_json(raw, pyarrow.json.ReadOptions(block_size=64 << 20)), table)
    found = rates({"ours": lambda: ours(table), "text": ours, "reads": lambda: read_alone(table)}, decisions)
    yield line_of("preprocess, .parquet input : the same as text", "decisions/s", found["ours"], found["text"],
                  target="(none)")
    yield line_of("preprocess, .parquet input : pyarrow.parquet, reading only", "decisions/s", found["ours"],
                  found["reads"], target="(none)")
    singles, _, rows = converted_battles(folder, sized(400))
    yield compare("preprocess singles, 1 process : with pyarrow.json as the decoder", "decisions/s", rows,
                  lambda: ours(singles), lambda: arrow_way(singles, folder / "theirs-singles"), target=">= 3.5")
    large, half = folder / "large.jsonl", folder / "half.jsonl"
    copies = sized(40)
    copy_battles(raw, large, copies)
    copy_battles(raw, half, max(copies // 2, 1))
    yield compare("preprocess, 2 processes, 4 GB : 1 process", "decisions/s", copies * decisions,
                  lambda: ours(large, 2), lambda: ours(large), target=">= 1.7")
    yield compare("`poke-bc preprocess`, 2 processes, 4 GB : two runs at once, one process and half the input each",
                  "decisions/s", copies * decisions, lambda: run_at_once(folder, [large], 2),
                  lambda: run_at_once(folder, [half, half], 1), target="(none)")


def run_at_once(folder: Path, inputs: list[Path], workers: int) -> None:
    """The command on each of the inputs, all at the same time: what the cores give when nothing is shared."""
    runs = [subprocess.Popen([sys.executable, "-m", "poke_bc", "preprocess", raw, "--out", folder / f"at-once-{place}",
                              "--workers", str(workers), "--json"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL) for place, raw in enumerate(inputs)]
    codes = [each.wait() for each in runs]
    if any(codes):
        raise AssertionError("preprocess failed")


def read_alone(path: Path) -> None:
    """Parquet into Arrow and nothing more, with as many threads as preprocess has."""
    for _ in pq.ParquetFile(path).iter_batches(use_threads=False):
        pass
