"""Who of a previewed team fights: in formats that show six Pokémon and bring three, three numbers differ."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from poke_bc.showdown.corpus import chance
from poke_bc.showdown.seen import SeenTeam
from poke_bc.showdown.state import Mon


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
