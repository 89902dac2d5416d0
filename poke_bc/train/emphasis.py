"""How much more some players' decisions count in the imitation loss than others'.

    T trajectories
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.errors import UsageError
from poke_bc.data.shards import Shards
from poke_bc.train.config import TrainConfig

ELO = 400
"""Rating points by which a player is expected to score 10 to 1."""


def emphasis(config: TrainConfig, shards: Shards, learned_T: NDArray[np.bool_]) -> NDArray[np.float32] | None:
    """The factor of each trajectory [T], by who won and by rating; None where all are 1.

    Args:
        config: its `loser_weight` and `rating_weight`.
        shards: the data set.
        learned_T: trajectories to learn from; 1 is the factor of the median rating among them.

    Raises UsageError if ratings are to count, and none is known.
    """
    if config.loser_weight == 1 and not config.rating_weight:
        return None
    reward_T = np.array(shards.trajectories("total_reward"), np.float64)  # None becomes nan
    factor_T = np.where(reward_T < 0, config.loser_weight, 1.0)
    if config.rating_weight:
        rating_T = np.array(shards.trajectories("rating"), np.float64)
        known_T = rating_T > 0
        if not (known_T & learned_T).any():
            raise UsageError(f"rating_weight is set, but no trajectory to learn from in {shards.folder} has a rating",
                             hint="set rating_weight = 0")
        factor_T *= rating_factors(np.where(known_T, rating_T, np.nan), float(np.median(rating_T[known_T & learned_T])),
                                   config.rating_weight)
    return factor_T.astype(np.float32)


def rating_factors(rating_T: NDArray[np.float64], median: float, power: float) -> NDArray[np.float64]:
    """(2p) ** power, where p is the score that Elo's formula expects against a player of the median rating; 1 for nan.

    So it is 1 at the median, rises smoothly with the rating, and never exceeds 2 ** power.

    >>> rating_factors(np.array([1100.0, 1500.0, 1900.0, np.nan]), median=1500, power=1).round(2).tolist()
    [0.18, 1.0, 1.82, 1.0]
    """
    expected_T = 1 / (1 + 10 ** ((median - rating_T) / ELO))
    return np.where(np.isnan(rating_T), 1.0, (2 * expected_T) ** power)
