"""A pseudorandom permutation of range(n), computed place by place: nothing is stored.

A Feistel network over the next power of two, walked along its cycle until the value falls below n (Black & Rogaway,
"Ciphers with arbitrary finite domains", 2002; used for shuffling by Mitchell et al., "Bandwidth-optimal random
shuffling for GPUs", 2022). Looking up position 10^9 costs as much as looking up position 0, and no random number
generator is involved.

The same few lines compute it with numpy on the host and with torch on a device: int64 wraps around in both, and a
logical shift is an arithmetic shift and a mask.

    N places
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Int64 = TypeVar("Int64", NDArray[np.int64], Tensor)
_ROUNDS = 8  # even, so that halves of unequal width end where they began
_MASK = (1 << 64) - 1


def _signed(value: int) -> int:
    """The int64 with the same 64 bits."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


_MULTIPLIERS = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)
_GOLDEN = _signed(0x9E3779B97F4A7C15)


def _mix(x: Int64) -> Int64:
    """splitmix64's finaliser, on the bits of int64: every input bit affects every output bit."""
    x = (x ^ ((x >> 30) & ((1 << 34) - 1))) * _MULTIPLIERS[0]
    x = (x ^ ((x >> 27) & ((1 << 37) - 1))) * _MULTIPLIERS[1]
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def _round_keys(seed: int, epoch: int, *more: int) -> list[int]:
    key = _mix(np.array([_signed(seed)]))
    for number in (epoch, *more):
        key = _mix(key + _signed(number))
    keys: list[int] = _mix(key + np.arange(1, _ROUNDS + 1) * _GOLDEN).tolist()
    return keys


def permute(place_N: Int64, n: int, *, seed: int, epoch: int, more: tuple[int, ...] = ()) -> Int64:
    """Values at the given places of an epoch's permutation of `range(n)`.

    Args:
        place_N: int64 places in [0, n), a numpy array or a tensor on any device.
        n: from 1 to 2^62.
        seed: seed of the run.
        epoch: from 0; each has its own permutation.
        more: distinguishes several permutations of one epoch.

    On a device this waits once for each step along the cycle, so keep it off the training thread.

    >>> sorted(permute(np.arange(5), 5, seed=1, epoch=0).tolist())
    [0, 1, 2, 3, 4]
    """
    bits = max(2, (n - 1).bit_length())
    keys = _round_keys(seed, epoch, *more)
    value_N = _feistel(place_N, bits, keys)
    outside = _where(value_N >= n)
    while len(outside):
        value_N[outside] = _feistel(value_N[outside], bits, keys)
        outside = outside[value_N[outside] >= n]
    return value_N


def _feistel(x: Int64, bits: int, keys: list[int]) -> Int64:
    """A permutation of [0, 2^bits)."""
    right_bits = bits // 2
    left_bits = bits - right_bits
    left, right = x >> right_bits, x & ((1 << right_bits) - 1)
    for key in keys:
        left, right = right, left ^ (_mix(right + key) & ((1 << left_bits) - 1))
        left_bits, right_bits = right_bits, left_bits
    return (left << right_bits) | right


def _where(mask_N: Any) -> Any:
    return np.flatnonzero(mask_N) if isinstance(mask_N, np.ndarray) else mask_N.nonzero()[:, 0]
