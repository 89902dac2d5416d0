"""Memory-mapped columns of a data set.

Opening compares every file with the manifest, and looks at every value: a file is hashed and examined before its first
use, and remembered (poke_bc.contract.intact), so that later only its size and times are looked at. All files stay
mapped: when preprocess replaces the data set, who has opened it goes on with the old one.

    N rows   D width of a packed matrix
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from poke_bc.contract.errors import ShardError
from poke_bc.contract.intact import allow_open_files, check_files, open_arrow
from poke_bc.contract.manifest import FileEntry, Manifest, ShardEntry
from poke_bc.contract.rows import row_dtypes
from poke_bc.data.examine import first_problem

Array = NDArray[Any]
_AGAIN = "write the shards again: poke-bc preprocess RAW.jsonl --out {}"


class Shards:
    """All rows of a data set, in manifest order, without reading them.

    Raises ShardError where a file is missing or not as the manifest says, or a value is not what the contract allows.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = Manifest.read(self.folder)
        self.layout = row_dtypes(self.manifest.schema)
        allow_open_files(2 * len(self.manifest.shards))
        self._check()
        self._shards = [self._map(entry) for entry in self.manifest.shards]
        self._tables = [open_arrow(self.folder / entry.trajectories.name) for entry in self.manifest.shards]
        self._joined: dict[str, Array] = {}
        self.starts = np.cumsum([0, *(entry.row_count for entry in self.manifest.shards)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __reduce__(self) -> tuple[Any, ...]:  # a DataLoader's worker maps the files itself
        return _opened_again, (self.folder, self.manifest.identity)

    def _check(self) -> None:
        """Raises ShardError where a file is damaged, or holds what the contract does not allow."""
        entries = self.manifest.shards
        firsts = np.cumsum([0, *(entry.trajectory_count for entry in entries)])
        by_rows = {entry.rows.name: (entry, int(first)) for entry, first in zip(entries, firsts[:-1], strict=True)}

        def examine(file: FileEntry) -> None:
            if file.name in by_rows:
                entry, first = by_rows[file.name]
                table = open_arrow(self.folder / entry.trajectories.name)
                rows_T = np.array(self._values(entry, table, "rows"), np.int64)
                if problem := first_problem(self._map(entry), self.manifest.schema, first, rows_T):
                    raise ShardError(f"{self.folder / file.name}: {problem}", hint=_AGAIN.format(self.folder))

        check_files(self.folder, [*(entry.trajectories for entry in entries), *(entry.rows for entry in entries)],
                    examine)

    def _map(self, entry: ShardEntry) -> dict[str, Array]:
        path, hint = self.folder / entry.rows.name, _AGAIN.format(self.folder)
        try:
            batch = open_arrow(path).get_batch(0)
            columns = {name: _as_numpy(batch.column(name), dtype, shape)
                       for name, (dtype, shape) in self.layout.items()}
        except (pa.ArrowException, KeyError, ValueError) as error:
            raise ShardError(f"{path}: not a shard of this schema ({error})", hint=hint) from None
        if any(len(column) != entry.row_count for column in columns.values()):
            raise ShardError(f"{path}: not the number of rows in the manifest", hint=hint)
        return columns

    @cached_property
    def is_resident(self) -> bool:
        """Whether there are several shards, small enough to be joined into one array in memory."""
        size = sum(entry.rows.bytes for entry in self.manifest.shards)
        return len(self._shards) > 1 and size <= memory_bytes() // 4

    def column(self, name: str) -> Array:
        """One column over all shards [N] or [N, D]; with one shard a view of the mapped file."""
        if len(self._shards) == 1:
            return self._shards[0][name]
        if name not in self._joined:
            dtype, shape = self.layout[name]
            self._joined[name] = np.concatenate(
                [np.empty((0, *shape), dtype), *(shard[name] for shard in self._shards)])
        return self._joined[name]

    def each(self) -> Iterator[dict[str, Array]]:
        """The columns of each shard, for passes over all rows."""
        yield from self._shards

    def trajectories(self, name: str) -> list[Any]:
        """One column of the trajectory tables, in manifest order; None where a trajectory has no value."""
        return [value for entry, table in zip(self.manifest.shards, self._tables, strict=True)
                for value in self._values(entry, table, name)]

    def _values(self, entry: ShardEntry, table: pa.ipc.RecordBatchFileReader, name: str) -> list[Any]:
        try:
            return list(table.read_all().column(name).to_pylist())
        except (pa.ArrowException, KeyError) as error:
            raise ShardError(f"{self.folder / entry.trajectories.name}: not a table of trajectories ({error})",
                             hint=_AGAIN.format(self.folder)) from None

    def read_through(self, first: int, last: int, names: Iterable[str]) -> None:
        """Read the rows [first, last) of some columns from disk into the page cache, in order."""
        if self.is_resident:
            return
        at_first, at_last = np.searchsorted(self.starts, (first, last - 1), side="right") - 1
        for shard in range(at_first, at_last + 1):
            start = self.starts[shard]
            for name in self.layout.keys() & names:
                rows = self._shards[shard][name][max(0, first - start) : last - start]
                rows.reshape(-1).view(np.uint8)[:: mmap.PAGESIZE].max(initial=0)  # one byte of each page

    def gather(self, rows_B: NDArray[np.int64], out: Mapping[str, Array]) -> None:
        """Copy rows into arrays [B] or [B, D] by column name, in the order given."""
        # take(mode="clip") skips the bounds check and writes straight into `out`: 11 against 2 million
        # rows/s for fancy indexing. The function np.take costs another 3 us per call.
        if len(self._shards) == 1 or self.is_resident:
            for name, array in out.items():
                self.column(name).take(rows_B, axis=0, out=array, mode="clip")
            return
        # Sorted, the rows of a shard are neighbours: one take for each shard and column, read in file order.
        order_B = np.argsort(rows_B)
        sorted_B = rows_B[order_B]
        borders = np.searchsorted(sorted_B, self.starts)
        spans = [(shard, slice(borders[shard], borders[shard + 1])) for shard in np.flatnonzero(np.diff(borders))]
        local_B = sorted_B - np.repeat(self.starts[:-1], np.diff(borders))
        place_B = np.empty_like(order_B)
        place_B[order_B] = np.arange(len(order_B))
        for name, array in out.items():
            gathered = np.empty_like(array)
            for shard, span in spans:
                self._shards[shard][name].take(local_B[span], axis=0, out=gathered[span], mode="clip")
            gathered.take(place_B, axis=0, out=array, mode="clip")


def _opened_again(folder: Path, identity: str) -> Shards:
    """The same shards in another process. Raises ShardError if they were replaced: other rows have their places now."""
    shards = Shards(folder)
    if shards.manifest.identity != identity:
        raise ShardError(f"{folder}: replaced by other shards since they were opened",
                         hint="start again, or preprocess into another folder while shards are in use")
    return shards


def _as_numpy(column: pa.Array, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
    """A column's buffer as a read-only array, without a copy."""
    values = column.values if shape else column
    if values.type != pa.from_numpy_dtype(dtype) or (shape and column.type.list_size != shape[0]):
        raise ValueError(f"a column is {column.type}")
    flat = np.frombuffer(values.buffers()[1], dtype=dtype, count=len(values))
    return flat.reshape(len(column), *shape)


def memory_bytes() -> int:
    """Memory of this machine."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # unknown on this system: assume little
        return 8 << 30
