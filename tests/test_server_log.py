"""What a server stores of a battle says when it was, who was rated how, and what was chosen where nobody saw it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
import pytest
from random_players import random_battles

from pipelines.convert.pseudonyms import Pseudonyms
from pipelines.convert.raw_battles import RawBattle
from pipelines.convert.records import read_battle
from poke_bc.showdown.convert import convert
from poke_bc.showdown.corpus import Corpus
from poke_bc.showdown.record import BattleRecord


@pytest.fixture(scope="module")
def battles() -> list[dict[str, Any]]:
    return [*map(json.loads, random_battles()[::2])]


def committed(battle: dict[str, Any]) -> list[str]:
    """The choices as the simulator writes them: moves by id, in the order in which they were made."""
    found = []
    for player in ("p1", "p2"):
        for number, each in enumerate(battle[player]):
            words = (each["choice"] or "").split()
            if not words or each.get("rejected") or each["request"].get("wait"):
                continue
            if words[0] == "move" and words[1].isdecimal():
                words[1] = each["request"]["active"][0]["moves"][int(words[1]) - 1]["id"]
            if words[0] == "team":
                words = ["team", ", ".join(words[1])]
            found.append((each["after_line"], number, f">{player} {' '.join(words)}"))
    return [text for _, _, text in sorted(found, key=lambda each: each[0])]


def server_log(battle: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "winner": "x", "seed": [1, 2, 3, 4], "turns": 9, "p1": "Alpha 0", "p2": "Beta 0", "p1team": [], "p2team": [],
        "score": [1, 0], "inputLog": [">version 1", '>start {"formatid":"x"}', *committed(battle), ">forcewin p1"],
        "log": [line for line in battle["spectator"] if not line.startswith("|t:|")],
        "p1rating": {"elo": 1523.7, "oldelo": 1501.2}, "p2rating": {"elo": "1402"}, "endType": "normal",
        "timestamp": "Sun Nov 24 2024 10:00:00 GMT+0100 (Central European Standard Time)",
        "roomid": f"battle-{battle['id']}", "format": battle["format"],
    } | changes


def read(value: dict[str, Any]) -> BattleRecord:
    return read_battle(RawBattle("json", json.dumps(value).encode(), "x", "x"), Pseudonyms("s"))


def steps(value: dict[str, Any]) -> list[dict[str, Any]]:
    trajectories = msgspec.to_builtins(convert(read(value), Corpus()))
    return [step for trajectory in trajectories for step in trajectory["steps"]]


def test_a_servers_log_says_when_it_was_and_who_was_rated_how(battles: list[dict[str, Any]]) -> None:
    record = read(server_log(battles[0]))
    assert record.id == battles[0]["id"]
    assert record.date == "2024-11-24T09:00:00Z"
    assert (record.ratings, record.rating) == ({"p1": 1501, "p2": 1402}, 1402)
    views = convert(record, Corpus())
    assert [(view["rating"], view["opponent_rating"]) for view in views] == [(1501, 1402), (1402, 1501)]
    for odd in (None, 3, [], {"elo": None}, {"elo": "x"}):
        assert read(server_log(battles[0], p1rating=odd, timestamp=odd, inputLog=odd)).ratings == {"p2": 1402}


def test_choices_that_nobody_saw_are_read_where_the_server_recorded_them(battles: list[dict[str, Any]]) -> None:
    before, after = Counter[str](), Counter[str]()
    for battle in battles:
        seen, read_too = steps(server_log(battle, inputLog=[])), steps(server_log(battle))
        before.update(step["label"] for step in seen)
        after.update(step["label"] for step in read_too)
        for one, two in zip(seen, read_too, strict=True):
            if one["label"] == "observed":
                assert one["observation"]["phase"] == two["observation"]["phase"]
                assert two["label"] == "observed"
    assert after["observed"] > before["observed"]
    assert after["censored"] < before["censored"] / 3


def test_choices_that_do_not_fit_the_log_are_left_aside(battles: list[dict[str, Any]]) -> None:
    value = server_log(battles[0])
    without = steps(value | {"inputLog": []})
    assert steps(value | {"inputLog": value["inputLog"][:10]}) == without
    other = server_log(battles[-1])
    assert steps(value | {"inputLog": other["inputLog"]}) == without
