"""Moves whose power, type or category depends on the situation.

Each rule changes the pairs `at` that use one of its moves. Source: Pokémon Showdown, data/moves.ts
(basePowerCallback, onModifyType, onModifyMove).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from poke_bc.showdown.damage.fields import Bools
from poke_bc.showdown.damage.pairs import Pairs
from poke_bc.showdown.damage.pokemon import PAR, PSN, SLP, TOX
from poke_bc.showdown.damage.tables import PHYSICAL, SPECIAL, Ints

WEIGHTS = np.array([10, 25, 50, 100, 200])
WEIGHT_POWERS = np.array([20, 40, 60, 80, 100, 120.0])
RATIO_POWERS = np.array([40, 60, 80, 100, 120.0])
SPEED_POWERS = np.array([40, 60, 80, 120, 150.0])
FLAIL_POWERS = np.array([200, 150, 100, 80, 40, 20.0])
WEATHER_BALL = {"raindance": "water", "primordialsea": "water", "sunnyday": "fire", "desolateland": "fire",
                "sandstorm": "rock", "hail": "ice", "snowscape": "ice"}
TERRAIN_TYPE = {"electricterrain": "electric", "grassyterrain": "grass", "psychicterrain": "psychic",
                "mistyterrain": "fairy"}
FORME_TYPE = {"ragingbull": {"taurospaldeacombat": "fighting", "taurospaldeablaze": "fire",
                             "taurospaldeaaqua": "water"},
              "ivycudgel": {"ogerponwellspring": "water", "ogerponwellspringtera": "water",
                            "ogerponhearthflame": "fire", "ogerponhearthflametera": "fire",
                            "ogerponcornerstone": "rock", "ogerponcornerstonetera": "rock"}}
Rule = Callable[[Pairs, Ints], None]
RULES: dict[str, Rule] = {}


def rule(*moves: str) -> Callable[[Rule], Rule]:
    """Register a function as the rule of these moves."""
    def register(function: Rule) -> Rule:
        RULES.update(dict.fromkeys(moves, function))
        return function
    return register


def _when(pairs: Pairs, at: Ints, condition: Bools, factor: float) -> None:
    pairs.power[at] *= np.where(condition, factor, 1)


@rule("lowkick", "grassknot")
def _target_weight(pairs: Pairs, at: Ints) -> None:
    if pairs.pokemon.tables.gen <= 2:
        return
    weight = pairs.pokemon.tables.weight[pairs.pokemon.species[pairs.defender[at]]]
    pairs.power[at] = WEIGHT_POWERS[np.searchsorted(WEIGHTS, weight, "right")]


@rule("heavyslam", "heatcrash")
def _weight_ratio(pairs: Pairs, at: Ints) -> None:
    weight = pairs.pokemon.tables.weight[pairs.pokemon.species]
    ratio = weight[pairs.attacker[at]] / np.maximum(weight[pairs.defender[at]], 0.1)
    pairs.power[at] = RATIO_POWERS[np.searchsorted([2, 3, 4, 5], ratio, "right")]


@rule("gyroball")
def _slower(pairs: Pairs, at: Ints) -> None:
    speed = pairs.pokemon.speed
    pairs.power[at] = np.minimum(np.floor(25 * speed[pairs.defender[at]] / speed[pairs.attacker[at]]) + 1, 150)


@rule("electroball", "boltbeak", "fishiousrend")
def _faster(pairs: Pairs, at: Ints) -> None:
    ratio = pairs.pokemon.speed[pairs.attacker[at]] / pairs.pokemon.speed[pairs.defender[at]]
    by_ratio = SPEED_POWERS[np.searchsorted([1, 2, 3, 4], ratio, "right")]
    pairs.power[at] = np.where(pairs.power[at] > 0, pairs.power[at] * np.where(ratio > 1, 2, 1), by_ratio)


@rule("eruption", "waterspout", "dragonenergy")
def _healthy(pairs: Pairs, at: Ints) -> None:
    pairs.power[at] *= pairs.pokemon.hp[pairs.attacker[at]]


@rule("flail", "reversal")
def _desperate(pairs: Pairs, at: Ints) -> None:
    ratio = np.floor(pairs.pokemon.hp[pairs.attacker[at]] * 48)
    pairs.power[at] = FLAIL_POWERS[np.searchsorted([2, 5, 10, 17, 33], ratio, "right")]


@rule("crushgrip", "wringout", "hardpress")
def _target_healthy(pairs: Pairs, at: Ints) -> None:
    most = np.where(pairs.move[at] == pairs.pokemon.tables.moves["hardpress"], 100, 120)
    pairs.power[at] = np.maximum(np.floor(most * pairs.pokemon.hp[pairs.defender[at]]), 1)


@rule("storedpower", "powertrip", "punishment")
def _boosted(pairs: Pairs, at: Ints) -> None:
    pokemon = pairs.pokemon
    raised = np.zeros(2 * pokemon.count)
    raised[pokemon.active.ravel()] = np.maximum(pokemon.boosts, 0).sum(axis=1)
    punishes = pairs.move[at] == pokemon.tables.moves["punishment"]
    pairs.power[at] = np.where(punishes, np.minimum(60 + 20 * raised[pairs.defender[at]], 200),
                               20 + 20 * raised[pairs.attacker[at]])


@rule("facade")
def _facade(pairs: Pairs, at: Ints) -> None:
    status = pairs.pokemon.status[pairs.attacker[at]]
    _when(pairs, at, (status > 0) & (status <= TOX), 2)
    if pairs.pokemon.tables.gen >= 6:
        pairs.power[at] /= np.minimum(pairs.pokemon.might[pairs.attacker[at], PHYSICAL], 1)


@rule("hex", "infernalparade")
def _hex(pairs: Pairs, at: Ints) -> None:
    _when(pairs, at, pairs.pokemon.status[pairs.defender[at]] > 0, 2)


@rule("venoshock", "barbbarrage")
def _venoshock(pairs: Pairs, at: Ints) -> None:
    _when(pairs, at, np.isin(pairs.pokemon.status[pairs.defender[at]], (PSN, TOX)), 2)


@rule("smellingsalts")
def _paralysed(pairs: Pairs, at: Ints) -> None:
    _when(pairs, at, pairs.pokemon.status[pairs.defender[at]] == PAR, 2)


@rule("wakeupslap")
def _asleep(pairs: Pairs, at: Ints) -> None:
    _when(pairs, at, pairs.pokemon.status[pairs.defender[at]] == SLP, 2)


@rule("dreameater")
def _dreams(pairs: Pairs, at: Ints) -> None:
    _when(pairs, at, pairs.pokemon.status[pairs.defender[at]] != SLP, 0)


@rule("brine")
def _brine(pairs: Pairs, at: Ints) -> None:
    _when(pairs, at, pairs.pokemon.hp[pairs.defender[at]] <= 0.5, 2)


@rule("acrobatics", "knockoff", "poltergeist")
def _by_item(pairs: Pairs, at: Ints) -> None:
    pokemon = pairs.pokemon
    empty = pokemon.fields.are("item", "none")
    name = next(name for name in ("acrobatics", "knockoff", "poltergeist")
                if pokemon.tables.moves[name] == pairs.move[at[0]])
    if name == "acrobatics":
        _when(pairs, at, empty[pairs.attacker[at]], 2)
    elif name == "poltergeist":
        _when(pairs, at, empty[pairs.defender[at]], 0)
    elif pokemon.tables.gen >= 6:
        _when(pairs, at, ~empty[pairs.defender[at]] & ~pokemon.tables.is_bound[pokemon.item[pairs.defender[at]]], 1.5)


@rule("weatherball")
def _weather_ball(pairs: Pairs, at: Ints) -> None:
    for weather, type_ in WEATHER_BALL.items():
        there = at[pairs.pokemon.weather_is(weather)[pairs.attacker[at]]]
        pairs.type[there] = pairs.pokemon.tables.types[type_]
        pairs.power[there] *= 2


@rule("terrainpulse")
def _terrain_pulse(pairs: Pairs, at: Ints) -> None:
    for terrain, type_ in TERRAIN_TYPE.items():
        there = at[(pairs.pokemon.terrain_is(terrain) & pairs.pokemon.grounded)[pairs.attacker[at]]]
        pairs.type[there] = pairs.pokemon.tables.types[type_]
        pairs.power[there] *= 2


@rule("expandingforce", "psyblade", "mistyexplosion", "risingvoltage")
def _on_terrain(pairs: Pairs, at: Ints) -> None:
    pokemon, moves = pairs.pokemon, pairs.pokemon.tables.moves
    from_ground, on_ground = pokemon.grounded[pairs.attacker[at]], pokemon.grounded[pairs.defender[at]]
    for name, terrain, condition, factor in (
            ("expandingforce", "psychicterrain", from_ground, 1.5), ("psyblade", "electricterrain", True, 1.5),
            ("mistyexplosion", "mistyterrain", from_ground, 1.5), ("risingvoltage", "electricterrain", on_ground, 2)):
        _when(pairs, at, (pairs.move[at] == moves[name]) & condition
              & pokemon.terrain_is(terrain)[pairs.attacker[at]], factor)


@rule("solarbeam", "solarblade")
def _solar(pairs: Pairs, at: Ints) -> None:
    others = ("primordialsea", "sandstorm", "hail", "snowscape") if pairs.pokemon.tables.gen >= 3 else ()
    dim = pairs.pokemon.weather_is("raindance", *others)
    _when(pairs, at, dim[pairs.attacker[at]], 0.5)


@rule("terablast", "terastarstorm", "photongeyser", "lightthatburnsthesky")
def _stronger_side(pairs: Pairs, at: Ints) -> None:
    pokemon, tables = pairs.pokemon, pairs.pokemon.tables
    attacker = pairs.attacker[at]
    turns = pokemon.terastallized[attacker] & (pairs.move[at] == tables.moves["terablast"])
    pairs.type[at] = np.where(turns, np.where(pokemon.is_stellar[attacker], tables.types["stellar"],
                                              pokemon.types[0][attacker]), pairs.type[at])
    pairs.power[at] = np.where(turns & pokemon.is_stellar[attacker], 100, pairs.power[at])
    always = np.isin(pairs.move[at], [tables.moves["photongeyser"], tables.moves["lightthatburnsthesky"]])
    physical = (turns | always) & (pokemon.stats[attacker, 1] > pokemon.stats[attacker, 3])
    pairs.category[at] = np.where(physical, PHYSICAL, SPECIAL)
    pairs.attack_slot[at] = np.where(physical, 1, 3)
    pairs.defence_slot[at] = np.where(physical, 2, 4)


@rule("judgment", "multiattack", "technoblast")
def _held_type(pairs: Pairs, at: Ints) -> None:
    held = pairs.pokemon.tables.held_type[pairs.pokemon.item[pairs.attacker[at]]]
    pairs.type[at] = np.where(held > 0, held, pairs.type[at])


@rule("ragingbull", "ivycudgel")
def _forme_type(pairs: Pairs, at: Ints) -> None:
    tables = pairs.pokemon.tables
    for formes in FORME_TYPE.values():
        for forme, type_ in formes.items():
            if row := tables.species[forme]:
                pairs.type[at[pairs.pokemon.species[pairs.attacker[at]] == row]] = tables.types[type_]


@rule("revelationdance")
def _dance(pairs: Pairs, at: Ints) -> None:
    pairs.type[at] = pairs.pokemon.types[0][pairs.attacker[at]]


@rule("struggle")
def _struggle(pairs: Pairs, at: Ints) -> None:
    if pairs.pokemon.tables.gen >= 2:
        pairs.type[at] = pairs.pokemon.tables.types["typeless"]


@rule("lastrespects")
def _last_respects(pairs: Pairs, at: Ints) -> None:
    lost = np.repeat(6 - pairs.pokemon.fields.per_side["alive"].ravel(), 6)
    pairs.power[at] = 50 + 50 * lost[pairs.attacker[at]]


@rule("spitup")
def _spit_up(pairs: Pairs, at: Ints) -> None:
    stock = np.zeros(2 * pairs.pokemon.count)
    stock[pairs.pokemon.active] = pairs.pokemon.fields.per_side["stockpile"]
    pairs.power[at] = 100 * stock[pairs.attacker[at]]
