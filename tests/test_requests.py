"""Requests come from strangers: what is wrong in one is named by its field, and nothing in it is a fault of ours."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import msgspec
import pytest
from battle_shapes import bots_log
from broken_logs import LOG_CHANGES, PICK, VALUE_CHANGES, Change, change_log, change_value, pick
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_players import random_battles

from pipelines.convert.pseudonyms import Pseudonyms
from pipelines.convert.raw_battles import RawBattle
from pipelines.convert.records import read_battle
from poke_bc.contract.schema import load_schema
from poke_bc.contract.trajectory import read_trajectory
from poke_bc.showdown.convert import convert
from poke_bc.showdown.corpus import Corpus
from poke_bc.showdown.record import BattleRecord, SkippedBattle


@pytest.fixture(scope="module")
def battles() -> list[str]:
    """JSON of short battles of several generations."""
    return sorted(random_battles(), key=len)[:10]


def read(battle: dict[str, Any]) -> BattleRecord:
    return read_battle(RawBattle("json", json.dumps(battle).encode(), "x", "x"), Pseudonyms("s"))


def check(record: BattleRecord) -> None:
    """Its trajectories are good ones."""
    for trajectory in msgspec.to_builtins(convert(record, Corpus())):
        read_trajectory(json.dumps(trajectory).encode(), load_schema("singles"))


@pytest.mark.parametrize(("keys", "value", "said"), [
    (["request", "active", 0, "moves", 1, "pp"], "8", "requests.p1[3].request.active[0].moves[1].pp: "
                                                      "expected int | null, got str"),
    (["request", "active", 0, "moves", 0, "id"], None, "requests.p1[3].request.active[0].moves[0].id: "
                                                       "expected str, got null"),
    (["request", "side", "pokemon", 2, "condition"], 3, "requests.p1[3].request.side.pokemon[2].condition: "
                                                        "expected str, got int"),
    (["request", "side", "pokemon", 0, "ident"], "Bob", "requests.p1[3].request.side.pokemon[0].ident: "
                                                        "expected str matching regex '^p[1-4][a-c]?: '"),
    (["request", "side", "pokemon", 0, "active"], False, "requests.p1[3].request.side.pokemon: none is active"),
    (["request"], None, "requests.p1[3].request: missing"),
    (["after_line"], 10**9, "requests.p1[3].after_line: expected 0 to"),
    (["choice"], 4, "requests.p1[3].choice: expected str | null, got int"),
])
def test_the_reason_names_the_field(keys: list[Any], value: Any, said: str, battles: list[str]) -> None:
    battle = json.loads(battles[0])
    battle["p1"][3] = copy.deepcopy(next(each for each in battle["p1"] if each["request"].get("active")))
    target = battle["p1"][3]
    for key in keys[:-1]:
        target = target[key]
    target[keys[-1]] = value
    with pytest.raises(SkippedBattle) as caught:
        read(battle)
    assert caught.value.reason == "malformed requests"
    assert caught.value.detail.startswith(said)


def test_pp_that_is_not_known_is_no_fault(battles: list[str]) -> None:
    battle = json.loads(battles[0])
    moves = [move for each in (*battle["p1"], *battle["p2"]) for active in each["request"].get("active", ())
             for move in active["moves"]]
    for number, move in enumerate(moves):
        move["pp" if number % 2 else "maxpp"] = None
    record = read(battle)
    assert set(record.requests) == {"p1", "p2"}
    check(record)


def test_a_request_that_was_cut_off_takes_the_choice_after_it_from_nobody(battles: list[str]) -> None:
    """Which would otherwise answer the request before it."""
    battle = json.loads(battles[0])
    lines = bots_log(battle, "p1").decode().split("\n")
    asked = [number for number, line in enumerate(lines) if line.startswith("|request|")]
    lines[asked[4]] = lines[asked[4]][:90]
    cut, whole = (read_battle(RawBattle("log", text.encode(), "x", "x"), Pseudonyms("s")).requests["p1"]
                  for text in ("\n".join(lines), bots_log(battle, "p1").decode()))
    assert [each.choice for each in cut] == [each.choice for number, each in enumerate(whole) if number != 4]


def test_a_request_that_leaves_nothing_to_choose_is_no_row_and_the_battle_stays(battles: list[str]) -> None:
    battle = next(battle for text in battles for battle in [json.loads(text)]
                  if any(each["request"].get("forceSwitch") for each in battle["p1"]))
    before = convert(read(battle), Corpus())
    asked = copy.deepcopy(next(each for each in battle["p1"] if each["request"].get("forceSwitch")))
    asked["choice"], asked["after_line"] = None, battle["p1"][-1]["after_line"]
    for mon in asked["request"]["side"]["pokemon"]:
        mon["condition"] = "0 fnt"
    battle["p1"].append(asked)
    after = convert(read(battle), Corpus())
    assert [len(each["steps"]) for each in after] == [len(each["steps"]) for each in before]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(number=PICK, part=st.sampled_from(["p1", "p2", ""]), changes=VALUE_CHANGES)
def test_nothing_in_a_record_is_an_internal_error(battles: list[str], number: int, part: str,
                                                  changes: list[Change]) -> None:
    battle = json.loads(pick(battles, number))
    battle = battle | {part: change_value(battle[part], changes)} if part else change_value(battle, changes)
    with contextlib.suppress(SkippedBattle):
        check(read(battle))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(number=PICK, player=st.sampled_from(["p1", "p2"]), asked=PICK, inside=VALUE_CHANGES,
       around=st.one_of(st.just([]), LOG_CHANGES))
def test_nothing_in_a_bots_log_is_an_internal_error(battles: list[str], number: int, player: str, asked: int,
                                                    inside: list[Change], around: list[Change]) -> None:
    lines = bots_log(json.loads(pick(battles, number)), player).decode().split("\n")
    at = pick([place for place, line in enumerate(lines) if line.startswith("|request|")], asked)
    lines[at] = "|request|" + json.dumps(change_value(json.loads(lines[at].removeprefix("|request|")), inside))
    text = "\n".join(change_log(lines, around))
    with contextlib.suppress(SkippedBattle):
        check(read_battle(RawBattle("log", text.encode(), "x", "x"), Pseudonyms("s")))
