"""The moments in which a policy and people differ most.

    N decisions   A the ten actions   M moments, most surprising first
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

MOMENTS = 24
_OF_A_TRAJECTORY = 2
"""Else one strange player fills the list."""


def most_surprising(probs_NA: NDArray[np.float32], action_N: NDArray[Any], trajectory_N: NDArray[Any],
                    count: int = MOMENTS) -> NDArray[np.int64]:
    """Decisions [M] by how much likelier the policy's best action was than the one taken; at most two a trajectory.

    Args:
        probs_NA: the policy's probabilities.
        action_N: the action taken; -1 where it is not known, which is never among the moments.
        trajectory_N: whose decisions they are.
        count: the maximum of moments.
    """
    taken_N = probs_NA[np.arange(len(action_N)), np.maximum(action_N, 0)]
    gap_N = np.where(action_N >= 0, probs_NA.max(axis=1, initial=0) - taken_N, 0)
    chosen: list[int] = []
    seen: dict[int, int] = {}
    for place in np.argsort(-gap_N, kind="stable"):
        if gap_N[place] <= 0 or len(chosen) == count:
            break
        whose = int(trajectory_N[place])
        if seen.setdefault(whose, 0) < _OF_A_TRAJECTORY:
            seen[whose] += 1
            chosen.append(int(place))
    return np.array(chosen, np.int64)
