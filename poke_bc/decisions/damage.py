"""Moves by their estimated damage: kinds of actions, and the player who always takes the strongest move.

    N decisions   A the ten actions   M the four move slots
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.actions import MOVE_SLOTS, NUM_ACTIONS
from poke_bc.decisions.rows import Rows

STRONGEST_SHARE = 0.3
"""Of the probability, what the baseline puts on the strongest move; the rest is spread evenly over all legal actions.
So it says of one move among seven actions what people do: 39% of choices in random battles are the strongest move. No
row that is evaluated was looked at."""
KINDS = ("strongest move", "other attack", "move without damage", "switch")
KINDS_WITHOUT_DAMAGE = ("move", "switch")


def strongest_move(rows: Rows) -> dict[str, NDArray[np.float64]] | None:
    """nll, top1 and top3 [N] of the player who orders legal moves by estimated damage, before switches.

    Equal ones come in random order: top1 and top3 are expectations. None without the estimates.
    """
    if "own_move_damage" not in rows.fields:
        return None
    legal_NA = rows.legal_NA
    score_NA = np.full(legal_NA.shape, -1.0)  # switches after every move
    score_NA[:, :MOVE_SLOTS] = rows.fields["own_move_damage"]
    score_NA[~legal_NA] = -np.inf
    taken_N1 = np.take_along_axis(score_NA, rows.action_N.astype(np.int64)[:, None], axis=1)
    before_N, alike_N = (score_NA > taken_N1).sum(axis=1), (score_NA == taken_N1).sum(axis=1)
    best_N1 = score_NA.max(axis=1, keepdims=True)
    is_best_N, best_count_N = (taken_N1 == best_N1)[:, 0], (score_NA == best_N1).sum(axis=1)
    probability_N = STRONGEST_SHARE * is_best_N / best_count_N + (1 - STRONGEST_SHARE) / legal_NA.sum(axis=1)
    return {"nll": -np.log(probability_N),
            **{f"top{k}": np.clip((k - before_N) / alike_N, 0, 1) for k in (1, 3)}}


def kinds_of(rows: Rows) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Names of kinds of actions, and the kind [N, A] of each action as an index; of illegal ones it means nothing.

    The strongest legal move by estimated damage, others with and without damage, and switches.
    """
    damage_NM: NDArray[Any] | None = rows.fields.get("own_move_damage")
    names = KINDS_WITHOUT_DAMAGE if damage_NM is None else KINDS
    kind_NA = np.full((len(rows), NUM_ACTIONS), len(names) - 1)
    if damage_NM is None:
        kind_NA[:, :MOVE_SLOTS] = 0
    else:
        best_N1 = np.where(rows.legal_NA[:, :MOVE_SLOTS], damage_NM, 0).max(axis=1, keepdims=True)
        kind_NA[:, :MOVE_SLOTS] = np.where(damage_NM <= 0, 2, np.where(damage_NM >= best_N1, 0, 1))
    return names, kind_NA
