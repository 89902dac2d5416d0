"""Battles to trajectories: our tracker against poke-env's, two processes against one.

Input: human battles of generation 9 if available, else the simulated battles of the sample.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

from tests.bench.common import Line, battles, compare, line_of, rates, sized

IGNORED_BY_BOTH = {"t:", "win", "tie"}


def run(folder: Path) -> Iterator[Line]:
    from pipelines.convert import convert_battles

    source = folder / "battles.jsonl"
    records = battles(sized(400))
    source.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    logs = [record["log"].split("\n") if "log" in record else record["spectator"] for record in records]
    yield from _trackers(logs)

    def convert(workers: int) -> None:
        out = folder / "out.jsonl"
        for path in folder.glob(f"{out.name}*"):  # or it would keep what it made before
            path.unlink()
        convert_battles([str(source)], out, workers=workers, salt="bench")

    found = rates({"two": lambda: convert(2), "one": lambda: convert(1)}, len(logs))
    yield line_of("convert, 1 process : the target of 120 battles/s", "battles/s", found["one"],
                  [120.0] * len(found["one"]), target=">= 1")
    yield line_of("convert, 2 processes : 1 process", "battles/s", found["two"], found["one"], target=">= 1.7")


def _trackers(logs: list[list[str]]) -> Iterator[Line]:
    """Both views of a battle: our single pass against poke-env's two."""
    try:
        from poke_env.battle.battle import Battle as Theirs
    except ImportError:
        print("poke-env is not installed: its tracker is not compared (pip install 'poke-bc[showdown]')")
        return
    from poke_bc.showdown.battle import Battle as Ours
    from poke_bc.showdown.record import SkippedBattle
    from poke_bc.showdown.tracker import follow

    logger = logging.getLogger("poke-env")
    logger.disabled = True

    def ours() -> None:
        for lines in logs:
            battle = Ours(9)
            with contextlib.suppress(SkippedBattle):
                follow(battle, lines)

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

    yield compare("tracking a battle for both players : poke-env's tracker, once per player", "battles/s", len(logs),
                  ours, theirs, target="(none)")
