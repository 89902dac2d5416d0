"""What the policy finds most likely, against what people chose, as counts.

    N decisions   K kinds of actions   A the ten actions
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.actions import ACTION_NAMES, NUM_ACTIONS
from poke_bc.decisions.damage import kinds_of
from poke_bc.decisions.rows import Rows


def confusion(rows: Rows, best_N: NDArray[np.int64]) -> dict[str, Any]:
    """`kinds` and `actions`, each with names and counts: a list for each chosen one, of counts of predicted ones.

    Args:
        rows: decisions whose action is known.
        best_N: the policy's most likely action.
    """
    names, kind_NA = kinds_of(rows)
    action_N = rows.action_N.astype(np.int64)
    chosen_N, predicted_N = (np.take_along_axis(kind_NA, each[:, None], axis=1)[:, 0] for each in (action_N, best_N))
    return {"kinds": {"names": list(names), "counts": _counts(chosen_N, predicted_N, len(names))},
            "actions": {"names": list(ACTION_NAMES), "counts": _counts(action_N, best_N, NUM_ACTIONS)}}


def _counts(chosen_N: NDArray[np.int64], predicted_N: NDArray[np.int64], size: int) -> list[list[int]]:
    counts: list[list[int]] = np.bincount(chosen_N * size + predicted_N, minlength=size * size).reshape(
        size, size).tolist()
    return counts
