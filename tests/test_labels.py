"""Which decisions there were, and what was chosen: short logs in which a choice is hidden, intercepted or implied."""

from __future__ import annotations

from dataclasses import replace

import pytest
from battles_at import Row, View, by_hand, convert_record

from poke_bc.showdown.record import SkippedBattle

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


def test_where_only_struggle_may_be_left_an_unseen_choice_has_no_label() -> None:
    """Tackle alone is open to an Encore, and Disable closes it: slot 0 is legal, but it is not Struggle's."""
    row = convert_record(by_hand([
        "|switch|p1a: A|Pikachu|100/100", "|switch|p2a: B|Clefable|100/100", "|turn|1",
        "|move|p1a: A|Tackle|p2a: B", "|-damage|p2a: B|90/100", "|move|p2a: B|Encore|p1a: A",
        "|-start|p1a: A|Encore", "|upkeep", "|turn|2",
        "|move|p1a: A|Tackle|p2a: B", "|-damage|p2a: B|80/100", "|move|p2a: B|Disable|p1a: A",
        "|-start|p1a: A|Disable|Tackle", "|upkeep", "|turn|3",
        "|move|p2a: B|Moonblast|p1a: A", "|-damage|p1a: A|0 fnt", "|faint|p1a: A"]))["p1"].at(3)
    assert row.open_moves == {row.moves[0]}
    assert (row.label, row.candidates) == ("none", set())


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


# --- who is meant -----------------------------------------------------------------------------------------------------

NAMESAKES = ["|switch|p1a: X|Blissey, F|100/100", "|switch|p2a: Weavile|Weavile, M|100/100", "|turn|1",
             "|-status|p1a: X|par", "|", "|upkeep", "|turn|2", "|switch|p1a: X|Magikarp, M|100/100",
             "|move|p2a: Weavile|Night Slash|p1a: X", "|-damage|p1a: X|0 fnt", "|faint|p1a: X", "|", "|upkeep", "|",
             "|switch|p1a: X|Rabsca, F|100/100", "|turn|3"]


def test_revival_blessing_revives_the_one_of_that_name_that_had_fainted() -> None:
    lines = [*NAMESAKES, "|move|p1a: X|Revival Blessing|p1a: X", "|",
             "|-heal|p1: X|50/100|[from] move: Revival Blessing", "|", "|upkeep", "|turn|4"]
    for player, side in (("p1", "own"), ("p2", "opp")):
        view = convert_record(by_hand(lines))[player]
        assert [view.at(turn).seen[f"{side}_alive"] for turn in (2, 3, 4)] == [6, 5, 6]
        row = view.at(4)
        assert (row.of(side, "magikarp", "fainted"), row.of(side, "magikarp", "hp")) == (False, 0.5)
        assert row.of(side, "blissey", "hp") == 1.0
    assert convert_record(by_hand(lines))["p1"].at(3, "revival").action == "switch magikarp"


def test_which_of_two_fainted_namesakes_was_revived_is_not_guessed() -> None:
    lines = [*NAMESAKES, "|switch|p1a: X|Pikachu, M|100/100", "|move|p2a: Weavile|Night Slash|p1a: X",
             "|-damage|p1a: X|0 fnt", "|faint|p1a: X", "|", "|upkeep", "|", "|switch|p1a: X|Rabsca, F|100/100",
             "|turn|4", "|move|p1a: X|Revival Blessing|p1a: X", "|",
             "|-heal|p1: X|50/100|[from] move: Revival Blessing", "|", "|upkeep", "|turn|5"]
    view = convert_record(by_hand(lines))["p1"]
    assert view.at(4, "revival").label == "none"
    assert view.at(5).seen["own_alive"] == 5


def test_heal_bell_cures_the_one_of_that_name_that_has_the_status() -> None:
    lines = [*NAMESAKES, "|move|p1a: X|Heal Bell|p1a: X", "|-activate|p1a: X|move: Heal Bell",
             "|-curestatus|p1: X|par|[msg]", "|", "|upkeep", "|turn|4"]
    view = convert_record(by_hand(lines))["p1"]
    assert [view.at(turn).of("own", "blissey", "status") for turn in (2, 3, 4)] == ["par", "par", "none"]


def test_a_faint_counts_once_however_the_log_repeats_it() -> None:
    lines = [*NAMESAKES[:11], "|faint|p1a: X", *NAMESAKES[11:]]
    assert convert_record(by_hand(lines))["p1"].at(3).seen["own_alive"] == 5


# --- formats that show six and bring three ----------------------------------------------------------------------------

SIX = ("Garchomp", "Snorlax", "Blissey", "Lucario", "Mew", "Gengar")
PREVIEW = [f"|poke|{player}|{species}|" for player in ("p1", "p2") for species in SIX]
SIZES = {"told after the choice": ["|teampreview|3", "|", "|teamsize|p1|3", "|teamsize|p2|3", "|start"],
         "told by the preview alone": ["|teampreview|3", "|", "|start"]}
