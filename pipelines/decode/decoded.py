"""What decoding gives, whichever reader did it: rows, trajectories, and lines that are neither.

    N rows   T trajectories
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from poke_bc.contract.rows import row_dtypes
from poke_bc.contract.schema import Schema
from poke_bc.contract.trajectory import TRAJECTORY_KEYS, battle_hash


@dataclass(frozen=True)
class Bad:
    """A quarantined line: its number in the block (from 0), its offset in the source, and why."""

    line: int
    byte: int | None
    """None for a row of a table, which begins at no byte."""
    path: str
    reason: str


@dataclass(frozen=True)
class Decoded:
    """Rows and trajectories of some lines, in their order."""

    rows: dict[str, NDArray[Any]]
    """By contract.rows.row_dtypes; `trajectory` counts from 0 within these lines."""
    trajectories: pa.Table
    """TRAJECTORY_KEYS, `rows` (how many), `line` (in the block, from 0)."""
    unknown: Counter[str]
    present: Counter[str]


TRAJECTORY_SCHEMA = pa.schema([
    *(pa.field(name, {str: pa.string(), int: pa.int64(), float: pa.float64()}[kind])
      for name, kind in TRAJECTORY_KEYS.items()),
    pa.field("rows", pa.uint32(), nullable=False),
    pa.field("line", pa.int64(), nullable=False),
])


def finish(rows: dict[str, Any], reward_N: NDArray[np.float64], counts_T: NDArray[np.int64],
            totals_T: NDArray[np.float64], ids: list[str], schema: Schema) -> dict[str, NDArray[Any]]:
    """Add the columns that follow from a trajectory as a whole, and give every column its dtype and shape."""
    n = len(reward_N)
    first_T = np.cumsum(counts_T) - counts_T
    trajectory_N = np.repeat(np.arange(len(counts_T)), counts_T)
    return_N = np.repeat(totals_T, counts_T)
    # Where something was rewarded before the last step; one by one, because a running sum over all of them
    # would round differently with other neighbours.
    for place in np.unique(trajectory_N[:-1][(reward_N[:-1] != 0) & (trajectory_N[1:] == trajectory_N[:-1])]):
        own = slice(first_T[place], first_T[place] + counts_T[place])
        return_N[own] -= np.cumsum(reward_N[own]) - reward_N[own]
    battle_T = np.array([battle_hash(id_) for id_ in ids], np.uint64)
    rows = {**rows,
            "return": return_N,
            "battle": np.repeat(battle_T, counts_T),
            "trajectory": trajectory_N,
            "step": np.arange(n) - np.repeat(first_T, counts_T)}
    return {name: np.ascontiguousarray(np.asarray(rows[name], dtype=None if len(rows[name]) else dtype), dtype=dtype)
            .reshape(n, *shape) for name, (dtype, shape) in row_dtypes(schema).items()}


def concat(pieces: list[Decoded], schema: Schema) -> Decoded:
    """Several texts' worth, one after the other."""
    if len(pieces) == 1:
        return pieces[0]
    offset, shifted = 0, []
    for piece in pieces:
        shifted.append(piece.rows["trajectory"] + np.uint32(offset))
        offset += piece.trajectories.num_rows
    rows = {name: np.concatenate([piece.rows[name] for piece in pieces]) for name in row_dtypes(schema)}
    return Decoded({**rows, "trajectory": np.concatenate(shifted)},
                   pa.concat_tables([piece.trajectories for piece in pieces]),
                   sum((piece.unknown for piece in pieces), Counter()),
                   sum((piece.present for piece in pieces), Counter()))
