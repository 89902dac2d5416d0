"""Who of a previewed team fights: in formats that show six Pokémon and bring three, three numbers differ."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from poke_bc.contract.actions import TEAM_SLOTS
from poke_bc.showdown.corpus import chance
from poke_bc.showdown.seen import SeenTeam
from poke_bc.showdown.state import Mon, Side

NOBODY_LEFT = [False] * TEAM_SLOTS


def leave_home(mons: Sequence[Mon], team: SeenTeam, seed: str) -> None:
    """Mark the own Pokémon that were left at home, which their player knows.

    Those that came in were brought. Were there fewer of them than fight, the others are drawn and marked as imputed: if
    nobody were marked, that would tell that somebody is not going to come in.

    Args:
        mons: those of `team.mons`, in that order.
    """
    if len(team.mons) <= team.size:
        return
    unseen = [mon for mon, seen in zip(mons, team.mons, strict=False) if not seen.came_in]
    missing = max(team.size - (len(team.mons) - len(unseen)), 0)
    order = sorted(range(len(unseen)), key=lambda place: chance(f"{seed}\0brought\0{place}"))
    for rank, place in enumerate(order):
        mon = unseen[place]
        mon.brought = rank < missing
        if missing and mon.own_set is not None:
            mon.own_set = msgspec.structs.replace(mon.own_set, imputed=mon.own_set.imputed | {"brought"})


def own_left_home(side: Side) -> list[bool]:
    """By own slot: listed, and not brought."""
    flags = NOBODY_LEFT.copy()
    for mon in side.mons:
        if mon.slot >= 0:
            flags[mon.slot] = not mon.brought
    return flags


def opponent_left_home(side: Side) -> list[bool]:
    """By the opponent's slot: listed, and not brought, which is certain once all that fight have been seen."""
    listed = side.shown[:TEAM_SLOTS]
    if sum(mon.seen for mon in listed) < side.size:
        return NOBODY_LEFT
    return [not mon.seen for mon in listed] + NOBODY_LEFT[len(listed):]
