"""What lines do to a battle's state: rare rules, each in a few lines; the simulator's own code is the source."""

from __future__ import annotations

import pytest
from battles_at import View, by_hand, convert_record

from poke_bc.showdown.battle import Battle
from poke_bc.showdown.observe import VOLATILES, observe
from poke_bc.showdown.state import Mon
from poke_bc.showdown.tracker import follow

SWITCH = {  # who stands there in most of these
    "p1": "|switch|p1a: {0}|{0}|100/100", "p2": "|switch|p2a: {0}|{0}|100/100",
}


def views(gen: int, one: str, two: str, *lines: str) -> dict[str, View]:
    """A battle that begins with these two in turn 1."""
    leads = [SWITCH["p1"].format(one), SWITCH["p2"].format(two)]
    return convert_record(by_hand([*leads, "|turn|1", *lines, "|win|Ash"], gen=gen))


def state(gen: int, one: str, two: str, *lines: str) -> Battle:
    """The same, as the tracker has it at the end."""
    battle = Battle(gen)
    follow(battle, [SWITCH["p1"].format(one), SWITCH["p2"].format(two), "|turn|1", *lines])
    return battle


def actives(battle: Battle) -> tuple[Mon, Mon]:
    one, two = (side.active for side in battle.sides.values())
    assert one is not None
    assert two is not None
    return one, two


def volatiles(view: View, turn: int, side: str = "own") -> set[str]:
    return {name for name, flag in zip(VOLATILES, view.at(turn).seen[f"{side}_volatiles"], strict=True) if flag}


# --- abilities --------------------------------------------------------------------------------------------------------


def test_a_swapped_ability_ends_when_its_holder_leaves_and_was_never_brought() -> None:
    # gen 5: |-activate|source|move: Skill Swap|what it got|what the other got|[of] other
    view = views(5, "Mew", "Heatran",
                 "|move|p1a: Mew|Skill Swap|p2a: Heatran",
                 "|-activate|p1a: Mew|move: Skill Swap|Flash Fire|Synchronize|[of] p2a: Heatran",
                 "|-immune|p1a: Mew|[from] ability: Flash Fire", "|upkeep", "|turn|2",
                 "|switch|p1a: Snorlax|Snorlax|100/100", "|upkeep", "|turn|3",
                 "|switch|p1a: Mew|Mew|100/100", "|upkeep", "|turn|4")
    mine = [view["p1"].at(turn).of("own", "mew", "ability") for turn in (1, 2, 3, 4)]
    assert mine == ["synchronize", "flashfire", "synchronize", "synchronize"]
    assert [view["p1"].at(turn).opponent("ability") for turn in (1, 2, 4)] == ["unknown", "synchronize", "synchronize"]
    assert view["p2"].at(1).own("ability") == "flashfire"


def test_abilities_swapped_without_names_are_not_known() -> None:
    battle = state(4, "Mew", "Heatran", "|-activate|p1a: Mew|Skill Swap|||[of] p2a: Heatran")
    one, two = actives(battle)
    assert (one.ability, one.ability_changed, two.ability_changed) == ("unknown", True, True)


def test_what_trace_copies_is_the_others_and_goes_with_it() -> None:
    view = views(8, "Porygon2", "Garchomp",
                 "|-ability|p1a: Porygon2|Rough Skin|[from] ability: Trace|[of] p2a: Garchomp", "|upkeep", "|turn|2",
                 "|switch|p1a: Mew|Mew|100/100", "|upkeep", "|turn|3")
    mine = [view["p1"].at(turn).of("own", "porygon2", "ability") for turn in (1, 2, 3)]
    assert mine == ["trace", "roughskin", "trace"]
    assert view["p1"].at(2).opponent("ability") == view["p2"].at(1).own("ability") == "roughskin"
    assert view["p2"].at(3).of("opp", "porygon2", "ability") == "trace"


