"""Damage estimates: near a real calculator, and what must hold of any."""

from __future__ import annotations

import copy
import re
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from poke_bc.contract.field import BITS, CATEGORY, FLAG
from poke_bc.contract.schema import Schema, load_schema
from poke_bc.dex import dex
from poke_bc.showdown.damage import estimate
from poke_bc.showdown.damage.pokemon import CHARGE, FLASH_FIRE, GASTRO_ACID, MAGNET_RISE, SLOW_START, SMACKED_DOWN
from poke_bc.showdown.observation import ESTIMATES, FIELDS, Observation

SINGLES = load_schema("singles")
BOOSTS = ("atk", "def", "spa", "spd", "spe")
STATUSES = ("brn", "par", "psn", "tox", "slp", "frz")

# generation, weather, terrain; then for both sides: species, level, ability, item, status, HP, what else; and its moves
# with the part of the other's maximum HP that Showdown 0.11.11 takes with the average roll (BattleActions.getDamage).
SHOWDOWN = [
    (1, "none", "none",
     "krabby L50 none none none 1.000 def+2 spd+3",
     "cut 0.079, takedown 0.140, crabhammer 0.083, doubleedge 0.158",
     "mrmime L80 none none none 0.750",
     "solarbeam 1.412, confusion 0.449, seismictoss 0.588, takedown 0.228"),
    (1, "none", "none",
     "vaporeon L76 none none none 0.220 spd-1 light_screen",
     "surf 1.066, icebeam 0.711, swift 0.157, aurorabeam 0.488",
     "arbok L50 none none none 0.048 reflect",
     "bite 0.059, doubleedge 0.099, dig 0.099, takedown 0.088"),
    (1, "none", "none",
     "mewtwo L100 none none none 0.347 light_screen",
     "seismictoss 0.641, takedown 1.045, fireblast 3.026, solarbeam 4.000",
     "sandshrew L50 none none par 1.000 spa+1",
     "submission 0.017, strength 0.036, earthquake 0.067, seismictoss 0.120"),
    (2, "raindance", "none",
     "togetic L100 none none none 1.000 def-2",
     "doubleedge 1.496, fly 0.876, zapcannon 0.850, swift 0.752",
     "charmander L80 none none none 1.000 def-2 spa-3 spd-1 spe+3",
     "rockslide 0.371, headbutt 0.173, dragonrage 0.128, dynamicpunch 0.246"),
    (2, "none", "none",
     "gloom L76 none none none 1.000 def-1",
     "razorleaf 0.049, rage 0.075, cut 0.183, absorb 0.019",
     "weezing L80 none none none 0.914 def-3 light_screen",
     "thief 0.117, explosion 2.368, hyperbeam 0.713, tackle 0.170"),
    (2, "raindance", "none",
     "zapdos L100 none mysticwater none 1.000 def-2 reflect",
     "steelwing 0.422, hyperbeam 0.892, mudslap 0.121, rocksmash 0.121",
     "hitmonlee L76 none none par 1.000 light_screen",
     "swift 0.091, skullbash 0.151, reversal 0.026, strength 0.120"),
    (3, "none", "none",
     "kabuto L100 swiftswim none none 1.000 spd-2 reflect",
     "doubleedge 0.431, absorb 0.025, bubblebeam 0.110, rapidspin 0.074",
     "raichu L100 static none slp 0.195 light_screen",
     "fly 0.059, irontail 0.180, megapunch 0.068, thunderbolt 3.257"),
    (3, "none", "none",
     "cacturne L100 sandveil none none 0.828 light_screen",
     "acid 0.473, strength 0.944, poisonsting 0.180, bulletseed 0.055",
     "arcanine L80 flashfire choiceband none 0.855 def-3 light_screen",
     "extremespeed 0.316, strength 0.316, doubleedge 0.474, heatwave 0.373"),
    (3, "none", "none",
     "venusaur L100 overgrow none none 0.205",
     "mudslap 0.000, razorleaf 0.138, gigadrain 0.152, solarbeam 0.303",
     "swellow L100 guts none none 1.000 def-3 light_screen",
     "swift 0.225, mudslap 0.053, wingattack 0.452, quickattack 0.154"),
    (4, "sandstorm", "none",
     "tyranitar L100 sandstream occaberry none 1.000",
     "crunch 1.072, darkpulse 0.306, mudslap 0.025, thunderpunch 0.674",
     "lotad L100 swiftswim wiseglasses none 1.000 light_screen",
     "facade 0.032, uproar 0.022, megadrain 0.105, watergun 0.105"),
    (4, "hail", "none",
     "raticate L80 runaway choiceband none 1.000 light_screen",
     "bite 0.599, grassknot 0.298, uproar 0.277, crunch 0.798",
     "ludicolo L50 swiftswim none none 1.000 atk-2",
     "hyperbeam 0.112, absorb 0.027, bubblebeam 0.073, energyball 0.087"),
    (4, "sandstorm", "none",
     "seadra L76 poisonpoint none none 0.163 spd-1",
     "muddywater 0.480, icebeam 0.320, flail 0.288, dragonbreath 0.203",
     "igglybuff L100 cutecharm ironball none 1.000",
     "covet 0.144, shockwave 0.837, waterpulse 0.208, megakick 0.419"),
    (5, "sunnyday", "none",
     "marill L50 sapsipper airballoon none 1.000 reflect",
     "covet 0.052, hypervoice 0.066, watergun 0.038, facade 0.054",
     "quilava L76 blaze mysticwater none 0.657",
     "facade 0.231, thrash 0.397, cut 0.167, heatwave 0.881"),
    (5, "none", "none",
     "ampharos L50 plus choiceband none 0.386 atk-1",
     "facade 0.067, tackle 0.048, bulldoze 0.057, thunderpunch 0.210",
     "shelloseast L100 stickyhold choicescarf none 1.000 spa+2 light_screen",
     "waterpulse 1.128, brine 2.440, icebeam 1.190, blizzard 1.500"),
    (5, "none", "none",
     "graveler L100 rockhead airballoon psn 1.000 atk-1 def-2",
     "bodyslam 0.736, rocktomb 0.654, thunderpunch 0.654, bulldoze 0.777",
     "stantler L50 intimidate none slp 1.000 spd-3 spe-1 light_screen",
     "doublekick 0.169, takedown 0.088, mudslap 0.000, bodyslam 0.085"),
    (6, "none", "grassyterrain",
     "tentacruel L80 raindish choicespecs none 1.000 atk+1 spd-1 reflect",
     "cut 0.081, hex 0.262, whirlpool 0.209, sludgewave 0.280",
     "binacle L100 sniper blackglasses none 1.000 spe-3",
     "smackdown 0.124, icebeam 0.116, poweruppunch 0.031, stoneedge 0.243"),
    (6, "none", "electricterrain",
     "exeggutor L50 harvest choicescarf none 0.304 def-2 spe+1",
     "headbutt 0.082, thief 0.071, energyball 0.386, facade 0.082",
     "diggersby L80 hugepower none none 0.790 spe+1",
     "hyperbeam 1.030, ironhead 1.312, doubleslap 1.148, sludgebomb 0.834"),
    (6, "hail", "none",
     "kyurem L100 pressure mysticwater none 1.000 spe-1",
     "rocksmash 1.078, zenheadbutt 1.072, gigaimpact 2.009, dragonbreath 1.205",
     "glalie L50 icebody eviolite none 1.000",
     "freezedry 0.051, waterpulse 0.015, bulldoze 0.030, iceshard 0.032"),
    (7, "none", "none",
     "corphish L100 shellarmor assaultvest none 1.000 atk+2 spe+2",
     "chipaway 0.726, whirlpool 0.098, blizzard 0.415, waterfall 1.245",
     "vivillonarchipelago L80 friendguard none none 1.000 light_screen",
     "gigadrain 0.391, tackle 0.073, signalbeam 0.292, aerialace 0.161"),
    (7, "none", "electricterrain",
     "pikachupopstar L50 lightningrod choicespecs none 1.000 spa-3 spe+2",
     "knockoff 0.095, voltswitch 0.050, dig 0.318, mudslap 0.060",
     "magneton L76 sturdy blackglasses none 1.000",
     "signalbeam 1.029, swift 0.831, chargebeam 0.000, doubleedge 1.128"),
    (7, "sandstorm", "none",
     "kricketot L76 shedskin blackglasses slp 1.000 light_screen",
     "mudslap 0.031, bugbite 0.061, uproar 0.126, strugglebug 0.053",
     "azurill L100 hugepower muscleband none 0.740 atk+1",
     "whirlpool 0.069, bodyslam 1.638, scald 0.157, watergun 0.077"),
    (8, "none", "psychicterrain",
     "gengar L80 cursedbody leftovers none 0.154 spe-2",
     "submission 0.640, shadowclaw 0.416, uproar 0.270, explosion 0.492",
     "dugtrioalola L76 tanglinghair wiseglasses slp 0.455 spa+2",
     "bulldoze 0.665, headbutt 0.000, dig 0.872, finalgambit 0.000"),
    (8, "none", "electricterrain",
     "pikachuphd L76 lightningrod assaultvest none 1.000 spd-1",
     "discharge 0.332, irontail 0.094, signalbeam 0.081, thunderpunch 0.562",
     "croconaw L80 torrent lifeorb none 1.000 spd+2",
     "flail 0.163, irontail 0.385, strength 0.615, aerialace 0.230"),
    (8, "none", "electricterrain",
     "exploud L76 soundproof silkscarf none 1.000 spa+2",
     "incinerate 0.147, shockwave 0.773, circlethrow 0.179, firefang 0.096",
     "simipour L80 gluttony assaultvest par 1.000 spd-3 light_screen",
     "icepunch 0.244, rockslide 0.244, cut 0.164, shadowclaw 0.000"),
    (9, "none", "none",
     "oshawott L100 shellarmor none none 1.000 light_screen",
     "waterfall 0.250, icebeam 1.601, knockoff 0.408, tackle 0.171",
     "greninjabond L50 battlebond charcoal none 1.000 reflect tera:grass",
     "bounce 0.114, takedown 0.118, liquidation 0.085, weatherball 0.037"),
    (9, "sandstorm", "electricterrain",
     "tyrunt L76 sturdy assaultvest par 1.000 reflect",
     "scaleshot 0.132, darkpulse 0.060, rockblast 0.264, rocktomb 0.177",
     "bastiodon L100 sturdy choiceband none 0.553 tera:fire",
     "bodypress 1.070, stoneedge 0.411, shockwave 0.087, earthpower 0.404"),
    (9, "sunnyday", "none",
     "bewear L76 klutz wiseglasses none 1.000 def-1",
     "bodypress 0.171, superpower 0.535, rocktomb 0.181, ironhead 0.240",
     "drakloak L100 clearbody silkscarf none 1.000 atk+2 tera:grass",
     "fireblast 0.554, dragonrush 1.502, uturn 0.350, terablast 1.204"),
    (9, "none", "psychicterrain",
     "brambleghast L100 windrider blackglasses brn 1.000 spe-3 reflect",
     "leafstorm 0.858, infestation 0.095, megadrain 0.272, shadowsneak 0.000",
     "froslass L80 cursedbody blackglasses none 1.000 spe+2 tera:normal",
     "wakeupslap 0.000, powdersnow 0.257, bodyslam 0.000, ominouswind 0.379"),
    (9, "none", "mistyterrain",
     "maschiff L100 runaway none none 1.000 spa-1 spd+2",
     "dig 0.432, facade 0.376, headbutt 0.376, jawlock 0.321",
     "salandit L76 corrosion eviolite none 0.621 spa-1 tera:fairy",
     "scaleshot 0.055, dragonclaw 0.057, sludgebomb 0.096, burningjealousy 0.074"),
    (9, "sunnyday", "none",
     "buizel L80 waterveil silkscarf none 1.000 spe+2 tera:ice",
     "rocktomb 0.466, doubleslap 0.212, mudslap 0.075, wavecrash 0.685",
     "wormadamtrash L50 anticipation assaultvest none 1.000 def-1 spa+3",
     "confusion 0.251, bugbite 0.167, gigaimpact 0.276, thief 0.112"),
]


