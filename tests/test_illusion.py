"""Illusions that never end: what comes in later proves whose stint it was, and only then is it anybody else's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from battles_at import View, by_hand, convert_record

from poke_bc.showdown.battle import Battle
from poke_bc.showdown.tracker import follow

TEAM = ("Zoroark", "Snorlax", "Amoonguss")
FOE = "|switch|p2a: Weavile|Weavile|100/100"


def turn(number: int, *lines: str) -> list[str]:
    return [*lines, "|", "|upkeep", f"|turn|{number + 1}"]


def come_in(species: str, hp: str = "100/100") -> str:
    return f"|switch|p1a: {species}|{species}|{hp}"


def strike(species: str, hp: str) -> list[str]:
    return [f"|move|p2a: Weavile|Ice Punch|p1a: {species}", f"|-damage|p1a: {species}|{hp}",
            *([f"|faint|p1a: {species}"] if hp == "0 fnt" else [])]


def play(lines: Sequence[str], team: Sequence[str] = TEAM) -> dict[str, View]:
    """p1's team is previewed, unless there is none."""
    record = by_hand([])
    if not team:
        return convert_record(replace(record, lines=(*record.lines, *lines)))
    head = [line for line in record.lines if line != "|start"]
    preview = [*(f"|poke|p1|{species}|" for species in team), "|poke|p2|Weavile|", "|poke|p2|Onix|"]
    sizes = [f"|teamsize|p1|{len(team)}", "|teamsize|p2|2"]
    return convert_record(replace(record, lines=(*head, *preview, "|teampreview", *sizes, "|start", *lines)))


FAINTED = [come_in("Amoonguss"), FOE, "|turn|1",
           *turn(1, "|move|p1a: Amoonguss|Nasty Plot|p1a: Amoonguss", *strike("Amoonguss", "0 fnt")),
           *turn(2, come_in("Snorlax"), *strike("Snorlax", "80/100")), *turn(3, come_in("Amoonguss")),
           *turn(4, "|move|p1a: Amoonguss|Spore|p2a: Weavile")]


def test_who_fainted_in_disguise_was_chosen_acted_and_is_gone() -> None:
    view = play(FAINTED)["p1"]
    assert view.at(0, "preview").action == "switch zoroark"
    first = view.at(1)
    assert (first.own("species"), first.action) == ("zoroark", "nastyplot")
    assert "switch amoonguss" in first.legal
    assert view.at(3).action == "switch amoonguss"
    last = view.at(4)
    assert (last.of("own", "zoroark", "fainted"), last.seen["own_alive"]) == (True, 2)
    assert "nastyplot" not in last.moves


def test_the_opponent_of_one_that_fainted_in_disguise_learns_it_when_the_true_one_comes() -> None:
    view = play(FAINTED)["p2"]
    assert view.at(1).opponent("species") == "amoonguss"
    before, after = view.at(3), view.at(4)
    assert (before.of("opp", "amoonguss", "fainted"), before.of("opp", "zoroark", "fainted")) == (True, False)
    assert (after.of("opp", "amoonguss", "fainted"), after.of("opp", "zoroark", "fainted")) == (False, True)
    assert [row.seen["opp_alive"] for row in (before, after)] == [2, 2]
    at = after.seen["opp_active"].index(True) * 4
    assert "nastyplot" not in after.seen["opp_moves"][at:at + 4]


def test_who_left_in_disguise_is_told_by_the_hp_of_the_true_one() -> None:
    lines = [come_in("Amoonguss"), FOE, "|turn|1", *turn(1, *strike("Amoonguss", "40/100")),
             *turn(2, come_in("Snorlax")), *turn(3, come_in("Amoonguss")), *turn(4, come_in("Zoroark", "40/100"))]
    view = play(lines)["p1"]
    assert view.at(0, "preview").action == "switch zoroark"
    assert [view.at(number).own("species") for number in (1, 2, 4)] == ["zoroark", "zoroark", "amoonguss"]
    assert view.at(2).own("hp") == 0.4
    assert view.at(4).action == "switch zoroark"


def test_nobody_takes_its_own_place() -> None:
    lines = [come_in("Snorlax"), FOE, "|turn|1", *turn(1, come_in("Amoonguss")), *turn(2, come_in("Amoonguss")),
             *turn(3, *strike("Amoonguss", "0 fnt"), "|", come_in("Zoroark")), *turn(4, come_in("Snorlax"))]
    view = play(lines)["p1"]
    assert [view.at(number).action for number in (1, 2)] == ["switch zoroark", "switch amoonguss"]


def test_regenerator_is_no_illusion() -> None:
    lines = [come_in("Amoonguss"), FOE, "|turn|1", *turn(1, *strike("Amoonguss", "40/100")),
             *turn(2, come_in("Snorlax")), *turn(3, come_in("Amoonguss", "73/100")), *turn(4, come_in("Zoroark"))]
    view = play(lines)["p1"]
    assert view.at(0, "preview").action == "switch amoonguss"


def test_a_stint_that_fits_stays_that_of_the_one_shown() -> None:
    lines = [come_in("Amoonguss"), FOE, "|turn|1", *turn(1, "|move|p1a: Amoonguss|Nasty Plot|p1a: Amoonguss"),
             *turn(2, come_in("Zoroark")), *turn(3, come_in("Amoonguss"))]
    assert play(lines)["p1"].at(0, "preview").action == "switch amoonguss"