def test_as_one_is_not_unnerve() -> None:
    battle = state(9, "Calyrex-Ice", "Mew", "|-ability|p1a: Calyrex-Ice|As One", "|-ability|p1a: Calyrex-Ice|Unnerve")
    assert actives(battle)[0].ability == "asoneglastrier"


def test_a_mega_evolution_shows_its_only_ability() -> None:
    view = views(6, "Beedrill", "Mew", "|detailschange|p1a: Beedrill|Beedrill-Mega",
                 "|-mega|p1a: Beedrill|Beedrill|Beedrillite", "|upkeep", "|turn|2")
    assert view["p2"].at(2).opponent("ability") == view["p1"].at(2).own("ability") == "adaptability"
    assert view["p1"].at(1).own("ability") != "adaptability"


def test_gastro_acid_is_a_flag_and_frees_who_was_trapped() -> None:
    lines = ("|switch|p1a: Mew|Mew|100/100", "|-ability|p2a: Gothitelle|Shadow Tag", "|upkeep", "|turn|2",
             "|-endability|p2a: Gothitelle", "|upkeep", "|turn|3", "|switch|p1a: Snorlax|Snorlax|100/100", "|turn|4")
    view = views(7, "Snorlax", "Gothitelle", *lines)["p1"]
    assert [bool(view.at(turn).open_switches) for turn in (2, 3)] == [False, True]
    assert (view.at(3).opponent("ability"), "gastroacid" in volatiles(view, 3, "opp")) == ("shadowtag", True)


def test_regenerator_is_known_when_it_comes_back_healthier() -> None:
    lines = ("|-damage|p1a: Slowbro|40/100", "|upkeep", "|turn|2", "|switch|p1a: Mew|Mew|100/100", "|upkeep", "|turn|3",
             "|switch|p1a: Slowbro|Slowbro|73/100", "|upkeep", "|turn|4", "|switch|p1a: Mew|Mew|100/100", "|upkeep",
             "|turn|5")
    view = views(9, "Slowbro", "Heatran", *lines)["p2"]
    assert [view.at(turn).of("opp", "slowbro", "ability") for turn in (3, 4)] == ["unknown", "regenerator"]
    assert view.at(5).of("opp", "slowbro", "hp") == 1.0, "known by then to heal by a third"


# --- moves and PP -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gen", "line", "used"), [
    (8, "|-activate|p1a: Mew|move: Spite|Psychic|4", 6),
    (2, "|-activate|p1a: Mew|move: Spite|Psychic|3", 5),
    (8, "|-activate|p1a: Mew|move: Eerie Spell|Psychic|3", 5),
    (8, "|-activate|p1a: Mew|move: Grudge|Psychic", 16),
    (8, "|-activate|p1a: Mew|item: Leppa Berry|Psychic|[consumed]", 0),
    (2, "|-activate|p1a: Mew|item: Mystery Berry|Psychic", 0),
])
def test_pp_is_taken_and_given_back(gen: int, line: str, used: int) -> None:
    psychic = "|move|p1a: Mew|Psychic|p2a: Heatran"
    battle = state(gen, "Mew", "Heatran", psychic, psychic, line)
    assert min(actives(battle)[0].moves["psychic"], 16) == used


def test_pressure_does_not_press_sticky_web_but_what_aims_at_all() -> None:
    battle = state(8, "Smeargle", "Corviknight", "|-ability|p2a: Corviknight|Pressure",
                   "|move|p1a: Smeargle|Sticky Web|p2a: Corviknight", "|move|p1a: Smeargle|Spikes|p2a: Corviknight",
                   "|move|p1a: Smeargle|Haze|p1a: Smeargle", "|move|p1a: Smeargle|Spore|p2a: Corviknight",
                   "|move|p1a: Smeargle|Recover|p1a: Smeargle")
    assert actives(battle)[0].moves == {
        "stickyweb": 1, "spikes": 2, "haze": 2, "spore": 2, "recover": 1}


