"""What logs of real servers do, from 2012 on: HP that nobody saw, choices in the open, lines that mean nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from battles_at import At, Find, View, both, by_hand, convert_record

from pipelines.battles.clean_log import clean
from poke_bc.showdown.choices import Choice, read_choice
from poke_bc.showdown.protocol import as_shown, read_condition
from poke_bc.showdown.record import BattleRecord, SkippedBattle

EXACT_HP = At("replays/gen6ou-old", "ou-a8c463f75c")
EXACT_HP_IN_PIXELS = At("replays/gen6ou-old", "ou-8f2bcc3d37")
PIXELS = At("replays/ou", "ou-72b82cb92c")


def hp_of(view: View, who: str) -> set[float]:
    return {hp for row in view.rows for hp in row.seen[f"{who}_hp"]}


def is_share(hp: float, parts: int) -> bool:
    return abs(hp * parts - round(hp * parts)) < 0.5 / parts


def test_exact_hp_of_the_opponent_becomes_percent_rounded_up(shared_data: Find) -> None:
    # |rule|HP Percentage Mod: HP is shown in percentages
    # |turn|3   |move|p1a: TheMoreYouKnow|U-turn|p2a: Heatran   |-damage|p2a: Heatran|372/386 par
    (p1,), (p2,) = (both(EXACT_HP, player, shared_data) for player in ("p1", "p2"))
    assert p1.at(3, "forced_pivot").opponent("hp") == 0.97  # 96.4%
    assert p2.at(4).own("hp") == round(386 / 386, 4)
    # |-heal|p1a: U Jelly Bruh?|284/363 brn ...   |-damage|p1a: U Jelly Bruh?|239/363 brn|[from] brn
    assert p1.at(4).own("hp") == round(239 / 363, 4)
    assert p2.at(4).opponent("hp") == 0.66  # 65.8%
    for view in (p1, p2):
        assert all(is_share(hp, 100) for hp in hp_of(view, "opp"))
        assert not all(is_share(hp, 100) for hp in hp_of(view, "own"))


def test_without_the_percentage_rule_the_opponent_saw_48_pixels(shared_data: Find) -> None:
    for player in ("p1", "p2"):
        (view,) = both(EXACT_HP_IN_PIXELS, player, shared_data)
        assert all(is_share(hp, 48) for hp in hp_of(view, "opp"))
        assert not all(is_share(hp, 48) for hp in hp_of(view, "own"))


@pytest.mark.parametrize(
    ("hp", "parts", "shown"),
    [(1, 100, 1), (400 / 401, 100, 0.99), (0.981, 100, 0.99), (1 / 401, 100, 0.01), (0.5, 100, 0.5), (0, 100, 0),
     (1, 48, 1), (400 / 401, 48, 47 / 48), (1 / 401, 48, 1 / 48), (0.5, 48, 0.5), (0, 48, 0)],
)
def test_what_a_bar_shows(hp: float, parts: int, shown: float) -> None:
    assert as_shown(hp, parts) == pytest.approx(shown)


def test_a_bar_of_48_pixels_is_what_is_left_and_not_the_damage(shared_data: Find) -> None:
    # |switch|p2a: Fo' Drizzle|Politoed, F| (48/48)
    # |turn|1   |move|p1a: Rotom-W|Volt Switch|p2a: Fo' Drizzle   |-damage|p2a: Fo' Drizzle|64 (17/48)
    #           |-damage|p1a: Crobat|85 (7/48)   |-heal|p1a: Crobat|6 (10/48)|[from] item: Black Sludge
    (p1,), (p2,) = (both(PIXELS, player, shared_data) for player in ("p1", "p2"))
    assert p1.at(1).opponent("hp") == 1.0
    assert p1.at(1, "forced_pivot").opponent("hp") == round(17 / 48, 4)
    assert p2.at(2).opponent("hp") == p1.at(2).own("hp") == round(10 / 48, 4)
    assert {status for view in (p1, p2) for row in view.rows for status in row.seen["own_status"]} <= {
        "none", "brn", "par", "psn", "tox", "slp", "frz"}
    condition = read_condition("30 (12/48 tox)")
    assert condition is not None
    assert (condition.hp, condition.status, condition.percent) == (0.25, "tox", 0.25)


def test_a_faint_says_nothing_of_the_bar() -> None:
    record = by_hand(["|switch|p1a: A|Pikachu|100/211", "|switch|p2a: B|Eevee|250/251", "|turn|1",
                      "|-damage|p1a: A|0 fnt", "|faint|p1a: A", "|switch|p1a: C|Raichu|211/211", "|upkeep", "|turn|2",
                      "|-damage|p2a: B|125/251", "|turn|3"], gen=5)
    assert convert_record(record)["p1"].at(3).opponent("hp") == round(23 / 48, 4)


# --- |choice|p1|p2| ---------------------------------------------------------------------------------------------------

BY_NAME = At("replays/gen7randombattle", "gen7randombattle-d7d2e10f45")
MEGA_UNSEEN = At("replays/gen7randombattle", "gen7randombattle-6aefa4aae5")
Z_UNSEEN = At("replays/gen7randombattle", "gen7randombattle-0d12a00408")
PURSUED = At("replays/battlefactory", "battlefactory-9dd81f48d1")


def without_choices(record: BattleRecord) -> BattleRecord:
    return replace(record, lines=tuple(line for line in record.lines if not line.startswith("|choice|")))


def test_a_choice_line_tells_what_a_fainted_pokemon_was_about_to_do(shared_data: Find) -> None:
    # |turn|6   |choice|move stoneedge|move gyroball   |move|p1a: Tyranitar|Stone Edge|p2a: Forretress
    #           |-damage|p2a: Forretress|0 fnt   |faint|p2a: Forretress   |choice||switch 4
    (view,) = both(BY_NAME, "p2", shared_data)
    assert view.at(6).action == "gyroball"
    assert view.at(6, "forced_faint").action == "switch swanna"
    silent = convert_record(without_choices(BY_NAME.record(shared_data)))["p2"]
    assert silent.at(6).label != "observed"
    for player in ("p1", "p2"):
        (view,) = both(BY_NAME, player, shared_data)
        assert {row.label for row in view.rows[:-1]} == {"observed"}


def test_a_choice_line_tells_the_gimmick_too(shared_data: Find) -> None:
    (view,) = both(MEGA_UNSEEN, "p2", shared_data)  # |choice|...|move substitute mega
    assert (view.at(20).action, view.at(20).gimmick) == ("substitute", "mega")
    (view,) = both(Z_UNSEEN, "p1", shared_data)  # |choice|move bellydrum zmove|...
    assert (view.at(9).action, view.at(9).gimmick) == ("bellydrum", "z")


def test_who_was_to_come_in_when_pursuit_came_first(shared_data: Find) -> None:
    # |turn|3   |choice|...|switch 4, and p2's Pokémon faints by Pursuit on its way out
    (view,) = both(PURSUED, "p2", shared_data)
    assert view.at(3).action == "switch keldeo"
    silent = convert_record(without_choices(PURSUED.record(shared_data)))["p2"]
    assert silent.at(3).label == "censored"
    assert "switch keldeo" in silent.at(3).candidates
    assert all(name.startswith("switch ") for name in silent.at(3).candidates)


def test_the_number_of_a_move_is_that_of_its_other_uses(shared_data: Find) -> None:
    # |turn|1   |choice|move 4|move 3   |move|p1a: TheMoreYouKnow|Stealth Rock|...   |move|p2a: Heatran|Stealth Rock|...
    # |turn|2   |choice|move 2|move 1   |move|p1a: TheMoreYouKnow|Thunder Wave|p2a: Heatran   |cant|p2a: Heatran|par
    # |turn|3   |choice|move 3|move 1   and in turn 8 `move 1` is Lava Plume
    (view,) = both(EXACT_HP, "p2", shared_data)
    assert (view.at(1).action, view.at(2).action) == ("stealthrock", "lavaplume")
    silent = convert_record(without_choices(EXACT_HP.record(shared_data)))["p2"]
    assert (silent.at(2).label, "lavaplume" in silent.at(2).candidates) == ("censored", True)
    left = [row for player in ("p1", "p2") for view in both(EXACT_HP, player, shared_data) for row in view.rows
            if row.label == "censored"]
    assert not left


NEVER_UNMASKED = At("replays/gen7randombattle", "gen7randombattle-0ed178421c")


def test_where_the_log_hides_who_came_in_the_choices_of_the_battle_are_not_used(shared_data: Find) -> None:
    # p1's Zoroark comes in under Illusion and leaves as it came: what `switch N` asked for cannot be who was shown
    record = NEVER_UNMASKED.record(shared_data)
    silent = convert_record(without_choices(record))
    for player, view in convert_record(record).items():
        assert [(row.label, row.action) for row in view.rows] == [
            (row.label, row.action) for row in silent[player].rows]


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
    ("text", "expected"),
    [
        ("move 2 mega", Choice("move", "2", "mega")), ("move hiddenpower zmove", Choice("move", "hiddenpower", "z")),
        ("switch 3", Choice("switch", "3")), ("team 6, team 2, team 1", Choice("team", "6")), ("", Choice("")),
        ("pass", Choice("")), ("move", Choice("")),
    ],
)
def test_a_players_words_are_taken_apart(text: str, expected: Choice) -> None:
    assert read_choice(text) == expected


# --- heads of old logs, and lines that mean nothing -------------------------------------------------------------------

OLD = At("replays/gen5ou", "gen5ou-7ffbb6a5d4")
SCRAPED = At("replays/gen8ou", "gen8ou-8176e23c63")


def test_an_old_head_is_understood(shared_data: Find) -> None:
    # |tier|[Gen 5] OU   |rated   |callback|decision   no |gen|, no |teamsize|
    # |turn|1   |move|p1a: Breloom|Spore|p2a: Rotom-Wash   |move|p2a: Rotom-Wash|Will-O-Wisp|p1a: Breloom
    record = OLD.record(shared_data)
    assert not any(line.startswith("|gen|") for line in record.lines)
    assert "|rated" in record.lines
    assert "|callback|decision" in record.lines
    (p1,), (p2,) = (both(OLD, player, shared_data) for player in ("p1", "p2"))
    assert p1.trajectory["gen"] == 5
    assert (p1.rows[0].seen["phase"], p1.rows[0].action) == ("preview", "switch breloom")
    assert (p1.at(1).action, p2.at(1).action) == ("spore", "willowisp")


def test_formats_without_a_number_and_without_generation_six_in_them_are_of_generation_five(shared_data: Find) -> None:
    (view,) = both(PIXELS, "p1", shared_data)  # 2012, |tier|OU: Fairy and Mega Evolution came a year later
    assert view.trajectory["gen"] == 5


def test_lines_that_mean_nothing_are_passed_over(shared_data: Find) -> None:
    # |ScrapeTime|2020-01-01-00:04:26
    (view,) = both(SCRAPED, "p1", shared_data)
    assert len(view.rows) > 30
    plain = choosing(("", "", ""))
    noise = ("|callback|decision", "|seed|1,2,3,4", "|ScrapeTime|2020-01-01-00:04:26", "|player|p1|", "|player|p1",
             "|rated", "|debug|x", "|inactive|60 seconds", "|-hint|a hint", "|unlink|x", "|bigerror|x", "|warning|x",
             "|-message|something happened", "|join|x", "|raw|<b>", "|askreg|x", "|tempnotify|x|y", "|html|<b>")
    noisy = [line for each in plain.lines for line in (each, *(noise if each.startswith("|turn|") else ()))]
    again = replace(plain, lines=tuple(clean(noisy).lines))
    assert [view.trajectory for view in convert_record(again).values()] == [
        view.trajectory for view in convert_record(plain).values()]


def test_glued_lines_are_read_as_two() -> None:
    plain = choosing(("", "", ""))
    text = "\n".join(plain.lines).replace("|move|p1a: A|Surf|p2a: B\n", "|move|p1a: A|Surf|p2a: B").replace(
        "|upkeep\n|turn|3", "|upkeep|turn|3")
    glued = replace(plain, lines=tuple(clean(text.split("\n")).lines))
    assert text.count("\n") < len(plain.lines) - 1
    assert [view.trajectory for view in convert_record(glued).values()] == [
        view.trajectory for view in convert_record(plain).values()]


DOUBLES = At("sim/gen9randomdoublesbattle", "gen9randomdoublesbattle-2900000")
DOUBLES_ON_LADDER = At("replays/unsupported", "gen9vgc2026regfbo3-468da32222")


def test_a_doubles_battle_is_left_out_whole(shared_data: Find) -> None:
    for battle in (DOUBLES, DOUBLES_ON_LADDER):
        with pytest.raises(SkippedBattle) as skipped:
            convert_record(battle.record(shared_data))
        assert skipped.value.reason == "not singles"
