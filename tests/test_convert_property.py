"""Whatever a log holds, convert gives trajectories that preprocess takes, or a reason; and nothing from later."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from broken_logs import LOG_CHANGES, PICK, Change, change_log, pick
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_players import random_battles

from pipelines.convert import ConvertSummary, convert_battles
from pipelines.preprocess import preprocess
from poke_bc.contract.schema import load_schema
from poke_bc.contract.trajectory import read_trajectory
from poke_bc.showdown import convert as conversion
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.convert import first_pass
from poke_bc.showdown.corpus import Corpus
from poke_bc.showdown.observe import observe
from poke_bc.showdown.record import PLAYERS, BattleRecord, RecordedRequest, SkippedBattle

SINGLES = load_schema("singles")


def to_record(value: dict[str, Any], *, exact: bool) -> BattleRecord:
    asked = {
        player: tuple(RecordedRequest(ask["after_line"], ask["request"], ask["choice"], ask.get("rejected", False))
                      for ask in value[player])
        for player in PLAYERS
    }
    return BattleRecord(value["id"], value["format"], tuple(value["spectator"]), asked if exact else {})


def convert(record: BattleRecord, corpus: Corpus) -> list[dict[str, Any]]:
    """Trajectories as plain JSON values."""
    found: list[dict[str, Any]] = msgspec.to_builtins(conversion.convert(record, corpus))
    return found


@pytest.fixture(scope="module")
def battles() -> list[dict[str, Any]]:
    return [*map(json.loads, random_battles())]


@pytest.fixture(scope="module")
def corpus(battles: list[dict[str, Any]]) -> Corpus:
    found = Corpus()
    for battle in battles:
        found.add(first_pass(to_record(battle, exact=False)).revealed)
    return found


def assert_good(trajectories: list[dict[str, Any]]) -> None:
    for trajectory in trajectories:
        read = read_trajectory(json.dumps(trajectory).encode(), SINGLES)
        assert not read.unknown
        for step in trajectory["steps"]:
            assert step["observation"].keys() == SINGLES.field_names


@pytest.mark.parametrize("exact", [True, False], ids=["with requests", "from the log"])
def test_every_battle_becomes_good_trajectories(
    battles: list[dict[str, Any]], corpus: Corpus, exact: bool
) -> None:
    for battle in battles:
        trajectories = convert(to_record(battle, exact=exact), corpus)
        assert [line["player"] for line in trajectories] == ["p1", "p2"]
        assert_good(trajectories)


@pytest.mark.parametrize("exact", [True, False], ids=["with requests", "from the log"])
def test_an_observation_made_from_the_one_before_is_the_same_as_one_made_afresh(
    battles: list[dict[str, Any]], corpus: Corpus, exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [convert(to_record(battle, exact=exact), corpus) for battle in battles]

    def observe_afresh(battle: Battle, player: str, phase: str, **options: Any) -> Any:
        battle.views.clear()
        return observe(battle, player, phase, **options)

    monkeypatch.setattr(conversion, "observe", observe_afresh)
    assert [convert(to_record(battle, exact=exact), corpus) for battle in battles] == expected


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(number=PICK, changes=LOG_CHANGES, exact=st.booleans())
def test_a_damaged_log_is_converted_or_skipped_with_a_reason(
    battles: list[dict[str, Any]], corpus: Corpus, number: int, changes: list[Change], exact: bool
) -> None:
    battle = pick(battles, number)
    record = to_record(battle | {"spectator": change_log(battle["spectator"], changes)}, exact=exact)
    with contextlib.suppress(SkippedBattle):
        assert_good(convert(record, corpus))


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(changed=st.lists(st.tuples(PICK, LOG_CHANGES, st.booleans()), min_size=8, max_size=8))
def test_preprocess_takes_everything_that_convert_writes_of_damaged_logs(
    battles: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory,
    changed: list[tuple[int, list[Change], bool]]
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    lines = []
    for number, changes, exact in changed:
        battle = pick(battles, number)
        lines.append(json.dumps({key: value for key, value in battle.items() if exact or key not in PLAYERS} | {
            "spectator": change_log(battle["spectator"], changes)}) + "\n")
    (folder / "battles.jsonl").write_text("".join([*lines, json.dumps(battles[0]) + "\n"]))
    done = convert_battles([folder / "battles.jsonl"], folder / "raw.jsonl", workers=1, keep_names=True)
    assert not [reason for reason in done.skipped if reason.startswith("internal error")], done.examples
    summary = preprocess([folder / "raw.jsonl"], folder / "shards", workers=1, max_bad=0)
    assert summary.manifest.counts.quarantined == {}
    assert summary.manifest.counts.trajectories == done.trajectories


def test_a_battle_fills_none_of_its_own_gaps(battles: list[dict[str, Any]]) -> None:
    """With itself in the corpus or not: the same. Else a mirror match would show the opponent's later moves."""
    revealed = {battle["id"]: first_pass(to_record(battle, exact=False)).revealed for battle in battles}
    for battle in battles:
        same_format = [battle["id"], *(each["id"] for each in battles if each["format"] == battle["format"])]
        filled = []
        for without in (None, battle["id"]):
            corpus = Corpus()
            for name in dict.fromkeys(same_format):
                if name != without:
                    corpus.add(revealed[name])
            filled.append(convert(to_record(battle, exact=False), corpus))
        assert [json.dumps(each) for each in filled[0]] == [json.dumps(each) for each in filled[1]]


