"""The leak check flags shards whose own move slots betray what is used later, and no others."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from command_line import assert_told_in_two_lines, run_cli
from rich.console import Console
from training_fixtures import make_shards

from pipelines.preprocess import preprocess
from pipelines.split import split as split_shards
from poke_bc.contract.errors import UsageError
from poke_bc.leaks import LeakReport, check_leaks, render
from poke_bc.leaks.check import Check
from poke_bc.leaks.guesses import SlotRows, rule_hits

POOLS = {
    "greattusk": ["bulkup", "closecombat", "earthquake", "headlongrush", "icespinner", "knockoff", "rapidspin"],
    "kingambit": ["ironhead", "kowtowcleave", "lowkick", "suckerpunch", "swordsdance", "terablast", "wickedblow"],
}
Fill = Callable[[list[str], list[str], list[str], Random], list[str]]
"""(the four true moves, those used in order of use, the species' pool, random) -> the four slots."""


def truth(four: list[str], used: list[str], pool: list[str], random: Random) -> list[str]:
    return sorted(four)


def honest(four: list[str], used: list[str], pool: list[str], random: Random) -> list[str]:
    return sorted(used + random.sample(sorted(set(pool) - set(used)), 4 - len(used)))


def with_holes(four: list[str], used: list[str], pool: list[str], random: Random) -> list[str]:
    return [*sorted(used), *["none"] * (4 - len(used))]


def by_use(four: list[str], used: list[str], pool: list[str], random: Random) -> list[str]:
    return used + random.sample(sorted(set(pool) - set(used)), 4 - len(used))


def view(battle: int, player: str, fill: Fill, turns: int = 12) -> dict[str, Any]:
    """A Pokémon that uses two or three of its four moves; what it chooses does not depend on `fill`."""
    random = Random(f"{battle}-{player}")
    species = random.choice(sorted(POOLS))
    four = random.sample(POOLS[species], 4)
    chosen = random.choices(four[: random.choice([2, 3])], k=turns)
    used = list(dict.fromkeys(chosen))
    slots = fill(four, used, POOLS[species], Random(f"{battle}-{player}-fill"))
    steps = []
    for turn, move in enumerate(chosen):
        observation = {
            "turn": turn + 1, "phase": "turn",
            "own_species": [species, *["none"] * 5], "own_active": [True, *[False] * 5],
            "own_moves": slots + ["none"] * 20, "own_pp_used": [chosen[:turn].count(name) for name in slots] + [0] * 20,
        }
        legal = [name != "none" for name in slots] + [False] * 6
        steps.append({"observation": observation, "action_type": 0, "action_target": slots.index(move), "legal": legal})
    return {"replay_id": f"gen9ou-{battle}", "player": player, "gen": 9, "steps": steps}


def write_shards(folder: Path, fill: Fill, *, battles: range = range(300), split: bool = True) -> Path:
    raw = folder.with_suffix(".jsonl")
    raw.write_text("".join(json.dumps(view(battle, player, fill)) + "\n" for battle in battles
                           for player in ("p1", "p2")), "utf-8")
    preprocess([raw], folder, schema="singles", workers=1)
    if split:
        split_shards(folder, val_ratio=0.4, test_ratio=0.0, seed=1, by="battle")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same battles, with the slots filled in four ways."""
    folder = tmp_path_factory.mktemp("leaks")
    return {fill.__name__: write_shards(folder / fill.__name__, fill) for fill in (truth, honest, with_holes, by_use)}


def by_name(report: LeakReport) -> dict[str, Check]:
    return {each.check.split()[0]: each for each in report.checks}


def test_filling_from_what_the_species_may_have_is_no_leak(made: dict[str, Path]) -> None:
    report = check_leaks(made["honest"], made["truth"])
    assert (report.suspected, report.same_decisions, report.all_known) == ([], True, 1.0)
    assert (report.verdict or "").startswith("no leak found; one of ")
    assert by_name(report)["uniform"].accuracy == pytest.approx(0.25)
    assert {each.decisions for each in report.checks} == {each.against_decisions for each in report.checks}


def test_empty_slots_for_moves_not_used_are_a_leak(made: dict[str, Path]) -> None:
    report = check_leaks(made["with_holes"], made["truth"])
    assert (report.verdict or "").startswith("leak suspected: uniform over known own moves +")
    checks = by_name(report)
    assert {"uniform", "next", "network"} <= {name for name, each in checks.items() if each.is_suspicious}
    assert checks["network"].accuracy > 0.35 > 0.3 > (checks["network"].against or 1)
    assert report.all_known == 0


def test_slots_in_the_order_of_use_are_a_leak_though_all_are_full(made: dict[str, Path]) -> None:
    checks = by_name(check_leaks(made["by_use"], made["truth"]))
    assert {"most", "network"} <= {name for name, each in checks.items() if each.is_suspicious}
    assert checks["uniform"].difference == pytest.approx(0)


def test_nothing_is_said_about_the_truth_itself(made: dict[str, Path]) -> None:
    report = check_leaks(made["truth"], made["truth"])
    assert {(each.difference, each.standard_error) for each in report.checks} == {(0.0, 0.0)}
    assert report.suspected == []


def test_the_same_shards_give_the_same_report(made: dict[str, Path]) -> None:
    assert check_leaks(made["honest"], made["truth"]) == check_leaks(made["honest"], made["truth"])


def test_only_validation_battles_are_judged(made: dict[str, Path]) -> None:
    report = check_leaks(made["truth"])
    parts = json.loads((made["truth"] / "split.json").read_bytes())["counts"]["val"]
    assert (report.battles, {each.decisions for each in report.checks}) == (parts["battles"], {parts["decisions"]})


def test_shards_that_are_not_split_are_split_for_the_check_alone(tmp_path: Path) -> None:
    shards = write_shards(tmp_path / "shards", truth, battles=range(60), split=False)
    before = sorted(shards.iterdir())
    assert 5 < check_leaks(shards).battles < 40
    assert sorted(shards.iterdir()) == before


def test_other_battles_are_compared_each_on_their_own(made: dict[str, Path], tmp_path: Path) -> None:
    others = write_shards(tmp_path / "others", truth, battles=range(1000, 1200))
    report = check_leaks(made["with_holes"], others)
    assert not report.same_decisions
    assert report.suspected
    assert {each.decisions for each in report.checks} != {each.against_decisions for each in report.checks}
    assert check_leaks(made["honest"], others).suspected == []


def rows(moves: list[int], used: list[float], legal: list[bool], action: int) -> SlotRows:
    one = np.ones(1, np.uint64)
    return SlotRows(np.array([moves], np.uint16), np.array([legal]), np.array([used], np.float32), np.array([action]),
                    one, one, np.ones(1, np.uint8))


ALL = [True] * 4


@pytest.mark.parametrize(("moves", "used", "legal", "action", "expected"), [
    ([5, 6, 7, 8], [0, 0, 0, 0], ALL, 0, [1 / 4, 1, 1 / 4, 0]),  # nothing used yet: the first, or any
    ([5, 6, 7, 8], [2, 0, 1, 0], ALL, 0, [1 / 4, 0, 1, 0]),
    ([5, 6, 7, 8], [2, 0, 1, 0], ALL, 1, [1 / 4, 1, 0, 0]),
    ([5, 6, 7, 8], [2, 3, 1, 3], ALL, 3, [1 / 4, 0, 1 / 2, 1]),  # all used: the most used, of two the first
    ([5, 6, 1, 0], [2, 3, 0, 0], ALL, 1, [1 / 2, 1, 1, 0]),  # empty and unknown slots are left out
    ([5, 6, 7, 8], [0, 0, 0, 0], [False, True, True, False], 2, [1 / 2, 0, 1 / 2, 1]),  # illegal ones as well
    ([1, 1, 0, 1], [0, 0, 0, 0], [True, False, True, False], 0, [1 / 2, 1, 1 / 2, 0]),  # nothing known: all legal
])
def test_rules_do_what_they_are_called(moves: list[int], used: list[float], legal: list[bool], action: int,
                                       expected: list[float]) -> None:
    hits = rule_hits(rows(moves, used, legal, action), np.array([1, 2, 3, 4]))
    assert [float(hit_N[0]) for hit_N in hits.values()] == pytest.approx(expected)


def test_a_difference_must_be_no_trifle_and_no_chance() -> None:
    assert not Check("x", 0.32, 10, 0.301, 10, difference=0.019, standard_error=0.001).is_suspicious
    assert not Check("x", 0.35, 10, 0.30, 10, difference=0.05, standard_error=0.02).is_suspicious
    assert Check("x", 0.35, 10, 0.30, 10, difference=0.05, standard_error=0.01).is_suspicious
    assert not Check("x", 0.25, 10, 0.30, 10, difference=-0.05, standard_error=0.01).is_suspicious
    assert not Check("x", 0.9, 10).is_suspicious


def test_the_command_tells_what_the_function_returns(made: dict[str, Path]) -> None:
    done = run_cli("inspect", made["with_holes"], "--leaks", "--against", made["truth"], "--json")
    assert (done.code, done.stderr) == (0, "")
    assert done.json == check_leaks(made["with_holes"], made["truth"]).to_dict()
    assert {"path", "against", "battles", "all_known", "same_decisions", "checks", "suspected",
            "verdict"} == set(done.json)
    assert {"check", "accuracy", "decisions", "against", "against_decisions", "difference",
            "standard_error"} == set(done.json["checks"][0])


def shown(report: LeakReport) -> str:
    console = Console(width=80, record=True, file=StringIO())
    console.print(render(report))
    return console.export_text()


def test_the_table_fits_a_terminal_and_the_verdict_stands_below(made: dict[str, Path]) -> None:
    report = check_leaks(made["with_holes"], made["truth"])
    text = shown(report)
    assert "…" not in text
    for each in report.checks:
        assert any(line.startswith(each.check) and f"{each.decisions:,}" in line for line in text.splitlines())
    assert text.index("Compare (--against") < text.index("leak suspected: uniform")
    alone = check_leaks(made["truth"])
    assert (alone.verdict, alone.suspected, alone.against) == (None, [], None)
    assert "--against SHARDS" in shown(alone)


def test_shards_without_the_fields_or_without_masks_are_refused(made: dict[str, Path], tmp_path: Path) -> None:
    basic = make_shards(tmp_path / "basic", battles=3)
    with pytest.raises(UsageError, match=r"basic: .*own_moves.*basic does not have"):
        check_leaks(basic)
    for path in (basic.with_suffix(".jsonl"), tmp_path / "nowhere"):
        with pytest.raises(UsageError, match="no shards"):
            check_leaks(made["truth"], path)
    raw = tmp_path / "maskless.jsonl"
    lines = [view(battle, "p1", truth) for battle in range(3)]
    raw.write_text("".join(json.dumps(line | {"steps": [{key: value for key, value in step.items() if key != "legal"}
                                                        for step in line["steps"]]}) + "\n" for line in lines), "utf-8")
    preprocess([raw], tmp_path / "maskless", schema="singles", workers=1)
    with pytest.raises(UsageError, match="no observed choice among several moves") as caught:
        check_leaks(tmp_path / "maskless")
    assert "legal masks" in caught.value.hint


def test_against_without_leaks_is_refused_in_two_lines(made: dict[str, Path]) -> None:
    assert_told_in_two_lines(run_cli("inspect", made["truth"], "--against", made["truth"]), "--against")
