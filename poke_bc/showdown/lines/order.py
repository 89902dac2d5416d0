"""Who is faster: what the order of two moves says about two Pokémon at equal stages.

Order is decided by priority, then by speed (reversed in Trick Room). Only what both players saw counts here, so that
nothing hidden shows in an observation. Source: Pokémon Showdown, sim/battle-queue.ts and Pokemon.getActionSpeed.
"""

from __future__ import annotations

from functools import lru_cache

from poke_bc.dex import dex
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.protocol import UNKNOWN, other
from poke_bc.showdown.state import Mon, Side

SPEED = 4
"""Place of speed among the boosts."""
ORDER_ABILITIES = frozenset({"stall", "quickdraw", "triage"})
HURRYING = frozenset({"quickclaw", "custapberry", "quickdraw"})
"""What lets a Pokémon move first in its priority bracket."""


def note_order(battle: Battle, side: Side, mon: Mon, move: str) -> None:
    """The first move of a side in a turn: whoever of two Pokémon moved first is faster, if the rest was equal."""
    foe_side = battle.sides[other(side.player)]
    turn, foe_turn, foe = side.this_turn, foe_side.this_turn, foe_side.active
    if foe is None or (mon.slot < 0 and foe.slot < 0):  # neither team is known, so nothing is observed
        return
    if turn.moved_first:
        turn.mover, turn.against = mon, foe
        turn.speed_factors = _factor(battle, side, mon), _factor(battle, foe_side, foe)
        return
    first = foe_turn.mover
    if first is None or foe_turn.against is not mon or turn.hurried or foe_turn.hurried \
            or mon.copied is not None or first.copied is not None:
        return
    is_grassy = battle.terrain == "grassyterrain"
    priority = _priority(battle.gen, move, mon.shape, mon.ability, is_grassy)
    if priority is None or priority != _priority(battle.gen, foe_turn.move, first.shape, first.ability, is_grassy):
        return
    before, behind = foe_turn.speed_factors
    if "trickroom" in battle.rooms:  # the slower one moved first
        if before >= behind:
            _remember(battle, side, mon, first, is_faster=True)
    elif before <= behind:
        _remember(battle, side, mon, first, is_faster=False)


def _remember(battle: Battle, side: Side, mon: Mon, foe: Mon, *, is_faster: bool) -> None:
    player = side.player
    battle.faster[player].setdefault(foe, {})[mon] = (is_faster, battle.turn)
    battle.faster[other(player)].setdefault(mon, {})[foe] = (not is_faster, battle.turn)


def forget_order(battle: Battle, mon: Mon) -> None:
    """It is not as fast as it was: another item, often a Choice Scarf, or another forme."""
    for known in battle.faster.values():
        known.pop(mon, None)
        for against in known.values():
            against.pop(mon, None)


def change_speed(battle: Battle, mon: Mon, before: str) -> None:
    """It was of the forme `before`, perhaps of another speed."""
    old, new = battle.dex.species(before), battle.dex.species(mon.shape)
    if old is not None and new is not None and old.base_stats[-1] != new.base_stats[-1]:
        forget_order(battle, mon)


def unmask(battle: Battle, side: Side, shown: Mon, actual: Mon) -> None:
    """What was learned of a disguise since it came in is true of the one behind it, not of the one it showed."""
    for turn in (each.this_turn for each in battle.sides.values()):
        turn.mover = actual if turn.mover is shown else turn.mover
        turn.against = actual if turn.against is shown else turn.against
    for player, known in battle.faster.items():
        if player == side.player:
            for against in known.values():
                _move(against, shown, against, actual, since=actual.came_in)
        elif shown in known:
            into = known.setdefault(actual, {})
            for own in [*known[shown]]:
                _move(known[shown], own, into, own, since=actual.came_in)


def _move(source: dict[Mon, tuple[bool, int]], old: Mon, into: dict[Mon, tuple[bool, int]], new: Mon, *,
          since: int) -> None:
    if old in source and source[old][1] >= since:
        into[new] = source.pop(old)


@lru_cache(maxsize=16384)
def _priority(gen: int, move: str, species: str, ability: str, is_grassy: bool) -> int | None:
    """The priority of a move; None where an ability that it may have, or a terrain, may change it."""
    known, found = dex(gen).move(move), dex(gen).species(species)
    if known is None or (is_grassy and move == "grassyglide"):
        return None
    abilities = (ability,) if ability != UNKNOWN else found.abilities if found is not None else ()
    for each in abilities:
        if each in ORDER_ABILITIES or (each == "galewings" and known.type == "flying") \
                or (known.category == "status" and each in ("prankster", "myceliummight")):
            return None
    return known.priority


def _factor(battle: Battle, side: Side, mon: Mon) -> float:
    """What stages, paralysis and Tailwind make of its speed."""
    stage, factor = mon.boosts[SPEED], 1.0
    if stage:
        factor = (2 + stage) / 2 if stage > 0 else 2 / (2 - stage)
    if mon.status == "par":
        factor *= 0.5 if battle.gen >= 7 else 0.25
    return 2 * factor if "tailwind" in side.conditions else factor
