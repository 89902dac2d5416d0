"""ShardDataset: the rows of one part of the split that a policy can learn from or be judged on.

Works with this project's BatchFeeder (fast) and with anybody's torch DataLoader:

    DataLoader(ShardDataset("data/shards", "train"), batch_size=1024, shuffle=True)

    N rows of the data set   M rows selected   B rows of a batch
"""

from __future__ import annotations

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
from poke_bc.contract.rows import CATEGORY, NUMBER
from poke_bc.contract.split import PARTS, read_split
from poke_bc.data.batch import TENSORS, Batch
from poke_bc.data.shards import Shards

COLUMN_OF = {name: "return" if name == "returns" else name for name in TENSORS}
"""Tensor of a batch -> column of the shard."""
_VIEWED = {"legal": np.int16, "candidates": np.int16}
"""Ten bits fit int16, for which torch has every operation; it has few for uint16."""


class ShardDataset(Dataset[dict[str, Tensor]]):
    """Decisions of one part, by memory map.

    Selected are rows with a label and more than one legal action (or no recorded mask): a row that leaves no
    choice teaches nothing and only flatters a score.

    Args:
        folder: shards made by `poke-bc preprocess`.
        split: "train", "val", "test", or None for all rows, split or not.
        censored: also select rows whose choice is only known to be one of several.
        every_row: select all rows of the part, labelled or not.

    Raises ShardError: no shards, damaged, not split, or split for other shards.
    """

    def __init__(self, folder: str | Path, split: str | None = None, *, censored: bool = False,
                 every_row: bool = False) -> None:
        if split is not None and split not in PARTS[:3]:
            raise ShardError(f"no part {split!r}", hint=f"one of {', '.join(PARTS[:3])}")
        self.shards = Shards(folder)
        self.split = split
        keep_N = np.ones(len(self.shards), bool) if every_row else self._learnable(censored)
        if split is not None:
            _, parts_T = read_split(self.shards.folder, self.manifest.identity)
            keep_N &= (parts_T == PARTS.index(split))[self.shards.column("trajectory")]
        self.rows: NDArray[np.int64] = np.flatnonzero(keep_N)
        """[M] selected rows of the data set, ascending."""

    @property
    def manifest(self) -> Manifest:
        """Of the shards."""
        return self.shards.manifest

    def _learnable(self, censored: bool) -> NDArray[np.bool_]:
        legal_N = self.shards.column("legal")
        labelled_N = self.shards.column("action") != NO_LABEL
        if censored:
            labelled_N |= self.shards.column("candidates") != 0
        several_N = (legal_N & (legal_N - np.uint16(1))) != 0  # more than one bit
        learnable_N: NDArray[np.bool_] = labelled_N & (several_N | (legal_N == 0))
        return learnable_N

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
        tensors = self.empty(len(indices_B))
        self.gather(self.rows[indices_B], {name: tensor.numpy() for name, tensor in tensors.items()})
        return Batch.of(tensors)

    def empty(self, size: int, *, pin: bool = False) -> dict[str, Tensor]:
        """Uninitialised tensors for `size` rows, by name; `pin` for copies to a GPU."""
        tensors = {}
        for name, column in COLUMN_OF.items():
            dtype, shape = self.shards.layout.get(column) or _ABSENT[column]
            plain = np.empty((size, *shape), _VIEWED.get(name, dtype))
            tensors[name] = torch.from_numpy(plain).pin_memory() if pin else torch.from_numpy(plain)
        return tensors

    def gather(self, rows_B: NDArray[np.int64], out: dict[str, NDArray[Any]]) -> None:
        """Copy rows of the data set (not places of the selection) into arrays by tensor name."""
        for name, array in out.items():
            if COLUMN_OF[name] in self.shards.layout:
                self.shards.gather(COLUMN_OF[name], rows_B, array.view(np.uint16) if name in _VIEWED else array)

    def column(self, name: str) -> NDArray[Any]:
        """A shard column for the selected rows: [M] or [M, D], a copy."""
        out = np.empty((len(self), *self.shards.layout[name][1]), self.shards.layout[name][0])
        self.shards.gather(name, self.rows, out)
        return out

    def field(self, name: str) -> NDArray[Any]:
        """Values of one observation field for the selected rows: [M, width], a copy. Raises KeyError."""
        schema = self.manifest.schema
        kind = CATEGORY if name in {field.name for field in schema.categories} else NUMBER
        return self.column(kind)[:, schema.columns[name]]


_ABSENT: dict[str, tuple[np.dtype[Any], tuple[int, ...]]] = {
    CATEGORY: (np.dtype(np.uint16), (0,)), NUMBER: (np.dtype(np.float16), (0,)),
}
"""A schema may have no fields of a kind; its matrix then is not in the shard, and [B, 0] in a batch."""