def add_damage(rows: list[dict[str, Any]], gen: int, own_stats: estimate.OwnStats | None = None) -> None:
    """Damage of observations that are dictionaries."""
    observations = [Observation(*[UNSET if name in ESTIMATES else row[name] for name in FIELDS]) for row in rows]
    estimate.add_damage(observations, gen, own_stats)
    for row, observation in zip(rows, observations, strict=True):
        row |= {name: getattr(observation, name) for name in ESTIMATES}


def nothing(schema: Schema = SINGLES) -> dict[str, Any]:
    """An observation of an empty field."""
    row: dict[str, Any] = {}
    for field in schema.fields:
        value: Any = "none" if field.kind == CATEGORY else False if field.kind in (FLAG, BITS) else 0
        row[field.name] = value if field.width == 1 else [value] * field.width
    return row


def put(row: dict[str, Any], side: str, slot: int, text: str, moves: list[str], gen: int) -> None:
    """One Pokémon of the form of SHOWDOWN into a slot."""
    species, level, ability, item, status, hp, *more = text.split()
    tera = next((word.removeprefix("tera:") for word in more if word.startswith("tera:")), "")
    found = dex(gen).species(species)
    assert found is not None, species
    types = [tera] if tera else [*found.types]
    values = {"species": species, "level": int(level[1:]), "ability": ability, "item": item, "status": status,
              "hp": float(hp), "type1": types[0], "type2": [*types, "none"][1]}
    if side == "own":
        values |= {"terastallized": bool(tera), "tera": tera or "none"}
    else:
        values |= {"tera": tera or ("unknown" if gen >= 9 else "none")}
    for key, value in values.items():
        row[f"{side}_{key}"][slot] = value
    row[f"{side}_moves"][4 * slot:4 * slot + 4] = [*moves, *["none"] * 4][:4]
    row[f"{side}_alive"] = 6
    for word in more:
        if word in ("reflect", "light_screen", "aurora_veil"):
            row[f"{side}_{word}"] = 1
        elif found_boost := re.fullmatch(r"(\w+?)([+-]\d)", word):
            row[f"{side}_boosts"][BOOSTS.index(found_boost[1])] = int(found_boost[2])


