"""The window shuffle: for data that is read from a disk or a network, where random rows are slow.

Rows are cut into chunks of 1,024 that lie side by side. An epoch takes the chunks in a random order, a window
of some hundreds of them at a time; a window's chunks are read one after the other, in ascending order, and its
rows come out shuffled. So every row still comes once an epoch, and rows from all over the data come together, but
the disk is read in pieces of a chunk.

Rows after the last whole chunk join the last window. This and the sizes of windows are plain arithmetic, so that
what comes at a position is as much a pure function as in order.py.
"""

from __future__ import annotations

from dataclasses import dataclass

CHUNK_ROWS = 1024
"""At the 100 to 1,000 bytes of a row, the matrices of a chunk are pieces of 64 KB and more."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """One window of an epoch."""

    number: int
    """In the epoch, from 0."""
    start: int
    """Its first place in the epoch."""
    stop: int
    """The first place after it."""
    first_chunk: int
    """Of the epoch's order of chunks, its first ..."""
    last_chunk: int
    """... and the first after it."""
    whole_chunks: int
    """Of the data."""
    has_tail: bool
    """Whether the rows after the last whole chunk are in it."""
    chunk: int
    """Rows of a chunk."""

    def __len__(self) -> int:
        return self.stop - self.start


def window_at(place: int, n: int, window: int, chunk: int | None = None) -> Window:
    """The window that holds a place of an epoch; all have nearly the same size.

    Args:
        place: in [0, n).
        n: rows of an epoch.
        window: rows of a window at most, but at least one chunk.
        chunk: rows of a chunk; None: CHUNK_ROWS.

    >>> [window_at(place, 10, window=4, chunk=2).number for place in range(10)]
    [0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    """
    chunk = chunk or CHUNK_ROWS
    whole = n // chunk
    windows = max(1, -(-whole // max(1, window // chunk)))
    number = ((min(place // chunk, whole - 1) + 1) * windows - 1) // whole if whole else 0
    first, last = number * whole // windows, (number + 1) * whole // windows
    is_last = number == windows - 1
    return Window(number=number, start=first * chunk, stop=n if is_last else last * chunk, first_chunk=first,
                  last_chunk=last, whole_chunks=whole, has_tail=is_last and n % chunk > 0, chunk=chunk)
