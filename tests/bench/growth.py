"""What 4 and 16 times as much costs: input, shards, epochs. A ratio of 1 is linear in time, constant in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from pipelines.preprocess import preprocess
from poke_bc.data.shards import Shards
from tests.bench import measured
from tests.bench.common import QUICK, ROUNDS, Line, enlarged_sample, line_of, scanning, sized

FACTORS = (1, 4, 16)
Found = dict[str, float]


def run(folder: Path) -> Iterator[Line]:
    scanning()
    yield from _inputs(folder)
    raw = folder / "raw.jsonl"
    enlarged_sample(raw, sized(400))
    yield from _shards(folder, raw)
    yield from _epochs(folder, raw)


def _taken(job: Callable[[int], Found], rounds: int = ROUNDS) -> dict[str, dict[int, list[float]]]:
    """What a job finds at every factor, in turn: name -> factor -> a value a round."""
    found: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(1 if QUICK else rounds):
        for factor in FACTORS[number % 3:] + FACTORS[:number % 3]:
            for name, value in job(factor).items():
                found[name][factor].append(value)
    return found


def _lines(what: str, unit: str, found: dict[int, list[float]], target: str) -> Iterator[Line]:
    for factor in FACTORS[1:]:
        yield line_of(what.format(factor), unit, found[factor], found[1], target=target)


def _inputs(folder: Path) -> Iterator[Line]:
    raws = {factor: folder / f"{factor}.jsonl" for factor in FACTORS}
    for factor, raw in raws.items():
        enlarged_sample(raw, sized(50) * factor)
    small = sized(50)
    for workers in (1, 2):
        def job(factor: int, workers: int = workers) -> Found:
            found = measured.run("preprocess", raws[factor], folder / "out", workers)
            return {"rate": raws[factor].stat().st_size / 1e6 / found["seconds"], "megabytes": found["megabytes"]}

        found, processes = _taken(job), "1 process" if workers == 1 else f"{workers} processes"
        more = f"{processes}, {{}} x {small} MB : {small} MB"
        yield from _lines(f"preprocess, {more}", "MB/s", found["rate"], ">= 0.9")
        yield from _lines(f"peak memory of preprocess, {more}", "MB", found["megabytes"], "< 800 MB")


def _shards(folder: Path, raw: Path) -> Iterator[Line]:
    """The same rows in more shards."""
    whole = preprocess([raw], folder / "whole", workers=1).to_dict()["bytes"]
    counts = {}
    for factor in FACTORS:
        preprocess([raw], folder / f"shards-{factor}", workers=1, shard_bytes=whole // (4 * factor) + 1)
        counts[factor] = len(Shards(folder / f"shards-{factor}").manifest.shards)

    def job(factor: int) -> Found:
        found = measured.run("feed", folder / f"shards-{factor}", 4)
        return {"open": 1 / found["opened"], "rate": found["samples"] / found["seconds"],
                "megabytes": found["megabytes"]}

    found = _taken(job)
    for factor in FACTORS[1:]:
        what = f"{counts[factor]} shards : {counts[1]} shards, same rows"
        yield line_of(f"opening, {what}", "times/s", found["open"][factor], found["open"][1], target="(none)")
        yield line_of(f"feeding, {what}", "samples/s", found["rate"][factor], found["rate"][1], target=">= 0.9")
        yield line_of(f"peak memory of feeding, {what}", "MB", found["megabytes"][factor], found["megabytes"][1],
                      target="<= 1.1")


def _epochs(folder: Path, raw: Path) -> Iterator[Line]:
    preprocess([raw], folder / "epochs", workers=1)

    def job(factor: int) -> Found:
        found = measured.run("feed", folder / "epochs", factor)
        return {"rate": found["samples"] / found["seconds"], "first": 1 / found["first"],
                "megabytes": found["megabytes"]}

    found = _taken(job)
    yield from _lines("feeding, {} epochs : 1 epoch", "samples/s", found["rate"], ">= 0.9")
    yield from _lines("first batch when resumed after {} epochs : 1 epoch", "times/s", found["first"], ">= 0.9")
    yield from _lines("peak memory of feeding, {} epochs : 1 epoch", "MB", found["megabytes"], "<= 1.1")
