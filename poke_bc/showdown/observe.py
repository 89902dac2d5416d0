"""The observation of the singles schema: what one player knows at this moment. Both convert and live play call it.

Of the own side: everything that its player knows. Of the opponent: what was shown, as it was shown (HP in percent,
under Illusion the disguise). Field by field: poke_bc/contract/schemas/singles.toml.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from poke_bc.showdown.battle import Battle
from poke_bc.showdown.decision import TURN
from poke_bc.showdown.legal import only_option
from poke_bc.showdown.observed_teams import (
    NO_OPP,
    NO_OWN,
    OPP_FIELDS,
    OWN_FIELDS,
    TeamColumns,
    update_opponent,
    update_own,
)
from poke_bc.showdown.own_pokemon import item_of
from poke_bc.showdown.protocol import NONE, other
from poke_bc.showdown.state import DYNAMAX, MEGA, TERA, Mon, Side, Z

Json = dict[str, Any]

AGE_MAX, TURN_MAX = 255, 1000
VOLATILES = tuple("""
    substitute confusion leechseed taunt encore disable torment attract yawn curse nightmare partiallytrapped
    trapped ingrain aquaring magnetrise healblock throatchop focusenergy charge saltcure destinybond perishsong
    flashfire slowstart mustrecharge charging locked transform smackdown
    """.split())
"""Order of `own_volatiles` and `opp_volatiles`."""
_INDEX = {name: index for index, name in enumerate(VOLATILES)} | {
    "perish": VOLATILES.index("perishsong"), "noretreat": VOLATILES.index("trapped")}
ROOMS = {"trick_room": "trickroom", "magic_room": "magicroom", "wonder_room": "wonderroom", "gravity": "gravity"}
SCREENS = {"reflect": "reflect", "light_screen": "lightscreen", "aurora_veil": "auroraveil", "tailwind": "tailwind",
           "safeguard": "safeguard", "mist": "mist"}
_SIDE_FIELDS = ("stealth_rock", "spikes", "toxic_spikes", "sticky_web", *SCREENS, "wish", "future_sight", "alive",
                "gimmick_used", "dynamax_turns")
_ACTIVE_FIELDS = ("boosts", "volatiles", "perish", "stockpile", "turns_active", "protect_streak", "last_move")
_HISTORY_FIELDS = ("previous_move", "moved_first", "switched", "crit", "missed", "failed")
_SIDE, _ACTIVE, _HISTORY = ({side: [f"{side}_{field}" for field in fields] for side in ("own", "opp")}
                            for fields in (_SIDE_FIELDS, _ACTIVE_FIELDS, _HISTORY_FIELDS))
_NO_SCREENS = (0,) * len(SCREENS)
_NO_VOLATILES = [False] * len(VOLATILES)


class View:
    """One player's latest observation, from which the next one is made."""

    def __init__(self) -> None:
        self.row: Json = dict.fromkeys((
            "turn", "phase", "own_can_gimmick", "weather", "weather_turns", "terrain", "terrain_turns", *ROOMS,
            *_SIDE["own"], *_SIDE["opp"]))
        self.own = TeamColumns(self.row, "own", OWN_FIELDS, NO_OWN)
        self.opp = TeamColumns(self.row, "opp", OPP_FIELDS, NO_OPP)
        self.row |= dict.fromkeys((*_ACTIVE["own"], *_ACTIVE["opp"], *_HISTORY["own"], *_HISTORY["opp"]))