@pytest.mark.parametrize("stint", ["lead", "later"])
def test_where_nobody_is_known_to_make_illusions_the_stint_has_no_label(stint: str) -> None:
    lead = come_in("Amoonguss") if stint == "lead" else come_in("Snorlax")
    lines = [lead, FOE, "|turn|1", *([] if stint == "lead" else turn(1, come_in("Amoonguss")))]
    at = 1 if stint == "lead" else 2
    lines += [*turn(at, "|move|p1a: Amoonguss|Nasty Plot|p1a: Amoonguss", *strike("Amoonguss", "0 fnt"), "|",
                    come_in("Pikachu")), *turn(at + 1, come_in("Amoonguss")), *turn(at + 2, come_in("Pikachu"))]
    view = play(lines, ())["p1"]
    assert view.at(at).label == "none"
    assert stint == "lead" or view.at(1).label == "none", "who came in is not known either"
    assert view.at(at, "forced_faint").action == "switch pikachu"
    assert view.at(at + 2).own("species") == "amoonguss"
    assert view.at(at + 2).seen["own_alive"] == 5


def test_the_end_of_one_illusion_tells_nothing_of_an_earlier_one() -> None:
    lines = [come_in("Amoonguss"), FOE, "|turn|1",
             *turn(1, "|move|p1a: Amoonguss|Nasty Plot|p1a: Amoonguss", *strike("Amoonguss", "40/100")),
             *turn(2, come_in("Snorlax")), *turn(3, come_in("Amoonguss", "40/100")),
             *turn(4, "|move|p1a: Amoonguss|U-turn|p2a: Weavile", "|replace|p1a: Zoroark|Zoroark",
                   "|-end|p1a: Zoroark|Illusion", "|", come_in("Snorlax")),
             *turn(5, come_in("Amoonguss")), *turn(6, come_in("Zoroark", "40/100"))]
    views = play(lines)
    assert views["p1"].at(1).own("species") == "zoroark"
    row = views["p2"].at(7)
    at = row.seen["opp_active"].index(True) * 4
    assert row.opponent("species") == "zoroark"
    assert row.seen["opp_moves"][at:at + 2] == ["uturn", "unknown"]


PULSE = ["|move|p1a: Amoonguss|Dark Pulse|p2a: Weavile", "|-damage|p1a: Amoonguss|90/100|[from] item: Life Orb"]
UNMASKED = [come_in("Amoonguss"), FOE, "|turn|1", *turn(1, "|move|p1a: Amoonguss|Spore|p2a: Weavile"),
            *turn(2, come_in("Zoroark")), *turn(3, "|move|p1a: Zoroark|Dark Pulse|p2a: Weavile"),
            *turn(4, come_in("Amoonguss")), *turn(5, *PULSE), *turn(6, *PULSE), *turn(7, *PULSE),
            *turn(8, *strike("Amoonguss", "40/100"), "|replace|p1a: Zoroark|Zoroark", "|-end|p1a: Zoroark|Illusion"),
            *turn(9, come_in("Amoonguss"))]
"""Turns 5 to 8 are Zoroark's, in Amoonguss's shape."""


def opponents(seen: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in seen.items() if name.startswith("opp_")}


@pytest.mark.parametrize("team", [TEAM, ()])
def test_until_an_illusion_ends_its_end_changes_nothing_of_what_the_opponent_saw(team: Sequence[str]) -> None:
    """The same view comes from a log that has no more lines yet."""
    full = play(UNMASKED, team)["p2"]
    for number in range(1, 9):
        so_far = play(UNMASKED[:UNMASKED.index(f"|turn|{number}") + 1], team)["p2"]
        assert opponents(full.at(number).seen) == opponents(so_far.at(number).seen), number
    during = full.at(7)
    assert (during.opponent("item"), during.of("opp", "zoroark", "item")) == ("lifeorb", "unknown")


def test_where_an_illusion_has_ended_all_that_it_showed_is_the_true_ones() -> None:
    view = play(UNMASKED)["p2"]
    for row in (view.at(9), view.at(10)):
        for species, item, moves, used in (("zoroark", "lifeorb", ["darkpulse", "unknown"], [4, 0]),
                                           ("amoonguss", "unknown", ["spore", "unknown"], [1, 0])):
            at = 4 * row.seen["opp_species"].index(species)
            assert row.of("opp", species, "item") == item
            assert row.seen["opp_moves"][at:at + 2] == moves
            assert row.seen["opp_pp_used"][at:at + 2] == used


def test_pp_used_in_disguise_add_up_whether_the_illusion_was_known_or_not() -> None:
    at = next(number for number, line in enumerate(UNMASKED) if line == "|turn|5") - 3

    def used(**known: Any) -> dict[str, dict[str, int]]:
        battle = Battle(9, **known)
        follow(battle, UNMASKED)
        return {mon.base: mon.moves for mon in battle.sides["p1"].mons}

    assert UNMASKED[at] == come_in("Amoonguss")
    assert used() == used(illusions={at: ("Zoroark", "Zoroark")}) == {"amoonguss": {"spore": 1},
                                                                      "zoroark": {"darkpulse": 4}}


def test_a_z_move_used_in_disguise_is_the_true_ones() -> None:
    battle = Battle(7)
    follow(battle, [come_in("Amoonguss"), FOE, "|turn|1", "|-zpower|p1a: Amoonguss",
                    "|move|p1a: Amoonguss|Black Hole Eclipse|p2a: Weavile", "|replace|p1a: Zoroark|Zoroark"])
    assert {mon.base: mon.powered for mon in battle.sides["p1"].mons} == {
        "amoonguss": {}, "zoroark": {("z", "blackholeeclipse"): 1}}


def test_where_nobody_can_tell_who_fainted_in_disguise_the_opponent_is_told_nothing() -> None:
    """Two of the team make Illusions, and one that seemed to have fainted comes in."""
    row = play(FAINTED, (*TEAM, "Zorua"))["p2"].at(4)
    assert [row.of("opp", species, "fainted") for species in ("amoonguss", "zoroark", "zorua")] == [False] * 3
    assert row.seen["opp_alive"] == 3
