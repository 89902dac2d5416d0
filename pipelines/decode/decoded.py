"""The result of decoding, the same for every reader: rows, trajectories, and bad lines.

    N rows   T trajectories
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
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
    """None for a row of a table, which has no offset."""
    path: str
    reason: str


@dataclass(frozen=True)
class Decoded:
    """Rows and trajectories of some lines, in the order of the lines."""

    rows: dict[str, NDArray[Any]]
    """Columns as in contract.rows.row_dtypes; `trajectory` counts from 0 within these lines."""
    trajectories: pa.Table
    """One row per trajectory, as in TRAJECTORY_SCHEMA."""
    unknown: Counter[str]
    """Unknown key ("$.steps[].mood") -> number of values other than null."""
    present: Counter[str]
    """Observation field -> number of values other than null."""


TRAJECTORY_SCHEMA = pa.schema([
    *(pa.field(name, {str: pa.string(), int: pa.int64(), float: pa.float64()}[kind])
      for name, kind in TRAJECTORY_KEYS.items()),
    pa.field("rows", pa.uint32(), nullable=False),
    pa.field("line", pa.int64(), nullable=False),
])
"""Columns of Decoded.trajectories: TRAJECTORY_KEYS, the number of rows, and the line's number in the block (from 0)."""


def finish(rows: Mapping[str, Any], counts_T: NDArray[np.int64], keys: Mapping[str, pa.Array], lines: NDArray[np.int64],
           schema: Schema) -> tuple[dict[str, NDArray[Any]], pa.Table]:
    """Add the columns that depend on a whole trajectory, and give every column its dtype and shape.

    Args:
        rows: the other columns by name, `reward` as float64.
        counts_T: rows of each trajectory.
        keys: TRAJECTORY_KEYS by name; a null `total_reward` is replaced by the sum of the rewards.
        lines: line numbers of the trajectories in their block.
        schema: what the observations hold.
    """
    n, reward_N = len(rows["reward"]), rows["reward"]
    first_T = np.cumsum(counts_T) - counts_T
    totals_T = keys["total_reward"].to_numpy(zero_copy_only=False).copy()
    for place in np.flatnonzero(np.isnan(totals_T)):  # fsum, as in the exact reader: a running sum rounds differently
        totals_T[place] = math.fsum(reward_N[first_T[place]: first_T[place] + counts_T[place]])
    trajectory_N = np.repeat(np.arange(len(counts_T)), counts_T)
    return_N = np.repeat(totals_T, counts_T)
    # Trajectories with a reward before the last step: one by one, since the rounding of a running sum over all of them
    # would depend on their neighbours.
    for place in np.unique(trajectory_N[:-1][(reward_N[:-1] != 0) & (trajectory_N[1:] == trajectory_N[:-1])]):
        own = slice(first_T[place], first_T[place] + counts_T[place])
        return_N[own] -= np.cumsum(reward_N[own]) - reward_N[own]
    battle_T = np.array([battle_hash(id_) for id_ in keys["replay_id"].to_pylist()], np.uint64)
    columns = {**rows,
               "return": return_N,
               "battle": np.repeat(battle_T, counts_T),
               "trajectory": trajectory_N,
               "step": np.arange(n) - np.repeat(first_T, counts_T)}
    trajectories = pa.table({**keys, "total_reward": totals_T, "rows": counts_T.astype(np.uint32), "line": lines},
                            schema=TRAJECTORY_SCHEMA)
    return {name: np.ascontiguousarray(np.asarray(columns[name], dtype=None if n else dtype), dtype=dtype)
            .reshape(n, *shape) for name, (dtype, shape) in row_dtypes(schema).items()}, trajectories


def concat(decoded: list[Decoded], schema: Schema) -> Decoded:
    """Join the results for consecutive texts."""
    if len(decoded) == 1:
        return decoded[0]
    offset, shifted = 0, []
    for each in decoded:
        shifted.append(each.rows["trajectory"] + np.uint32(offset))
        offset += each.trajectories.num_rows
    rows = {name: np.concatenate([each.rows[name] for each in decoded]) for name in row_dtypes(schema)}
    return Decoded({**rows, "trajectory": np.concatenate(shifted)},
                   pa.concat_tables([each.trajectories for each in decoded]),
                   sum((each.unknown for each in decoded), Counter()),
                   sum((each.present for each in decoded), Counter()))
