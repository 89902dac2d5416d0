"""95% intervals by bootstrap over battles.

Battles, not decisions, are drawn with replacement, since decisions of one battle are alike.

    N decisions   V values   G groups of decisions   U units that are drawn: battles   R resamples
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
FEWEST_BATTLES = 5
"""With fewer, a resample is too often the same battle again: no interval is given."""
_MOST_UNITS = 10_000  # more battles are drawn in this many random bundles: as wide on average, and memory is bounded
_AT_ONCE = 100
_LEVELS = (2.5, 97.5)


class Bootstrap:
    """Resamples of the battles of decisions; the same for the same battles, so that differences can be paired.

    Args:
        battle_N: the battle of each decision, any numbers.
        resamples: how many.
        seed: of the draws.
    """

    def __init__(self, battle_N: NDArray[Any], *, resamples: int = RESAMPLES, seed: int = 0) -> None:
        battles, self._unit_N = np.unique(battle_N, return_inverse=True)
        random = np.random.default_rng(seed)
        self.battles = len(battles)
        self._units = min(self.battles, _MOST_UNITS)
        if self.battles > _MOST_UNITS:
            self._unit_N = (random.permutation(self.battles) % _MOST_UNITS)[self._unit_N]
        self._drawn_RU = np.stack([np.bincount(random.integers(0, self._units, self._units), minlength=self._units)
                                   for _ in range(resamples)]).astype(np.uint16)

    def intervals(self, values: NDArray[Any], group_N: NDArray[np.int64] | None = None,
                  groups: int = 1) -> NDArray[np.float64]:
        """[low, high] that hold the mean with 95% if other battles of this kind had been drawn: [G, V, 2].

        Args:
            values: one or several values of each decision, [N] or [N, V].
            group_N: the group of each decision, -1: of none; None: all are of one group.
            groups: how many groups there are, G.

        They are nan where a group has decisions of fewer than FEWEST_BATTLES battles.
        """
        group_N = np.zeros(len(values), np.int64) if group_N is None else group_N
        values_NV = np.asarray(values, np.float64).reshape(len(values), -1)
        counted_N = group_N >= 0
        cell_N = self._unit_N[counted_N] * groups + group_N[counted_N]

        def sums(weights_N: NDArray[np.float64] | None) -> NDArray[np.float64]:
            return np.bincount(cell_N, weights_N, self._units * groups).reshape(-1, groups).astype(np.float64)

        counts_UG = sums(None)
        sums_UGV = np.stack([counts_UG, *(sums(column[counted_N]) for column in values_NV.T)], axis=2)
        drawn = [chunk.astype(np.float64) @ sums_UGV.reshape(self._units, -1)
                 for chunk in np.split(self._drawn_RU, range(_AT_ONCE, len(self._drawn_RU), _AT_ONCE))]
        drawn_RGV = np.concatenate(drawn).reshape(-1, groups, values_NV.shape[1] + 1)
        with np.errstate(invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # nan in all resamples: a group without decisions
            bounds = np.nanpercentile(drawn_RGV[:, :, 1:] / drawn_RGV[:, :, :1], _LEVELS, axis=0)
        bounds[:, (counts_UG > 0).sum(axis=0) < FEWEST_BATTLES] = np.nan
        return np.moveaxis(bounds, 0, -1)


def pair(bounds: NDArray[np.float64]) -> list[float] | None:
    """[low, high] for a result; None where there is no interval."""
    return None if np.isnan(bounds).any() else [float(bound) for bound in bounds]
