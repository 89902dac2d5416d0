"""Who is faster: what the order of two moves says about two Pokémon at equal stages.

Order is decided by priority, then by speed (reversed in Trick Room). Only what both players saw counts here, so that
nothing hidden shows in an observation. Source: Pokémon Showdown, sim/battle-queue.ts and Pokemon.getActionSpeed.
"""

from __future__ import annotations

from poke_bc.showdown.battle import Battle
from poke_bc.showdown.protocol import UNKNOWN, other
from poke_bc.showdown.state import Mon, Race, Side

SPEED = 4
"""Place of speed among the boosts."""
ORDER_ABILITIES = frozenset({"stall", "quickdraw", "triage"})
HURRYING = frozenset({"quickclaw", "custapberry", "quickdraw"})
"""What lets a Pokémon move first in its priority bracket."""


def note_order(battle: Battle, side: Side, mon: Mon, move: str) -> None:
    """The first move of a side in a turn: whoever of two Pokémon moved first is faster, if the rest was equal."""
    foe_side = battle.sides[other(side.player)]
    turn, foe_turn = side.this_turn, foe_side.this_turn
    if turn.moved_first:
        foe, priority = foe_side.active, _priority(battle, mon, move)
        if foe is not None and priority is not None:
            turn.race = Race(mon, foe, priority, (_factor(battle, side, mon), _factor(battle, foe_side, foe)))
        return
    race = foe_turn.race
    if race is None or race.second is not mon or turn.hurried or foe_turn.hurried \
            or mon.copied is not None or race.first.copied is not None or _priority(battle, mon, move) != race.priority:
        return
    before, behind = race.factors
    if "trickroom" in battle.rooms:  # the slower one moved first
        if before >= behind:
            _remember(battle, side, mon, race.first, is_faster=True)
    elif before <= behind:
        _remember(battle, side, mon, race.first, is_faster=False)


def _remember(battle: Battle, side: Side, mon: Mon, foe: Mon, *, is_faster: bool) -> None:
    player = side.player
    battle.faster[player][mon, foe.disguise or foe] = (is_faster, battle.turn)
    battle.faster[other(player)][foe, mon.disguise or mon] = (not is_faster, battle.turn)


def forget_order(battle: Battle, mon: Mon) -> None:
    """It has been handed another item, often a Choice Scarf."""
    for known in battle.faster.values():
        for pair in [pair for pair in known if mon in pair]:
            del known[pair]


def unmask(battle: Battle, side: Side, shown: Mon, actual: Mon) -> None:
    """What was learned of a disguise since it came in is true of the one behind it, not of the one it showed."""
    for player, known in battle.faster.items():
        for (own, foe), (is_faster, turn) in [*known.items()]:
            if (own if player == side.player else foe) is shown and turn >= actual.came_in:
                del known[own, foe]
                known[(actual, foe) if player == side.player else (own, actual)] = (is_faster, turn)


def _priority(battle: Battle, mon: Mon, move: str) -> int | None:
    """The priority of a move; None where an ability or a terrain may change it."""
    known, species = battle.dex.move(move), battle.dex.species(mon.shape)
    if known is None or (move == "grassyglide" and battle.terrain == "grassyterrain"):
        return None
    abilities = (mon.ability,) if mon.ability != UNKNOWN else species.abilities if species is not None else ()
    for ability in abilities:
        if ability in ORDER_ABILITIES or (ability == "galewings" and known.type == "flying") \
                or (known.category == "status" and ability in ("prankster", "myceliummight")):
            return None
    return known.priority


def _factor(battle: Battle, side: Side, mon: Mon) -> float:
    """What stages, paralysis and Tailwind make of its speed."""
    stage = mon.boosts[SPEED]
    factor = (2 + stage) / 2 if stage >= 0 else 2 / (2 - stage)
    if mon.status == "par":
        factor *= 0.5 if battle.gen >= 7 else 0.25
    return 2 * factor if "tailwind" in side.conditions else factor
