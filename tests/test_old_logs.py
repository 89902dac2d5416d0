"""Logs of older servers, from 2012 on: HP that no player saw, choices in the log, lines without a meaning."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from battles_at import View, both, by_hand, convert_record, lines_of, record, with_lines

from poke_bc.showdown.choices import Choice, read_choice
from poke_bc.showdown.protocol import as_shown, read_condition
from poke_bc.showdown.record import BattleRecord, SkippedBattle


def hp_of(view: View, who: str) -> set[float]:
    return {hp for row in view.rows for hp in row.seen[f"{who}_hp"]}


def is_multiple(hp: float, parts: int) -> bool:
    """Whether it is a whole number of steps of a bar that has so many."""
    return abs(hp * parts - round(hp * parts)) < 0.5 / parts


def test_exact_hp_of_the_opponent_becomes_percent_rounded_up() -> None:
    # |rule|HP Percentage Mod: HP is shown in percentages
    # |turn|3   |move|p1a: Onion Knight?|U-turn|p2a: Scizor   |-damage|p2a: Scizor|331/343 par
    (p1,), (p2,) = (both("exact-hp", player) for player in ("p1", "p2"))
    assert p1.at(3, "forced_pivot").opponent("hp") == 0.97  # 96.5%
    assert p2.at(4).own("hp") == round(331 / 343, 4)
    # |-damage|p1a: Stacks|284/353
    assert p1.at(4).own("hp") == round(284 / 353, 4)
    assert p2.at(4).opponent("hp") == 0.81  # 80.5%
    for view in (p1, p2):
        assert all(is_multiple(hp, 100) for hp in hp_of(view, "opp"))
        assert not all(is_multiple(hp, 100) for hp in hp_of(view, "own"))


def test_without_the_percentage_rule_the_opponent_saw_48_pixels() -> None:
    for player in ("p1", "p2"):
        (view,) = both("exact-hp-without-the-percentage-rule", player)
        assert all(is_multiple(hp, 48) for hp in hp_of(view, "opp"))
        assert not all(is_multiple(hp, 48) for hp in hp_of(view, "own"))
    # |-damage|p2a: Duchess|211/302: 33 whole pixels   |-damage|p1a: Tub|403/404: 47
    (p1,), (p2,) = (both("exact-hp-without-the-percentage-rule", player) for player in ("p1", "p2"))
    assert p1.at(2).opponent("hp") == round(33 / 48, 4)
    assert p2.at(4).opponent("hp") == round(47 / 48, 4)


@pytest.mark.parametrize(
    ("hp", "parts", "shown"),
    [(1, 100, 1), (400 / 401, 100, 0.99), (0.981, 100, 0.99), (1 / 401, 100, 0.01), (0.5, 100, 0.5), (0, 100, 0),
     (1, 48, 1), (400 / 401, 48, 47 / 48), (1 / 401, 48, 1 / 48), (0.5, 48, 0.5), (0, 48, 0)],
)
def test_what_a_bar_shows(hp: float, parts: int, shown: float) -> None:
    assert as_shown(hp, parts) == pytest.approx(shown)


def test_a_bar_of_48_pixels_is_what_is_left_and_not_the_damage() -> None:
    # |switch|p2a: Mud Puddle|Politoed, F| (48/48)
    # |turn|1   |move|p1a: Washer|Volt Switch|p2a: Mud Puddle   |-damage|p2a: Mud Puddle|62 (18/48)
    #           |-damage|p1a: Crobat|81 (9/48)   |-heal|p1a: Crobat|6 (12/48)|[from] item: Black Sludge
    # |turn|2   |-damage|p2a: Mud Puddle|6 (15/48 tox)|[from] psn
    (p1,), (p2,) = (both("bar-of-48-pixels", player) for player in ("p1", "p2"))
    assert p1.at(1).opponent("hp") == 1.0
    assert p1.at(1, "forced_pivot").opponent("hp") == round(18 / 48, 4)
    assert p2.at(2).opponent("hp") == p1.at(2).own("hp") == round(12 / 48, 4)
    assert (p1.at(3).opponent("hp"), p1.at(3).opponent("status")) == (round(15 / 48, 4), "tox")
    assert {status for view in (p1, p2) for row in view.rows for status in row.seen["own_status"]} == {"none", "tox"}
    assert p1.at(4).of("opp", "toxicroak", "fainted")
    condition = read_condition("30 (12/48 tox)")
    assert condition is not None
    assert (condition.hp, condition.status, condition.percent) == (0.25, "tox", 0.25)


def test_a_faint_says_nothing_of_the_bar() -> None:
    record = by_hand(["|switch|p1a: A|Pikachu|100/211", "|switch|p2a: B|Eevee|250/251", "|turn|1",
                      "|-damage|p1a: A|0 fnt", "|faint|p1a: A", "|switch|p1a: C|Raichu|211/211", "|upkeep", "|turn|2",
                      "|-damage|p2a: B|125/251", "|turn|3"], gen=5)
    assert convert_record(record)["p1"].at(3).opponent("hp") == round(23 / 48, 4)


# --- |choice|p1|p2| ---------------------------------------------------------------------------------------------------


def without_choices(record: BattleRecord) -> BattleRecord:
    return replace(record, lines=tuple(line for line in record.lines if not line.startswith("|choice|")))


def test_a_choice_line_tells_what_a_fainted_pokemon_was_about_to_do() -> None:
    # |turn|2   |choice|move stoneedge|move leechseed   |move|p1a: Rhyperior|Stone Edge|p2a: Ferrothorn
    #           |-damage|p2a: Ferrothorn|0 fnt   |faint|p2a: Ferrothorn   |choice||switch 4
    (view,) = both("choices-by-name", "p2")
    assert view.at(2).action == "leechseed"
    assert view.at(2, "forced_faint").action == "switch mawile"
    silent = convert_record(without_choices(record("choices-by-name")))["p2"]
    assert silent.at(2).label != "observed"
    for player in ("p1", "p2"):
        (view,) = both("choices-by-name", player)
        assert {row.label for row in view.rows[:-1]} == {"observed"}


def test_a_choice_line_tells_the_gimmick_too() -> None:
    (view,) = both("choices-by-name", "p2")  # |turn|3   |choice|...|move substitute mega
    assert (view.at(3).action, view.at(3).gimmick) == ("substitute", "mega")
    (view,) = both("choices-by-name", "p1")  # |turn|5   |choice|move bellydrum zmove|...
    assert (view.at(5).action, view.at(5).gimmick) == ("bellydrum", "z")


def test_who_was_to_come_in_when_pursuit_came_first() -> None:
    # |turn|2   |choice|move pursuit|switch 3   |move|p1a: Weavile|Pursuit|p2a: Tornadus|[from]Pursuit
    #           |faint|p2a: Tornadus   |choice||switch 2
    (view,) = both("pursuit", "p2")
    assert view.at(2).action == "switch keldeo"
    assert view.at(2, "forced_faint").action == "switch mew"
    silent = convert_record(without_choices(record("pursuit")))["p2"]
    assert silent.at(2).label == "censored"
    assert silent.at(2).candidates == {"switch keldeo", "switch mew"}


def test_the_number_of_a_move_is_that_of_its_other_uses() -> None:
    # |turn|1   |choice|move 4|move 3   |move|p1a: Onion Knight?|Stealth Rock|...   |move|p2a: Scizor|Swords Dance|...
    # |turn|2   |choice|move 2|move 1   |move|p1a: Onion Knight?|Thunder Wave|p2a: Scizor   |cant|p2a: Scizor|par
    # |turn|3   |choice|move 3|move 1   |move|p2a: Scizor|Bullet Punch|p1a: Stacks
    (view,) = both("exact-hp", "p2")
    assert (view.at(1).action, view.at(2).action) == ("swordsdance", "bulletpunch")
    silent = convert_record(without_choices(record("exact-hp")))["p2"]
    assert silent.at(2).label == "censored"
    assert silent.at(2).candidates == {"bulletpunch", "roost", "superpower", "swordsdance"}
    left = [row for player in ("p1", "p2") for view in both("exact-hp", player) for row in view.rows
            if row.label == "censored"]
    assert not left


def test_where_the_log_hides_who_came_in_the_choices_of_the_battle_are_not_used() -> None:
    # p1's Zoroark comes in as Politoed and leaves as such: `|choice|switch 2|` and later `|choice|switch 6|` both show
    # Politoed
    hidden = record("illusion-never-unmasked")
    silent = convert_record(without_choices(hidden))
    for player, view in convert_record(hidden).items():
        assert [(row.label, row.action) for row in view.rows] == [
            (row.label, row.action) for row in silent[player].rows]
    assert silent["p2"].at(4).label != "observed", "a choice line names the move"


def choosing(choices: Sequence[str]) -> BattleRecord:
    """Three turns; in the third p1's Pikachu flinches."""
    one, two, three = choices
    return by_hand(["|switch|p1a: A|Pikachu|100/100", "|switch|p2a: B|Eevee|100/100", "|turn|1", f"|choice|{one}|",
                    "|move|p1a: A|Thunderbolt|p2a: B", "|upkeep", "|turn|2", f"|choice|{two}|",
                    "|move|p1a: A|Surf|p2a: B", "|upkeep", "|turn|3", f"|choice|{three}|", "|cant|p1a: A|flinch",
                    "|upkeep", "|turn|4"], gen=6)


