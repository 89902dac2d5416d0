"""Which row comes at which position: a pure function of (seed, epoch, position), with nothing stored.

Each epoch is a permutation of all rows, computed position by position: a Feistel network over the next power
of two, walked along its cycle until the value falls below n (Black & Rogaway, "Ciphers with arbitrary finite
domains", 2002; used for shuffling by Mitchell et al., "Bandwidth-optimal random shuffling for GPUs", 2022).
So resuming at position 10^9 costs what resuming at 0 costs, no data set is too large, and the order does not
depend on anybody's random number generator.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

U64 = NDArray[np.uint64]
_ROUNDS = 8  # even, so that unbalanced halves end where they began
_MASK = (1 << 64) - 1


def _mix(x: U64) -> U64:
    """splitmix64's finaliser: every input bit moves every output bit."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _round_keys(seed: int, epoch: int) -> U64:
    with np.errstate(over="ignore"):
        key = _mix(_mix(np.array([seed & _MASK], dtype=np.uint64)) + np.uint64(epoch & _MASK))
        return _mix(key + np.arange(1, _ROUNDS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))


def permute(place_N: NDArray[np.int64], n: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """Rows at the given places of an epoch's permutation of `range(n)`.

    Args:
        place_N: places in [0, n).
        n: number of rows, at least 1.
        seed: of the run.
        epoch: counts from 0; each has its own permutation.

    >>> sorted(permute(np.arange(5), 5, seed=1, epoch=0).tolist())
    [0, 1, 2, 3, 4]
    """
    bits = max(2, (n - 1).bit_length())
    keys = _round_keys(seed, epoch)
    row_N = _feistel(place_N.astype(np.uint64), bits, keys)
    outside = np.flatnonzero(row_N >= n)
    while len(outside):
        row_N[outside] = _feistel(row_N[outside], bits, keys)
        outside = outside[row_N[outside] >= n]
    return row_N.astype(np.int64)


def _feistel(x: U64, bits: int, keys: U64) -> U64:
    """A permutation of [0, 2^bits)."""
    right_bits = bits // 2
    left_bits = bits - right_bits
    right = x & np.uint64((1 << right_bits) - 1)
    left = x >> np.uint64(right_bits)
    with np.errstate(over="ignore"):
        for key in keys:
            left, right = right, left ^ (_mix(right + key) & np.uint64((1 << left_bits) - 1))
            left_bits, right_bits = right_bits, left_bits
    return (left << np.uint64(right_bits)) | right


def rows_at(position: int, count: int, n: int, *, seed: int, shuffle: bool = True) -> NDArray[np.int64]:
    """Rows of the samples [position, position + count), running on over epoch borders.

    Args:
        position: samples handed out before, over all epochs.
        count: how many.
        n: rows of an epoch.
        seed: of the run.
        shuffle: False gives 0, 1, 2, ... each epoch.
    """
    pieces = []
    end = position + count
    while position < end:
        epoch, place = divmod(position, n)
        step = min(end - position, n - place)
        places = np.arange(place, place + step, dtype=np.int64)
        pieces.append(permute(places, n, seed=seed, epoch=epoch) if shuffle else places)
        position += step
    return np.concatenate(pieces) if pieces else np.empty(0, np.int64)
