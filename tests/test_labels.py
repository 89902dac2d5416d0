"""Which decisions there were, and what was chosen: short logs in which a choice is hidden, intercepted or implied."""

from __future__ import annotations

import pytest
from battles_at import View, by_hand, convert_record

LEADS = ["|switch|p1a: Onix|Onix, M|100/100", "|switch|p2a: Weavile|Weavile, M|100/100", "|turn|1"]
AGAIN = ["|switch|p1a: Snorlax|Snorlax, M|100/100", "|", "|upkeep", "|turn|2"]
"""The Pokémon that comes in afterwards; nothing else of p1's team is seen."""


def after(lines: list[str], gen: int = 9) -> View:
    return convert_record(by_hand([*LEADS, *lines], gen=gen))["p1"]


# --- a choice that nobody saw -----------------------------------------------------------------------------------------

HIDDEN = {
    "it fainted first": ["|move|p2a: Weavile|Ice Punch|p1a: Onix", "|-damage|p1a: Onix|0 fnt", "|faint|p1a: Onix",
                         "|", "|upkeep", "|", "|switch|p1a: Snorlax|Snorlax, M|100/100", "|turn|2"],
    "it slept": ["|cant|p1a: Onix|slp", "|", "|upkeep", "|turn|2"],
    "it flinched": ["|move|p2a: Weavile|Fake Out|p1a: Onix", "|cant|p1a: Onix|flinch", "|", "|upkeep", "|turn|2"],
    "it was paralysed": ["|cant|p1a: Onix|par", "|", "|upkeep", "|turn|2"],
    "it was frozen": ["|cant|p1a: Onix|frz", "|", "|upkeep", "|turn|2"],
    "it was dragged out": ["|move|p2a: Weavile|Roar|p1a: Onix", "|drag|p1a: Snorlax|Snorlax, M|100/100", "|",
                           "|upkeep", "|turn|2"],
}


@pytest.mark.parametrize("why", HIDDEN)
def test_an_unseen_choice_is_censored_among_the_moves_whatever_is_known_of_them(why: str) -> None:
    row = after(HIDDEN[why]).at(1)
    assert (row.label, row.candidates) == ("censored", row.open_moves)
    assert len(row.candidates) == len(set(row.moves)) == 4


# --- Pursuit ----------------------------------------------------------------------------------------------------------

PURSUIT = "|move|p2a: Weavile|Pursuit|p1a: Onix"
TOLD = [f"{PURSUIT}|[from] Pursuit", f"{PURSUIT}|[from] move: Pursuit", f"{PURSUIT}|[from]Pursuit"]
KNOCKED_OUT = ["|-damage|p1a: Onix|0 fnt", "|faint|p1a: Onix"]


@pytest.mark.parametrize("line", TOLD)
@pytest.mark.parametrize("gen", [2, 3, 4])
def test_until_generation_4_a_switch_that_pursuit_intercepts_still_happens(line: str, gen: int) -> None:
    (row,) = after([line, *KNOCKED_OUT, *AGAIN], gen).all(1)
    assert (row.seen["phase"], row.action) == ("turn", "switch snorlax")


@pytest.mark.parametrize("line", TOLD)
def test_later_one_that_pursuit_intercepts_was_leaving_and_its_player_is_asked_again(line: str) -> None:
    turn, again = after([line, *KNOCKED_OUT, "|", "|upkeep", "|", AGAIN[0], "|turn|2"], 5).all(1)
    assert turn.label == "censored"
    assert turn.candidates == {f"switch {species}" for species in turn.open_switches}
    assert "switch snorlax" in turn.candidates
    assert (again.seen["phase"], again.action) == ("forced_faint", "switch snorlax")


@pytest.mark.parametrize("gen", [4, 7])
def test_an_ordinary_pursuit_hides_a_move(gen: int) -> None:
    turn, again = after([PURSUIT, *KNOCKED_OUT, "|", "|upkeep", "|", AGAIN[0],
                         "|turn|2"], gen).all(1)
    assert (turn.label, turn.candidates) == ("censored", turn.open_moves)
    assert again.seen["phase"] == "forced_faint"


