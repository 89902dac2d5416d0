"""What all benchmarks share: inputs, jobs timed in turn, and the line of the table that comes of it."""

from __future__ import annotations

import itertools
import json
import os
import re
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa

from pipelines.decode import Decoder

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample" / "raw.jsonl.zst"
BATTLES = ROOT / "data" / "sample" / "battles.jsonl.zst"
REPLAYS = ROOT.parent / "shared" / "replays" / "gen9randombattle.jsonl.zst"
"""Human battles: too large for the repository, used where they are at hand."""
ROUNDS = 5
QUICK = bool(os.environ.get("POKE_BC_BENCH_QUICK"))
"""Everything small and one round: shows that a benchmark runs; its figures mean nothing."""

Job = Callable[[], Any]


def sized(amount: int) -> int:
    """An amount of input, a twentieth of it where things must be quick."""
    return max(amount // 20, 1) if QUICK else amount


@dataclass(frozen=True)
class Line:
    """One line of the table: our rate (or size) against a peer's."""

    what: str
    """"ours : theirs"."""
    ours: float
    theirs: float
    unit: str
    ratio: float
    """Median over rounds of ours / theirs, both of the same round."""
    spread: tuple[float, float]
    """Smallest and largest ratio of a round."""
    target: str
    """Comma-separated claims: ">= 5" of the ratio, "< 800 MB" of ours; "(none)" where nothing is claimed."""
    rounds: int = 1
    cache: str = "warm"
    """Whether the input lies in the page cache: "warm" or "cold"."""

    @property
    def names(self) -> tuple[str, str]:
        """What ours is, what theirs is."""
        ours, _, theirs = self.what.partition(" : ")
        return ours, theirs

    @property
    def holds(self) -> bool | None:
        """Whether every claim of the target holds; None without one."""
        claims = _CLAIM.findall(self.target)
        return all(_COMPARE[sign](self.ours if unit else self.ratio, float(number))
                   for sign, number, unit in claims) if claims else None


_CLAIM = re.compile(r"(<=|>=|<|>) ([\d.]+)(?: ([^\d\s,]+))?")
_COMPARE: dict[str, Callable[[float, float], bool]] = {
    "<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b, ">": lambda a, b: a > b}


def line_of(what: str, unit: str, ours: Sequence[float], theirs: Sequence[float], *, target: str,
            cache: str = "warm") -> Line:
    """The line of figures that were taken in the same rounds."""
    ratios = [mine / other for mine, other in zip(ours, theirs, strict=True)]
    return Line(what, statistics.median(ours), statistics.median(theirs), unit, statistics.median(ratios),
                (min(ratios), max(ratios)), target, len(ratios), cache)


def rates(jobs: Mapping[str, Job], amounts: float | Mapping[str, float], *, rounds: int = ROUNDS,
          before: Job = lambda: None) -> dict[str, list[float]]:
    """Amount per second of every job in every round, after one warm-up each.

    Jobs run in turn, and each round begins with another one, so that a machine that slows down slows all.

    Args:
        jobs: by name.
        amounts: what a job gets through: of all, or by name.
        rounds: how often.
        before: done before every job, outside the time.
    """
    names = list(jobs)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-1, 1 if QUICK else rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            before()
            started = time.perf_counter()
            jobs[name]()
            seconds = time.perf_counter() - started
            if number >= 0:
                found[name].append((amounts[name] if isinstance(amounts, Mapping) else amounts) / seconds)
    return found


def compare(what: str, unit: str, amount: float, ours: Job, theirs: Job, *, target: str, rounds: int = ROUNDS,
            amounts: Mapping[str, float] | None = None, before: Job = lambda: None, cache: str = "warm") -> Line:
    """Two jobs in turn; `amounts` gives "ours" and "theirs" where they differ."""
    found = rates({"ours": ours, "theirs": theirs}, {"ours": amount, "theirs": amount, **(amounts or {})},
                  rounds=rounds, before=before)
    return line_of(what, unit, found["ours"], found["theirs"], target=target, cache=cache)


@contextmanager
def arrow_only() -> Iterator[None]:
    """preprocess with Arrow's JSON reader."""
    with mock.patch.dict(os.environ, POKE_BC_DECODER="arrow"):
        yield


@cache
def scanning() -> Decoder:
    """A decoder with the scanner, compiled first if it never was on this machine; later ones load that."""
    with mock.patch.dict(os.environ, POKE_BC_DECODER="scanner"), Decoder() as decoder:
        decoder.update()
    if not decoder.scanning:
        raise AssertionError(decoder.advice)
    return decoder


def forget(path: Path) -> None:
    """Drop a file from the page cache, so that the next read comes from the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())  # only clean pages can be dropped
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_lines(path: Path) -> list[Any]:
    """Values of a .jsonl.zst file."""
    with pa.input_stream(str(path), compression="zstd") as stream:
        return [json.loads(line) for line in bytes(stream.read()).splitlines()]


def enlarged_sample(path: Path, megabytes: int) -> int:
    """Write the sample again and again under new battle ids until `path` has that size. Returns decisions."""
    trajectories = read_lines(SAMPLE)
    decisions = 0
    with open(path, "w", encoding="utf-8") as out:
        for copy in itertools.count():
            for trajectory in trajectories:
                out.write(json.dumps(trajectory | {"replay_id": f"{trajectory['replay_id']}-{copy}"}) + "\n")
                decisions += len(trajectory["steps"])
                if out.tell() >= megabytes * 1_000_000:
                    return decisions
    raise AssertionError("unreachable")


def battles(how_many: int) -> list[dict[str, Any]]:
    """Records of battles of generation 9, spread over the file: human ones, or else the sample's simulated ones."""
    records = [record for record in read_lines(REPLAYS if REPLAYS.exists() else BATTLES) if "gen9" in record["id"]]
    return records[::max(len(records) // how_many, 1)][:how_many]


def converted_battles(folder: Path, how_many: int) -> tuple[Path, int, int]:
    """`battles` in the singles schema: the file of trajectories, battles in it, and decisions."""
    from pipelines.convert import convert_battles

    source, raw = folder / "battles.jsonl", folder / "singles.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in battles(how_many)), encoding="utf-8")
    summary = convert_battles([str(source)], raw, workers=1, salt="bench")
    return raw, summary.converted, summary.decisions
