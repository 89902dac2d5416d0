"""Real human battles as basic-schema trajectories, by the code that made the sample.

The records (`../shared/resim`) hold what a spectator saw and, for each player, the requests with the choices made;
the sample's code wants a player's own stream. Both say the same: the opponent's HP are in percent either way.
"""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

MAKER = Path(__file__).parents[1] / "data" / "sample" / "make_sample.py"


def load_maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_sample", MAKER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_sample"] = module  # its dataclasses look themselves up by module
    spec.loader.exec_module(module)
    return module


def as_stream(record: dict[str, Any], player: str) -> list[dict[str, Any]]:
    """Requests with the lines before each, as events of a player's stream."""
    events, read = [], 0
    for asked in record[player]:
        events.append({"k": "u", "lines": record["spectator"][read: asked["after_line"]]})
        events.append({"k": "r", **asked, "choice": numbered(asked.get("choice"), asked["request"])})
        read = max(read, asked["after_line"])
    events.append({"k": "u", "lines": record["spectator"][read:]})
    return events


def numbered(choice: str | None, request: dict[str, Any]) -> str | None:
    """`move closecombat` -> `move 2`: the simulated players, whose records the sample is made from, give numbers."""
    if choice is None or not choice.startswith("move "):
        return choice
    name = choice.split()[1]
    moves = [move["id"] for move in request["active"][0]["moves"]]
    return choice if name.isdigit() else f"move {moves.index(name) + 1}"


def write_human_battles(records: Path, out: Path, battles: int) -> int:
    """Write both views of the first `battles` that convert; returns how many trajectories."""
    maker = load_maker()
    trajectories = []
    with pa.CompressedInputStream(pa.OSFile(str(records), "rb"), "zstd") as stream:
        for line in islice(io.TextIOWrapper(io.BufferedReader(stream), encoding="utf-8"), battles):
            record = json.loads(line)
            both = {"id": record["id"], "format": record["formatid"],
                    **{player: as_stream(record, player) for player in ("p1", "p2")}}
            try:
                trajectories += [maker.to_trajectory(both, player) for player in ("p1", "p2")]
            except (AssertionError, KeyError, ValueError, StopIteration, IndexError):
                continue  # the sample's code knows numbered choices of simulated players, not every human spelling
    maker.number_species(trajectories)
    out.write_text("".join(json.dumps(each) + "\n" for each in trajectories), encoding="utf-8")
    return len(trajectories)
