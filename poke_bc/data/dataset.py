"""ShardDataset: the rows of one part of the split that a policy can learn from or be judged on.

Works with this project's BatchFeeder (fast) and with anybody's torch DataLoader:

    DataLoader(ShardDataset("data/shards", "train"), batch_size=1024, shuffle=True)

    M rows selected   B rows of a batch   T trajectories
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from poke_bc.contract.actions import NO_LABEL
from poke_bc.contract.errors import ShardError
from poke_bc.contract.manifest import Manifest
from poke_bc.contract.rows import CATEGORY_COLUMN, NUMBER_COLUMN
from poke_bc.contract.split import SPLIT_NAMES, read_split
from poke_bc.data.batch import TENSORS, Batch
from poke_bc.data.selection import Selection
from poke_bc.data.shards import Shards

COLUMN_OF = {name: "return" if name == "returns" else name for name in TENSORS}
"""Tensor of a batch -> column of the shard."""
_PIECE = 1 << 16
_VIEWED = {"legal": np.int16, "candidates": np.int16}
"""Ten bits fit int16, for which torch has every operation; it has few for uint16."""


class ShardDataset(Dataset[dict[str, Tensor]]):
    """Decisions of one part, by memory map.

    Selected are rows with a label and more than one legal action (or no recorded mask): a row that leaves no
    choice teaches nothing and only flatters a score.

    Args:
        folder: shards made by `poke-bc preprocess`, or such shards that are open already.
        split: "train", "val", "test", or None for all rows, split or not.
        censored: also select rows whose choice is only known to be one of several.
        every_row: select all rows of the part, labelled or not.

    Raises ShardError: no shards, damaged, not split, or split for other shards.
    """

    def __init__(self, folder: str | Path | Shards, split: str | None = None, *, censored: bool = False,
                 every_row: bool = False) -> None:
        if split is not None and split not in SPLIT_NAMES[:3]:
            raise ShardError(f"no part {split!r}", hint=f"one of {', '.join(SPLIT_NAMES[:3])}")
        self.shards = folder if isinstance(folder, Shards) else Shards(folder)
        self.split = split
        in_part_T = None
        if split is not None:
            _, parts_T = read_split(self.shards.folder, self.manifest.identity)
            in_part_T = parts_T == SPLIT_NAMES.index(split)
        self.rows = Selection(  # one shard at a time keeps the peak small
            start + np.flatnonzero(_kept(columns, in_part_T, censored=censored, every_row=every_row))
            for start, columns in zip(self.shards.starts[:-1], self.shards.each(), strict=True))
        """The [M] selected rows of the data set, ascending."""

    @property
    def manifest(self) -> Manifest:
        """Of the shards."""
        return self.shards.manifest

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """One decision: the tensors of a Batch without their first dimension."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Tensor]]:
        """Several decisions, gathered at once; DataLoader calls this with a whole batch."""
        batch = self.batch(np.asarray(indices, dtype=np.int64))
        return [dict(zip(TENSORS, row, strict=True)) for row in zip(*batch.tensors(), strict=True)]

    def batch(self, indices_B: NDArray[np.int64]) -> Batch:
        """Decisions at places [0, M) of this selection, in fresh tensors. Raises IndexError."""
        if len(indices_B) and not -len(self) <= indices_B.min() <= indices_B.max() < len(self):
            raise IndexError(f"index out of range for {len(self)} rows")
        indices_B = np.where(indices_B < 0, indices_B + len(self), indices_B)
        tensors = self.empty(len(indices_B))
        self.gather(self.rows[indices_B], {name: tensor.numpy() for name, tensor in tensors.items()})
        return Batch.of(tensors)

    @cached_property
    def layout(self) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
        """Dtype and shape of one row, by name of the batch's tensor."""
        layout = {}
        for name, column in COLUMN_OF.items():
            dtype, shape = self.shards.layout.get(column) or _ABSENT[column]
            layout[name] = np.dtype(_VIEWED.get(name, dtype)), shape
        return layout

    def empty(self, size: int) -> dict[str, Tensor]:
        """Uninitialised tensors for `size` rows, by name."""
        return {name: torch.from_numpy(np.empty((size, *shape), dtype)) for name, (dtype, shape) in self.layout.items()}

    def gather(self, rows_B: NDArray[np.int64], out: Mapping[str, NDArray[Any]]) -> None:
        """Copy rows of the data set (not places of the selection) into arrays by tensor name."""
        self.shards.gather(rows_B, {
            COLUMN_OF[name]: array.view(np.uint16) if name in _VIEWED else array
            for name, array in out.items() if COLUMN_OF[name] in self.shards.layout})

    def column(self, name: str) -> NDArray[Any]:
        """A shard column for the selected rows: [M] or [M, D], a copy."""
        out = np.empty((len(self), *self.shards.layout[name][1]), self.shards.layout[name][0])
        self.shards.gather(self.rows[:], {name: out})
        return out

    def pieces(self, name: str) -> Iterator[Tensor]:
        """One tensor of the batch for all selected rows in order, some 65,536 at a time, without reading the others."""
        for first in range(0, len(self), _PIECE):
            rows = self.rows[first : first + _PIECE]
            tensor = self.empty(len(rows))[name]
            self.gather(rows, {name: tensor.numpy()})
            yield tensor

    def field(self, name: str) -> NDArray[Any]:
        """Values of one observation field for the selected rows: [M, width], a copy. Raises KeyError."""
        schema = self.manifest.schema
        kind = CATEGORY_COLUMN if name in {field.name for field in schema.categories} else NUMBER_COLUMN
        return self.column(kind)[:, schema.columns[name]]


_ABSENT: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
    CATEGORY_COLUMN: (np.dtype(np.uint16), (0,)), NUMBER_COLUMN: (np.dtype(np.float16), (0,)),
}
"""A schema may have no fields of a kind; its matrix then is not in the shard, and [B, 0] in a batch."""


def _kept(columns: Mapping[str, NDArray[Any]], in_part_T: NDArray[np.bool_] | None, *,
          censored: bool, every_row: bool) -> NDArray[np.bool_]:
    """Which rows of one shard are selected [rows of the shard]."""
    legal, labelled = columns["legal"], columns["action"] != NO_LABEL
    if censored:
        labelled |= columns["candidates"] != 0
    several = (legal & (legal - np.uint16(1))) != 0  # more than one bit
    keep: NDArray[np.bool_] = labelled & (several | (legal == 0)) | every_row
    if in_part_T is not None:
        keep &= in_part_T[columns["trajectory"]]
    return keep
