"""Fields of kind `bits`: flags side by side <-> the columns that hold them, FLAGS_A_COLUMN in each.

    F flags of a field   K columns, ceil(F / 11)

Flag f is bit f % 11 of column f // 11. A column is a float16 like its neighbours in the matrix, so that nothing else
has to know about them: the integers below 2,048 are exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.field import FLAGS_A_COLUMN


def pack_bits(flags: NDArray[Any]) -> NDArray[np.float16]:
    """[..., F] of 0 and 1 -> [..., K].

    >>> pack_bits(np.array([[1, 0, 1] + 9 * [0]])).tolist()
    [[5.0, 0.0]]
    """
    room = -flags.shape[-1] % FLAGS_A_COLUMN
    padded = np.pad(flags.astype(np.uint16), [(0, 0)] * (flags.ndim - 1) + [(0, room)])
    words = padded.reshape(*flags.shape[:-1], -1, FLAGS_A_COLUMN) << np.arange(FLAGS_A_COLUMN, dtype=np.uint16)
    packed: NDArray[np.float16] = words.sum(axis=-1).astype(np.float16)
    return packed


def unpack_bits(columns: NDArray[Any], width: int) -> NDArray[np.bool_]:
    """[..., K] -> [..., F] for a field of `width` F.

    >>> unpack_bits(np.array([[5.0, 0.0]], np.float16), 12)[0].nonzero()[0].tolist()
    [0, 2]
    """
    flags = columns.astype(np.uint16)[..., None] >> np.arange(FLAGS_A_COLUMN, dtype=np.uint16) & 1
    return flags.reshape(*columns.shape[:-1], -1)[..., :width].astype(np.bool_)