def observe(battle: Battle, player: str, phase: str, *, locked: str = "",
            can_gimmick: Sequence[bool] | None = None) -> Json:
    """What `player` ("p1" or "p2") knows now.

    Args:
        battle: followed up to the moment of the decision; the player's own team has its sets (`Mon.own_set`).
        phase: "preview", "turn", "forced_faint", "forced_pivot" or "revival".
        locked: the only move that was open, if the request said so.
        can_gimmick: which of mega, Z, dynamax, tera the request offered; None: as far as the log shows.

    Returns:
        A value or list for each field of schema `singles` except the damage estimates, which
        poke_bc.showdown.damage.estimate.add_damage adds to many observations at once. Lists that did not change since
        the player's previous observation are the same objects: never modify one.
    """
    view: View | None = battle.views.get(player)
    if view is None:
        view = battle.views[player] = View()
    row, own, opp = view.row, battle.sides[player], battle.sides[other(player)]
    row["turn"] = min(battle.turn, TURN_MAX)
    row["phase"] = phase
    row["own_can_gimmick"] = list(can_gimmick) if can_gimmick is not None else possible_gimmicks(
        battle, own, phase, locked)
    row["weather"], row["terrain"] = battle.weather, battle.terrain
    row["weather_turns"] = _age(battle, battle.weather_since) if battle.weather != NONE else 0
    row["terrain_turns"] = _age(battle, battle.terrain_since) if battle.terrain != NONE else 0
    for name, room in ROOMS.items():
        row[name] = _age(battle, battle.rooms[room]) if room in battle.rooms else 0
    update_own(view.own, battle, own)
    update_opponent(view.opp, battle, opp)
    for name, side, only_move in (("own", own, locked), ("opp", opp, "")):
        row.update(zip(_SIDE[name], _side_values(battle, side), strict=True))
        row.update(zip(_ACTIVE[name], _active_values(battle, side.active, only_move), strict=True))
        turn = side.last_turn if phase == TURN else side.this_turn
        row.update(zip(_HISTORY[name], (turn.move, turn.moved_first, turn.switched, turn.crit, turn.missed,
                                        turn.failed), strict=True))
    return row.copy()


def _age(battle: Battle, since: int) -> int:
    return min(battle.age(since), AGE_MAX)


def _side_values(battle: Battle, side: Side) -> tuple[Any, ...]:
    conditions = side.conditions
    screens = _NO_SCREENS
    if conditions or battle.gen == 1:
        inside = side.active.volatiles if side.active is not None and battle.gen == 1 else {}
        began = [conditions.get(condition, inside.get(condition)) for condition in SCREENS.values()]
        screens = tuple([0 if since is None else _age(battle, since) for since in began])
    return ("stealthrock" in conditions, conditions.get("spikes", 0), conditions.get("toxicspikes", 0),
            "stickyweb" in conditions, *screens,
            max(side.wish + 2 - battle.turn, 0) if side.wish else 0,
            max(side.future + 3 - battle.turn, 0) if side.future else 0,
            side.alive, list(side.gimmick_used), min(battle.age(side.dynamaxed), 3) if side.dynamaxed else 0)


def _active_values(battle: Battle, mon: Mon | None, locked: str) -> tuple[Any, ...]:
    flags, boosts, perish, stockpile, turns, streak, last = _NO_VOLATILES, [0] * 7, 0, 0, 0, 0, NONE
    if mon is not None and not mon.fainted:
        if volatiles := mon.volatiles:
            flags = flags.copy()
            for effect in volatiles:
                if effect in _INDEX:
                    flags[_INDEX[effect]] = True
            perish, stockpile = min(volatiles.get("perish", 0), 4), min(volatiles.get("stockpile", 0), 3)
        boosts, turns = list(mon.boosts), max(min(battle.turn - mon.came_in, TURN_MAX), 0)
        streak, last = min(mon.protect_streak, 15), mon.last_move
    if locked and locked != "struggle":
        flags = flags.copy()
        flags[_INDEX["mustrecharge" if locked == "recharge" else "locked"]] = True
    return (boosts, flags, perish, stockpile, turns, streak, last)


def possible_gimmicks(battle: Battle, side: Side, phase: str, locked: str = "") -> list[bool]:
    """Which of mega, Z, dynamax, tera the active Pokémon could use, as far as the log shows."""
    can = [False] * 4
    mon = side.active
    if mon is None or phase != TURN or locked or only_option(battle, mon):
        return can
    if battle.gen in (6, 7) and (item := battle.dex.items.get(item_of(mon))) is not None:
        can[MEGA] = not side.gimmick_used[MEGA] and mon.forme in item.mega
        can[Z] = battle.gen == 7 and not side.gimmick_used[Z] and bool(item.z_type or item.z_move)
    can[DYNAMAX] = battle.may_dynamax(side)
    can[TERA] = battle.gen == 9 and not side.gimmick_used[TERA] and "tera" not in battle.banned
    return can
