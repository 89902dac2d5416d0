"""Moves: used, failed, prevented."""

from __future__ import annotations

from poke_bc.dex import to_id
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.lines import hidden_power
from poke_bc.showdown.lines.effects import BINDING_MOVES, PROTECTS
from poke_bc.showdown.lines.order import note_order
from poke_bc.showdown.lines.reveals import has_ability, reveal, reveal_cause
from poke_bc.showdown.power import crystal_of
from poke_bc.showdown.protocol import NONE, UNKNOWN, caller, cannot_move, cause_of, effect_id, move_id, other
from poke_bc.showdown.record import SkippedBattle
from poke_bc.showdown.state import Mon

RAMPAGES = frozenset(["outrage", "petaldance", "thrash", "ragingfury", "rollout", "iceball", "uproar"])
PRESSED_ANYWAY = frozenset("""
    chillyreception courtchange electricterrain fairylock flowershield grassyterrain gravity hail haze imprison
    iondeluge magicroom mistyterrain mudsport perishsong psychicterrain raindance rototiller sandstorm snatch snowscape
    sunnyday teatime trickroom watersport wonderroom
    """.split())
"""Moves that aim at all, or have the flag `mustpressure`: Pressure takes their PP although they name no foe."""


def move(battle: Battle, parts: list[str]) -> None:
    player = parts[2][:2]
    side = battle.sides[player]
    mon = battle.mon(parts[2])
    if mon is None:
        raise SkippedBattle("inconsistent state", "a move without a Pokémon")
    called = caller(parts)
    move = move_id(parts[3])
    battle.mover, battle.hidden_power = player, None
    volatiles = mon.volatiles
    continues = mon.charging == to_id(parts[3]) or (
        "locked" in volatiles and volatiles["locked"] < battle.turn and mon.rampage == move)
    if volatiles:
        for ended in ("charging", "destinybond", "mustrecharge"):
            volatiles.pop(ended, None)
    mon.charging = ""
    if called in ("ability", "other"):
        reveal(mon, cause_of(parts) or "")
        if called == "other":
            _rampage(battle, mon, move)
        return
    powered = battle.z_powered == player and not parts[3].startswith("Z-")
    if called == "sleeptalk":
        mon.use(move, 0)
        _rampage(battle, mon, move)
        return
    if battle.z_powered == player:
        battle.z_powered = None
        if mon.first_item == UNKNOWN:  # what its own player knew; no line names it to the opponent
            mon.first_item = crystal_of(battle.dex, move) or UNKNOWN
    if side.this_turn.move == NONE:
        side.this_turn.move = move
        side.this_turn.moved_first = battle.sides[other(player)].this_turn.move == NONE
        note_order(battle, side, mon, move)
    continues = continues or called == "locked"  # it may be one that another move called
    if not continues:
        mon.repeats = mon.repeats + 1 if mon.last_move == move else 1
    if move == "struggle":
        mon.last_move, mon.protect_streak = move, 0
        return
    if powered or side.dynamaxed:
        if mon.copied is None:
            how = ("z" if powered else "max", move)
            mon.powered[how] = mon.powered.get(how, 0) + (2 if _is_pressed(battle, player, move, parts) else 1)
    elif not continues:
        mon.use(move, 2 if _is_pressed(battle, player, move, parts) else 1)
        mon.stint_moves.add(move)
        if not mon.choice_locked and locks_choice(battle, mon):
            mon.choice_locked = move
        _rampage(battle, mon, move)
        if battle.gen == 1 and move in BINDING_MOVES and (foe := battle.foe_of(player)) is not None:
            volatiles["binding"] = foe.volatiles["partiallytrapped"] = battle.turn
    if move == "hiddenpower":
        hidden_power.aim(battle, mon, battle.foe_of(player))
    mon.last_move = move
    mon.protect_streak = mon.protect_streak + 1 if move in PROTECTS else 0
    side.passing = move if move in ("batonpass", "shedtail") else ""
    if move == "wish" and not side.wish:
        side.wish = battle.turn or 1


def _is_pressed(battle: Battle, player: str, move: str, parts: list[str]) -> bool:
    """Whether the foe's Pressure takes another PP; Sticky Web alone of the moves against a side escapes it."""
    foe = battle.foe_of(player)
    if foe is None or (foe.ability != "pressure" and battle.gen != 3):  # it shows itself, but in generation 3
        return False
    aims = (len(parts) > 4 and parts[4][:2] not in ("", player) and move != "stickyweb") or move in PRESSED_ANYWAY
    return aims and battle.ability_at_work(foe) == "pressure"


def _rampage(battle: Battle, mon: Mon, move: str) -> None:
    if move in RAMPAGES and battle.dex.move(move) is not None:
        mon.volatiles.setdefault("locked", battle.turn)
        mon.rampage = move
    else:
        mon.volatiles.pop("locked", None)


def locks_choice(battle: Battle, mon: Mon) -> bool:
    """Whether a choice item or Gorilla Tactics locks it into the move that it uses, as far as its player's set says."""
    item, ability = mon.item, mon.ability
    if mon.own_set is not None:
        item = mon.own_set.item if item == UNKNOWN else item
        ability = mon.own_set.ability if ability == UNKNOWN and not mon.ability_changed else ability
    return item in battle.dex.choice_items or ability == "gorillatactics"


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
    _end_binding(battle, mover[:2])
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
        _end_binding(battle, battle.mover)
    if parts[1] == "-immune":
        hidden_power.immune(battle, parts)
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
            _end_binding(battle, side.player)


def _end_binding(battle: Battle, player: str) -> None:
    """Generation 1's Wrap has failed: it holds neither."""
    side = battle.sides[player]
    if side.active is not None and side.active.volatiles.pop("binding", None) is not None \
            and (foe := battle.foe_of(player)) is not None:
        foe.volatiles.pop("partiallytrapped", None)


def crit(battle: Battle, parts: list[str]) -> None:
    if parts[2][:2] in battle.sides:
        battle.sides[other(parts[2][:2])].this_turn.crit = True


def recharge(battle: Battle, mon: Mon, parts: list[str]) -> None:
    mon.volatiles["mustrecharge"] = battle.turn


def prepare(battle: Battle, mon: Mon, parts: list[str]) -> None:
    if "[premajor]" in parts:  # Chilly Reception's announcement
        return
    mon.volatiles["charging"] = battle.turn
    mon.charging = move_id(parts[3])


def anim(battle: Battle, mon: Mon, parts: list[str]) -> None:
    """A charged move that needs no second turn (sun, Power Herb) follows at once."""
    if mon.charging:
        mon.charging = ""
        mon.volatiles.pop("charging", None)