BOTH_LEAD = ["|switch|p1a: Gengar|Gengar|100/100", "|switch|p2a: Gengar|Gengar|100/100", "|turn|1"]
ALL_COME = ["|switch|p1a: Mew|Mew|100/100", "|switch|p2a: Mew|Mew|100/100", "|", "|upkeep", "|turn|2",
            "|switch|p1a: Lucario|Lucario|100/100", "|switch|p2a: Lucario|Lucario|100/100", "|", "|upkeep", "|turn|3"]


def shown_six(sizes: str, lines: list[str]) -> dict[str, View]:
    record = by_hand([])
    head = [line for line in record.lines if not line.startswith(("|teamsize", "|start"))]
    return convert_record(replace(record, lines=(*head, "|clearpoke", *PREVIEW, *SIZES[sizes], *lines)))


def left_home(row: Row, side: str) -> set[str]:
    return {species for species, is_home in zip(row.seen[f"{side}_species"], row.seen[f"{side}_left_home"], strict=True)
            if is_home}


@pytest.mark.parametrize("sizes", SIZES)
def test_all_six_are_seen_in_preview_and_three_fight(sizes: str) -> None:
    for view in shown_six(sizes, [*BOTH_LEAD, *ALL_COME]).values():
        preview, first = view.at(0, "preview"), view.at(1)
        assert sorted(preview.seen["opp_species"]) == sorted(first.seen["opp_species"]) == sorted(map(str.lower, SIX))
        assert (preview.seen["own_alive"], preview.seen["opp_alive"], len(preview.legal)) == (6, 6, 6)
        assert (first.seen["own_alive"], first.seen["opp_alive"]) == (3, 3)
        assert first.opponent("species") == "gengar"
        assert (first.open_switches, view.at(2).open_switches) == ({"mew", "lucario"}, {"gengar", "lucario"})
        assert view.trajectory["imputed"].count(".brought") == 0
        home = {"garchomp", "snorlax", "blissey"}
        assert [left_home(row, "own") for row in (preview, first, view.at(3))] == [set(), home, home]
        assert [left_home(row, "opp") for row in (preview, first, view.at(2), view.at(3))] == [
            set(), set(), set(), home]


def test_who_never_came_in_is_drawn_for_those_that_fight_and_said_so() -> None:
    for view in shown_six("told after the choice", BOTH_LEAD).values():
        assert len(view.at(1).open_switches) == 2
        assert view.trajectory["imputed"].count(".brought") == 5


def test_the_last_of_those_brought_ends_the_battle() -> None:
    lines = [*BOTH_LEAD, *ALL_COME]
    for turn, (name, successor) in enumerate((("Lucario", "Mew"), ("Mew", "Gengar"), ("Gengar", "")), 3):
        lines += [f"|move|p2a: Lucario|Meteor Mash|p1a: {name}", f"|-damage|p1a: {name}|0 fnt", f"|faint|p1a: {name}",
                  "|", "|upkeep"]
        lines += [f"|switch|p1a: {successor}|{successor}|100/100", f"|turn|{turn + 1}"] if successor else ["|win|Gary"]
    rows = shown_six("told after the choice", lines)["p1"].rows
    assert (rows[-1].seen["phase"], rows[-1].label) == ("turn", "censored"), "nobody is left to be asked for"


# --- shapes that are not what they seem -------------------------------------------------------------------------------


def test_two_battles_in_one_log_are_refused_by_name() -> None:
    lines = by_hand([*LEADS, "|win|Ash"]).lines
    with pytest.raises(SkippedBattle) as skipped:
        convert_record(replace(by_hand([]), lines=(*lines, *lines)))
    assert skipped.value.reason == "more than one battle in one log"


@pytest.mark.parametrize(("format_", "is_open"), [("gen9purehackmons", True), ("gen9almostanyability", True),
                                                  ("gen9customgame", True), ("gen9ou", False)])
def test_only_where_abilities_are_those_of_the_species_does_a_species_prove_that_it_traps(
    format_: str, is_open: bool
) -> None:
    lines = ["|switch|p1a: Onix|Onix, M|100/100", "|switch|p2a: Gothitelle|Gengar-Mega, M|100/100", "|turn|1",
             "|move|p1a: Onix|Rest|p1a: Onix", "|", "|upkeep", "|turn|2", "|switch|p2a: Weavile|Weavile, M|100/100",
             "|move|p1a: Onix|Rest|p1a: Onix", "|", "|upkeep", "|turn|3", AGAIN[0], "|", "|upkeep", "|turn|4"]
    row = convert_record(replace(by_hand(lines), format=format_))["p1"].at(1)
    assert bool(row.open_switches) == is_open
