"""Which row comes at which position: a pure function of (seed, epoch, position), with nothing stored.

Each epoch is a permutation of all rows, computed position by position: a Feistel network over the next power
of two, walked along its cycle until the value falls below n (Black & Rogaway, "Ciphers with arbitrary finite
domains", 2002; used for shuffling by Mitchell et al., "Bandwidth-optimal random shuffling for GPUs", 2022).
So resuming at position 10^9 costs what resuming at 0 costs, no data set is too large, and the order does not
depend on anybody's random number generator.

The same few lines compute it with numpy on the host and with torch on a device: int64 wraps around alike in
both, and a logical shift is an arithmetic one and a mask. Row numbers then need not cross the bus.

    N places   W rows of a window (see windows.py)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poke_bc.data.windows import Window, window_at

Int64 = TypeVar("Int64", NDArray[np.int64], Tensor)
_ROUNDS = 8  # even, so that unbalanced halves end where they began
_MASK = (1 << 64) - 1


def _signed(value: int) -> int:
    """The int64 with the same 64 bits."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


_MULTIPLIERS = _signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB)
_GOLDEN = _signed(0x9E3779B97F4A7C15)


def _mix(x: Int64) -> Int64:
    """splitmix64's finaliser, on the bits of int64: every input bit moves every output bit."""
    x = (x ^ ((x >> 30) & ((1 << 34) - 1))) * _MULTIPLIERS[0]
    x = (x ^ ((x >> 27) & ((1 << 37) - 1))) * _MULTIPLIERS[1]
    return x ^ ((x >> 31) & ((1 << 33) - 1))


def _round_keys(seed: int, epoch: int, *more: int) -> list[int]:
    """Of one permutation; `more` numbers tell the permutations of one epoch apart."""
    key = _mix(np.array([_signed(seed)]))
    for number in (epoch, *more):
        key = _mix(key + _signed(number))
    keys: list[int] = _mix(key + np.arange(1, _ROUNDS + 1) * _GOLDEN).tolist()
    return keys


def permute(place_N: Int64, n: int, *, seed: int, epoch: int, more: tuple[int, ...] = ()) -> Int64:
    """Rows at the given places of an epoch's permutation of `range(n)`.

    Args:
        place_N: int64 places in [0, n), a numpy array or a tensor on any device.
        n: number of rows, from 1 to 2^62.
        seed: of the run.
        epoch: counts from 0; each has its own permutation.
        more: names one of several permutations of an epoch.

    On a device this waits once for each step along the cycle, so call it away from the training thread.

    >>> sorted(permute(np.arange(5), 5, seed=1, epoch=0).tolist())
    [0, 1, 2, 3, 4]
    """
    bits = max(2, (n - 1).bit_length())
    keys = _round_keys(seed, epoch, *more)
    row_N = _feistel(place_N, bits, keys)
    outside = _where(row_N >= n)
    while len(outside):
        row_N[outside] = _feistel(row_N[outside], bits, keys)
        outside = outside[row_N[outside] >= n]
    return row_N


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
    """Places of the true ones."""
    return np.flatnonzero(mask_N) if isinstance(mask_N, np.ndarray) else mask_N.nonzero()[:, 0]


def rows_at(position: int, count: int, n: int, *, seed: int, shuffle: bool = True,
            window: int | None = None) -> NDArray[np.int64]:
    """Rows of the samples [position, position + count), running on over epoch borders.

    Args:
        position: samples handed out before, over all epochs.
        count: how many.
        n: rows of an epoch.
        seed: of the run.
        shuffle: False gives 0, 1, 2, ... each epoch.
        window: shuffle within windows of about so many rows (see windows.py); None: all rows at once.
    """
    return np.concatenate([np.empty(0, np.int64), *(
        _rows(np.arange(first, last), epoch, n, seed, shuffle, window)
        for epoch, first, last in _stretches(position, count, n, window if shuffle else None))])


def rows_on(device: torch.device, position: int, count: int, n: int, *, seed: int, shuffle: bool = True,
            window: int | None = None) -> Tensor:
    """The same as `rows_at`, computed on `device` [count] int64."""
    return torch.cat([torch.empty(0, dtype=torch.int64, device=device), *(
        _rows(torch.arange(first, last, device=device), epoch, n, seed, shuffle, window)
        for epoch, first, last in _stretches(position, count, n, window if shuffle else None))])


def _stretches(position: int, count: int, n: int, window: int | None) -> Iterator[tuple[int, int, int]]:
    """(epoch, first place, last place + 1) of stretches that cross no border of an epoch or a window."""
    end = position + count
    while position < end:
        epoch, place = divmod(position, n)
        border = n if window is None else window_at(place, n, window).stop
        last = min(place + end - position, border)
        yield epoch, place, last
        position += last - place


def _rows(place_N: Int64, epoch: int, n: int, seed: int, shuffle: bool, window: int | None) -> Int64:
    if not shuffle:
        return place_N
    if window is None:
        return permute(place_N, n, seed=seed, epoch=epoch)
    here = window_at(int(place_N[0]), n, window)
    inside_N = permute_window(place_N - here.start, here, seed=seed, epoch=epoch)
    chunks = window_chunks(here, seed=seed, epoch=epoch)
    chunk_N = chunks[inside_N // here.chunk] if isinstance(inside_N, np.ndarray) else \
        torch.from_numpy(chunks).to(inside_N.device)[inside_N // here.chunk]
    return chunk_N * here.chunk + inside_N % here.chunk


def permute_window(place_N: Int64, window: Window, *, seed: int, epoch: int) -> Int64:
    """Places [0, W) of a window -> places among its rows in ascending order."""
    return permute(place_N, len(window), seed=seed, epoch=epoch, more=(window.number + 1,))


def window_chunks(window: Window, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """The chunks a window is made of, ascending; the last one of the data may be shorter."""
    drawn = permute(np.arange(window.first_chunk, window.last_chunk), max(1, window.whole_chunks),
                    seed=seed, epoch=epoch, more=(0,))
    return np.append(np.sort(drawn), [window.whole_chunks] if window.has_tail else []).astype(np.int64)
