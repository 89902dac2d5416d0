"""Pokémon that enter and leave the field; Illusion; team preview."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from poke_bc.contract.actions import TEAM_SLOTS
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.lines.health import set_condition
from poke_bc.showdown.lines.order import unmask
from poke_bc.showdown.lines.reveals import has_ability
from poke_bc.showdown.protocol import NONE, Condition, Details, read_condition, read_details
from poke_bc.showdown.record import SkippedBattle
from poke_bc.showdown.state import Mon, Side

ILLUSIONISTS = frozenset({"zoroark", "zorua"})
"""Base species whose ability is Illusion."""
PASSED_ON = frozenset("""
    substitute confusion leechseed curse ingrain aquaring magnetrise focusenergy perish healblock trapped
    """.split())
"""Volatiles that Baton Pass hands on."""
RESTORED = ("hp", "hp_shown", "status", "status_turns", "fainted", "item", "last_item", "first_item", "item_shown",
            "ability", "first_ability", "brought_ability", "ability_shown", "seen", "nick", "forme", "tera",
            "terastallized", "absent")
"""What is restored on a Pokémon when the one that seemed to be it turns out to be another."""
TAKEN_OVER = ("hp", "hp_shown", "status", "status_turns", "fainted", "boosts", "volatiles", "last_move", "came_in",
              "protect_streak", "types", "added_type", "stint_moves", "disabled", "encored", "repeats", "rampage",
              "charging", "choice_locked", "substitute_hits", "boosted_stat", "fallen")
"""What passes to the Pokémon that was really active."""
LEARNED = ("item", "last_item", "first_item", "item_shown", "ability", "first_ability", "brought_ability",
           "ability_shown", "tera", "terastallized")
"""What the opponent learns of a Pokémon behind an Illusion, and takes to be the disguise's until it ends."""
_restored = attrgetter(*RESTORED)


def find(battle: Battle, side: Side, nick: str, details: Details, hp: float | None = None) -> Mon | None:
    """The Pokémon of a team with this name and these details; of several alike, the one whose HP is nearest to `hp`."""
    base, level, gender = battle.base_of(details.species), details.level, details.gender
    found = [mon for mon in side.mons if mon.base == base and mon.nick in (nick, "") and mon.details.level == level
             and (mon.details.gender == gender or not mon.nick)]
    if len(found) > 1:
        found = [mon for mon in found if not mon.fainted and mon is not side.active] or found
        return min(found, key=lambda mon: (abs(mon.hp - hp) if hp is not None else 0.0, mon.nick != nick))
    return found[0] if found else None


def add(battle: Battle, side: Side, nick: str, details: Details) -> Mon:
    """A Pokémon seen for the first time. Raises SkippedBattle if the team is full."""
    mon = Mon(nick, details, battle.base_of(details.species), details.species)
    side.mons.append(mon)
    if len(side.mons) > max(side.size, TEAM_SLOTS):
        raise SkippedBattle("inconsistent state", "more Pokémon than the team holds")
    return mon


def switch(battle: Battle, parts: list[str]) -> None:
    """A Pokémon comes in, by choice or dragged."""
    ident = parts[2]
    number = battle.lines_read - 1
    side = battle.sides[ident[:2]]
    if ident[2:3] != "a":
        raise SkippedBattle("not singles", ident[:3])
    nick, details = ident.split(": ", 1)[1], read_details(parts[3])
    condition = read_condition(parts[4]) if len(parts) > 4 else None
    shown, mon = who_comes_in(battle, side, number, parts)
    left = side.active
    leave(battle, side, mon)
    if left is not None and number in battle.returning_hp:
        left.hp = battle.returning_hp[number]
    if shown.fainted and condition is not None and not condition.fainted:
        _expose(battle, side, shown)
    battle.entry_states[shown] = snapshot(shown)
    shown.nick = nick
    if mon is shown:
        if not mon.seen and mon.own_set is None:
            mon.details = details  # team preview may have hidden the forme
        mon.forme = details.species
        if details.tera != NONE:
            mon.tera, mon.terastallized = details.tera, True
        if condition is not None:
            _notice_regenerator(battle, mon, condition)
    else:
        mon.disguise = shown
    side.active = mon
    mon.came_in = battle.turn
    mon.bench_changes += 1
    show(side, shown)
    if condition is not None:
        set_condition(battle, mon, parts[4])
    if parts[1] == "switch":
        side.this_turn.switched = True


def who_comes_in(battle: Battle, side: Side, number: int, parts: list[str]) -> tuple[Mon, Mon]:
    """The Pokémon that a line shows, and the one that it really is."""
    nick, details = parts[2].split(": ", 1)[1], read_details(parts[3])
    condition = read_condition(parts[4]) if len(parts) > 4 else None
    shown = find(battle, side, nick, details, condition.hp if condition else None) or add(battle, side, nick, details)
    if number not in battle.illusions:
        return shown, shown
    true_nick, true_details = battle.illusions[number]
    actual = read_details(true_details)
    return shown, find(battle, side, true_nick, actual) or add(battle, side, true_nick, actual)


def _expose(battle: Battle, side: Side, shown: Mon) -> None:
    """The one that seemed to have fainted comes in: it had been another, and where only one can be that, it was."""
    able = [mon for mon in side.mons if mon.base in ILLUSIONISTS and not mon.fainted]
    if len(able) == 1 and shown in battle.entry_states:
        attribute(battle, side, shown, able[0])
        show(side, able[0])