def test_u_turn_into_pursuit_was_u_turn() -> None:
    turn, _ = after(["|move|p1a: Onix|U-turn|p2a: Weavile", TOLD[0], *KNOCKED_OUT, "|", "|upkeep", "|", AGAIN[0],
                     "|turn|2"], 5).all(1)
    assert turn.action == "uturn"


# --- gimmicks ---------------------------------------------------------------------------------------------------------


def power(lines: list[str], gen: int) -> View:
    """Onix shows Stone Edge, then a powered move in turn 2."""
    return after(["|move|p1a: Onix|Stone Edge|p2a: Weavile", "|", "|upkeep", "|turn|2", *lines, "|", "|upkeep",
                  "|turn|3", "|move|p1a: Onix|Protect|p1a: Onix", "|", "|upkeep", "|turn|4",
                  "|move|p1a: Onix|Earthquake|p2a: Weavile", "|", "|upkeep", "|turn|5",
                  "|move|p1a: Onix|Rest|p1a: Onix", "|", "|upkeep", "|turn|6"], gen)


MAX_MOVE = ["|-start|p1a: Onix|Dynamax|", "|move|p1a: Onix|Max Rockfall|p2a: Weavile", "|-end|p1a: Onix|Dynamax"]
Z_MOVE = ["|-zpower|p1a: Onix", "|move|p1a: Onix|Continental Crush|p2a: Weavile|[zeffect]"]


@pytest.mark.parametrize(("lines", "gen", "gimmick"), [(MAX_MOVE, 8, "dynamax"), (Z_MOVE, 7, "z"), (Z_MOVE, 9, "z")])
def test_a_powered_move_is_the_only_move_of_its_type_once_all_four_are_known(
    lines: list[str], gen: int, gimmick: str
) -> None:
    view = power(lines, gen)
    row, later = view.at(2), view.at(3)
    assert (row.action, row.gimmick) == ("stoneedge", gimmick)
    assert row.seen["own_can_gimmick"][("mega", "z", "dynamax", "tera").index(gimmick)]
    assert row.own("item") == "rockiumz" or gimmick != "z"
    at = row.seen["own_active"].index(True) * 4 + row.moves.index("stoneedge")
    assert [each.seen["own_pp_used"][at] for each in (row, later)] == [1, 2]


@pytest.mark.parametrize(("lines", "gen"), [(MAX_MOVE, 8), (Z_MOVE, 7)])
def test_the_opponent_counts_the_pp_of_a_powered_move_too(lines: list[str], gen: int) -> None:
    record = by_hand([*LEADS, "|move|p1a: Onix|Stone Edge|p2a: Weavile", "|", "|upkeep", "|turn|2", *lines, "|",
                      "|upkeep", "|turn|3"], gen=gen)
    row = convert_record(record)["p2"].at(3)
    at = row.seen["opp_active"].index(True) * 4
    assert row.seen["opp_moves"][at:at + 2] == ["stoneedge", "unknown"]
    assert row.seen["opp_pp_used"][at] == 2
    assert row.opponent("item") == "unknown", "no line names it"


def test_mega_evolution_is_open_in_every_generation_that_has_the_stone() -> None:
    record = by_hand(["|switch|p1a: Gengar|Gengar, M|100/100", "|switch|p2a: Weavile|Weavile, M|100/100", "|turn|1",
                      "|detailschange|p1a: Gengar|Gengar-Mega, M", "|-mega|p1a: Gengar|Gengar|Gengarite",
                      "|move|p1a: Gengar|Shadow Ball|p2a: Weavile", "|", "|upkeep", "|turn|2"])
    rows = convert_record(record)["p1"]
    assert [rows.at(turn).seen["own_can_gimmick"][0] for turn in (1, 2)] == [True, False]


def test_rayquaza_mega_evolves_by_a_move() -> None:
    record = by_hand(["|switch|p1a: Rayquaza|Rayquaza|100/100", "|switch|p2a: Weavile|Weavile, M|100/100", "|turn|1",
                      "|detailschange|p1a: Rayquaza|Rayquaza-Mega", "|-mega|p1a: Rayquaza|Rayquaza|",
                      "|cant|p1a: Rayquaza|flinch", "|", "|upkeep", "|turn|2"], gen=6)
    row = convert_record(record)["p1"].at(1)
    assert (row.gimmick, row.seen["own_can_gimmick"][0]) == ("mega", True)
    assert "dragonascent" in row.moves
