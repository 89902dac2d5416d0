"""Each trap of the protocol, in a battle in which it snaps: rows must say what a careful reader of the log would say.

The lines that decide stand above the assertions. Where a player's requests were recorded, `both` gives the view from
the spectator's lines and the exact one, and checks that they agree on every label of the battle.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from battles_at import At, Find, both, by_hand, convert_record

from pipelines.convert.clean_log import clean
from poke_bc.showdown.record import BattleRecord, SkippedBattle

# --- moves that something else chose ----------------------------------------------------------------------------------

OUTRAGE = At("sim/gen7randombattle", "gen7randombattle-700017")


def test_a_rampage_goes_on_without_a_choice(shared_data: Find) -> None:
    # |turn|14   |move|p2a: Kommo-o|Outrage|p1a: Carnivine
    # |turn|15   |move|p2a: Kommo-o|Outrage|p1a: Carnivine|[from] lockedmove
    for view in both(OUTRAGE, "p2", shared_data):
        assert len(view.at(14).legal) == 7
        assert (view.at(15).action, view.at(15).legal) == ("outrage", {"outrage"})


SLEEP_TALK = At("sim/gen4randombattle", "gen4randombattle-400026")


def test_sleep_talk_is_the_choice_and_not_what_it_calls(shared_data: Find) -> None:
    # |turn|25   |cant|p2a: Suicune|slp
    # |turn|26   |cant|p2a: Suicune|slp
    #            |move|p2a: Suicune|Sleep Talk|p2a: Suicune
    #            |move|p2a: Suicune|Surf|p1a: Flygon|[from] move: Sleep Talk
    inferred, exact = both(SLEEP_TALK, "p2", shared_data)
    assert inferred.at(26).action == exact.at(26).action == "sleeptalk"
    assert inferred.at(25).label == "censored"
    assert inferred.at(25).candidates == {"calmmind", "rest", "sleeptalk", "surf"}
    assert exact.at(25).action == "rest"


METRONOME = At("replays/gen6ou-old", "ou-a63a2a30c6")


def test_metronome_is_the_choice_and_what_it_calls_no_move_of_its_own(shared_data: Find) -> None:
    # |turn|1   |detailschange|p2a: willo inc|Sableye-Mega, M
    #           |move|p1a: Mamoswine|Stealth Rock|p2a: willo inc
    #           |move|p2a: willo inc|Stealth Rock|p1a: Mamoswine|[from]Magic Bounce
    #           |move|p2a: willo inc|Metronome|p2a: willo inc
    #           |move|p2a: willo inc|Power Gem|p1a: Mamoswine|[from]Metronome
    (mine,) = both(METRONOME, "p2", shared_data)
    (foes,) = both(METRONOME, "p1", shared_data)
    assert mine.at(1).action == "metronome"
    assert foes.at(1).action == "stealthrock"
    assert not {"powergem", "stealthrock"} & set(mine.at(1).moves)
    assert foes.at(2).opponent("species") == "sableyemega"
    at = foes.at(2).seen["opp_active"].index(True) * 4
    assert foes.at(2).seen["opp_moves"][at:at + 4] == ["metronome", "unknown", "unknown", "unknown"]


COPYCAT = At("sim/gen6randombattle", "gen6randombattle-600166")


def test_copycat_is_the_choice_and_not_the_copy(shared_data: Find) -> None:
    # |turn|3   |move|p2a: Liepard|Copycat|p2a: Liepard
    #           |move|p2a: Liepard|Thunder Wave|p1a: Infernape|[from] move: Copycat
    for view in both(COPYCAT, "p2", shared_data):
        assert view.at(3).action == "copycat"
        assert view.at(3, "forced_faint").action == "switch vivillonicysnow"


DANCER = At("resim/gen9randombattle", "gen9randombattle-c0d70a3ce3")


def test_dancer_dances_along_after_its_own_choice(shared_data: Find) -> None:
    # |turn|3   |move|p1a: Oricorio|Quiver Dance|p1a: Oricorio
    #           |move|p2a: Garchomp|Swords Dance|p2a: Garchomp
    #           |-activate|p1a: Oricorio|ability: Dancer
    #           |move|p1a: Oricorio|Swords Dance|p1a: Oricorio|[from] ability: Dancer
    for view in both(DANCER, "p1", shared_data):
        assert view.at(3).action == "quiverdance"
        assert "swordsdance" not in view.at(3).moves
    foe = both(DANCER, "p2", shared_data)[0].at(4)
    assert foe.opponent("ability") == "dancer"
    assert "swordsdance" not in foe.seen["opp_moves"]


BOUNCE = At("sim/gen5randombattle", "gen5randombattle-500109")


def test_magic_bounce_is_no_choice_of_its_holder(shared_data: Find) -> None:
    # |turn|20   |move|p2a: Xatu|Thunder Wave|p1a: Mesprit
    #            |move|p1a: Mesprit|Toxic|p2a: Xatu
    #            |move|p2a: Xatu|Toxic||[from] ability: Magic Bounce|[still]
    for view in both(BOUNCE, "p2", shared_data):
        assert view.at(20).action == "thunderwave"
        assert "toxic" not in view.at(20).moves
    for view in both(BOUNCE, "p1", shared_data):
        assert view.at(20).action == "toxic"
        assert view.at(21).opponent("ability") == "magicbounce"


def test_what_instruct_repeats_is_no_choice() -> None:
    view = convert_record(by_hand([
        "|switch|p1a: Oranguru|Oranguru, M|100/100", "|switch|p2a: Torkoal|Torkoal, F|100/100", "|turn|1",
        "|move|p2a: Torkoal|Lava Plume|p1a: Oranguru", "|-damage|p1a: Oranguru|60/100",
        "|move|p1a: Oranguru|Instruct|p2a: Torkoal", "|-singleturn|p2a: Torkoal|move: Instruct|[of] p1a: Oranguru",
        "|move|p2a: Torkoal|Lava Plume|p1a: Oranguru|[from] move: Instruct", "|-damage|p1a: Oranguru|20/100",
        "|", "|upkeep", "|turn|2",
        "|move|p1a: Oranguru|Instruct|p2a: Torkoal", "|-singleturn|p2a: Torkoal|move: Instruct|[of] p1a: Oranguru",
        "|move|p2a: Torkoal|Lava Plume|p1a: Oranguru|[from] move: Instruct", "|-damage|p1a: Oranguru|0 fnt",
        "|faint|p1a: Oranguru", "|", "|upkeep", "|switch|p1a: Ditto|Ditto|100/100", "|turn|3", "|win|Gary",
    ]))
    assert view["p2"].at(1).action == "lavaplume"
    assert view["p1"].at(1).action == view["p1"].at(2).action == "instruct"
    assert view["p2"].at(2).action == "", "it had not chosen to use Lava Plume by then, as far as anybody saw"


# --- charging, recharging, not moving ---------------------------------------------------------------------------------

GIGA_IMPACT = At("sim/gen6randombattle", "gen6randombattle-600029")


def test_recharging_is_no_choice(shared_data: Find) -> None:
    # |turn|15   |move|p1a: Slaking|Giga Impact|p2a: Luxray   |-mustrecharge|p1a: Slaking
    # |turn|16   |cant|p1a: Slaking|recharge
    for view in both(GIGA_IMPACT, "p1", shared_data):
        assert view.at(15).action == "gigaimpact"
        row = view.at(16)
        assert (row.label, len(row.open_moves), row.open_switches) == ("none", 1, set())


POWER_HERB = At("sim/gen6randombattle", "gen6randombattle-600013")
SOLAR_BEAM = At("sim/gen4randombattle", "gen4randombattle-400104")


def test_a_charged_move_comes_without_a_choice(shared_data: Find) -> None:
    # |turn|20   |move|p2a: Victreebel|Solar Beam||[still]   |-prepare|p2a: Victreebel|Solar Beam
    # |turn|21   |move|p2a: Victreebel|Solar Beam|p1a: Lunatone|[from] lockedmove
    for view in both(SOLAR_BEAM, "p2", shared_data):
        assert (view.at(20).action, len(view.at(20).open_moves)) == ("solarbeam", 4)
        assert (view.at(21).action, view.at(21).legal) == ("solarbeam", {"solarbeam"})
    # |-prepare|p2a: Xerneas|Geomancy   |-enditem|p2a: Xerneas|Power Herb   |-anim|p2a: Xerneas|Geomancy|p2a: Xerneas
    for view in both(POWER_HERB, "p2", shared_data):
        assert view.at(5).action == "geomancy"


TAUNT = At("sim/gen6randombattle", "gen6randombattle-600000")
FLINCH = At("resim/gen9randombattle", "gen9randombattle-93eeea2206")


def test_a_move_that_a_cant_line_names_was_chosen(shared_data: Find) -> None:
    # |turn|21   |-start|p2a: Kyogre|move: Taunt   |cant|p2a: Kyogre|move: Taunt|Calm Mind
    for view in both(TAUNT, "p2", shared_data):
        assert view.at(21).action == "calmmind"
        assert "calmmind" in view.at(21).legal, "Taunt came after the choice"


def test_a_cant_line_without_a_move_hides_which_one_it_was(shared_data: Find) -> None:
    # |turn|26   |move|p2a: Yanmega|Air Slash|p1a: Scrafty   |cant|p1a: Scrafty|flinch
    inferred, exact = both(FLINCH, "p1", shared_data)
    assert inferred.at(26).label == "censored"
    assert inferred.at(26).candidates == {"bulkup", "drainpunch", "knockoff", "rest"}
    assert exact.at(26).action == "drainpunch"


HIDDEN_MOVES = At("resim/gen9randombattle", "gen9randombattle-94d40c127d")


def test_without_all_four_moves_known_an_unseen_choice_is_no_label(shared_data: Find) -> None:
    # |turn|6   |move|p2a: Hydrapple|Fickle Beam|p1a: Regigigas   |-damage|p1a: Regigigas|0 fnt   |faint|p1a: Regigigas
    # Regigigas had shown Knock Off only.
    inferred, exact = both(HIDDEN_MOVES, "p1", shared_data)
    assert (inferred.at(6).label, exact.at(6).action) == ("none", "bodyslam")
    assert inferred.at(6, "forced_faint").action == exact.at(6, "forced_faint").action == "switch ironhands"


def test_who_is_dragged_in_was_not_chosen(shared_data: Find) -> None:
    # |turn|17   |move|p1a: Lunala|Calm Mind|p1a: Lunala   |move|p2a: Dragalge|Dragon Tail|p1a: Lunala
    #            |drag|p1a: Iron Hands|Iron Hands, L79|11/100
    for view in both(HIDDEN_MOVES, "p1", shared_data):
        assert [(row.seen["phase"], row.action) for row in view.all(17)] == [("turn", "calmmind")]
        assert view.at(18).own("species") == "ironhands"


# --- pivots -----------------------------------------------------------------------------------------------------------

PIVOTS = {
    # name: (battle, player, turn, move, who comes in; "" if it stayed)
    # |move|p1a: Munkidori|U-turn|p2a: Basculegion   |switch|p1a: Bastiodon|Bastiodon, L89, M|100/100|[from] U-turn
    "U-turn": (At("resim/gen9randombattle", "gen9randombattle-2d487f8cfe"), "p1", 15, "uturn", "bastiodon"),
    # |switch|p1a: Basculegion|Basculegion, L80, M|100/100|[from] Volt Switch
    "Volt Switch": (At("resim/gen9randombattle", "gen9randombattle-b0abdb4ead"), "p1", 1, "voltswitch", "basculegion"),
    # |move|p1a: Ampharos|Volt Switch|p2a: Landorus   |-immune|p2a: Landorus
    "Volt Switch, immune": (At("resim/gen9randombattle", "gen9randombattle-16a7b3f50c"), "p1", 8, "voltswitch", ""),
    # |switch|p1a: Coalossal|Coalossal, L89, F|100/100|[from] Flip Turn
    "Flip Turn": (At("resim/gen9randombattle", "gen9randombattle-da15617743"), "p1", 13, "flipturn", "coalossal"),
    # |switch|p1a: Braviary|Braviary, L85, M|100/100|[from] Parting Shot
    "Parting Shot": (At("resim/gen9randombattle", "gen9randombattle-59d2579e74"), "p1", 3, "partingshot", "braviary"),
    # |move|p1a: Squawkabilly|Parting Shot|p2a: Regirock   |-fail|p2a: Regirock|unboost|[from] ability: Clear Body
    "Parting Shot, failed": (At("resim/gen9randombattle", "gen9randombattle-8ae42e3b69"), "p1", 6, "partingshot", ""),
    # |switch|p1a: Dedenne|Dedenne, L88, F|100/100|[from] Teleport
    "Teleport": (At("resim/gen9randombattle", "gen9randombattle-4a1e6e6f3f"), "p1", 2, "teleport", "dedenne"),
    # |move|p2a: Porygon2|Teleport||[still]   |-fail|p2a: Porygon2
    "Teleport, failed": (At("sim/gen8randombattle", "gen8randombattle-800008"), "p2", 28, "teleport", ""),
    # |-terastallize|p2a: Slowking|Dragon   |-prepare|p2a: Slowking|Chilly Reception|[premajor]
    # |switch|p2a: Houndoom|Houndoom, L87, F|64/100|[from] Chilly Reception
    "Chilly Reception": (At("resim/gen9randombattle", "gen9randombattle-59fe2a4af9"), "p2", 9, "chillyreception",
                         "houndoom"),
    # |switch|p2a: Drednaw|Drednaw, L81, M|100/100|[from] Shed Tail
    "Shed Tail": (At("resim/gen9randombattle", "gen9randombattle-ddcce68c74"), "p2", 15, "shedtail", "drednaw"),
    # |move|p1a: Orthworm|Shed Tail|p1a: Orthworm   |-fail|p1a: Orthworm|move: Shed Tail|[weak]
    "Shed Tail, failed": (At("resim/gen9randombattle", "gen9randombattle-ff2126851a"), "p1", 13, "shedtail", ""),
    # |switch|p2a: Muk|Muk, L84, M|100/100|[from] Baton Pass
    "Baton Pass": (At("sim/gen3randombattle", "gen3randombattle-300176"), "p2", 12, "batonpass", "muk"),
    # |move|p2a: Umbreon|Baton Pass||[still]   |-fail|p2a: Umbreon
    "Baton Pass, failed": (At("sim/gen2randombattle", "gen2randombattle-200007"), "p2", 86, "batonpass", ""),
    # |-activate|p1a: Golisopod|ability: Emergency Exit   |switch|p1a: Linoone|Linoone, L81, M|100/100
    "Emergency Exit": (At("sim/gen7randombattle", "gen7randombattle-700029"), "p1", 13, "firstimpression", "linoone"),
    # |-enditem|p2a: Great Tusk|Eject Pack   |switch|p2a: Ting-Lu|Ting-Lu|47/100
    "Eject Pack": (At("replays/gen9ou", "gen9ou-e94358c684"), "p2", 17, "closecombat", "tinglu"),
    # |switch|p1a: Toxapex|Toxapex, F|100/100   |-enditem|p1a: Toxapex|Eject Button
    # |switch|p1a: Iron Valiant|Iron Valiant|100/100
    "Eject Button": (At("replays/gen9ou", "gen9ou-ceb32c682e"), "p1", 6, "switch toxapex", "ironvaliant"),
    # |move|p1a: Crawdaunt|Knock Off|p2a: Toxapex
    # |-enditem|p2a: Toxapex|Eject Button|[from] move: Knock Off|[of] p1a: Crawdaunt   |move|p2a: Toxapex|Toxic Spikes
    "Eject Button, knocked off": (At("replays/gen9ou", "gen9ou-3d9ea99052"), "p2", 4, "toxicspikes", ""),
}


@pytest.mark.parametrize("name", PIVOTS)
def test_a_pivot_is_a_choice_and_who_comes_in_another(name: str, shared_data: Find) -> None:
    battle, player, turn, move, successor = PIVOTS[name]
    for view in both(battle, player, shared_data):
        rows = [(row.seen["phase"], row.action) for row in view.all(turn)]
        assert rows == [("turn", move), *([("forced_pivot", f"switch {successor}")] if successor else [])]
        for row in view.all(turn)[1:]:
            assert not row.open_moves
            assert row.own("species") not in row.open_switches


def test_when_the_opponent_pivots_first_its_new_one_is_in_the_later_choice(shared_data: Find) -> None:
    # |turn|17   |move|p2a: Great Tusk|Close Combat|...   |switch|p2a: Ting-Lu|Ting-Lu|47/100
    #            |move|p1a: Corviknight|U-turn|p2a: Ting-Lu   |-damage|p2a: Ting-Lu|24/100
    #            |switch|p1a: Great Tusk|Great Tusk|88/100|[from] U-turn
    (view,) = both(PIVOTS["Eject Pack"][0], "p1", shared_data)
    assert view.at(17).opponent("species") == "greattusk"
    later = view.at(17, "forced_pivot")
    assert (later.opponent("species"), later.opponent("hp")) == ("tinglu", 0.24)


# --- what forbids moves -----------------------------------------------------------------------------------------------

STRUGGLE = At("resim/gen9randombattle", "gen9randombattle-9ae93332e7")


def test_struggle_is_no_choice(shared_data: Find) -> None:
    # |turn|25   |-activate|p2a: Toxtricity|move: Struggle   |move|p2a: Toxtricity|Struggle|p1a: Sneasler
    for view in both(STRUGGLE, "p2", shared_data):
        assert (view.at(25).label, len(view.at(25).open_moves)) == ("none", 1)
        assert "struggle" not in view.at(25).moves


ENCORE = At("resim/gen9randombattle", "gen9randombattle-803bb31d7f")
ENCORE_FIRST = At("resim/gen9randombattle", "gen9randombattle-7831f1d1f6")
ENCORE_CHANGED = At("resim/gen9randombattle", "gen9randombattle-3de4747424")


def test_encore_leaves_one_move_from_the_next_turn_on(shared_data: Find) -> None:
    # |turn|23   |move|p1a: Volcarona|Giga Drain|p2a: Pachirisu   |-start|p1a: Volcarona|Encore
    # |turn|24   |move|p1a: Volcarona|Giga Drain|p2a: Gogoat
    for view in both(ENCORE, "p1", shared_data):
        assert (view.at(23).action, view.at(23).gimmick) == ("gigadrain", "tera")
        assert len(view.at(23).open_moves) == 4
        assert (view.at(24).action, view.at(24).open_moves) == ("gigadrain", {"gigadrain"})


def test_a_move_that_encore_forced_in_the_same_turn_was_not_the_choice(shared_data: Find) -> None:
    # |turn|25   |move|p1a: Volbeat|Encore|p2a: Latios   |-start|p2a: Latios|Encore
    #            |move|p2a: Latios|Recover|p2a: Latios
    inferred, exact = both(ENCORE_FIRST, "p2", shared_data)
    assert inferred.at(25).label == "censored"
    assert inferred.at(25).candidates == {"aurasphere", "dracometeor", "lusterpurge", "recover"}
    # |turn|11   |-start|p2a: Beartic|Encore   |move|p2a: Beartic|Swords Dance|p2a: Beartic: it had chosen another
    inferred, exact = both(ENCORE_CHANGED, "p2", shared_data)
    assert (inferred.at(11).action, exact.at(11).action) == ("", "snowscape")


DISABLE_FIRST = At("replays/gen5ou", "gen5ou-c1d5acc200")
CURSED_BODY = At("sim/gen9randombattle", "gen9randombattle-900010")


def test_disable_in_the_same_turn_shows_the_choice_and_forbids_it_later(shared_data: Find) -> None:
    # |turn|11   |move|p1a: Gengar|Disable|p2a: Gastrodon   |-start|p2a: Gastrodon|Disable|Recover
    #            |cant|p2a: Gastrodon|Disable|Recover
    (view,) = both(DISABLE_FIRST, "p2", shared_data)
    assert view.at(11).action == "recover"
    # |turn|4   |-start|p2a: Bellossom|Disable|Giga Drain|[from] ability: Cursed Body|[of] p1a: Froslass
    for view in both(CURSED_BODY, "p2", shared_data):
        assert view.at(4).action == "gigadrain"
        assert len(view.at(5).open_moves) == 3
        assert "gigadrain" not in view.at(5).legal


def test_a_choice_item_holds_its_owner_to_one_move_until_it_is_gone(shared_data: Find) -> None:
    # |turn|5   |move|p2a: Hydrapple|Leaf Storm|p1a: Regigigas|[miss]
    #           |-enditem|p2a: Hydrapple|Choice Specs|[from] move: Knock Off|[of] p1a: Regigigas
    # |turn|6   |move|p2a: Hydrapple|Fickle Beam|p1a: Regigigas
    for view in both(HIDDEN_MOVES, "p2", shared_data):
        assert (view.at(5).action, view.at(5).open_moves) == ("leafstorm", {"leafstorm"})
        assert len(view.at(6).open_moves) == 4
        assert len(view.at(6).open_switches) == 5
    for view in both(HIDDEN_MOVES, "p1", shared_data):
        assert view.at(5).opponent("item") == "unknown"
        assert (view.at(6).opponent("item"), view.at(6).opponent("last_item")) == ("none", "choicespecs")


SPIRIT_SHACKLE = At("resim/gen9randombattle", "gen9randombattle-ca3678a405")
SHADOW_TAG = At("resim/gen9randombattle", "gen9randombattle-952e9e050e")


def test_who_is_trapped_cannot_switch(shared_data: Find) -> None:
    # |turn|1   |-activate|p2a: Spidops|trapped
    for view in both(SPIRIT_SHACKLE, "p2", shared_data):
        assert view.at(1).open_switches
        assert not view.at(2).open_switches
    # |-ability|p1a: Gardevoir|Shadow Tag|Trace|[from] ability: Trace|[of] p2a: Gothitelle: both have Shadow Tag
    for view in both(SHADOW_TAG, "p1", shared_data):
        assert len(view.at(23).open_switches) == 1, "two with Shadow Tag do not hold each other"


# --- who stands there -------------------------------------------------------------------------------------------------

TRANSFORM = At("sim/gen3randombattle", "gen3randombattle-300028")
IMPOSTER = At("resim/gen9randombattle", "gen9randombattle-67e04251dd")


def test_who_transformed_chooses_among_the_moves_of_the_other(shared_data: Find) -> None:
    # |turn|2   |move|p1a: Ditto|Transform|p2a: Beedrill   |-transform|p1a: Ditto|p2a: Beedrill
    # |turn|3   |move|p1a: Ditto|Hidden Power|p2a: Beedrill
    for view in both(TRANSFORM, "p1", shared_data):
        assert (view.at(2).own("species"), view.at(2).action) == ("ditto", "transform")
        row = view.at(3)
        assert row.own("species") == "beedrill"
        assert row.action.startswith("hiddenpower")
        assert "swordsdance" in row.legal
    # |turn|6   |switch|p2a: Ditto|Ditto, L87|100/100   |-transform|p2a: Ditto|p1a: Greninja|[from] ability: Imposter
    # |turn|7   |move|p2a: Ditto|Dark Pulse|p1a: Forretress
    for view in both(IMPOSTER, "p2", shared_data):
        assert view.at(6).action == "switch ditto"
        assert (view.at(7).own("species"), view.at(7).action) == ("greninja", "darkpulse")
        assert "toxicspikes" in view.at(7).legal
        assert "greninja" not in view.at(6).seen["own_species"]


MIMIC = At("sim/gen1randombattle", "gen1randombattle-100035")


def test_mimic_changes_places_with_what_it_copied_until_it_leaves(shared_data: Find) -> None:
    # |turn|14   |move|p1a: Vaporeon|Mimic|p2a: Sandslash   |-start|p1a: Vaporeon|Mimic|Body Slam
    # |turn|16   |move|p1a: Vaporeon|Body Slam|p2a: Seel
    for view in both(MIMIC, "p1", shared_data):
        assert view.at(14).action == "mimic"
        assert view.at(14).moves == ["blizzard", "mimic", "rest", "surf"]
        assert view.at(15).moves == ["blizzard", "bodyslam", "rest", "surf"]
        assert view.at(16).action == "bodyslam"


ILLUSION = At("sim/gen9randombattle", "gen9randombattle-900155")


def test_the_player_of_an_illusion_chose_the_one_behind_it(shared_data: Find) -> None:
    # |turn|4   |switch|p2a: Cinccino|Cinccino, L83, M|100/100
    # |turn|5   |move|p1a: Infernape|Knock Off|p2a: Cinccino   |replace|p2a: Zoroark|Zoroark-Hisui, L80, M
    #           |-enditem|p2a: Zoroark|Life Orb|[from] move: Knock Off|[of] p1a: Infernape   |faint|p2a: Zoroark
    for view in both(ILLUSION, "p2", shared_data):
        assert view.at(4).action == "switch zoroarkhisui"
        assert view.at(5).own("species") == "zoroarkhisui"
        assert view.at(5).own("item") == "lifeorb"
        assert "switch zoroarkhisui" not in view.at(5).legal
        assert view.at(5, "forced_faint").action == "switch clodsire"


def test_the_opponent_of_an_illusion_sees_what_is_shown(shared_data: Find) -> None:
    for view in both(ILLUSION, "p1", shared_data):
        before, after = view.at(5), view.at(6)
        assert before.opponent("species") == "cinccino"
        assert (before.opponent("item"), before.opponent("ability"), before.opponent("level")) == (
            "unknown", "unknown", 83)
        assert not {"zoroarkhisui", "lifeorb", "illusion"} & {
            name for field, value in before.seen.items() if field.startswith("opp_")
            for name in (value if isinstance(value, list) else [value])}
        assert after.of("opp", "zoroarkhisui", "fainted")
        assert after.of("opp", "zoroarkhisui", "last_item") == "lifeorb"
        cinccino = after.seen["opp_species"].index("cinccino") if "cinccino" in after.seen["opp_species"] else None
        assert cinccino is None or (not after.seen["opp_fainted"][cinccino]
                                    and after.seen["opp_item"][cinccino] == "unknown")


# --- gimmicks ---------------------------------------------------------------------------------------------------------


def test_mega_evolution_goes_with_the_move(shared_data: Find) -> None:
    # |turn|27   |detailschange|p2a: Tyranitar|Tyranitar-Mega, L75, F   |-mega|p2a: Tyranitar|Tyranitar|Tyranitarite
    #            |move|p1a: Fearow|Drill Peck|...   |move|p2a: Tyranitar|Stone Edge|p1a: Fearow
    for view in both(TAUNT, "p2", shared_data):
        row = view.at(27)
        assert (row.action, row.gimmick, row.own("species")) == ("stoneedge", "mega", "tyranitar")
        assert row.seen["own_can_gimmick"][0]
        assert not row.seen["own_gimmick_used"][0]
        later = next(row for row in view.rows if row.seen["turn"] > 27)
        assert "tyranitarmega" in later.seen["own_species"]
        assert later.seen["own_gimmick_used"][0]
    for view in both(TAUNT, "p1", shared_data):
        assert view.at(27).opponent("species") == "tyranitar"
        assert view.at(27, "forced_faint").opponent("species") == "tyranitarmega"


Z_OF_ITS_OWN = At("sim/gen7randombattle", "gen7randombattle-700002")
Z_STATUS = At("sim/gen7randombattle", "gen7randombattle-700013")
Z_TYPE = At("sim/gen7randombattle", "gen7randombattle-700011")
Z_OF_ONE = At("sim/gen7randombattle", "gen7randombattle-700004")


def test_a_z_move_stands_in_the_slot_that_it_came_from(shared_data: Find) -> None:
    # |-zpower|p1a: Kommo-o   |move|p1a: Kommo-o|Clangorous Soulblaze|p2a: Furfrou|[zeffect]
    for view in both(Z_OF_ITS_OWN, "p1", shared_data):
        assert (view.at(20).action, view.at(20).gimmick) == ("clangingscales", "z")
    # |-zpower|p2a: Decidueye   |move|p2a: Decidueye|Sinister Arrow Raid|p1a: Alakazam|[zeffect]
    for view in both(Z_OF_ONE, "p2", shared_data):
        assert (view.at(5).action, view.at(5).gimmick) == ("spiritshackle", "z")
    # |-zpower|p2a: Venomoth   |move|p2a: Venomoth|Z-Quiver Dance|p2a: Venomoth|[anim]Quiver Dance
    for view in both(Z_STATUS, "p2", shared_data):
        assert (view.at(1).action, view.at(1).gimmick) == ("quiverdance", "z")
    # |-zpower|p1a: Salazzle   |move|p1a: Salazzle|Inferno Overdrive|p2a: Porygon-Z|[zeffect]
    inferred, exact = both(Z_TYPE, "p1", shared_data)
    assert inferred.at(3).label == "none", "not all four moves were shown: some other Fire move may have been the base"
    assert (exact.at(3).action, exact.at(3).gimmick) == ("fireblast", "z")
    assert "infernooverdrive" not in inferred.at(3).moves + exact.at(3).moves


MAX_GUARD = At("sim/gen8randombattle", "gen8randombattle-800003")
MAX_MOVE = At("sim/gen8randombattle", "gen8randombattle-800000")


def test_a_max_move_stands_in_the_slots_that_it_may_have_come_from(shared_data: Find) -> None:
    # |turn|3   |-start|p1a: Shuckle|Dynamax|   |move|p1a: Shuckle|Max Guard|p1a: Shuckle
    inferred, exact = both(MAX_GUARD, "p1", shared_data)
    row = inferred.at(3)
    assert row.moves == ["encore", "knockoff", "stealthrock", "stickyweb"]
    assert (row.label, row.candidates, row.gimmick) == ("censored", {"encore", "stealthrock", "stickyweb"}, "dynamax")
    assert (exact.at(3).action, exact.at(3).gimmick) == ("encore", "dynamax")
    # |turn|12   |-start|p1a: Thievul|Dynamax|   |move|p1a: Thievul|Max Mindstorm|p2a: Carbink
    inferred, exact = both(MAX_MOVE, "p1", shared_data)
    assert (exact.at(12).action, exact.at(12).gimmick) == ("psychic", "dynamax")
    assert inferred.at(12).label == "none"


def test_terastallization_goes_with_the_move(shared_data: Find) -> None:
    # |turn|9   |-terastallize|p2a: Slowking|Dragon   |move|p2a: Slowking|Chilly Reception|p2a: Slowking
    battle = PIVOTS["Chilly Reception"][0]
    for view in both(battle, "p2", shared_data):
        row, later = view.at(9), view.at(9, "forced_pivot")
        assert (row.action, row.gimmick) == ("chillyreception", "tera")
        assert (row.own("terastallized"), later.own("terastallized")) == (False, True)
        assert later.own("type1") == "dragon"
    for view in both(battle, "p1", shared_data):
        assert view.at(9).opponent("tera") == "unknown"


REVIVAL = At("resim/gen9randombattle", "gen9randombattle-01978a8107")


def test_revival_blessing_asks_for_one_that_fainted(shared_data: Find) -> None:
    # |turn|17   |move|p2a: Pawmot|Revival Blessing|p2a: Pawmot
    #            |-heal|p2: Luvdisc|50/100|[from] move: Revival Blessing
    for view in both(REVIVAL, "p2", shared_data):
        assert view.at(17).action == "revivalblessing"
        row = view.at(17, "revival")
        assert (row.action, row.legal) == ("switch luvdisc", {"switch luvdisc"})
        assert row.of("own", "luvdisc", "fainted")
        assert view.at(18).of("own", "luvdisc", "hp") == pytest.approx(0.5, abs=0.01)


FORME = At("resim/gen9randombattle", "gen9randombattle-6f680ec22d")


def test_a_forme_that_changes_stays_the_same_pokemon(shared_data: Find) -> None:
    # |turn|3   |move|p1a: Cramorant|Surf|p2a: Farigiraf   |-formechange|p1a: Cramorant|Cramorant-Gulping|
    for view in both(FORME, "p1", shared_data):
        before, after = view.at(3), view.at(4)
        assert (before.own("species"), after.own("species")) == ("cramorant", "cramorantgulping")
        assert before.seen["own_active"] == after.seen["own_active"]
        assert before.moves == after.moves
    for view in both(FORME, "p2", shared_data):
        assert view.at(4).opponent("species") == "cramorantgulping"


STARRED = At("sim/gen6randombattle_team_preview", "gen6randombattle_team_preview-1600001")


def test_a_forme_that_team_preview_hides_stays_hidden_until_it_comes_in(shared_data: Find) -> None:
    # |poke|p2|Arceus-*, L71|item   |start   |switch|p2a: Arceus|Arceus-Dark, L71|100/100
    record = STARRED.record(shared_data)
    for view in (convert_record(record)["p1"], convert_record(replace(record, requests={}))["p1"]):
        preview, first = view.rows[:2]
        assert "arceusdark" not in preview.seen["opp_species"]
        assert preview.of("opp", "arceus", "type1") == "normal"
        assert first.opponent("species") == "arceusdark"


def test_its_own_player_knows_that_forme_from_the_start(shared_data: Find) -> None:
    for view in both(STARRED, "p2", shared_data):
        assert "arceusdark" in view.rows[0].seen["own_species"]
        assert view.rows[0].action == "switch arceusdark"


NAMED = At("replays/gen6ou-old", "ou-a8c463f75c")


def test_a_nickname_is_no_species(shared_data: Find) -> None:
    # |switch|p1a: TheMoreYouKnow|Jirachi|403/403   |move|p1a: TheMoreYouKnow|U-turn|p2a: Heatran
    # |switch|p1a: U Jelly Bruh?|Tentacruel, M|363/363
    (view,) = both(NAMED, "p1", shared_data)
    assert [(row.own("species"), row.action) for row in view.all(3)] == [
        ("jirachi", "uturn"), ("jirachi", "switch tentacruel")]
    assert "jelly" not in str(view.trajectory["steps"]).lower()


def test_one_of_three_alike_that_fainted_does_not_come_back(shared_data: Find) -> None:
    # |poke|p1|Shedinja||poke|p1|Shedinja||poke|p1|Shedinja|
    # |turn|1   |-damage|p1a: Shedinja|0 fnt|[from] Sandstorm   |faint|p1a: Shedinja
    #           |switch|p1a: Shedinja|Shedinja|100/100
    (view,) = both(ALIKE, "p1", shared_data)
    first, second = view.at(1), view.at(2)
    assert view.at(1, "forced_faint").seen["own_fainted"] == first.seen["own_active"]
    assert len(view.at(1, "forced_faint").seen["own_fainted"]) == 6
    assert sum(second.seen["own_fainted"]) == 1
    assert first.seen["own_active"] != second.seen["own_active"]
    assert sum(view.at(3).seen["own_fainted"]) == 2


ALIKE = At("replays/mixed", "gen8nationaldexdraft-9a4ea736ec", nth=1)
SMALL = At("replays/gen8ou", "gen8ou-df62904482")


def test_a_team_of_three_has_three_slots(shared_data: Find) -> None:
    # |teamsize|p2|3   |poke|p2|Dragapult, M|   |poke|p2|Corviknight, M|   |poke|p2|Hatterene, F|
    (mine,) = both(SMALL, "p2", shared_data)
    (foes,) = both(SMALL, "p1", shared_data)
    assert mine.rows[0].legal == {"switch dragapult", "switch corviknight", "switch hatterene"}
    assert mine.rows[0].seen["own_species"] == ["corviknight", "dragapult", "hatterene", "none", "none", "none"]
    assert foes.rows[0].seen["opp_species"] == ["dragapult", "corviknight", "hatterene", "none", "none", "none"]
    assert (mine.rows[0].seen["own_alive"], foes.rows[0].seen["opp_alive"]) == (3, 3)


# --- how it ends ------------------------------------------------------------------------------------------------------

TIE = At("replays/gen6ou-old", "ou-5e3d656c42")
FORFEIT = At("replays/battlefactory", "battlefactory-8dc349da54")
TIMEOUT = At("replays/battlefactory", "battlefactory-b5db06855e")


def test_a_tie_is_worth_nothing_to_both(shared_data: Find) -> None:
    # |faint|p2a: Medicham   |faint|p1a: Talonflame   |tie
    for player, last in (("p1", "bravebird"), ("p2", "")):
        (view,) = both(TIE, player, shared_data)
        assert (view.trajectory["winner"], view.trajectory["total_reward"]) == ("tie", 0.0)
        assert view.rows[-1].action == last
        assert view.rows[-1].seen["phase"] == "turn"


def test_a_forfeit_leaves_the_last_decision_without_a_label(shared_data: Find) -> None:
    # |choice|move waterfall|move bravebird   |move|p2a: Braviary|Brave Bird|p1a: Samurott   |faint|p1a: Samurott
    # |upkeep   |-message|u11ad7dfda forfeited.   |win|u4548adc0d
    (loser,), (winner,) = (both(FORFEIT, player, shared_data) for player in ("p1", "p2"))
    assert (loser.trajectory["winner"], loser.trajectory["total_reward"]) == ("p2", -1.0)
    assert (loser.rows[-1].seen["phase"], loser.rows[-1].label) == ("forced_faint", "none")
    assert (loser.rows[-2].action, winner.rows[-1].action) == ("waterfall", "bravebird")


def test_who_ran_out_of_time_chose_nothing(shared_data: Find) -> None:
    # |turn|3   |-message|ue33950b9a lost due to inactivity.   |win|u165ba77b8
    for player in ("p1", "p2"):
        (view,) = both(TIMEOUT, player, shared_data)
        assert (view.rows[-1].seen["turn"], view.rows[-1].label) == (3, "none")
        assert view.trajectory["winner"] == "p2"


def test_a_log_may_break_off_anywhere(shared_data: Find) -> None:
    record = TAUNT.record(shared_data)
    turn = record.lines.index("|turn|21")
    whole = both(TAUNT, "p2", shared_data)[0]
    for cut in (turn, turn + 1, turn + 2, turn + 3):
        views = convert_record(replace(record, requests={}, lines=record.lines[:cut]))
        assert views["p2"].trajectory["total_reward"] == 0.0
        assert "winner" not in views["p2"].trajectory
        for row, same in zip(views["p2"].rows[:-1], whole.rows, strict=False):
            assert row.action in ("", same.action)
    # after |move|p1a: Magmortar|Taunt|p2a: Kyogre and before |cant|: one choice was seen, the other was not
    line = next(n for n, line in enumerate(record.lines) if n > turn and line.startswith("|move|p1a: Magmortar|Taunt"))
    views = convert_record(replace(record, requests={}, lines=record.lines[:line + 1]))
    assert (views["p1"].rows[-1].action, views["p2"].rows[-1].label) == ("taunt", "none")


BACK_AGAIN = At("replays/battlefactory", "battlefactory-d76e4363c5")


def test_a_player_who_comes_back_is_the_same_player(shared_data: Find) -> None:
    # |turn|15   |player|p1|   |player|p1|u21f782fb9|265   ...   |win|u64749e09d
    (view,) = both(BACK_AGAIN, "p1", shared_data)
    assert view.trajectory["player_id"]
    assert (view.trajectory["winner"], view.trajectory["total_reward"]) == ("p2", -1.0)
    assert (view.at(15).action, view.rows[-1].seen["turn"]) == ("shadowball", 38)


def test_chat_that_looks_like_protocol_changes_nothing(shared_data: Find) -> None:
    record = TAUNT.record(shared_data)
    expected = [view.trajectory for view in convert_record(replace(record, requests={})).values()]
    chat = ("|c|☆Ash|I use |move|p1a: Kyogre|Splash|p1a: Kyogre", "|c:|1700000000|Ash||win|Alpha", "||turn|99",
            "|raw|<b>|faint|p2a: Kyogre</b>", "|inactive|Ash has 60 seconds left.")
    lines = [line for each in record.lines for line in (each, *(chat if each.startswith("|turn|") else ()))]
    again = cleaned(record, lines)
    assert [view.trajectory for view in convert_record(again).values()] == expected


def cleaned(record: BattleRecord, lines: list[str]) -> BattleRecord:
    """As the pipeline hands it on."""
    return replace(record, requests={}, lines=tuple(clean(lines).lines))


# --- two choices at once ----------------------------------------------------------------------------------------------

BOTH_FAINT = At("sim/gen8randombattle", "gen8randombattle-800016")


def test_of_two_replacements_at_once_neither_knows_the_other(shared_data: Find) -> None:
    # |turn|7   |faint|p1a: Lucario   |-damage|p2a: Indeedee|0 fnt|[from] item: Life Orb   |faint|p2a: Indeedee
    #           |switch|p2a: Lurantis|Lurantis, L89, F|100/100   |switch|p1a: Exploud|Exploud, L86, F|100/100
    for player, action, hidden in (("p1", "switch exploud", "lurantis"), ("p2", "switch lurantis", "exploud")):
        for view in both(BOTH_FAINT, player, shared_data):
            row = view.at(7, "forced_faint")
            assert row.action == action
            assert (row.own("fainted"), row.opponent("fainted")) == (True, True)
            assert view.at(8).opponent("species") == hidden


def test_what_is_no_singles_battle_or_not_understood_is_left_out() -> None:
    start = ["|switch|p1a: A|Pikachu|100/100", "|switch|p2a: B|Eevee|100/100", "|turn|1"]
    for lines, reason in (
        ([*start, "|-mystery|p1a: A"], "unknown line"),
        (["|switch|p1a: A|Pikachu|100/100", "|switch|p1b: C|Eevee|100/100"], "not singles"),
        ([*start, "|player|p3|Oak|3|"], "not singles"),
        ([*start, "|turn|two"], "damaged line"),
        ([*start, "|move|p1a: A"], "damaged line"),
        ([], "no decision"),
    ):
        with pytest.raises(SkippedBattle) as skipped:
            convert_record(by_hand(lines))
        assert skipped.value.reason == reason
