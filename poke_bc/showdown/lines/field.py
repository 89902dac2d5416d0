"""The field, the sides, and the battle as a whole."""

from __future__ import annotations

from poke_bc.dex import to_id
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.lines.reveals import reveal_cause
from poke_bc.showdown.protocol import NONE, effect_id, read_number
from poke_bc.showdown.record import SkippedBattle
from poke_bc.showdown.state import SideTurn

HAZARDS = {"spikes": 3, "toxicspikes": 2, "stealthrock": 1, "stickyweb": 1}
"""Hazard -> most layers it can have."""
TERRAINS = frozenset({"electricterrain", "grassyterrain", "mistyterrain", "psychicterrain"})


def weather(battle: Battle, parts: list[str]) -> None:
    weather = {"none": NONE, "snow": "snowscape"}.get(to_id(parts[2]), to_id(parts[2]))
    if weather != battle.weather or "[upkeep]" not in parts:
        battle.weather, battle.weather_since = weather, battle.upkeeps
    reveal_cause(battle, parts)


def field_start(battle: Battle, parts: list[str]) -> None:
    effect = effect_id(parts[2])
    if effect in TERRAINS:
        battle.terrain, battle.terrain_since = effect, battle.upkeeps
    else:
        battle.rooms[effect] = battle.upkeeps
    reveal_cause(battle, parts)


def field_activate(battle: Battle, parts: list[str]) -> None:
    if effect_id(parts[2]) == "fairylock":
        battle.fairy_lock = battle.turn + 1


def field_end(battle: Battle, parts: list[str]) -> None:
    effect = effect_id(parts[2])
    if effect == battle.terrain:
        battle.terrain = NONE
    battle.rooms.pop(effect, None)


def side_start(battle: Battle, parts: list[str]) -> None:
    conditions, effect = battle.sides[parts[2][:2]].conditions, effect_id(parts[3])
    if effect in HAZARDS:
        conditions[effect] = min(conditions.get(effect, 0) + 1, HAZARDS[effect])
    else:
        conditions[effect] = battle.upkeeps


def side_end(battle: Battle, parts: list[str]) -> None:
    battle.sides[parts[2][:2]].conditions.pop(effect_id(parts[3]), None)


def swap_sides(battle: Battle, parts: list[str]) -> None:
    one, two = battle.sides.values()
    one.conditions, two.conditions = two.conditions, one.conditions


def upkeep(battle: Battle, parts: list[str]) -> None:
    battle.upkeeps = battle.turn


def turn(battle: Battle, parts: list[str]) -> None:
    battle.turn = read_number(parts[2])
    battle.upkeeps = battle.turn - 1  # old logs have no |upkeep|
    for side in battle.sides.values():
        if side.active is not None and side.active.volatiles:
            _expire(battle, side.active.volatiles)
        side.last_turn, side.this_turn = side.this_turn, SideTurn()
        # it has ended, or began in a later turn of a damaged log whose turns run backwards
        if not side.wish <= battle.turn <= side.wish + 1:
            side.wish = 0
        if not side.future <= battle.turn <= side.future + 2:
            side.future = 0


def _expire(battle: Battle, volatiles: dict[str, int]) -> None:
    """What ends without a line: Yawn in old logs; generation 1's Wrap, of which nobody knows whether it goes on."""
    if volatiles.get("yawn", battle.turn) < battle.turn - 1:
        del volatiles["yawn"]
    if battle.gen == 1:
        for effect in ("partiallytrapped", "binding"):
            if volatiles.get(effect, battle.turn) < battle.turn - 1:
                del volatiles[effect]


def player(battle: Battle, parts: list[str]) -> None:
    side = battle.sides.get(parts[2])
    if side is None:
        raise SkippedBattle("not singles", "more than two players")
    if len(parts) > 3 and parts[3]:
        side.name = parts[3]
    if len(parts) > 5 and parts[5].isdecimal():
        side.rating = int(parts[5])


def team_size(battle: Battle, parts: list[str]) -> None:
    if parts[2] in battle.sides:
        battle.sides[parts[2]].size = read_number(parts[3])


def team_preview(battle: Battle, parts: list[str]) -> None:
    """`|teampreview|3`: three of those listed are brought; without a number all are."""
    if len(parts) > 2 and parts[2]:
        battle.brought = read_number(parts[2])


def start(battle: Battle, parts: list[str]) -> None:
    """Who fights has been chosen. Raises SkippedBattle where a second battle begins."""
    if battle.started:
        raise SkippedBattle("more than one battle in one log")
    battle.started = True
    for side in battle.sides.values():
        side.size = min(side.size, battle.brought or side.size)


def game_type(battle: Battle, parts: list[str]) -> None:
    if parts[2] != "singles":
        raise SkippedBattle("not singles", parts[2])


def rule(battle: Battle, parts: list[str]) -> None:
    if parts[2].startswith("HP Percentage Mod"):
        battle.percent = True
    elif parts[2].startswith("Dynamax Clause"):
        battle.banned.add("dynamax")
    elif parts[2].startswith("Terastal Clause"):
        battle.banned.add("tera")


def won(battle: Battle, parts: list[str]) -> None:
    if parts[1] == "tie":
        battle.winner = "tie"
        return
    named = [side.player for side in battle.sides.values() if to_id(side.name) == to_id(parts[2])]
    battle.winner = named[0] if len(named) == 1 else None  # in self-play both may have one name
