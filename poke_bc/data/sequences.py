"""Sequences: the rows around a decision, never beyond its trajectory.

The rows of a trajectory are contiguous in their shard, so a sequence is a few neighbouring indices: steps before 0 give
history, steps after 0 transitions.

    B decisions   S steps of a sequence   T trajectories
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from poke_bc.data.permutation import Int64
from poke_bc.data.shards import Shards


@dataclass(frozen=True)
class Neighbours(Generic[Int64]):
    """Decisions, and how many rows of the same trajectory come before and after each; numpy arrays or tensors."""

    index_B: Int64
    before_B: Int64
    after_B: Int64

    def at(self, steps_S: Int64) -> tuple[Int64, Int64]:
        """Indices [B, S] of the rows at these steps, clipped to the trajectory; and bool [B, S], true where clipped.

        >>> here = Neighbours(np.array([10]), before_B=np.array([1]), after_B=np.array([5]))
        >>> here.at(np.arange(-3, 1))[0].tolist(), here.at(np.arange(-3, 1))[1].tolist()
        ([[9, 9, 9, 10]], [[True, True, False, False]])
        """
        near_BS = steps_S.clip(-self.before_B[:, None], self.after_B[:, None])
        return self.index_B[:, None] + near_BS, near_BS != steps_S

    def reached(self: Neighbours[NDArray[np.int64]], steps: range, rows: int) -> NDArray[np.int64]:
        """Rows from the first to the last of these steps around the decisions, ascending, in a data set of `rows`."""
        is_reached = np.zeros(rows, np.bool_)
        for step in range(min(0, *steps), max(0, *steps) + 1):
            is_reached[self.at(np.array([step]))[0]] = True
        return np.flatnonzero(is_reached)


def trajectory_lengths(shards: Shards) -> NDArray[np.int32]:
    """Rows of each trajectory of a data set [T]."""
    counts = [np.bincount(shard["trajectory"] - shard["trajectory"][0]).astype(np.int32) for shard in shards.each()]
    return np.concatenate([np.empty(0, np.int32), *counts])