@pytest.mark.parametrize(
    ("choices", "action"),
    [
        (("move 1", "move 3", "move 3"), "surf"),
        (("move 1", "move 3", "move 2"), ""),  # never seen to be used
        (("move thunderbolt", "move surf", "move volttackle"), "volttackle"),
        (("move 1", "move 1", "move 1"), ""),  # one number, two moves
        (("move thunderbolt", "move agility", "move volttackle"), ""),  # it used Surf
        (("switch 2", "move surf", "move volttackle"), ""),
        (("move 1", "move 3", ""), ""),
    ],
)
def test_choices_are_used_as_far_as_they_fit_what_was_seen(choices: Sequence[str], action: str) -> None:
    assert convert_record(choosing(choices))["p1"].at(3).action == action


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("move 2 mega", Choice("move", "2", "mega")), ("move hiddenpower zmove", Choice("move", "hiddenpower", "z")),
        ("switch 3", Choice("switch", "3")), ("team 6, team 2, team 1", Choice("team", "6")), ("", Choice("")),
        ("pass", Choice("")), ("move", Choice("")),
    ],
)
def test_a_players_words_are_taken_apart(text: str, said: Choice) -> None:
    assert read_choice(text) == said


# --- heads of old logs, and lines that mean nothing -------------------------------------------------------------------