def duel(own: str, own_moves: list[str], opp: str, opp_moves: list[str], *, gen: int = 9,
         **field: Any) -> dict[str, Any]:
    """One against one, damage filled in."""
    row = nothing() | field
    put(row, "own", 0, own, own_moves, gen)
    put(row, "opp", 0, opp, opp_moves, gen)
    row["own_active"][0] = row["opp_active"][0] = True
    add_damage([row], gen)
    return row


@pytest.mark.parametrize(("gen", "weather", "terrain", "own", "own_moves", "opp", "opp_moves"), SHOWDOWN)
def test_damage_is_near_what_showdown_takes(gen: int, weather: str, terrain: str, own: str, own_moves: str, opp: str,
                                            opp_moves: str) -> None:
    dealt, taken = ([part.split() for part in text.split(", ")] for text in (own_moves, opp_moves))
    row = duel(own, [name for name, _ in dealt], opp, [name for name, _ in taken], gen=gen, weather=weather,
               terrain=terrain)
    for name, damages in ((dealt, row["own_move_damage"]), (taken, row["opp_move_damage"])):
        for (move, expected), damage in zip(name, damages, strict=True):
            assert damage == pytest.approx(float(expected), rel=0.05, abs=0.012), move


def test_what_is_added_is_what_the_schema_says() -> None:
    row = duel("garchomp L80 roughskin lifeorb none 1.0", ["earthquake", "outrage", "swordsdance", "unknown"],
               "corviknight L80 pressure none none 0.5", ["bravebird", "unknown", "unknown", "unknown"])
    SINGLES.pack(row)
    assert all(row[name] != nothing()[name] for name in ESTIMATES if name not in ("own_move_ko", "opp_move_ko"))
    assert [field.name for field in SINGLES.fields if field.name in ESTIMATES] == [*ESTIMATES]
    assert row["own_stats"] == [304, 254, 198, 174, 182, 209, *[0] * 30]
    assert row["own_stats_filled"] == [True, *[False] * 5]
    assert row["own_move_damage"][0] == row["own_move_effectiveness"][0] == 0  # Ground against Flying
    assert row["own_move_effectiveness"][1:] == [0.5, 1.0, 0.0]  # Dragon on Steel, a status move, an unknown one
    assert row["own_move_damage"][2:] == [0, 0]
    assert row["opp_move_damage"][1:] == [0, 0, 0]
    assert row["own_team_threat"][0] >= max(row["opp_move_damage"][0], row["opp_typical_damage"]) > 0
    assert row["own_team_threat"][1:] == row["own_team_damage"][1:] == [0] * 5