def _notice_regenerator(battle: Battle, mon: Mon, condition: Condition) -> None:
    """It comes back with a third more than it left with, of which no line told."""
    species = battle.dex.species(mon.forme)
    healed = (condition.percent if battle.percent else condition.pixels) - mon.hp_shown
    if (battle.gen >= 5 and mon.seen and not mon.fainted and mon.hp_shown > 0 and healed > 0.04
            and abs(min(mon.hp_shown + 1 / 3, 1.0) - mon.hp_shown - healed) < 0.04
            and species is not None and "regenerator" in species.abilities):
        has_ability(mon, "regenerator")


def leave(battle: Battle, side: Side, successor: Mon) -> None:
    """The active Pokémon leaves the field."""
    old = side.active
    passing, side.passing = side.passing, ""
    side.dynamaxed = 0
    if old is None:
        return
    boosts, volatiles, substitute_hits = old.boosts, old.volatiles, old.substitute_hits
    if old.ability == "regenerator" and not old.fainted and battle.ability_at_work(old) == "regenerator":
        old.hp, old.hp_shown = min(old.hp + 1 / 3, 1.0), min(old.hp_shown + 1 / 3, 1.0)
    old.leave()
    old.bench_changes += 1
    if battle.gen == 5 and old.status == "slp":
        old.status_turns = 0
    foe = battle.foe_of(side.player)
    if foe is not None:
        for held in ("partiallytrapped", "trapped", "attract", "binding"):
            foe.volatiles.pop(held, None)
    if passing == "batonpass" and successor is not old:
        successor.boosts = boosts
        successor.volatiles = {name: since for name, since in volatiles.items() if name in PASSED_ON}
        successor.substitute_hits = substitute_hits
    elif passing == "shedtail" and "substitute" in volatiles:
        successor.volatiles = {"substitute": volatiles["substitute"]}


def show(side: Side, mon: Mon) -> None:
    """The opponent has seen this Pokémon."""
    mon.seen = True
    mon.bench_changes += 1
    if mon not in side.shown:
        side.shown.append(mon)


def replace(battle: Battle, parts: list[str]) -> None:
    """Illusion ends: the active Pokémon has been another one since it came in."""
    side = battle.sides[parts[2][:2]]
    nick, details = parts[2].split(": ", 1)[1], read_details(parts[3])
    active = side.active
    if active is None:
        raise SkippedBattle("inconsistent state", "an Illusion without a Pokémon")
    shown = active.disguise or active
    if shown is not active:
        active.disguise = None
        restore(shown, battle.entry_states[shown])
    else:
        active = find(battle, side, nick, details) or add(battle, side, nick, details)
        if active is not shown:
            attribute(battle, side, shown, active)
            side.active = active
    active.nick = nick
    if not shown.seen and not side.listed and shown in side.shown:
        side.shown.remove(shown)
    show(side, active)


def correct_active(battle: Battle, player: str, mon: Mon) -> None:
    """The player's request shows who is really active: under Illusion not the Pokémon shown."""
    side = battle.sides[player]
    shown = side.active
    if shown is None or shown is mon:
        return
    if shown.disguise is not None:
        shown = shown.disguise
        if shown is mon:
            raise SkippedBattle("inconsistent state", "a request and the log disagree on who is active")
    attribute(battle, side, shown, mon)
    shown.seen = True
    mon.disguise, side.active = shown, mon


def poke(battle: Battle, parts: list[str]) -> None:
    side = battle.sides[parts[2]]
    details = read_details(parts[3])
    base = battle.base_of(details.species)
    mon = next((mon for mon in side.mons if mon not in side.shown and mon.base == base
                and mon.details.level == details.level), None)
    if mon is None:
        mon = add(battle, side, "", details)
    mon.previewed = details.species
    mon.bench_changes += 1
    side.shown.append(mon)
    side.size = side.listed = len(side.shown)


def snapshot(mon: Mon) -> tuple[Any, ...]:
    """What `restore` needs."""
    return (*_restored(mon), mon.powered.copy(), mon.moves.copy())


def restore(mon: Mon, snapshot: tuple[Any, ...]) -> None:
    """Undo what happened to a Pokémon since the snapshot."""
    for name, value in zip(RESTORED, snapshot, strict=False):
        setattr(mon, name, value)
    mon.powered, mon.moves = snapshot[-2:]
    mon.bench_changes += 1


def attribute(battle: Battle, side: Side, shown: Mon, mon: Mon) -> None:
    """Since `shown` last seemed to come in, it was `mon`: what happened and what showed itself passes to it."""
    before = battle.entry_states[shown]
    for name in TAKEN_OVER:
        setattr(mon, name, getattr(shown, name))
    for name in LEARNED:
        if getattr(shown, name) != before[RESTORED.index(name)]:
            setattr(mon, name, getattr(shown, name))
    _add_uses(mon.powered, shown.powered, before[-2])
    _add_uses(mon.moves, shown.moves, before[-1])
    mon.bench_changes += 1
    shown.leave()
    restore(shown, before)
    unmask(battle, side, shown, mon)


def _add_uses(uses: dict[Any, int], after: dict[Any, int], before: dict[Any, int]) -> None:
    """Add the PP that moves used between two moments."""
    for move, pp in after.items():
        if pp != before.get(move):
            uses[move] = uses.get(move, 0) + max(pp - before.get(move, 0), 0)