@pytest.mark.parametrize("choice", ["move 0", "move 9", "move", "team 0", "team x", ",", "switch 0", "dance 1"])
def test_a_choice_that_cannot_be_is_a_reason_to_skip(
    battles: list[dict[str, Any]], corpus: Corpus, choice: str
) -> None:
    record = to_record(battles[0], exact=True)
    asked = {player: (replace(asks[0], choice=choice), *asks[1:]) for player, asks in record.requests.items()}
    with pytest.raises(SkippedBattle, match="unknown choice"):
        convert(replace(record, requests=asked), corpus)


def test_a_duplicate_is_what_was_played_twice_not_what_is_called_the_same(
    battles: list[dict[str, Any]], tmp_path: Path
) -> None:
    first, second = ({key: value for key, value in battle.items() if key not in PLAYERS} for battle in battles[:2])
    broken = first | {"spectator": [*first["spectator"][:20], "|damaged line|"]}
    given = [broken, first, first | {"id": f"{first['format']}-77"}, second | {"id": first["id"]}]
    (tmp_path / "battles.jsonl").write_text("".join(json.dumps(battle) + "\n" for battle in given))
    done = convert_battles([str(tmp_path / "battles.jsonl")], tmp_path / "raw.jsonl", workers=1, keep_names=True)
    assert done.skipped == {"unknown line": 1, "duplicate battle": 1}
    lines = [json.loads(line) for line in (tmp_path / "raw.jsonl").read_text().splitlines()]
    assert lines[0]["replay_id"] == first["id"]
    assert lines[2]["replay_id"].startswith(first["id"] + "-")
    assert [line["player"] for line in lines] == ["p1", "p2", "p1", "p2"]


def test_a_log_that_breaks_off_does_not_end_the_battle(battles: list[dict[str, Any]], corpus: Corpus) -> None:
    lines = battles[0]["spectator"]
    cut = next(place for place, line in enumerate(lines) if line == "|turn|3")
    for line in convert(to_record(battles[0] | {"spectator": lines[:cut]}, exact=False), corpus):
        assert "winner" not in line
        assert line["total_reward"] == 0
        assert not any(step["done"] for step in line["steps"])
    for line in convert(to_record(battles[0], exact=False), corpus):
        assert [step["done"] for step in line["steps"]] == [False] * (len(line["steps"]) - 1) + [True]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(number=PICK, turn=PICK)
def test_an_observation_of_the_opponent_knows_nothing_of_what_comes(
    battles: list[dict[str, Any]], corpus: Corpus, number: int, turn: int
) -> None:
    """Cut the log anywhere: all that was seen of the opponent before stays as it was, to the last value."""
    battle = pick(battles, number)
    lines = battle["spectator"]
    cut = pick([place for place, line in enumerate(lines) if line.startswith("|turn|")], turn) + 1
    whole = convert(to_record(battle, exact=False), corpus)
    short = convert(to_record(battle | {"spectator": lines[:cut]}, exact=False), corpus)
    shown = [field.name for field in SINGLES.fields
             if field.name.startswith("opp_") and "damage" not in field.name and "_ko" not in field.name]
    illusions = any(line.startswith("|replace|") for line in lines)
    for early, late in zip(short, whole, strict=True):
        for step, same in zip(early["steps"][:-1], late["steps"], strict=False):
            if illusions:
                continue
            before, after = step["observation"], same["observation"]
            assert {key: before[key] for key in shown} == {key: after[key] for key in shown}


@pytest.mark.parametrize(("turns", "said"), [
    ((1, 2, 4, 5), "4 after 2"), ((1, 2, 2, 3), "2 after 2"), ((1, 2, 3, 2), "2 after 3"), ((-1, 0, 1), "-1 after 0"),
    ((1, 2, 10**12), "1000000000000 after 2"),
])
def test_turns_in_an_impossible_order_are_refused_by_name(battles: list[dict[str, Any]], turns: tuple[int, ...],
                                                          said: str) -> None:
    shown = iter(turns)
    lines = [f"|turn|{next(shown, 9)}" if line.startswith("|turn|") else line for line in battles[0]["spectator"]]
    with pytest.raises(SkippedBattle) as caught:
        first_pass(to_record(battles[0] | {"spectator": lines}, exact=False))
    assert (caught.value.reason, caught.value.detail) == ("impossible order of turns", said)


def test_minor_lines_of_an_unknown_kind_are_passed_over_and_counted(battles: list[dict[str, Any]],
                                                                    tmp_path: Path) -> None:
    """And those of an unknown major kind still skip the battle."""
    def with_lines(battle: dict[str, Any], *new: str) -> dict[str, Any]:
        return battle | {"spectator": [each for line in battle["spectator"]
                                       for each in ([*new, line] if line == "|turn|2" else [line])]}

    def convert_all(name: str, *given: dict[str, Any]) -> tuple[ConvertSummary, str]:
        (tmp_path / name).write_text("".join(json.dumps({**battle, "p1": [], "p2": []}) + "\n" for battle in given))
        done = convert_battles([tmp_path / name], tmp_path / f"{name}.raw.jsonl", workers=1, keep_names=True)
        return done, (tmp_path / f"{name}.raw.jsonl").read_text()

    _, expected = convert_all("a.jsonl", *battles[:2])
    done, text = convert_all("b.jsonl", with_lines(battles[0], "|-newthing|p1a: X|[of] p2a: Y", "|-other", "|-other|"),
                             with_lines(battles[1], "|-newthing"), with_lines(battles[2], "|newthing|p1a: X"))
    assert text == expected
    assert done.passed_over == {"-newthing": 2, "-other": 2}
    assert done.to_dict()["passed_over"] == done.passed_over
    assert (done.converted, done.skipped) == (2, {"unknown line": 1})
    assert done.examples["unknown line"] == [f"{tmp_path / 'b.jsonl'}:3: newthing"]