def test_ko_compares_with_what_is_left() -> None:
    for hp, falls in ((1.0, False), (0.05, True)):
        row = duel("garchomp L80 roughskin none none 1.0", ["dragonclaw", "protect"],
                   f"blissey L80 naturalcure none none {hp}", [])
        assert row["own_move_ko"] == [falls, False, False, False]


def test_replacing_a_fainted_pokemon_still_shows_what_the_others_face() -> None:
    row = nothing()
    put(row, "own", 0, "garchomp L80 roughskin none none 0.0", ["earthquake"], 9)
    put(row, "own", 1, "gholdengo L80 goodasgold none none 1.0", ["shadowball"], 9)
    put(row, "opp", 3, "dragapult L80 infiltrator none none 1.0", ["shadowball"], 9)
    row["own_active"][0] = row["own_fainted"][0] = row["opp_active"][3] = True
    add_damage([row], 9)
    assert row["own_move_damage"] == row["opp_move_damage"] == [0] * 4
    assert row["opp_typical_damage"] == row["speed_advantage"] == 0
    assert row["own_team_damage"][0] == row["own_team_threat"][0] == 0
    assert row["own_team_damage"][1] > 0.5
    assert row["own_team_threat"][1] > 0.5


def test_own_stats_replace_typical_ones() -> None:
    row = duel("garchomp L100 roughskin none none 1.0", ["earthquake"], "blissey L100 naturalcure none none 1.0", [])
    weak, strong, same = (copy.deepcopy(row) for _ in range(3))
    typical = {"hp": 378, "atk": 317, "def": 247, "spa": 217, "spd": 227, "spe": 261}  # base * 2 + 52, + 5 or + 110
    for other, attack in ((weak, 200), (same, 317), (strong, 400)):
        add_damage([other], 9, [[typical | {"atk": attack}, *[None] * 5]])
    assert same == row | {"own_stats_filled": [False] * 6}
    assert weak["own_stats"][:6] == [*(typical | {"atk": 200}).values()]
    assert weak["own_move_damage"][0] < row["own_move_damage"][0] < strong["own_move_damage"][0]


