"""ShardDataset: the decisions of one split, for training or evaluation.

Works with this project's BatchFeeder (fast) and with torch's own DataLoader:

    DataLoader(ShardDataset("data/shards", "train"), batch_size=1024, shuffle=True)

    M selected rows   B decisions of a batch   S steps of a sequence   T trajectories
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from poke_bc.contract.actions import NO_LABEL, has_choice
from poke_bc.contract.bits import unpack_bits
from poke_bc.contract.errors import UsageError
from poke_bc.contract.field import BITS
from poke_bc.contract.manifest import Manifest
from poke_bc.contract.rows import CATEGORY_COLUMN, NUMBER_COLUMN
from poke_bc.contract.split import SPLIT_NAMES, read_split
from poke_bc.data.batch import COLUMNS, FURTHER_COLUMNS, Batch
from poke_bc.data.sequences import Neighbours, trajectory_lengths
from poke_bc.data.shards import Shards

_AT_ONCE = 1 << 16
_SIGNED = {"legal": np.int16, "candidates": np.int16}
"""Ten bits fit int16, for which torch has every operation; it has few for uint16."""


class ShardDataset(Dataset[dict[str, Tensor]]):
    """Decisions of one split, memory-mapped.

    It selects rows with a label and more than one legal action (or no recorded mask): a row without a choice teaches
    nothing and only inflates scores.

    With `steps`, each sample is a sequence: the selected row, which is step 0, and the rows of the same trajectory at
    these steps relative to it, selected or not. `range(-7, 1)` gives eight steps of history, `range(2)` transitions.

    Args:
        folder: shards made by `poke-bc preprocess`, or Shards that are already open.
        split: "train", "val", "test", or None for all rows, split or not.
        columns: columns of a batch, out of batch.COLUMNS and batch.FURTHER_COLUMNS.
        steps: the steps of a sequence; None: single rows.
        censored: also select rows whose choice is only known to be one of several.
        forced: also select rows with a single legal action.
        every_row: select all rows of the split, labelled or not.
        chosen: select rows of these trajectories alone [T]; None: of all.
        factors: of each trajectory, for the column `factor` [T]; None: 1.

    Raises UsageError (no shards), ShardError (damaged, not split, or split for other shards), and ValueError.
    """

    def __init__(self, folder: str | Path | Shards, split: str | None = None, *, columns: Sequence[str] = COLUMNS,
                 steps: range | None = None, censored: bool = False, forced: bool = False,
                 every_row: bool = False, chosen: NDArray[np.bool_] | None = None,
                 factors: NDArray[np.float32] | None = None) -> None:
        if split is not None and split not in SPLIT_NAMES[:3]:
            raise UsageError(f"no split {split!r}", hint=f"one of {', '.join(SPLIT_NAMES[:3])}")
        if unknown := [name for name in columns if name not in COLUMNS + FURTHER_COLUMNS]:
            raise ValueError(f"no column {unknown[0]!r}; columns are {', '.join(COLUMNS + FURTHER_COLUMNS)}")
        if not columns or (steps is not None and not steps):
            raise ValueError("select at least one column, and at least one step")
        self.shards = folder if isinstance(folder, Shards) else Shards(folder)
        self.split, self.columns, self.steps = split, tuple(columns), steps
        trajectories = sum(entry.trajectory_count for entry in self.manifest.shards)
        if wrong := [len(each_T) for each_T in (chosen, factors) if each_T is not None and len(each_T) != trajectories]:
            raise ValueError(f"{wrong[0]:,} values for {trajectories:,} trajectories")
        self._factors_T = factors
        in_split_T = chosen
        if split is not None:
            _, split_T = read_split(self.shards.folder, self.manifest.identity)
            in_split_T = (split_T == SPLIT_NAMES.index(split)) & (True if chosen is None else chosen)
        dtype = np.uint32 if len(self.shards) <= 1 << 32 else np.int64
        self.rows: NDArray[Any] = np.concatenate([np.empty(0, dtype), *(  # one shard at a time keeps the peak small
            (start + np.flatnonzero(_selected(shard, in_split_T, censored=censored, forced=forced,
                                              every_row=every_row))).astype(dtype)
            for start, shard in zip(self.shards.starts[:-1], self.shards.each(), strict=True))])
        """The [M] selected rows of the data set, ascending."""
        self._lengths_T = None if steps is None else trajectory_lengths(self.shards)

    @property
    def manifest(self) -> Manifest:
        """The manifest of the shards."""
        return self.shards.manifest

    def __len__(self) -> int:
        return len(self.rows)

    def some(self, count: int) -> ShardDataset:
        """At most so many of the selected rows, spread evenly."""
        return self._with(self.rows[np.linspace(0, len(self) - 1, min(len(self), count), dtype=np.int64)])

    def part(self, number: int, parts: int) -> ShardDataset:
        """Part `number`, from 0, of so many equal ones: neighbours in the selection."""
        return self._with(self.rows[len(self) * number // parts : len(self) * (number + 1) // parts])

    def _with(self, rows: NDArray[Any]) -> ShardDataset:
        other = copy.copy(self)
        other.rows = rows
        return other

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One sample: the tensors of a Batch without their first dimension."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Tensor]]:
        """Several samples, gathered together; DataLoader calls this with a whole batch."""
        tensors = self.batch(np.asarray(indices, dtype=np.int64)).tensors()
        return [dict(zip(tensors, sample, strict=True)) for sample in zip(*tensors.values(), strict=True)]

    def batch(self, indices_B: NDArray[np.int64]) -> Batch:
        """Samples at places [0, M) of this selection, in fresh tensors. Raises IndexError."""
        if len(indices_B) and not -len(self) <= indices_B.min() <= indices_B.max() < len(self):
            raise IndexError(f"index out of range for {len(self)} rows")
        indices_B = np.where(indices_B < 0, indices_B + len(self), indices_B)
        tensors = self.empty(len(indices_B))
        self.gather(self.rows_of(indices_B), {name: tensor.numpy() for name, tensor in tensors.items()})
        return Batch(tensors, steps=self.steps)

    def rows_of(self, place_B: NDArray[np.int64]) -> NDArray[np.int64]:
        """Rows of the data set at places of this selection [B], in the integer type that `gather` takes."""
        return self.rows.take(place_B, mode="clip").astype(np.int64)

    @cached_property
    def row_layout(self) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
        """Dtype and shape of one row, by column."""
        stored = {name: self.shards.layout.get(_stored(name)) or _ABSENT[name] for name in self.columns}
        return {name: (np.dtype(_SIGNED.get(name, dtype)), shape) for name, (dtype, shape) in stored.items()}

    @cached_property
    def layout(self) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
        """Dtype and shape of one sample, by column."""
        if self.steps is None:
            return self.row_layout
        length = len(self.steps)
        return {name: (dtype, (length, *shape)) for name, (dtype, shape) in self.row_layout.items()} | {
            "is_pad": (np.dtype(np.bool_), (length,))}

    def empty(self, size: int) -> dict[str, Tensor]:
        """Uninitialised tensors for `size` samples, by column."""
        return _empty(self.layout, size)

    def gather(self, rows_B: NDArray[np.int64], out: Mapping[str, NDArray[Any]]) -> None:
        """Copy the samples of rows (of the data set, not places of the selection) into arrays by column."""
        if self.steps is None:
            return self.gather_rows(rows_B, out)
        index_BS, is_pad_BS = self.neighbours(rows_B).at(np.array(self.steps))
        columns = {name: array for name, array in out.items() if name != "is_pad"}
        self.gather_rows(index_BS.reshape(-1), {
            name: array.reshape(index_BS.size, *array.shape[2:]) for name, array in columns.items()})
        for array in columns.values():
            array[is_pad_BS] = 0
        out["is_pad"][...] = is_pad_BS

    def gather_rows(self, rows_B: NDArray[np.int64], out: Mapping[str, NDArray[Any]]) -> None:
        """Copy single rows of the data set into arrays by column."""
        self.shards.gather(rows_B, {
            _stored(name): array.view(np.uint16) if name in _SIGNED else array
            for name, array in out.items() if _stored(name) in self.shards.layout})
        if "factor" in out:
            out["factor"][...] = 1 if self._factors_T is None else self._factors_T[self._trajectories(rows_B)]

    def _trajectories(self, rows_B: NDArray[np.int64]) -> NDArray[np.uint32]:
        trajectory_B = np.empty(len(rows_B), np.uint32)
        self.shards.gather(rows_B, {"trajectory": trajectory_B})
        return trajectory_B

    def read_through(self, first: int, last: int) -> None:
        """Read everything between two places of the selection from disk into the page cache."""
        self.shards.read_through(int(self.rows[first]), int(self.rows[last - 1]) + 1, map(_stored, self.columns))

    def neighbours(self, rows_B: NDArray[np.int64]) -> Neighbours[NDArray[np.int64]]:
        """How far each row's trajectory extends around it; with `steps` only."""
        assert self._lengths_T is not None
        step_B, trajectory_B = np.empty(len(rows_B), np.uint16), np.empty(len(rows_B), np.uint32)
        self.shards.gather(rows_B, {"step": step_B, "trajectory": trajectory_B})
        before_B = step_B.astype(np.int64)
        return Neighbours(rows_B, before_B, self._lengths_T[trajectory_B] - 1 - before_B)

    def column(self, name: str) -> NDArray[Any]:
        """A column of the shards for the selected rows: [M] or [M, D], a copy."""
        out = np.empty((len(self), *self.shards.layout[name][1]), self.shards.layout[name][0])
        self.shards.gather(self.rows.astype(np.int64), {name: out})
        return out

    def chunks(self, name: str, rows_M: NDArray[Any] | None = None) -> Iterator[Tensor]:
        """One column for many rows, by default the selected ones, 65,536 rows at a time."""
        rows_M = self.rows if rows_M is None else rows_M
        for first in range(0, len(rows_M), _AT_ONCE):
            rows = rows_M[first : first + _AT_ONCE].astype(np.int64)
            tensor = _empty({name: self.row_layout[name]}, len(rows))[name]
            self.gather_rows(rows, {name: tensor.numpy()})
            yield tensor

    def field(self, name: str) -> NDArray[Any]:
        """Values of one observation field for the selected rows: [M, width], a copy. Raises KeyError."""
        schema = self.manifest.schema
        field = next((field for field in schema.fields if field.name == name), None)
        if field is None:
            raise KeyError(name)
        columns = self.column(CATEGORY_COLUMN if field.is_category else NUMBER_COLUMN)[:, schema.columns[name]]
        return unpack_bits(columns, field.width) if field.kind == BITS else columns


_ABSENT: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
    CATEGORY_COLUMN: (np.dtype(np.uint16), (0,)), NUMBER_COLUMN: (np.dtype(np.float16), (0,)),
    "factor": (np.dtype(np.float32), ()),
}
"""Columns that are not in the shards: matrices of a schema without fields of a kind, [B, 0] in a batch; `factor`."""


def _stored(name: str) -> str:
    """Name of a batch's column in the shard; `return` is a Python keyword."""
    return "return" if name == "returns" else name


def _empty(layout: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], size: int) -> dict[str, Tensor]:
    return {name: torch.from_numpy(np.empty((size, *shape), dtype)) for name, (dtype, shape) in layout.items()}


def _selected(shard: Mapping[str, NDArray[Any]], in_split_T: NDArray[np.bool_] | None, *,
              censored: bool, forced: bool, every_row: bool) -> NDArray[np.bool_]:
    """Which rows of one shard are selected [rows of the shard]."""
    legal, labelled = shard["legal"], shard["action"] != NO_LABEL
    if censored:
        labelled |= shard["candidates"] != 0
    keep: NDArray[np.bool_] = labelled & (has_choice(legal) | forced) | every_row
    if in_split_T is not None:
        keep &= in_split_T[shard["trajectory"]]
    return keep
