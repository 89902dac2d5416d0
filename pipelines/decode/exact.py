"""The exact reader: line by line through the contract's definition of a trajectory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import pyarrow as pa

from pipelines.decode.decoded import TRAJECTORY_SCHEMA, Bad, Decoded, finish
from poke_bc.contract.rows import CATEGORY_COLUMN, NUMBER_COLUMN
from poke_bc.contract.schema import Schema
from poke_bc.contract.trajectory import TRAJECTORY_KEYS, BadLine, Trajectory, read_trajectory

T = TypeVar("T")


def decode_exact(data: bytes, line: int, byte: int, schema: Schema) -> tuple[Decoded, list[Bad]]:
    """All good lines as rows, and the bad ones in order. `line` and `byte`: number and offset of the first."""
    def lines() -> Iterator[tuple[int, int, bytes]]:
        at = byte
        for number, raw in enumerate(data.split(b"\n"), start=line):
            if raw.strip(b" \t\r"):
                yield number, at, raw.removesuffix(b"\r")
            at += len(raw) + 1

    return decode_each(lines(), lambda raw: read_trajectory(raw, schema), schema)


def decode_each(items: Iterable[tuple[int, int | None, T]], read: Callable[[T], Trajectory],
                schema: Schema) -> tuple[Decoded, list[Bad]]:
    """Rows of the items that are good, and the bad ones in order.

    Args:
        items: line number, offset, and what to read.
        read: gives the trajectory of an item, or raises BadLine.
        schema: what the observations hold.
    """
    good: list[Trajectory] = []
    lines: list[int] = []
    bad: list[Bad] = []
    for line, byte, item in items:
        try:
            good.append(read(item))
            lines.append(line)
        except BadLine as error:
            bad.append(Bad(line, byte, error.path, error.reason))
    return _from_trajectories(good, lines, schema), bad


def _from_trajectories(good: list[Trajectory], lines: list[int], schema: Schema) -> Decoded:
    """Rows of checked trajectories; `lines`: their numbers in the block."""
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
