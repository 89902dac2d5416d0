"""Records of one battle: the best of them is converted, and together they give what each of them knows."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from battle_shapes import FAKE, bots_log, jsonl, make_log, replay
from random_players import random_battles

from pipelines.convert import ConvertSummary, convert_battles


@pytest.fixture(scope="module")
def battles() -> list[dict[str, Any]]:
    return [*map(json.loads, random_battles()[::6])][:3]


def convert(folder: Path, *files: bytes, **options: Any) -> tuple[ConvertSummary, list[dict[str, Any]]]:
    """Convert files of battles, in their order."""
    folder.mkdir(exist_ok=True)
    paths = []
    for number, data in enumerate(files):
        paths.append(folder / f"{number}.{'log' if data[:1] in b'|>' else 'jsonl'}")
        paths[-1].write_bytes(data)
    done = convert_battles(paths, folder / "raw.jsonl", **{"salt": "s", "workers": 1} | options)
    assert done.battles == done.converted + done.joined + sum(done.skipped.values()) + sum(done.left_out.values())
    return done, [json.loads(line) for line in (folder / "raw.jsonl").read_text().splitlines()]


def of_log(battle: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in battle.items() if key not in ("p1", "p2")}


def spoilt(battle: dict[str, Any]) -> dict[str, Any]:
    """With a request that names another team, which shows only once the battle is converted."""
    value: dict[str, Any] = json.loads(json.dumps(battle))
    value["p1"][-2]["request"]["side"]["pokemon"][0]["ident"] = "p1: Nobody"
    return value


@pytest.mark.parametrize("order", ["damaged first", "good first", "in two files", "two damaged"])
def test_a_damaged_copy_never_suppresses_the_good_one(order: str, battles: list[dict[str, Any]],
                                                      tmp_path: Path) -> None:
    for number, battle in enumerate(battles):
        files = {"damaged first": [jsonl([spoilt(battle), battle])], "good first": [jsonl([battle, spoilt(battle)])],
                 "in two files": [jsonl([spoilt(battle)]), jsonl([battle])],
                 "two damaged": [jsonl([spoilt(battle), spoilt(battle), battle, battle])]}[order]
        done, lines = convert(tmp_path / str(number), *files)
        _, expected = convert(tmp_path / f"{number} alone", jsonl([battle]))
        assert lines == expected
        assert done.converted == 1
        counts = {"damaged first": {"inconsistent state": 1}, "good first": {"duplicate battle": 1},
                  "in two files": {"inconsistent state": 1},
                  "two damaged": {"inconsistent state": 2, "duplicate battle": 1}}[order]
        assert done.skipped == counts


def test_where_every_copy_is_damaged_each_is_counted_with_its_reason(battles: list[dict[str, Any]],
                                                                     tmp_path: Path) -> None:
    done, _ = convert(tmp_path, jsonl([spoilt(battles[0]), battles[1], spoilt(battles[0])]))
    assert (done.converted, done.skipped) == (1, {"inconsistent state": 2})


@pytest.mark.parametrize("first", ["p1", "p2"])
def test_both_players_own_logs_become_one_battle_with_both_exact_views(
    first: str, battles: list[dict[str, Any]], tmp_path: Path
) -> None:
    for number, battle in enumerate(battles):
        logs = {player: bots_log(battle, player) for player in ("p1", "p2")}
        done, joined = convert(tmp_path / str(number), logs[first], logs["p2" if first == "p1" else "p1"])
        assert (done.converted, done.joined, done.exact_views, done.skipped) == (1, 1, 2, {})
        for player, line in zip(("p1", "p2"), joined, strict=True):
            _, alone = convert(tmp_path / f"{number}{player}", logs[player])
            assert line == next(each for each in alone if each["player"] == player)


def test_requests_are_added_to_a_replay_of_the_same_battle(battles: list[dict[str, Any]], tmp_path: Path) -> None:
    done, lines = convert(tmp_path / "a", jsonl([of_log(battles[0])]), jsonl([battles[0]]))
    assert (done.converted, done.joined, done.exact_views) == (1, 1, 2)
    assert lines == convert(tmp_path / "b", jsonl([battles[0]]))[1]


def test_a_log_that_cannot_be_joined_costs_only_itself(battles: list[dict[str, Any]], tmp_path: Path) -> None:
    done, lines = convert(tmp_path / "a", jsonl([of_log(battles[0])]), jsonl([spoilt(battles[0])]))
    assert (done.converted, done.joined, done.skipped) == (1, 0, {"inconsistent state": 1})
    assert lines == convert(tmp_path / "b", jsonl([of_log(battles[0])]))[1]


@pytest.mark.parametrize("named", [True, False], ids=["with an id", "without an id"])
def test_a_replay_and_the_same_without_timestamps_are_one_battle(named: bool, tmp_path: Path) -> None:
    untimed = [line for line in make_log() if not line.startswith("|t:|")]
    room = [">battle-gen9ou-100001"] if named else []
    done, lines = convert(tmp_path, jsonl([replay()]), "\n".join([*room, *untimed]).encode(), conversion=FAKE)
    assert (done.converted, done.skipped) == (1, {"duplicate battle": 1})
    assert {line["replay_id"] for line in lines} == {"gen9ou-100001"}
    parted = [convert(tmp_path / str(number), "\n".join(log).encode(), conversion=FAKE)[1]
              for number, log in enumerate((make_log(), untimed))]
    assert parted[0][0]["replay_id"] == parted[1][0]["replay_id"], "also where each is converted alone"


def test_another_battle_under_a_known_id_keeps_the_id_it_was_given(tmp_path: Path) -> None:
    other = replay(1, log="\n".join(make_log(1, turns=9)))
    done, lines = convert(tmp_path, jsonl([replay(1), other, replay(2)]), conversion=FAKE)
    assert done.converted == 3
    names = [(line["replay_id"], line["original_id"]) for line in lines[::2]]
    assert names[0] == ("gen9ou-100001", None)
    assert re.fullmatch("gen9ou-100001-[0-9a-f]{8}", names[1][0])
    assert names[1][1] == "gen9ou-100001"
    assert names[2] == ("gen9ou-100002", None)


def test_copies_far_apart_give_the_same_bytes_whatever_the_workers(tmp_path: Path) -> None:
    """Records whose copies stand in other tasks, on disk until they are needed."""
    def late(number: int) -> dict[str, Any]:
        return replay(number, log=replay(number)["log"] + "\n|-message|Late")

    given = [late(1), *map(replay, range(2, 60)), late(1), late(1) | {"log": late(1)["log"].replace("|t:|", "|t:|1")},
             *map(replay, range(2, 60)), replay(61)]
    found = [convert(tmp_path / str(workers), jsonl(given), conversion=FAKE, workers=workers) for workers in (1, 2)]
    assert found[0][1] == found[1][1]
    assert Counter(found[0][0].skipped) == {"internal error: KeyError": 3, "duplicate battle": 58}
    assert not list(tmp_path.glob("*/*.parts"))
