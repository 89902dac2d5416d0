"""The exact reader: line by line through the contract's definition of a trajectory."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa

from pipelines.decode.decoded import TRAJECTORY_SCHEMA, Bad, Decoded, finish
from poke_bc.contract.rows import CATEGORY_COLUMN, NUMBER_COLUMN
from poke_bc.contract.schema import Schema
from poke_bc.contract.trajectory import TRAJECTORY_KEYS, BadLine, Trajectory, read_trajectory


def decode_exact(data: bytes, line: int, byte: int, schema: Schema) -> tuple[Decoded, list[Bad]]:
    """All good lines as rows, and the bad ones in order; `line` and `byte` are number and offset of the first line."""
    good: list[Trajectory] = []
    lines: list[int] = []
    bad: list[Bad] = []
    for number, raw in enumerate(data.split(b"\n"), start=line):
        if raw.strip(b" \t\r"):
            try:
                good.append(read_trajectory(raw.removesuffix(b"\r"), schema))
                lines.append(number)
            except BadLine as error:
                bad.append(Bad(number, byte, error.path, error.reason))
        byte += len(raw) + 1
    return from_trajectories(good, lines, schema), bad


def from_trajectories(good: list[Trajectory], lines: list[int], schema: Schema) -> Decoded:
    """Rows of checked trajectories; `lines` are their line numbers in the block."""
    steps = [step for trajectory in good for step in trajectory.steps]
    rows = {CATEGORY_COLUMN: [step.ids for step in steps], NUMBER_COLUMN: [step.numbers for step in steps],
            "reward": np.array([step.reward for step in steps], np.float64),
            **{name: [getattr(step, name) for step in steps]
               for name in ("legal", "candidates", "action", "gimmick", "done", "weight")}}
    keys = {name: pa.array([trajectory.keys[name] for trajectory in good], TRAJECTORY_SCHEMA.field(name).type)
            for name in TRAJECTORY_KEYS}
    counts_T = np.array([len(trajectory.steps) for trajectory in good], np.int64)
    return Decoded(*finish(rows, counts_T, keys, np.array(lines, np.int64), schema),
                   sum((trajectory.unknown for trajectory in good), Counter()),
                   sum((trajectory.present for trajectory in good), Counter()))
