"""Which row comes at which position of a run: a pure function of (seed, position) and the number of rows.

Every epoch is a permutation of all rows, so resuming needs a position and nothing else. Batch b of G samples is the
positions [bG, (b+1)G), whatever the number of ranks: rank r of R takes the slice [rG/R, (r+1)G/R) of each batch.

The window shuffle is for data that is read from a disk or a network, where random rows are slow. Rows are cut into
chunks of 1,024 neighbours. An epoch takes the chunks in a random order, a window of some hundreds of them at a time;
a window's chunks are read in ascending order (prefetch.py), and its rows are handed out shuffled. So every row still
comes once an epoch and rows from all over the data come together, but the disk is read a chunk at a time. Rows after
the last whole chunk join the last window.

    N positions   W rows of a window
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poke_bc.data.permutation import Int64, permute

CHUNK_ROWS = 1024
"""With rows of 100 to 1,000 bytes, reading a chunk means reads of 64 KB and more."""
_AT_ONCE = 1 << 16  # positions whose rows are computed together, so that small batches share the cost


@dataclass(frozen=True, kw_only=True)
class SampleOrder:
    """The order of one run's samples, as one of its ranks sees it. Raises ValueError."""

    rows: int
    """Rows of an epoch."""
    batch_size: int
    """Samples per batch, over all ranks."""
    seed: int = 0
    start: int = 0
    """Position of the first batch."""
    stop: int | None = None
    """Position after the last sample, whose batch may be shorter; None: endless."""
    shuffle: bool = True
    """False: the rows in ascending order, every epoch."""
    window: int | None = None
    """Shuffle within windows of at most this many rows; None: all rows of an epoch together."""
    rank: int = 0
    ranks: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.ranks:
            raise ValueError(f"rank must be from 0 to {self.ranks - 1}, got {self.rank}")
        for name, least in (("rows", 1), ("batch_size", self.ranks), ("start", 0), ("window", CHUNK_ROWS)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")

    @cached_property
    def places(self) -> range:
        """This rank's places in a batch; if the ranks do not divide the batch size, some get one place more."""
        return range(self.batch_size * self.rank // self.ranks, self.batch_size * (self.rank + 1) // self.ranks)

    def after(self, position: int) -> int:
        """Position after the batch that begins at `position`."""
        end = position + self.batch_size
        return end if self.stop is None else min(end, self.stop)

    def batches(self, device: torch.device | None = None, look_up: Callable[[Any], Any] = lambda row_N: row_N
                ) -> Iterator[Any]:
        """This rank's rows of each batch, from `start` to `stop`, after `look_up`; with `device` computed there."""
        position, many = self.start, self.batch_size * max(1, _AT_ONCE // self.batch_size)
        while self.stop is None or position < self.stop:
            end = position + many if self.stop is None else min(position + many, self.stop)
            row_N, size = look_up(self.rows_at(position, end, device)), len(self.places)
            for batch in range(-(-(end - position) // self.batch_size)):
                yield row_N[batch * size : (batch + 1) * size]
            position = end

    def rows_at(self, first: int, last: int, device: torch.device | None = None) -> Any:
        """This rank's rows among the positions [first, last), over any number of epochs, int64."""
        found = [self.positions(0, 0, device)]
        while first < last:
            epoch, place = divmod(first, self.rows)
            window = window_at(place, self.rows, self.window) if self.shuffle and self.window else None
            end = min(last, first - place + (window.stop if window else self.rows))
            place_N = self.positions(first, end, device) - epoch * self.rows
            if window:
                place_N = window.row_at(place_N, seed=self.seed, epoch=epoch)
            elif self.shuffle:
                place_N = permute(place_N, self.rows, seed=self.seed, epoch=epoch)
            found.append(place_N)
            first = end
        return np.concatenate(found) if device is None else torch.cat(found)

    def positions(self, first: int, last: int, device: torch.device | None = None) -> Any:
        """This rank's positions in [first, last), ascending, int64."""
        first_batch = (first - self.start) // self.batch_size
        count = -(-(last - self.start) // self.batch_size) - first_batch  # of batches
        begin = self.start + first_batch * self.batch_size + self.places.start
        end = begin + (count - 1) * self.batch_size + len(self.places)
        skipped, over = (min(max(0, outside), len(self.places)) for outside in (first - begin, end - last))
        batches, places = ((np.arange(size) if device is None else torch.arange(size, device=device))
                           for size in (max(0, count), len(self.places)))
        position_N = (begin + batches[:, None] * self.batch_size + places).reshape(-1)
        return position_N[skipped : max(skipped, len(position_N) - over)]


@dataclass(frozen=True, kw_only=True)
class Window:
    """One window of an epoch."""

    number: int
    """Index within the epoch, from 0."""
    start: int
    """Its first place in the epoch."""
    stop: int
    """The first place after it."""
    chunk_range: range
    """Its slice of the epoch's order of whole chunks."""
    whole_chunks: int
    """Number of whole chunks in the data."""
    has_tail: bool
    """Whether it has the rows after the last whole chunk."""
    chunk: int
    """Rows of a chunk."""

    def __len__(self) -> int:
        return self.stop - self.start

    def chunks(self, *, seed: int, epoch: int) -> NDArray[np.int64]:
        """Its chunks, ascending; the last chunk of the data may be shorter."""
        drawn = permute(np.array(self.chunk_range, np.int64), max(1, self.whole_chunks), seed=seed, epoch=epoch,
                        more=(0,))
        return np.append(np.sort(drawn), [self.whole_chunks] if self.has_tail else []).astype(np.int64)

    def row_at(self, place_N: Int64, *, seed: int, epoch: int) -> Int64:
        """Places of the epoch -> rows."""
        inside_N = permute(place_N - self.start, len(self), seed=seed, epoch=epoch, more=(self.number + 1,))
        chunks = self.chunks(seed=seed, epoch=epoch)
        chunk_N: Any = (torch.from_numpy(chunks).to(inside_N.device) if isinstance(inside_N, Tensor)
                        else chunks)[inside_N // self.chunk]
        row_N: Int64 = chunk_N * self.chunk + inside_N % self.chunk
        return row_N


def window_at(place: int, rows: int, window: int) -> Window:
    """The window that holds a place of an epoch; all windows have nearly the same size.

    Args:
        place: in [0, rows).
        rows: of an epoch.
        window: maximum rows of a window; at least one chunk.

    >>> [window_at(place, 5000, window=2048).number for place in (0, 1023, 1024, 3071, 3072, 4999)]
    [0, 0, 0, 1, 1, 1]
    """
    chunk = CHUNK_ROWS
    whole = rows // chunk
    windows = max(1, -(-whole // max(1, window // chunk)))
    number = ((min(place // chunk, whole - 1) + 1) * windows - 1) // whole if whole else 0
    first, last = number * whole // windows, (number + 1) * whole // windows
    is_last = number == windows - 1
    return Window(number=number, start=first * chunk, stop=rows if is_last else last * chunk,
                  chunk_range=range(first, last), whole_chunks=whole, has_tail=is_last and rows % chunk > 0,
                  chunk=chunk)
