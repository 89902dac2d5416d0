"""Reliability: how often what was predicted with some confidence came true.

    N predictions
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.metrics import ECE_BINS, confidence_bins


def reliability(confidence_N: NDArray[Any], hit_N: NDArray[Any]) -> list[dict[str, Any]]:
    """Each bin of confidence that holds a prediction: low, high, decisions, mean confidence, accuracy.

    The bins are those of the calibration error, which is the mean |accuracy - confidence| weighted by decisions.

    >>> [found] = reliability(np.array([0.5, 0.52], np.float32), np.array([True, False]))
    >>> found["decisions"], round(found["confidence"], 2), found["accuracy"]
    (2, 0.51, 0.5)
    """
    return [{"low": place / ECE_BINS, "high": (place + 1) / ECE_BINS, "decisions": int(count),
             "confidence": float(confidence / count), "accuracy": float(hits / count)}
            for place, (count, confidence, hits) in enumerate(confidence_bins(confidence_N, hit_N).T.tolist()) if count]


def auc(score_N: NDArray[Any], is_positive_N: NDArray[np.bool_]) -> float | None:
    """Area under the ROC curve: how often a positive scores higher than a negative, ties counted half.

    None where there are no positives, or only positives.

    >>> auc(np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True]))
    0.875
    """
    positives = int(is_positive_N.sum())
    negatives = len(is_positive_N) - positives
    if not positives or not negatives:
        return None
    _, place_N, counts = np.unique(score_N, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    rank_N = (last - (counts - 1) / 2)[place_N]  # equal scores share the mean of their ranks
    above = rank_N[is_positive_N].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))
