"""Contract 3: the columns of a shard.

A shard is an uncompressed Arrow IPC file with one record batch and no nulls: one row per decision. Fields
of one kind are packed side by side in one matrix because a training sample is one row: a gather from one
packed [N, 64] matrix ran 21x faster than from 64 columns.

    N rows   C category columns   K number columns
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from poke_bc.contract.schema import Schema

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT_VERSION = 2
"""Version of shards and manifest together; raised whenever an older reader would misread them."""

CATEGORY_COLUMN, NUMBER_COLUMN = "category", "number"


SCALARS = {
    "legal": "uint16",  # bit a: action a was legal; 0: not recorded
    "candidates": "uint16",  # bit a: the unseen choice may have been a; 0 unless censored
    "action": "int8",  # 0-3 move slot, 4-9 switch to team slot; -1: no label
    "gimmick": "uint8",  # activated with the move: index in GIMMICKS
    "done": "uint8",  # 1: the battle ended with this decision
    "weight": "float32",  # how much the row counts in the loss
    "reward": "float32",  # as in the trajectory
    "return": "float32",  # total_reward minus the rewards before this row
    "battle": "uint64",  # xxh3_64 of replay_id; both views of a battle share it
    "trajectory": "uint32",  # index of the trajectory in the data set, from 0
    "step": "uint16",  # index of the decision in its trajectory, from 0
}
"""Scalar columns and their dtypes, in file order."""

MAX_STEPS = 1 << 16
"""Maximum number of steps in a trajectory: `step` is a uint16."""


def row_dtypes(schema: Schema) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Column name -> (dtype, shape of one row), in file order. Matrices of width 0 are omitted."""
    matrices = {CATEGORY_COLUMN: ("uint16", schema.category_width), NUMBER_COLUMN: ("float16", schema.number_width)}
    layout = {name: (np.dtype(dtype), (width,)) for name, (dtype, width) in matrices.items() if width}
    return layout | {name: (np.dtype(dtype), ()) for name, dtype in SCALARS.items()}


def row_bytes(schema: Schema) -> int:
    """Size of one row over all columns, in bytes."""
    return sum(dtype.itemsize * int(np.prod(shape, dtype=int)) for dtype, shape in row_dtypes(schema).values())


def arrow_schema(schema: Schema) -> pa.Schema:
    """The Arrow schema of a shard: FixedSizeList for the matrices, plain columns for the rest."""
    import pyarrow as pa

    fields = []
    for name, (dtype, shape) in row_dtypes(schema).items():
        plain = pa.from_numpy_dtype(dtype)
        kind = pa.list_(pa.field("item", plain, nullable=False), shape[0]) if shape else plain
        fields.append(pa.field(name, kind, nullable=False))
    metadata = {"poke_bc.format": str(FORMAT_VERSION), "poke_bc.schema": schema.hash}
    return pa.schema(fields, metadata=metadata)
