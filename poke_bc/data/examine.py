"""Whether the rows of a shard are what the contract allows: looked at once, when a shard is first opened.

A digest shows that a file is as it was written. This shows that what was written can be trained on, whoever wrote it.

    N rows   T trajectories   A actions
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.actions import GIMMICKS, NO_LABEL, NUM_ACTIONS
from poke_bc.contract.rows import CATEGORY_COLUMN, NUMBER_COLUMN
from poke_bc.contract.schema import Schema

_AT_ONCE = 1 << 16
_INFINITE = np.uint16(0x7C00)
"""All bits of a float16's exponent, which only NaN and infinities have."""
Columns = Mapping[str, NDArray[Any]]


def first_problem(columns: Columns, schema: Schema, first_trajectory: int, rows_T: NDArray[np.int64]) -> str | None:
    """What is wrong with a shard, and in which row; None where all is well.

    Args:
        columns: of the shard.
        schema: of the data set, with the sizes of its vocabularies.
        first_trajectory: index in the data set of the shard's first trajectory.
        rows_T: rows of each trajectory, as the table says.
    """
    trajectory_N = first_trajectory + np.repeat(np.arange(len(rows_T)), rows_T)
    if len(trajectory_N) != len(columns["trajectory"]):
        return f"{len(columns['trajectory']):,} rows, but its trajectories have {len(trajectory_N):,}"
    step_N = np.arange(len(trajectory_N)) - np.repeat(np.cumsum(rows_T) - rows_T, rows_T)
    for start in range(0, len(trajectory_N), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        chunk = {name: column[part] for name, column in columns.items()}
        for what, is_wrong_N in _checks(chunk, schema, trajectory_N[part], step_N[part]):
            if is_wrong_N.any():
                return f"row {start + int(is_wrong_N.argmax()):,}: {what}"
    return None


def _checks(rows: Columns, schema: Schema, trajectory_N: NDArray[np.int64],
            step_N: NDArray[np.int64]) -> Iterator[tuple[str, Any]]:
    """What may be wrong, and in which rows it is [N]."""
    action_N, legal_N, candidates_N = rows["action"], rows["legal"], rows["candidates"]
    labelled_N, masked_N = action_N != NO_LABEL, legal_N != 0
    yield "trajectory is not that of its place", rows["trajectory"] != trajectory_N
    yield "step is not that of its place", rows["step"] != step_N
    yield f"action is outside [-1, {NUM_ACTIONS - 1}]", (action_N < NO_LABEL) | (action_N >= NUM_ACTIONS)
    for name in ("legal", "candidates"):
        yield f"{name} has bits beyond the {NUM_ACTIONS} actions", (rows[name] >> NUM_ACTIONS) != 0
    yield "the action is not legal", labelled_N & masked_N & ((legal_N >> np.where(labelled_N, action_N, 0)) & 1 == 0)
    yield "a candidate is not legal", masked_N & ((candidates_N & ~legal_N) != 0)
    yield "an observed choice has candidates", labelled_N & (candidates_N != 0)
    yield "weight is not a number of at least 0", ~(rows["weight"] >= 0) | np.isinf(rows["weight"])
    yield "gimmick is unknown", rows["gimmick"] >= len(GIMMICKS)
    yield "done is neither 0 nor 1", rows["done"] > 1
    if CATEGORY_COLUMN in rows:
        sizes = np.concatenate([np.full(field.width, schema.vocabularies[field.vocab].size)
                                for field in schema.categories])
        yield "an id is beyond its vocabulary", (rows[CATEGORY_COLUMN] >= sizes).any(axis=1)
    if NUMBER_COLUMN in rows:
        exponent = np.ascontiguousarray(rows[NUMBER_COLUMN]).view(np.uint16) & _INFINITE
        yield "a number is not finite", (exponent == _INFINITE).any(axis=1)
