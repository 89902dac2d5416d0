"""What all benchmarks share: the input, interleaved rounds, and the table at the end."""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample" / "raw.jsonl.zst"
ROUNDS = 5


@dataclass(frozen=True)
class Line:
    """One line of the table: our rate against a peer's."""

    what: str
    ours: float
    theirs: float
    unit: str
    ratio: float
    """Median over rounds of ours / theirs, both of the same round."""
    spread: tuple[float, float]
    """Smallest and largest ratio of a round."""
    target: str

    def __str__(self) -> str:
        low, high = self.spread
        return (f"{self.what:<58} {self.ours:>12,.0f} {self.theirs:>12,.0f} {self.unit:<12} {self.ratio:>7.2f}x "
                f"({low:.2f}-{high:.2f})  target {self.target}")


def compare(what: str, unit: str, amount: float, ours: Callable[[], Any], theirs: Callable[[], Any], *,
            target: str, rounds: int = ROUNDS, amounts: Mapping[str, float] | None = None) -> Line:
    """Time both in turn, `rounds` times after one warm-up each, swapping who goes first."""
    amounts = amounts or {}
    jobs = {"ours": ours, "theirs": theirs}
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    for name in jobs:
        jobs[name]()
    for number in range(rounds):
        for name in sorted(jobs, reverse=bool(number % 2)):
            started = time.perf_counter()
            jobs[name]()
            rates[name].append(amounts.get(name, amount) / (time.perf_counter() - started))
    ratios = [mine / other for mine, other in zip(rates["ours"], rates["theirs"], strict=True)]
    return Line(what, statistics.median(rates["ours"]), statistics.median(rates["theirs"]), unit,
                statistics.median(ratios), (min(ratios), max(ratios)), target)


def enlarged_sample(path: Path, megabytes: int) -> int:
    """Write the sample again and again under new battle ids until `path` has that size. Returns decisions."""
    with pa.CompressedInputStream(pa.OSFile(str(SAMPLE), "rb"), "zstd") as file:
        trajectories = [json.loads(line) for line in bytes(file.read()).splitlines()]
    decisions = 0
    with open(path, "w", encoding="utf-8") as out:
        for copy in itertools.count():
            for trajectory in trajectories:
                out.write(json.dumps(trajectory | {"replay_id": f"{trajectory['replay_id']}-{copy}"}) + "\n")
                decisions += len(trajectory["steps"])
                if out.tell() >= megabytes * 1_000_000:
                    return decisions
    raise AssertionError("unreachable")
