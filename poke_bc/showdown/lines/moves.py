"""Moves: used, failed, not possible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poke_bc.dex import to_id
from poke_bc.showdown.lines.effects import PROTECTS
from poke_bc.showdown.lines.reveals import has_ability, reveal_cause
from poke_bc.showdown.protocol import NONE, UNKNOWN, caller, cannot_move, effect_id, move_id, other, tag
from poke_bc.showdown.record import SkippedBattle

if TYPE_CHECKING:
    from poke_bc.showdown.battle import Battle

RAMPAGES = frozenset(["outrage", "petaldance", "thrash", "ragingfury", "rollout", "iceball", "uproar"])


def move(battle: Battle, parts: list[str]) -> None:
    side = battle.sides[parts[2][:2]]
    mon = battle.mon(parts[2])
    if mon is None:
        raise SkippedBattle("inconsistent state", "a move of nobody")
    called = caller(parts)
    move = move_id(parts[3])
    battle.mover = side.player
    goes_on = mon.charging == to_id(parts[3]) or (
        "locked" in mon.volatiles and mon.volatiles["locked"] < battle.turn and mon.last_move == move)
    for over in ("charging", "destinybond", "mustrecharge"):
        mon.volatiles.pop(over, None)
    mon.charging = ""
    if called in ("ability", "other"):
        reveal_cause(battle, tag(parts, "from"), parts[:4] + [p for p in parts[4:] if p.startswith("[from]")], mon)
        return
    powered = battle.z_powered == side.player and not parts[3].startswith("Z-")
    if called == "sleeptalk":
        mon.use(move, 0)
        return
    battle.z_powered = None
    if side.now.move == NONE:
        side.now.move = move
        side.now.moved_first = battle.sides[other(side.player)].now.move == NONE
    if move == "struggle":
        mon.last_move = move
        return
    if not powered and not side.dynamaxed:
        known = battle.dex.move(move)
        foe = battle.sides[other(side.player)].active
        pressed = (len(parts) > 4 and parts[4][:2] not in ("", side.player) and foe is not None
                   and foe.sure_ability(battle.dex) == "pressure")
        if mon.mimicked != move:
            mon.use(move, 0 if called == "locked" or goes_on else 2 if pressed else 1)
        mon.stint_moves.add(move)
        held = mon.item if mon.item != UNKNOWN or mon.own is None else mon.own.item
        if held in battle.dex.choice_items and not mon.choice_locked:
            mon.choice_locked = move
        if known is not None and move in RAMPAGES:
            mon.volatiles.setdefault("locked", battle.turn)
        else:
            mon.volatiles.pop("locked", None)
    else:
        mon.powered.add(("z" if powered else "max", move))
    mon.last_move = move
    mon.protect_streak = mon.protect_streak + 1 if move in PROTECTS else 0
    side.passing = move if move in ("batonpass", "shedtail") else ""
    if move == "wish" and not side.wish:
        side.wish = battle.turn or 1


def cant(battle: Battle, parts: list[str]) -> None:
    mover = cannot_move(parts)
    mon = battle.mon(mover)
    if mon is None:
        return
    reason = effect_id(parts[3])
    if parts[3].startswith("ability: ") and reason != "truant":
        holder = battle.mon(parts[2])
        if holder is not None:
            has_ability(battle, holder, reason)
    elif reason == "truant":
        has_ability(battle, mon, reason)
    for over in ("charging", "mustrecharge", "locked"):
        mon.volatiles.pop(over, None)
    mon.charging = ""
    if reason == "slp" and mon.status == "slp":
        mon.status_turns += 1
    if len(parts) > 4 and parts[4] and not parts[4].startswith("["):
        mon.use(move_id(parts[4]), 0)
    mon.protect_streak = 0


def failed(battle: Battle, parts: list[str]) -> None:
    if battle.mover is None:
        return
    side = battle.sides[battle.mover]
    side.now.failed = True
    if side.active is not None:
        side.active.volatiles.pop("locked", None)
        side.active.protect_streak = 0
    if parts[1] == "-immune" and (mon := battle.mon(parts[2])) is not None:
        reveal_cause(battle, tag(parts, "from"), parts, mon)
    if side.passing and parts[1] == "-fail":
        side.passing = ""


def missed(battle: Battle, parts: list[str]) -> None:
    if parts[2][:2] in battle.sides:
        side = battle.sides[parts[2][:2]]
        side.now.missed = True
        if side.active is not None:
            side.active.volatiles.pop("locked", None)


def crit(battle: Battle, parts: list[str]) -> None:
    if parts[2][:2] in battle.sides:
        battle.sides[other(parts[2][:2])].now.crit = True


def recharge(battle: Battle, parts: list[str]) -> None:
    if (mon := battle.mon(parts[2])) is not None:
        mon.volatiles["mustrecharge"] = battle.turn


def prepare(battle: Battle, parts: list[str]) -> None:
    if (mon := battle.mon(parts[2])) is not None:
        mon.volatiles["charging"] = battle.turn
        mon.charging = move_id(parts[3])


def anim(battle: Battle, parts: list[str]) -> None:
    """A charged move that needs no second turn (sun, Power Herb) follows at once."""
    if (mon := battle.mon(parts[2])) is not None and mon.charging:
        mon.charging = ""
        mon.volatiles.pop("charging", None)