def test_an_old_head_is_understood() -> None:
    # |tier|[Gen 5] OU   |rated   |callback|decision   no |gen|, no |teamsize|
    # |turn|1   |move|p1a: Breloom|Spore|p2a: Rotom-Wash   |move|p2a: Rotom-Wash|Will-O-Wisp|p1a: Breloom
    lines = lines_of("old-head")
    assert not any(line.startswith(("|gen|", "|teamsize|")) for line in lines)
    assert {"|rated", "|callback|decision"} <= {*lines}
    (p1,), (p2,) = (both("old-head", player) for player in ("p1", "p2"))
    assert p1.trajectory["gen"] == 5
    assert (p1.rows[0].seen["phase"], p1.rows[0].action) == ("preview", "switch breloom")
    assert (p1.at(1).action, p2.at(1).action) == ("spore", "willowisp")


def test_formats_without_a_number_and_without_generation_six_in_them_are_of_generation_five() -> None:
    (view,) = both("bar-of-48-pixels", "p1")  # as of 2012, |tier|OU: Fairy and Mega Evolution came a year later
    assert view.trajectory["gen"] == 5


@pytest.mark.parametrize("id_", ["gen9ou-pivots", "gen1ou-wrap-in-generation-one", "exact-hp"])
def test_lines_that_mean_nothing_are_passed_over(id_: str) -> None:
    plain = record(id_, requests=False)
    noise = ("|callback|decision", "|seed|1,2,3,4", "|ScrapeTime|2020-01-01-00:04:26", "|player|p1|", "|player|p1",
             "|rated", "|debug|x", "|inactive|60 seconds", "|-hint|a hint", "|unlink|x", "|bigerror|x", "|warning|x",
             "|-message|something happened", "|join|x", "|raw|<b>", "|askreg|x", "|tempnotify|x|y", "|html|<b>")
    noisy = with_lines(plain, (line for each in plain.lines
                               for line in (each, *(noise if each.startswith("|turn|") else ()))))
    assert [view.trajectory for view in convert_record(noisy).values()] == [
        view.trajectory for view in convert_record(plain).values()]


def test_glued_lines_are_read_as_two() -> None:
    plain = choosing(("", "", ""))
    text = "\n".join(plain.lines).replace("|move|p1a: A|Surf|p2a: B\n", "|move|p1a: A|Surf|p2a: B").replace(
        "|upkeep\n|turn|3", "|upkeep|turn|3")
    glued = with_lines(plain, text.split("\n"))
    assert text.count("\n") < len(plain.lines) - 1
    assert [view.trajectory for view in convert_record(glued).values()] == [
        view.trajectory for view in convert_record(plain).values()]


@pytest.mark.parametrize("id_", ["gen9randomdoublesbattle-2900000", "doubles"])
def test_a_doubles_battle_is_left_out_whole(id_: str) -> None:
    with pytest.raises(SkippedBattle) as skipped:
        convert_record(record(id_))
    assert skipped.value.reason == "not singles"
