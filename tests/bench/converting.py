"""Battles to trajectories: the tracker against poke-env's, one process against two.

Input: the sample's simulated battles of generation 9, and human replays where ../shared has them.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from tests.bench.common import ROOT, Line, compare

BATTLES = ROOT / "data" / "sample" / "battles.jsonl.zst"
REPLAYS = ROOT.parent / "shared" / "replays" / "gen9randombattle.jsonl.zst"
HOW_MANY = 400
IGNORED_BY_BOTH = {"t:", "win", "tie"}


def run(folder: Path) -> Iterator[Line]:
    from pipelines.convert import convert_battles

    source = folder / "battles.jsonl"
    records = _records()
    source.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    logs = [record["log"].split("\n") if "log" in record else record["spectator"] for record in records]
    yield from _trackers(logs)

    def convert(workers: int) -> None:
        convert_battles([str(source)], folder / "out.jsonl", workers=workers, salt="bench")

    started = time.perf_counter()
    convert(1)
    seconds = time.perf_counter() - started
    yield Line("convert, one process : the target, 60 battles/s", len(logs) / seconds, 60, "battles/s",
               len(logs) / seconds / 60, (len(logs) / seconds / 60,) * 2, ">= 1.0")
    yield compare("convert, two processes : one", "battles/s", len(logs), lambda: convert(2), lambda: convert(1),
                  target=">= 1.6", rounds=3)


def _records() -> list[dict]:
    path = REPLAYS if REPLAYS.exists() else BATTLES
    with pa.input_stream(str(path), compression="zstd") as stream:
        records = [json.loads(line) for line in stream.read().splitlines()]
    gen9 = [record for record in records if "gen9" in record["id"]]
    step = max(len(gen9) // HOW_MANY, 1)
    return gen9[::step][:HOW_MANY]


def _trackers(logs: list[list[str]]) -> Iterator[Line]:
    """Both views of a battle: our one pass, poke-env's two."""
    try:
        from poke_env.battle.battle import Battle as Theirs
    except ImportError:
        print("poke-env is not installed: its tracker is not compared (pip install 'poke-bc[showdown]')")
        return
    from poke_bc.showdown.battle import Battle as Ours
    from poke_bc.showdown.record import SkippedBattle

    logger = logging.getLogger("poke-env")
    logger.disabled = True

    def ours() -> None:
        for lines in logs:
            battle = Ours(9)
            with contextlib.suppress(SkippedBattle):
                for line in lines:
                    battle.read(line)

    def theirs() -> None:
        for lines in logs:
            names = [line.split("|")[3] for line in lines if line.startswith("|player|")][:2]
            for name in names:
                battle = Theirs("bench", name, logger, 9)
                with contextlib.suppress(Exception):
                    for line in lines:
                        parts = line.split("|")
                        if len(parts) > 1 and parts[1] not in IGNORED_BY_BOTH:
                            battle.parse_message(parts)

    yield compare("tracker, both views of a battle : poke-env's, twice", "battles/s", len(logs), ours, theirs,
                  target="(none)", rounds=3)
