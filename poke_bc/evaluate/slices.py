"""Slices: decisions by what was chosen, and by the moment, the players and the battle.

Each kind of slice puts every decision into exactly one group. A kind whose fields or columns the data lacks is absent.

    N decisions   T trajectories
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.actions import ACTION_NAMES, GIMMICKS, MOVE_SLOTS, NUM_ACTIONS, unpack_actions
from poke_bc.data.shards import Shards
from poke_bc.decisions.rows import Rows, known_moves
from poke_bc.metrics import MOVES

KINDS = ("kind", "phase", "gimmick", "turn", "alive", "legal_actions", "known_moves", "rating", "generation", "format",
         "action")
"""Kinds of slices, in the order in which they are shown."""
BY_CHOICE = ("kind", "gimmick", "action")
"""Kinds that depend on what was chosen. Within their groups a calibrated policy has a calibration error too: where
people chose what it held for unlikely, it was less sure and wrong."""
TURN_BUCKETS = (0, 6, 11, 21, 41)
"""First turn of each bucket."""
RATING_BANDS = (0, 1200, 1400, 1600, 1800, 2000, 2200)
"""Lowest rating of each band; 1,000 is where every account begins."""
FAR_AHEAD = 3
"""From this difference of Pokémon alive on, all differences are one group."""
MOST_FORMATS = 20
"""The most frequent formats have a group each."""


@dataclass(frozen=True)
class Partition:
    """Groups that every decision is in one of."""

    names: tuple[str, ...]
    group_N: NDArray[np.int64]
    """Index into `names`."""

    def __iter__(self) -> Any:
        """(name, mask [N]) of each group."""
        return ((name, self.group_N == place) for place, name in enumerate(self.names))


def slices_of(rows: Rows, shards: Shards) -> dict[str, Partition]:
    """Kind of slice -> its groups, without empty ones; some of KINDS, in that order.

    Args:
        rows: decisions whose action is known.
        shards: whose rows they are.
    """
    made = (_kind(rows), _phase(rows), _gimmick(rows), _bands(rows.turn_N, TURN_BUCKETS), _alive(rows), _legal(rows),
            _known(rows), _rating(rows, shards), _of_trajectories(rows, shards, "gen"),
            _of_trajectories(rows, shards, "format"), Partition(ACTION_NAMES, rows.action_N.astype(np.int64)))
    return {kind: _without_empty(groups) for kind, groups in zip(KINDS, made, strict=True) if groups is not None}


def turns_of(rows: Rows) -> Partition:
    """By turn, without empty groups."""
    return _without_empty(_bands(rows.turn_N, TURN_BUCKETS))


def _kind(rows: Rows) -> Partition:
    is_N = [rows.is_lead_N, rows.action_N < MOVE_SLOTS, rows.is_voluntary_N]
    return Partition(("lead", "move", "voluntary switch", "forced switch"), _first_of(is_N))


def _phase(rows: Rows) -> Partition | None:
    if not rows.phases:
        return None
    return Partition(("unknown", "none", *rows.phases), rows.fields["phase"][:, 0].astype(np.int64))


def _gimmick(rows: Rows) -> Partition | None:
    """What was activated; else whether something could have been, where the data tells."""
    used = tuple(f"{name} used" for name in GIMMICKS[1:])
    can_N4 = rows.fields.get("own_can_gimmick")
    if can_N4 is None:
        return Partition(("none used", *used), rows.gimmick_N.astype(np.int64)) if rows.gimmick_N.any() else None
    can_N = can_N4.any(axis=1) & _has_move(rows)
    unused_N = np.where(can_N, np.where(rows.action_N < MOVE_SLOTS, 0, 1), 2)
    group_N = np.where(rows.gimmick_N > 0, rows.gimmick_N.astype(np.int64) + 2, unused_N)
    return Partition(("available, move without it", "available, switch", "not available", *used), group_N)


def _alive(rows: Rows) -> Partition | None:
    """By how many Pokémon more than the opponent the player has left."""
    if not {"own_alive", "opp_alive"} <= rows.fields.keys():
        return None
    ahead_N = (rows.fields["own_alive"] - rows.fields["opp_alive"])[:, 0].astype(np.int64)
    names = [f"{-by} behind" if by < 0 else f"{by} ahead" if by else "even" for by in range(-FAR_AHEAD, FAR_AHEAD + 1)]
    names[0], names[-1] = f"{FAR_AHEAD}+ behind", f"{FAR_AHEAD}+ ahead"
    return Partition(tuple(names), np.clip(ahead_N, -FAR_AHEAD, FAR_AHEAD) + FAR_AHEAD)


def _legal(rows: Rows) -> Partition:
    names = ("not recorded", *map(str, range(1, NUM_ACTIONS + 1)))
    return Partition(names, unpack_actions(rows.legal_N).sum(axis=1))


def _known(rows: Rows) -> Partition | None:
    """By the known moves of the active Pokémon, where one of them could be chosen."""
    known_N = known_moves(rows)
    if known_N is None:
        return None
    names = (*map(str, range(MOVE_SLOTS + 1)), "no move legal")
    return Partition(names, np.where(_has_move(rows), known_N, MOVE_SLOTS + 1))


def _rating(rows: Rows, shards: Shards) -> Partition | None:
    rating_T = np.array([np.nan if each is None else each for each in shards.trajectories("rating")], np.float64)
    rating_N = rating_T[rows.trajectory_N]
    if np.isnan(rating_N).all():
        return None
    return _bands(rating_N, RATING_BANDS, below=f"below {RATING_BANDS[1]}")


def _of_trajectories(rows: Rows, shards: Shards, name: str) -> Partition | None:
    """By a column of the trajectories, numbers ascending and names by frequency."""
    values_T = shards.trajectories(name)
    used, place_N, counts = np.unique(rows.trajectory_N, return_inverse=True, return_counts=True)
    values_U = [values_T[trajectory] for trajectory in used]
    frequency: dict[Any, int] = {}
    for value, count in zip(values_U, counts.tolist(), strict=True):
        frequency[value] = frequency.get(value, 0) + count
    known = [value for value in frequency if value is not None]
    if not known:
        return None
    known.sort(key=lambda value: value if name == "gen" else (-frequency[value], value))
    shown = [f"gen {value}" if name == "gen" else value for value in known[:MOST_FORMATS]]
    group = {value: min(place, MOST_FORMATS) for place, value in enumerate(known)} | {None: len(shown) + 1}
    return Partition((*shown, "others", "not known"), np.array([group[value] for value in values_U], np.int64)[place_N])


def _bands(value_N: NDArray[Any], firsts: Sequence[int], *, below: str = "") -> Partition:
    """By bands of whole numbers that begin at `firsts`, "41+" being the last; nan is not known."""
    names = [f"{first}-{following - 1}" for first, following in pairwise(firsts)]
    names[0] = below or names[0]
    group_N = np.clip(np.searchsorted(firsts, value_N, side="right") - 1, 0, None)
    return Partition((*names, f"{firsts[-1]}+", "not known"), np.where(np.isnan(value_N), len(firsts), group_N))


def _has_move(rows: Rows) -> NDArray[np.bool_]:
    """Whether a move was legal [N], or nothing was recorded."""
    has_N: NDArray[np.bool_] = (rows.legal_N == 0) | ((rows.legal_N & MOVES) != 0)
    return has_N


def _first_of(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.int64]:
    """Index of the first mask that holds, their number where none does [N]."""
    first_N: NDArray[np.int64] = np.argmax([*masks, np.ones_like(masks[0])], axis=0)
    return first_N


def _without_empty(groups: Partition) -> Partition:
    used, group_N = np.unique(groups.group_N, return_inverse=True)
    return Partition(tuple(groups.names[place] for place in used), group_N)
