"""Rows of a data set that are used again for the next one: read from its shards, or left where they are."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipelines.preprocess.earlier import EarlierPart
from pipelines.preprocess.receipts import PreprocessReceipt
from pipelines.preprocess.totals import PartPlace
from poke_bc.contract.intact import open_arrow
from poke_bc.contract.manifest import Manifest, ShardEntry
from poke_bc.contract.rows import row_dtypes


class Slice(NamedTuple):
    """Consecutive trajectories of a block, and their rows."""

    path: Path
    """The file that holds the rows."""
    columns: dict[str, int]
    """Column -> offset in the file of its row 0."""
    row_start: int
    row_stop: int
    numbered: int
    """What the column `trajectory` says in the first row."""
    block: tuple[int, int]
    """Number of the part, and of the block in it."""
    source: int
    first_line: int
    """Number of the block's first line in its input, from 1."""
    table: pa.Table
    """The trajectories: about a fiftieth of the rows' bytes. `line` counts from the block's first line."""
    kept_in: int | None = None
    """The shard that holds the trajectories as they would be written now, but perhaps for their numbers."""


class KeptRows:
    """The rows of a data set, part by part.

    Args:
        folder: folder of the data set.
        parts: the parts that it was made from.
    """

    def __init__(self, folder: Path, parts: Sequence[EarlierPart]) -> None:
        self._folder, self._parts, self._manifest = folder, parts, Manifest.read(folder)
        shards = self._manifest.shards
        self._firsts = [*accumulate((entry.trajectory_count for entry in shards), initial=0)]
        self._table, self._columns = lru_cache(2)(self._read_table), lru_cache(2)(self._find_columns)

    def slices(self, part: int, number: int, receipt: PreprocessReceipt, place: PartPlace) -> Iterator[Slice]:
        """The trajectories of part `part` of the old data set, which is part `number` of the new one."""
        old = self._parts[part]
        first, line = old.first_trajectory, 0
        unmoved = (old.source, old.first_line) == (place.source, place.first_line)
        for at, block in enumerate(receipt.blocks):
            stop = first + block.trajectories
            while first < stop:
                shard = int(np.searchsorted(self._firsts, first, side="right")) - 1
                count = min(stop, self._firsts[shard + 1]) - first
                table, rows = self._table(shard)
                inside = first - self._firsts[shard]
                path = self._folder / self._manifest.shards[shard].rows.name
                yield Slice(path, self._columns(shard), int(rows[inside]), int(rows[inside + count]), first,
                            (number, at), place.source, place.first_line + line,
                            _counted_from(table.slice(inside, count), old.first_line + line),
                            shard if unmoved else None)
                first += count
            line += block.lines

    def whole_shard(self, number: int, slices: Sequence[Slice], first_trajectory: int) -> ShardEntry | None:
        """Shard `number`, if it consists of just these trajectories, with these numbers; else None."""
        if number >= len(self._manifest.shards) or any(piece.kept_in != number for piece in slices):
            return None
        numbers = [*accumulate((piece.table.num_rows for piece in slices), initial=first_trajectory)]
        as_there = [self._firsts[number], self._firsts[number + 1]] == [numbers[0], numbers[-1]]
        return self._manifest.shards[number] if as_there and numbers[:-1] == [
            piece.numbered for piece in slices] else None

    def _read_table(self, shard: int) -> tuple[pa.Table, np.ndarray]:
        """The trajectories of a shard as a part holds them, and the offset of the rows of each."""
        table = open_arrow(self._folder / self._manifest.shards[shard].trajectories.name).read_all()
        return table.drop_columns(["source"]), np.cumsum([0, *table["rows"].to_pylist()])

    def _find_columns(self, shard: int) -> dict[str, int]:
        with open(self._folder / self._manifest.shards[shard].rows.name, "rb") as file:
            whole = pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        batch = pa.ipc.open_file(whole).get_batch(0)
        return {name: (column.values if shape else column).buffers()[1].address - whole.address
                for name, (_, shape) in row_dtypes(self._manifest.schema).items()
                for column in [batch.column(name)]}


def _counted_from(table: pa.Table, first_line: int) -> pa.Table:
    """A table whose lines are counted from `first_line`."""
    lines = table["line"].to_numpy() - first_line
    return table.set_column(table.column_names.index("line"), "line", pa.array(lines))
