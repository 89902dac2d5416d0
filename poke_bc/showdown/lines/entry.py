"""Who comes in and who leaves; Illusion; team preview."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poke_bc.showdown.lines.health import set_condition
from poke_bc.showdown.protocol import NONE, Details, other, read_condition, read_details
from poke_bc.showdown.record import SkippedBattle
from poke_bc.showdown.state import Mon, Side

if TYPE_CHECKING:
    from poke_bc.showdown.battle import Battle

PASSED_ON = frozenset("""
    substitute confusion leechseed curse ingrain aquaring magnetrise focusenergy perish healblock trapped
    """.split())
"""Volatiles that Baton Pass hands on."""
KEPT_FROM_ENTRY = ("hp", "hp_shown", "status", "status_turns", "fainted", "item", "last_item", "first_item",
                   "item_shown", "ability", "first_ability", "brought_ability", "ability_shown", "seen", "nick",
                   "forme", "tera", "terastallized")
"""What a Pokémon gets back when it turns out that another one stood there."""
TAKEN_OVER = ("hp", "hp_shown", "status", "status_turns", "fainted", "boosts", "volatiles", "last_move", "came_in",
              "protect_streak", "types", "stint_moves", "disabled", "encored")
"""What passes to the one who really stood there."""

def find(battle: Battle, side: Side, nick: str, details: Details, hp: float | None = None) -> Mon | None:
    """The Pokémon of a team that answers to this name and these details."""
    base = battle.base_of(details.species)

    def fits(mon: Mon) -> bool:
        return (
            mon.base == base and mon.details.level == details.level
            and (mon.details.gender == details.gender or not mon.nick)
        )

    found = [mon for mon in side.mons if mon.nick in (nick, "") and fits(mon)]
    if len(found) > 1:  # several alike
        found = [mon for mon in found if not mon.fainted and mon is not side.active] or found
        return min(found, key=lambda mon: (abs(mon.hp - hp) if hp is not None else 0.0, mon.nick != nick))
    return found[0] if found else None


def add(battle: Battle, side: Side, nick: str, details: Details) -> Mon:
    """A Pokémon seen for the first time. Raises SkippedBattle where the team is full."""
    mon = Mon(nick, details, battle.base_of(details.species), details.species)
    side.mons.append(mon)
    if len(side.mons) > max(side.size, 6):
        raise SkippedBattle("inconsistent state", "more Pokémon than the team holds")
    return mon


def switch(battle: Battle, parts: list[str]) -> None:
    """Somebody comes in, by choice or dragged."""
    number = battle.lines_read - 1
    side = battle.sides[parts[2][:2]]
    if parts[2][2:3] != "a":
        raise SkippedBattle("not singles", parts[2][:3])
    nick, details = parts[2].split(": ", 1)[1], read_details(parts[3])
    condition = read_condition(parts[4]) if len(parts) > 4 else None
    shown = find(battle, side, nick, details, condition.hp if condition else None) or add(battle, side, nick, details)
    mon = shown
    if number in battle.truth:
        true_nick, true_details = battle.truth[number]
        really = read_details(true_details)
        mon = find(battle, side, true_nick, really) or add(battle, side, true_nick, really)
    left = side.active
    leave(battle, side, mon)
    if left is not None and number in battle.returns:
        left.hp = battle.returns[number]
    battle.entered[side.player] = snapshot(shown)
    shown.nick = nick
    shown.believed = None
    if mon is shown:
        if not mon.seen and mon.own is None:
            mon.details = details  # team preview may have hidden the forme
        mon.forme = details.species
        if details.tera != NONE:
            mon.tera, mon.terastallized = details.tera, True
    else:
        mon.believed, mon.disguise = mon.believe(), shown
    side.active = mon
    mon.came_in = battle.turn
    show(battle, side, shown)
    if condition is not None:
        set_condition(battle, mon, parts[4])
    if parts[1] == "switch":
        side.now.switched = True


def leave(battle: Battle, side: Side, successor: Mon) -> None:
    old = side.active
    passing, side.passing = side.passing, ""
    side.dynamaxed = 0
    if old is None:
        return
    boosts, volatiles = old.boosts, old.volatiles
    if old.disguise is not None:  # never unmasked: its opponent takes all that for the other one's
        old.disguise.believed = old.believe()
        old.disguise.credited |= {move: old.moves.get(move, 1) for move in sorted(old.stint_moves)}
    old.leave()
    foe = battle.sides[other(side.player)].active
    if foe is not None:
        for held in ("partiallytrapped", "trapped", "attract"):
            foe.volatiles.pop(held, None)
    if passing == "batonpass" and successor is not old:
        successor.boosts = boosts
        successor.volatiles = {name: since for name, since in volatiles.items() if name in PASSED_ON}
    elif passing == "shedtail" and "substitute" in volatiles:
        successor.volatiles = {"substitute": volatiles["substitute"]}


def show(battle: Battle, side: Side, mon: Mon) -> None:
    mon.seen = True
    if mon not in side.shown:
        side.shown.append(mon)


def replace(battle: Battle, parts: list[str]) -> None:
    """Illusion ends: the one who stands there was somebody else all the time."""
    side = battle.sides[parts[2][:2]]
    nick, details = parts[2].split(": ", 1)[1], read_details(parts[3])
    active = side.active
    if active is None:
        raise SkippedBattle("inconsistent state", "Illusion of nobody")
    if active.disguise is not None:
        shown, active.disguise = active.disguise, None
        active.believed = None
        active.hidden.clear()
        restore(shown, battle.entered[side.player])
        active.nick = nick
    else:
        mon = find(battle, side, nick, details) or add(battle, side, nick, details)
        if mon is not active:
            take_over(mon, active)
            shown = active
            shown.leave()
            restore(shown, battle.entered[side.player])
            mon.nick = nick
            side.active = active = mon
        else:
            shown = active
    if not shown.seen and not side.previewed and shown in side.shown:
        side.shown.remove(shown)
    show(battle, side, active)


def stands(battle: Battle, player: str, mon: Mon) -> None:
    """The player's request says who really stands there: under Illusion not the one shown."""
    side = battle.sides[player]
    shown = side.active
    if shown is None or shown is mon:
        return
    if shown.disguise is not None:
        shown = shown.disguise
        if shown is mon:
            raise SkippedBattle("inconsistent state", "a request and the log disagree on who is active")
    mon.believed = mon.believe()
    mon.hidden |= shown.stint_moves - mon.moves.keys()
    take_over(mon, shown)
    shown.leave()
    restore(shown, battle.entered[player])
    shown.seen = True
    mon.disguise, side.active = shown, mon


def poke(battle: Battle, parts: list[str]) -> None:
    side = battle.sides[parts[2]]
    side.previewed = True
    details = read_details(parts[3])
    base = battle.base_of(details.species)
    mon = next((mon for mon in side.mons if mon not in side.shown and mon.base == base
                and mon.details.level == details.level), None)
    if mon is None:
        mon = add(battle, side, "", details)
    mon.previewed = details.species
    side.shown.append(mon)
    side.size = len(side.shown)


def snapshot(mon: Mon) -> tuple[object, ...]:
    return (*(getattr(mon, name) for name in KEPT_FROM_ENTRY), dict(mon.moves))


def restore(mon: Mon, snapshot: tuple[object, ...]) -> None:
    for name, value in zip(KEPT_FROM_ENTRY, snapshot, strict=False):
        setattr(mon, name, value)
    mon.moves = snapshot[-1]  # type: ignore[assignment]


def take_over(mon: Mon, impostor: Mon) -> None:
    for name in TAKEN_OVER:
        setattr(mon, name, getattr(impostor, name))
    for move in sorted(impostor.stint_moves):  # a set's own order differs from process to process
        mon.moves.setdefault(move, 1)