def test_mimic_shows_a_move_of_the_other_and_takes_its_own_place() -> None:
    view = views(1, "Chansey", "Tauros", "|move|p1a: Chansey|Mimic|p2a: Tauros", "|-start|p1a: Chansey|Mimic|Body Slam",
                 "|upkeep", "|turn|2", "|move|p1a: Chansey|Body Slam|p2a: Tauros", "|upkeep", "|turn|3",
                 "|switch|p1a: Mew|Mew|100/100", "|upkeep", "|turn|4")
    known = {turn: [move for move in view["p2"].at(turn).seen["opp_moves"] if move not in ("none", "unknown")]
             for turn in (2, 3, 4)}
    assert known == {2: ["bodyslam"], 3: ["bodyslam"], 4: ["mimic"]}
    assert "bodyslam" in view["p1"].at(2).seen["opp_moves"], "Tauros has it"
    assert "bodyslam" in view["p2"].at(1).moves
    assert "mimic" in view["p1"].at(1).moves


def test_copied_moves_end_with_the_faint() -> None:
    battle = state(6, "Ditto", "Mew", "|-transform|p1a: Ditto|p2a: Mew", "|move|p1a: Ditto|Psychic|p2a: Mew",
                   "|faint|p1a: Ditto")
    ditto, _ = actives(battle)
    assert (ditto.shape, ditto.known_moves(), ditto.current_types(battle.dex)) == ("ditto", {}, ("normal", "none"))


def test_who_transformed_stays_as_its_model_was() -> None:
    battle = state(6, "Ditto", "Charizard", "|-transform|p1a: Ditto|p2a: Charizard",
                   "|detailschange|p2a: Charizard|Charizard-Mega-X", "|switch|p2a: Mew|Mew|100/100")
    ditto, _ = actives(battle)
    assert (ditto.shape, ditto.current_types(battle.dex)) == ("charizard", ("fire", "flying"))


def test_hidden_power_of_requests_and_logs_is_one_move_whose_type_its_effect_tells() -> None:
    # fire, ice, ground and psychic hit Heracross + Forretress differently: only fire is 4 times on the second
    view = views(4, "Zapdos", "Forretress",
                 "|move|p1a: Zapdos|Hidden Power|p2a: Forretress", "|-supereffective|p2a: Forretress",
                 "|-damage|p2a: Forretress|20/100", "|upkeep", "|turn|2")["p1"]
    assert view.at(1).own("hidden_power") == "fire"
    assert "hiddenpower" in view.at(1).moves
    assert view.at(1).seen["own_move_effectiveness"][view.at(1).moves.index("hiddenpower")] == 4
    assert not [entry for entry in view.trajectory["imputed"].split() if "hiddenpower" in entry]


# --- what locks and holds ---------------------------------------------------------------------------------------------


def test_sleep_ends_a_rampage() -> None:
    outrage = ("|move|p1a: Dragonite|Outrage|p2a: Smeargle", "|-damage|p2a: Smeargle|50/100")
    view = views(9, "Dragonite", "Smeargle", *outrage, "|upkeep", "|turn|2", "|move|p2a: Smeargle|Spore|p1a: Dragonite",
                 "|-status|p1a: Dragonite|slp|[from] move: Spore", "|cant|p1a: Dragonite|slp", "|upkeep", "|turn|3")
    assert "locked" not in volatiles(view["p1"], 3)
    assert len(view["p1"].at(3).open_moves) == 4
    asleep = state(9, "Dragonite", "Smeargle", *outrage, "|-status|p1a: Dragonite|slp|[from] move: Yawn")
    assert "locked" not in actives(asleep)[0].volatiles


