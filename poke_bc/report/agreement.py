"""Where a policy agrees with people: calibration, and which actions are taken for which.

    N decisions   A the ten actions
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.actions import NUM_ACTIONS
from poke_bc.metrics import ECE_BINS


def calibration(confidence_N: NDArray[np.float32], is_hit_N: NDArray[np.bool_]) -> list[dict[str, float]]:
    """The bins of the calibration error that hold decisions: decisions, mean confidence, share that was right.

    >>> calibration(np.array([0.5, 0.52, 1.0], np.float32), np.array([True, False, True]))[0]["accuracy"]
    0.5
    """
    bins_N = np.clip(np.ceil(confidence_N * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
    counts, hits, sums = (np.bincount(bins_N, weights, ECE_BINS) for weights in (None, is_hit_N, confidence_N))
    return [{"decisions": int(counts[place]), "confidence": float(sums[place] / counts[place]),
             "accuracy": float(hits[place] / counts[place])} for place in np.flatnonzero(counts)]


def confusion(action_N: NDArray[Any], best_N: NDArray[Any], classes: int = NUM_ACTIONS) -> list[list[int]]:
    """[chosen][most likely] -> decisions.

    >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
    [[1, 1], [0, 1]]
    """
    pairs = action_N.astype(np.int64) * classes + best_N
    return [[int(count) for count in row] for row in np.bincount(pairs, minlength=classes**2).reshape(classes, -1)]