def test_speed_counts_boosts_paralysis_tailwind_and_scarf() -> None:
    def advantage(own: str, **field: Any) -> float:
        opp = "garchomp L80 roughskin none none 1.0"
        return float(duel(own, [], opp, [], **field)["speed_advantage"])

    assert advantage("garchomp L80 roughskin none none 1.0") == 0
    assert advantage("garchomp L80 roughskin choicescarf none 1.0") == pytest.approx(0.2)
    assert advantage("garchomp L80 roughskin none par 1.0") == pytest.approx(-1 / 3, abs=1e-4)
    assert advantage("garchomp L80 roughskin none none 1.0 spe+2") == pytest.approx(1 / 3, abs=1e-4)
    assert advantage("garchomp L80 roughskin none none 1.0", own_tailwind=1) == pytest.approx(1 / 3, abs=1e-4)


@pytest.mark.parametrize(("own", "move", "opp"), [
    ("garchomp L80 roughskin none none 1.0", "earthquake", "rotomwash L80 levitate none none 1.0"),
    ("vaporeon L80 hydration none none 1.0", "surf", "vaporeon L80 waterabsorb none none 1.0"),
    ("garchomp L80 roughskin none none 1.0", "outrage", "clefable L80 unaware none none 1.0"),
    ("snorlax L80 thickfat none none 1.0", "seismictoss", "gengar L80 cursedbody none none 1.0"),
    ("exploud L80 scrappy none none 1.0", "boomburst", "kommoo L80 soundproof none none 1.0"),
    ("garchomp L80 roughskin none none 1.0", "earthquake", "heatran L80 flashfire airballoon none 1.0"),
    ("garchomp L80 roughskin none none 1.0", "stoneedge", "shedinja L80 unknown none none 0.0"),
])
def test_what_is_immune_takes_nothing(own: str, move: str, opp: str) -> None:
    row = duel(own, [move], opp, [])
    if opp.startswith("shedinja"):  # stands for the opposite: four times weak
        assert row["own_move_damage"][0] == 4
    else:
        assert row["own_move_damage"][0] == 0