@pytest.mark.parametrize(("more", "is_locked"), [
    ((), True),
    (("|-start|p1a: Dragonite|confusion|[fatigue]",), False),
    (("|-activate|p2a: Snorlax|move: Protect",), False),
])
def test_a_rampage_goes_on_for_a_third_turn_unless_fatigue_or_protect_ended_it(
    more: tuple[str, ...], is_locked: bool
) -> None:
    outrage = "|move|p1a: Dragonite|Outrage|p2a: Snorlax"
    view = views(9, "Dragonite", "Snorlax", outrage, "|-damage|p2a: Snorlax|60/100", "|upkeep", "|turn|2",
                 outrage + "|[from] lockedmove", *more, "|upkeep", "|turn|3")["p1"]
    assert [len(view.at(turn).open_moves) for turn in (1, 2, 3)] == [4, 1, 1 if is_locked else 4]


def test_a_choice_item_proven_later_locks_its_own_player_all_along() -> None:
    lines = ("|move|p1a: Latios|Psychic|p2a: Snorlax", "|-damage|p2a: Snorlax|60/100", "|upkeep", "|turn|2",
             "|move|p1a: Latios|Psychic|p2a: Snorlax", "|upkeep", "|turn|3",
             "|move|p2a: Snorlax|Knock Off|p1a: Latios",
             "|-enditem|p1a: Latios|Choice Specs|[from] move: Knock Off|[of] p2a: Snorlax", "|upkeep", "|turn|4")
    view = views(9, "Latios", "Snorlax", *lines)["p1"]
    assert [len(view.at(turn).open_moves) for turn in (1, 2, 3, 4)] == [4, 1, 1, 4]
    assert view.at(2).open_moves == {"psychic"}


def test_a_choice_item_tricked_on_locks_from_the_next_move_on() -> None:
    lines = ("|move|p1a: Latios|Trick|p2a: Snorlax", "|-activate|p1a: Latios|move: Trick|[of] p2a: Snorlax",
             "|-item|p2a: Snorlax|Choice Scarf|[from] move: Trick", "|-item|p1a: Latios|Leftovers|[from] move: Trick",
             "|upkeep", "|turn|2", "|move|p2a: Snorlax|Rest|p2a: Snorlax", "|upkeep", "|turn|3")
    view = views(9, "Latios", "Snorlax", *lines)
    assert [len(view["p2"].at(turn).open_moves) for turn in (1, 2, 3)] == [4, 4, 1]
    assert [len(view["p1"].at(turn).open_moves) for turn in (1, 2, 3)] == [4, 4, 4]


def test_a_likely_choice_item_closes_nothing() -> None:
    lines = [line for turn in (2, 3) for line in ("|move|p1a: Latios|Psychic|p2a: Snorlax", "|upkeep", f"|turn|{turn}")]
    view = views(9, "Latios", "Snorlax", *lines)["p1"]
    assert [len(view.at(turn).open_moves) for turn in (1, 2, 3)] == [4, 4, 4]
    assert [view.at(turn).seen["own_same_move"] for turn in (1, 2, 3)] == [0, 1, 2]


def test_a_trick_that_gave_nothing_back_took_the_givers_item() -> None:
    # logs of 2013 have one |-item| line where the other got nothing, later ones a silent |-enditem|
    battle = state(5, "Latios", "Snorlax", "|-activate|p1a: Latios|move: Trick|[of] p2a: Snorlax",
                   "|-item|p2a: Snorlax|Choice Scarf|[from] move: Trick")
    one, two = actives(battle)
    assert (one.item, one.first_item, two.item) == ("none", "choicescarf", "choicescarf")


def test_who_was_trapped_is_free_when_the_trapper_has_fainted() -> None:
    battle = state(9, "Snorlax", "Umbreon", "|-activate|p1a: Snorlax|trapped", "|faint|p2a: Umbreon")
    assert "trapped" not in actives(battle)[0].volatiles


