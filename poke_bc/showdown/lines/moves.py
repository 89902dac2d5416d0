"""Moves: used, failed, prevented."""

from __future__ import annotations

from poke_bc.dex import to_id
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.lines.effects import PROTECTS
from poke_bc.showdown.lines.order import note_order
from poke_bc.showdown.lines.reveals import has_ability, reveal, reveal_cause
from poke_bc.showdown.protocol import NONE, UNKNOWN, caller, cannot_move, cause_of, effect_id, move_id, other
from poke_bc.showdown.record import SkippedBattle
from poke_bc.showdown.state import Mon

RAMPAGES = frozenset(["outrage", "petaldance", "thrash", "ragingfury", "rollout", "iceball", "uproar"])


def move(battle: Battle, parts: list[str]) -> None:
    player = parts[2][:2]
    side = battle.sides[player]
    mon = battle.mon(parts[2])
    if mon is None:
        raise SkippedBattle("inconsistent state", "a move without a Pokémon")
    called = caller(parts)
    move = move_id(parts[3])
    battle.mover = player
    volatiles = mon.volatiles
    continues = mon.charging == to_id(parts[3]) or (
        "locked" in volatiles and volatiles["locked"] < battle.turn and mon.last_move == move)
    if volatiles:
        for ended in ("charging", "destinybond", "mustrecharge"):
            volatiles.pop(ended, None)
    mon.charging = ""
    if called in ("ability", "other"):
        reveal(mon, cause_of(parts) or "")
        return
    powered = battle.z_powered == player and not parts[3].startswith("Z-")
    if called == "sleeptalk":
        mon.use(move, 0)
        return
    battle.z_powered = None
    if side.this_turn.move == NONE:
        side.this_turn.move = move
        side.this_turn.moved_first = battle.sides[other(player)].this_turn.move == NONE
        note_order(battle, side, mon, move)
    mon.repeats = mon.repeats + 1 if mon.last_move == move else 1
    if move == "struggle":
        mon.last_move = move
        return
    if not powered and not side.dynamaxed:
        if mon.mimicked != move:
            foe = battle.foe_of(player)
            pressed = (len(parts) > 4 and parts[4][:2] not in ("", player) and foe is not None
                       and foe.certain_ability(battle.dex) == "pressure")
            mon.use(move, 0 if called == "locked" or continues else 2 if pressed else 1)
        mon.stint_moves.add(move)
        held = mon.item if mon.item != UNKNOWN or mon.own_set is None else mon.own_set.item
        if held in battle.dex.choice_items and not mon.choice_locked:
            mon.choice_locked = move
        if move in RAMPAGES and battle.dex.move(move) is not None:
            volatiles.setdefault("locked", battle.turn)
        else:
            volatiles.pop("locked", None)
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
            has_ability(holder, reason)
    elif reason == "truant":
        has_ability(mon, reason)
    for ended in ("charging", "mustrecharge", "locked"):
        mon.volatiles.pop(ended, None)
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
    side.this_turn.failed = True
    if side.active is not None:
        side.active.volatiles.pop("locked", None)
        side.active.protect_streak = 0
    if parts[1] == "-immune" and (mon := battle.mon(parts[2])) is not None:
        reveal_cause(battle, parts, mon)
    if side.passing and parts[1] == "-fail":
        side.passing = ""


def missed(battle: Battle, parts: list[str]) -> None:
    side = battle.sides.get(parts[2][:2])
    if side is not None:
        side.this_turn.missed = True
        if side.active is not None:
            side.active.volatiles.pop("locked", None)


def crit(battle: Battle, parts: list[str]) -> None:
    if parts[2][:2] in battle.sides:
        battle.sides[other(parts[2][:2])].this_turn.crit = True


def recharge(battle: Battle, mon: Mon, parts: list[str]) -> None:
    mon.volatiles["mustrecharge"] = battle.turn


def prepare(battle: Battle, mon: Mon, parts: list[str]) -> None:
    mon.volatiles["charging"] = battle.turn
    mon.charging = move_id(parts[3])


def anim(battle: Battle, mon: Mon, parts: list[str]) -> None:
    """A charged move that needs no second turn (sun, Power Herb) follows at once."""
    if mon.charging:
        mon.charging = ""
        mon.volatiles.pop("charging", None)