def test_gravity_and_mold_breaker_reach_who_levitates() -> None:
    opp = "rotomwash L80 levitate none none 1.0"
    assert duel("excadrill L80 moldbreaker none none 1.0", ["earthquake"], opp, [])["own_move_damage"][0] > 0
    assert duel("excadrill L80 sandrush none none 1.0", ["earthquake"], opp, [], gravity=1)["own_move_damage"][0] > 0


def test_who_dynamaxed_and_fainted_leaves_no_max_moves_to_the_others() -> None:
    found = []
    for turns in (0, 1):
        row = nothing() | {"own_dynamax_turns": turns}
        put(row, "own", 0, "garchomp L80 roughskin none none 1.0", ["dragonclaw"], 8)
        put(row, "own", 1, "corviknight L80 pressure none none 0.0", ["bravebird"], 8)
        put(row, "opp", 0, "blissey L80 naturalcure none none 1.0", [], 8)
        row["own_active"][1] = row["own_fainted"][1] = row["opp_active"][0] = True
        add_damage([row], 8)
        found.append(row["own_team_damage"])
    assert found[0] == found[1]
    assert found[0][0] > 0


def test_an_added_type_weakens_and_strengthens() -> None:
    own, opp = "charizard L80 blaze none none 1.0", "snorlax L80 thickfat none none 1.0"
    plain = duel(own, ["willowisp", "dragonclaw"], opp, ["razorleaf"], gen=7)
    added = duel(own, ["willowisp", "dragonclaw"], opp, ["razorleaf"], gen=7, opp_added_type="grass")
    assert plain["own_move_effectiveness"][:2] == added["own_move_effectiveness"][:2] == [1, 1]
    assert added["opp_move_damage"][0] > 1.4 * plain["opp_move_damage"][0]
    assert duel(own, ["flamethrower"], opp, [], gen=7, opp_added_type="grass")["own_move_effectiveness"][0] == 2


