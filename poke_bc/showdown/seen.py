"""What a whole battle showed of each Pokémon."""

from __future__ import annotations

import msgspec

from poke_bc.contract.actions import MOVE_SLOTS
from poke_bc.dex import Dex
from poke_bc.showdown.corpus import ShownSet
from poke_bc.showdown.protocol import Details, bare_hidden_power
from poke_bc.showdown.state import Mon, Side

NEVER_OWN = frozenset({"struggle", "recharge"})
"""Moves that no set contains."""


class SeenMon(msgspec.Struct, frozen=True, gc=False):
    """A Pokémon that the battle showed."""

    nick: str
    details: Details
    base: str
    """Base species."""
    shown: ShownSet
    powered: tuple[tuple[str, str], ...] = ()
    """("z" or "max", id) of its Z-Moves and Max Moves."""
    came_in: bool = True
    hidden_power: tuple[str, ...] = ()
    """The types that its Hidden Power may have; () for any."""
    absent: frozenset[str] = frozenset()
    """Items and abilities that would have shown themselves, and did not."""


class SeenTeam(msgspec.Struct, frozen=True, gc=False):
    """One side of the battle."""

    size: int
    mons: tuple[SeenMon, ...]


def seen_team(side: Side, dex: Dex) -> SeenTeam:
    """What the battle has shown of a side, in the order of `side.mons`."""
    return SeenTeam(side.size, tuple(
        SeenMon(mon.nick, mon.details, mon.base, ShownSet(
            mon.details.species, mon.details.level, shown_moves(mon, dex), mon.first_item, mon.brought_ability,
            mon.tera), tuple(sorted(mon.powered)), mon.seen, mon.hidden_power, mon.absent)
        for mon in side.mons))


def move_name(dex: Dex, move: str) -> str:
    """The move's id in an observation: `return102` -> `return`, `hiddenpowerfire70` -> `hiddenpower`."""
    known = dex.move(bare_hidden_power(move))
    return known.name if known else move


def shown_moves(mon: Mon, dex: Dex) -> tuple[str, ...]:
    """The moves it must have, ordered by name: at most four.

    More were attributed to it if an Illusion never ended, or if the log hides what called a move; then those that it
    can learn are kept, and of these the most used.
    """
    used = dict.fromkeys(sorted(mon.implied_moves), 0) | mon.moves
    if mon.sketched:
        used.pop(mon.sketched, None)
        used["sketch"] = 1
    names = {move_name(dex, move): count for move, count in used.items() if move not in NEVER_OWN}
    if len(names) > MOVE_SLOTS:
        learnt = dex.learnset(mon.details.species)
        ranked = sorted(names, key=lambda move: (move not in learnt and not move.startswith("hiddenpower"),
                                                 -names[move], move))
        names = dict.fromkeys(ranked[:MOVE_SLOTS], 0)
    return tuple(sorted(names))