def test_trick_or_treat_makes_a_ghost_that_nothing_traps() -> None:
    lines = ("|switch|p1a: Mew|Mew|100/100", "|upkeep", "|turn|2", "|-activate|p1a: Mew|trapped", "|upkeep", "|turn|3",
             "|-start|p1a: Mew|typeadd|Ghost|[from] move: Trick-or-Treat", "|upkeep", "|turn|4",
             "|switch|p1a: Snorlax|Snorlax|100/100", "|turn|5")
    view = views(7, "Snorlax", "Gourgeist", *lines)["p1"]
    assert [bool(view.at(turn).open_switches) for turn in (2, 3, 4)] == [True, False, True]


def test_who_can_only_struggle_is_offered_no_gimmick() -> None:
    moves = ("Soft-Boiled", "Calm Mind", "Protect", "Thunder Wave")
    lines = [line for turn, move in enumerate(moves, start=2)
             for line in (f"|move|p1a: Blissey|{move}|p1a: Blissey", "|upkeep", f"|turn|{turn}")]
    view = views(9, "Blissey", "Mew", *lines, "|move|p2a: Mew|Taunt|p1a: Blissey",
                 "|-start|p1a: Blissey|move: Taunt", "|move|p1a: Blissey|Struggle|p2a: Mew", "|upkeep", "|turn|6")["p1"]
    offered = {turn: view.at(turn).seen["own_can_gimmick"][3] for turn in (1, 5, 6)}
    assert offered == {1: True, 5: False, 6: False}, "in turn 5 the log says so in hindsight, in turn 6 its moves do"
    assert [len(view.at(turn).open_moves) for turn in (1, 6)] == [4, 1]


# --- status and counters ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("gen", "turns"), [(4, 1), (5, 0)])
def test_generation_five_starts_sleep_anew_when_it_comes_back(gen: int, turns: int) -> None:
    battle = state(gen, "Snorlax", "Mew", "|-status|p1a: Snorlax|slp", "|cant|p1a: Snorlax|slp",
                   "|switch|p1a: Latios|Latios|100/100", "|switch|p1a: Snorlax|Snorlax|100/100 slp")
    assert actives(battle)[0].status_turns == turns


def test_yawn_ends_with_sleep_or_after_two_turns_without_a_line() -> None:
    yawn = ("|-start|p1a: Snorlax|move: Yawn|[of] p2a: Mew", "|turn|2")
    assert "yawn" in actives(state(5, "Snorlax", "Mew", *yawn))[0].volatiles
    for more in (("|-status|p1a: Snorlax|slp",), ("|turn|3",)):
        battle = state(5, "Snorlax", "Mew", *yawn, *more)
        assert "yawn" not in actives(battle)[0].volatiles


def test_struggle_ends_a_streak_of_protects() -> None:
    battle = state(5, "Snorlax", "Mew", "|move|p1a: Snorlax|Protect|p1a: Snorlax")
    snorlax, _ = actives(battle)
    assert snorlax.protect_streak == 1
    follow(battle, ["|move|p1a: Snorlax|Struggle|p2a: Mew"])
    assert snorlax.protect_streak == 0


@pytest.mark.parametrize(("line", "field"), [
    ("|-weather|RainDance|[from] ability: Drizzle|[of] p1a: Snorlax", "weather_turns"),
    ("|-fieldstart|move: Grassy Terrain|[from] ability: Grassy Surge|[of] p1a: Snorlax", "terrain_turns"),
])
def test_what_a_turn_and_what_a_replacement_brought_end_at_the_same_age(line: str, field: str) -> None:
    ages = []
    for lines in ([line, "|upkeep"], ["|upkeep", line]):  # with five turns left, and with four
        battle = state(9, "Snorlax", "Mew", *lines)
        found = []
        for turn in range(2, 12):
            follow(battle, [f"|turn|{turn}"])
            found.append(getattr(observe(battle, "p1", "turn"), field))
            follow(battle, ["|upkeep"])
        ages.append(found)
    assert ages[0][:4] == ages[1][1:5] == [1, 2, 3, 4]
    assert ages[0][-1] == ages[1][-1] == 8, "what has no end grows no older"