def test_gastro_acid_grounds_who_levitates() -> None:
    own, opp = "excadrill L80 sandrush none none 1.0", "rotomwash L80 levitate none none 1.0"
    suppressed = [place == GASTRO_ACID for place in range(31)]
    assert duel(own, ["earthquake"], opp, [])["own_move_damage"][0] == 0
    assert duel(own, ["earthquake"], opp, [], opp_volatiles=suppressed)["own_move_damage"][0] > 0


def test_hidden_power_is_of_its_type() -> None:
    own, opp = "zapdos L80 pressure none none 1.0", "forretress L80 sturdy none none 1.0"
    for gen in (3, 4, 7):
        found = {kind: duel(own, ["hiddenpower"], opp, [], gen=gen, own_hidden_power=[kind, *["none"] * 5])
                 for kind in ("fire", "ice", "poison", "unknown")}
        effect = {kind: row["own_move_effectiveness"][0] for kind, row in found.items()}
        assert effect == {"fire": 4, "ice": 0.5, "poison": 0, "unknown": 1}
        assert found["fire"]["own_move_damage"][0] > 3 * found["ice"]["own_move_damage"][0]


def test_places_in_the_volatiles_are_those_of_the_schema() -> None:
    for side in ("own", "opp"):
        doc = next(field.doc for field in SINGLES.fields if field.name == f"{side}_volatiles").split(", ")
        assert len(doc) == 31
        assert [doc[place] for place in (MAGNET_RISE, CHARGE, FLASH_FIRE, SLOW_START, SMACKED_DOWN, GASTRO_ACID)] == [
            "magnetrise", "charge", "flashfire", "slowstart", "smackdown", "gastroacid"]


def random_row(random: Random, gen: int) -> dict[str, Any]:
    """Any Pokémon with any moves, items and abilities in any state."""
    row = nothing()
    abilities = ["none", "unknown", *sorted({ability for name in dex(gen).species_names
                                             if (found := dex(gen).species(name)) for ability in found.abilities})]
    for side in ("own", "opp"):
        for slot in range(6):
            words = [random.choice(dex(gen).species_names), f"L{random.randint(1, 100)}", random.choice(abilities),
                     random.choice(["none", "unknown", *dex(gen).items]), random.choice(["none", *STATUSES]),
                     random.choice(["0.01", "0.4", "1.0"])]
            if gen == 9 and random.random() < 0.3:
                words.append(f"tera:{random.choice(dex(9).types)}")
            put(row, side, slot, " ".join(words), random.choices(dex(gen).move_names, k=4), gen)
        row[f"{side}_active"][random.randrange(6)] = True
        row[f"{side}_boosts"] = random.choices(range(-6, 7), k=7)
        row[f"{side}_volatiles"] = [random.random() < 0.1 for _ in range(31)]
        row[f"{side}_reflect"], row[f"{side}_dynamax_turns"] = random.randint(0, 2), random.randint(0, 1)
    for field in ("weather", "terrain"):
        row[field] = random.choice(["none", *(SINGLES.vocabularies[field].names or ())])
    row["gravity"] = random.randint(0, 1)
    return row


@pytest.mark.parametrize("gen", range(1, 10))
def test_any_state_gives_values_in_range_the_same_alone_and_in_a_batch(gen: int) -> None:
    random = Random(gen)
    for _ in range(12):
        rows = [random_row(random, gen) for _ in range(3)]
        alone = copy.deepcopy(rows)
        add_damage(rows, gen)
        for row in alone:
            add_damage([row], gen)
            SINGLES.pack(row)
        assert rows == alone


@given(boost=st.integers(-6, 5), move=st.sampled_from(["bodyslam", "hyperbeam", "earthquake"]), gen=st.integers(1, 9))
@settings(max_examples=30)
def test_more_boosts_never_hurt_less(boost: int, move: str, gen: int) -> None:
    damages = [duel(f"tauros L80 none none none 1.0 atk{stage:+d}", [move], "snorlax L80 none none none 1.0", [],
                    gen=gen)["own_move_damage"][0] for stage in (boost, boost + 1)]
    assert 0 < damages[0] <= damages[1]
