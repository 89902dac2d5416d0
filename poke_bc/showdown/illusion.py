"""First pass: an Illusion that never ended, where what comes later proves it.

If a Pokémon faints or leaves in disguise, no line says so; but the one that it seemed to be comes in later with HP that
it cannot have, or takes its own place. Then each stint is attributed so that all of them fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from poke_bc.dex import Dex
from poke_bc.showdown.decision import NO_LABEL, Arrival, OpenDecision
from poke_bc.showdown.lines.entry import ILLUSIONISTS
from poke_bc.showdown.state import Mon, Side

MOST = 3
"""Stints of one player that are attributed to another Pokémon at most."""
ROUNDING, REGENERATED = 0.011, 1 / 3


def hidden_stints(stints: Sequence[Arrival], side: Side, dex: Dex) -> dict[int, Mon | None]:
    """Line of the switch -> who really came in, of stints that were certainly another's; None if that is not known.

    Args:
        stints: all of the player's.
    """
    if _fit(stints, (), None, dex):
        return {}
    masters = {mon for mon in side.mons if mon.base in ILLUSIONISTS} | {
        stint.mon for stint in stints if stint.mon is not stint.shown}
    if not masters:
        return {stint.at: None for place, stint in enumerate(stints)
                if stint.fainted and any(later.mon is stint.mon for later in stints[place + 1:])}
    if len(masters) > 1:
        return {}
    master, = masters
    disguised = [stint for stint in stints if stint.mon is stint.shown and stint.mon is not master]
    for count in range(1, MOST + 1):
        fitting = [hidden for hidden in combinations(disguised, count) if _fit(stints, hidden, master, dex)]
        if fitting:
            return {stint.at: master for stint in disguised if all(stint in hidden for hidden in fitting)}
    return {}


def _fit(stints: Sequence[Arrival], hidden: Sequence[Arrival], master: Mon | None, dex: Dex) -> bool:
    """Whether nobody comes in fainted or with other HP than it left with, if `hidden` were the master's stints.

    Nor does anybody take its own place, or seem to be one that has fainted.
    """
    left: dict[Mon, float] = {}
    last = None
    for stint in stints:
        mon = master if master is not None and stint in hidden else stint.mon
        before = left.get(mon, 1.0)
        if mon is last or before <= 0 or left.get(stint.shown, 1.0) <= 0:
            return False
        healed = stint.hp - before
        if not -ROUNDING < healed < ROUNDING and not (ROUNDING <= healed < ROUNDING + REGENERATED
                                                      and _regenerates(mon, dex)):
            return False
        last = mon
        left[mon] = 0.0 if stint.fainted else stint.left_hp
    return True


def _regenerates(mon: Mon, dex: Dex) -> bool:
    species = dex.species(mon.forme)
    return species is not None and "regenerator" in species.abilities


def unlabel(decisions: Sequence[OpenDecision], stints: Sequence[Arrival], at: int) -> None:
    """Nobody knows who came in by the line `at`, nor whose moves these were."""
    place = next(place for place, stint in enumerate(stints) if stint.at == at)
    stint = stints[place]
    end = next(later.at for later in stints[place + 1:] if later.player == stint.player)
    for decision in decisions:
        if decision is stint.decision or (decision.player == stint.player and at < decision.at < end
                                          and decision.active is stint.mon):
            decision.label = NO_LABEL
