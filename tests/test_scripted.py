"""Scripted battles against the simulator's own state, field by field; each remaining difference has its reason."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from scripted.check import Difference, compare

from pipelines.convert import convert_battles

FOLDER = Path(__file__).resolve().parent / "scripted"
SCENARIOS = sorted((FOLDER / "scenarios").glob("*.json"))
MOST = {"log": 60, "requests": 20}
REQUEST = ("after_line", "request", "choice", "rejected")


def recorded() -> list[dict[str, Any]]:
    with pa.input_stream(str(FOLDER / "played.jsonl.zst"), compression="zstd") as stream:
        return [json.loads(line) for line in io.TextIOWrapper(stream, encoding="utf-8")]


def timeless(battle: dict[str, Any]) -> dict[str, Any]:
    """A battle without the hour at which it was played."""
    return battle | {"spectator": [line for line in battle["spectator"] if not line.startswith("|t:|")]}


def play() -> list[dict[str, Any]]:
    """The scenarios, played in the simulator if it is installed."""
    if not shutil.which("node") or not os.environ.get("SHOWDOWN"):
        return recorded()
    done = subprocess.run(["node", FOLDER / "play.js", *SCENARIOS], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def played() -> dict[str, dict[str, Any]]:
    return {battle["id"]: battle for battle in play()}


@pytest.fixture(scope="module", params=["log", "requests"])
def view(request: pytest.FixtureRequest) -> str:
    """What convert was given: the log alone, or also the players' requests."""
    return str(request.param)


@pytest.fixture(scope="module")
def different(
    view: str, played: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[Difference]]:
    folder = tmp_path_factory.mktemp(view)
    with (folder / "battles.jsonl").open("w", encoding="utf-8") as file:
        for battle in played.values():
            entry = {"id": battle["id"], "formatid": battle["formatid"]}
            if view == "log":
                log = "\n".join(line for line in battle["spectator"] if not line.startswith("|t:|"))
                entry |= {"players": ["Alpha", "Beta"], "log": log}
            else:
                entry |= {"spectator": battle["spectator"]}
                entry |= {player: [{key: asked[key] for key in REQUEST} for asked in battle[player]]
                          for player in ("p1", "p2")}
            file.write(json.dumps(entry) + "\n")
    convert_battles([folder / "battles.jsonl"], folder / "raw.jsonl", workers=1, salt="scripted")
    rows: dict[str, list[Any]] = {id_: [] for id_ in played}
    for line in (folder / "raw.jsonl").read_text("utf-8").splitlines():
        trajectory = json.loads(line)
        rows[trajectory["replay_id"]].append(trajectory)
    assert all(rows.values()), "a battle was not converted"
    return {id_: [each for each in compare(battle, rows[id_], view == "requests") if not each.note]
            for id_, battle in played.items()}


def unknowable(view: str) -> dict[str, Counter[str]]:
    """Battle -> field -> how often it differs, from unknowable.toml."""
    found: dict[str, Counter[str]] = {}
    for entry in tomllib.loads((FOLDER / "unknowable.toml").read_text("utf-8"))["difference"]:
        assert entry["reason"]
        if view in entry["fields"]:
            found.setdefault(entry["battle"], Counter()).update(entry["fields"][view])
    return found


def test_playing_the_scenarios_again_gives_the_recorded_battles(played: dict[str, Any]) -> None:
    assert len(played) == len(SCENARIOS) == 69
    assert [timeless(battle) for battle in played.values()] == [timeless(battle) for battle in recorded()]


def test_rows_equal_the_simulators_state_but_for_what_nobody_can_know(
    view: str, different: dict[str, list[Difference]]
) -> None:
    found = {id_: Counter(each.field.split(" of ")[0] for each in every) for id_, every in different.items() if every}
    told = "\n".join(f"{id_} {each}" for id_, every in different.items() for each in every)
    assert found == unknowable(view), told


def test_little_remains_unknowable(view: str) -> None:
    assert sum(count for fields in unknowable(view).values() for count in fields.values()) <= MOST[view]
