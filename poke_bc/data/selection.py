"""Which rows are selected, in about two bytes each instead of eight.

    M selected rows   B of a batch
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

_BLOCK_BITS = 8
_BLOCK = 1 << _BLOCK_BITS  # selected rows that share a base


class Selection:
    """Ascending row numbers, kept as one base for each 256 of them and the narrowest integers above it.

    A bitmap with a rank directory would take an eighth, but finding the i-th bit in it costs many times the
    look-up here, for every row of every batch; and two bytes beside the 100 to 1,000 of the row are little.

    >>> rows = Selection([np.array([3, 4]), np.array([9])])
    >>> len(rows), rows[np.array([2, 0])].tolist()
    (3, [9, 3])
    """

    def __init__(self, pieces: Iterable[NDArray[np.int64]]) -> None:
        """From ascending row numbers, piece after piece."""
        bases, offsets, open_block = [], [], np.empty(0, np.int64)
        for piece in pieces:
            rows = np.concatenate([open_block, piece])
            whole = len(rows) // _BLOCK * _BLOCK
            bases.append(rows[:whole:_BLOCK])
            offsets.append(_narrow(rows[:whole] - np.repeat(bases[-1], _BLOCK)))
            open_block = rows[whole:]
        bases.append(open_block[:1])
        offsets.append(_narrow(open_block - open_block[:1]))
        self._bases: NDArray[np.int64] = np.concatenate(bases)
        self._offsets = np.concatenate(offsets)  # takes the widest type among them

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, place_B: NDArray[np.int64] | slice) -> NDArray[np.int64]:
        """Row numbers at places [0, M), int64."""
        if isinstance(place_B, slice):
            place_B = np.arange(*place_B.indices(len(self)))
        row_B: NDArray[np.int64] = self._bases[place_B >> _BLOCK_BITS] + self._offsets[place_B]
        return row_B

    @property
    def nbytes(self) -> int:
        """Memory it takes."""
        return self._bases.nbytes + self._offsets.nbytes


def _narrow(offset_N: NDArray[np.int64]) -> NDArray[np.integer]:
    largest = int(offset_N.max(initial=0))
    return offset_N if largest >> 32 else offset_N.astype(np.min_scalar_type(largest))  # int64 + uint64 is a float
