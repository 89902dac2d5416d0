"""Parts -> shards: consecutive blocks joined column by column, cut only between battles.

A shard is written and hashed in one pass, one column of one block at a time, so memory does not grow with the shard. It
is fsynced and named after its number and digest, so a new data set never overwrites a file that a process has mapped.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import accumulate, groupby
from typing import Any, BinaryIO, Self

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from pipelines.preprocess.kept_rows import KeptRows, Slice
from pipelines.preprocess.own_files import OwnFiles
from pipelines.preprocess.parts import DecodeJob
from pipelines.preprocess.receipts import PreprocessReceipt
from pipelines.preprocess.totals import PartPlace
from poke_bc.contract.files import fsync_folder, temporary_name
from poke_bc.contract.manifest import FileEntry, ShardEntry
from poke_bc.contract.rows import arrow_schema, row_dtypes
from poke_bc.contract.schema import Schema
from poke_bc.contract.trajectory import battle_hash

Columns = dict[tuple[int, int], Iterator[memoryview]]


class ShardWriter:
    """Takes parts in order, and writes each shard as soon as it is full. Shards take effect with the manifest.

    A shard ends with the first battle that fills it: consecutive views of one battle stay together.

    Args:
        own: the files of the data set's folder.
        job: the job that made the parts.
        shard_rows: number of rows that fill a shard.
        kept: rows of the data set that is there.
        threads: number of threads that write shards while more parts are made: copying, hashing and fsync release the
            interpreter lock. 0: the calling thread writes them.
    """

    def __init__(self, own: OwnFiles, job: DecodeJob, shard_rows: int, threads: int,
                 kept: KeptRows | None = None) -> None:
        self._own, self._job, self._shard_rows, self._kept = own, job, shard_rows, kept
        self.untouched = 0
        """Shards that were there already."""
        self._pool = ThreadPoolExecutor(threads) if threads else None
        self._most_underway = 2 * threads
        self._battles: list[NDArray[np.uint64]] = []  # with _views, 16 bytes per trajectory, kept until the end
        self._views: list[NDArray[np.uint64]] = []
        self._slices: list[Slice] = []  # the current shard, which is not full yet
        self._filled, self._last_battle = 0, None
        self._shards = self._trajectories = 0  # counts of full shards
        self._underway: deque[Future[ShardEntry]] = deque()
        self._entries: list[ShardEntry] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, number: int, receipt: PreprocessReceipt, place: PartPlace) -> None:
        """Add the next part; waits if writing has fallen behind. Raises OSError if an earlier shard was not written."""
        while self._underway and (self._underway[0].done() or len(self._underway) > self._most_underway):
            self._entries.append(self._underway.popleft().result())
        made = self._made if place.kept is None or self._kept is None else partial(self._kept.slices, place.kept)
        for block in made(number, receipt, place):
            self._add_block(block)

    def _made(self, number: int, receipt: PreprocessReceipt, place: PartPlace) -> Iterator[Slice]:
        """The blocks of a part of this run."""
        path, line = self._job.store.path(number), place.first_line
        for at, (block, offset) in enumerate(zip(receipt.blocks, self._job.offsets(receipt), strict=False)):
            if block.trajectories:
                table = self._job.read_table(number, receipt, at)
                columns = _offsets(self._job.schema, offset, block.rows)
                yield Slice(path, columns, 0, block.rows, 0, (number, at), receipt.source, line, table)
            line += block.lines

    def _add_block(self, block: Slice) -> None:
        ids, players = block.table["replay_id"].to_pylist(), block.table["player"].to_pylist()
        battle_T = _hashes(ids)
        self._battles.append(battle_T)
        self._views.append(_hashes([f"{id_}\0{player}" for id_, player in zip(ids, players, strict=True)]))
        ends_T = list(accumulate(block.table["rows"].to_pylist(), initial=0))
        start = 0

        def take(stop: int) -> None:
            if stop > start:
                self._slices.append(block._replace(
                    numbered=block.numbered + start, table=block.table.slice(start, stop - start),
                    row_start=block.row_start + ends_T[start], row_stop=block.row_start + ends_T[stop]))

        for place, battle in enumerate(battle_T):
            if self._filled >= self._shard_rows and battle != self._last_battle:
                take(place)
                self._write()
                start = place
            self._filled += ends_T[place + 1] - ends_T[place]
            self._last_battle = battle
        take(len(battle_T))

    def _write(self) -> None:
        """Write the current shard and begin another."""
        arguments = self._own, self._job.schema, self._shards, self._slices, self._trajectories
        there = self._kept and self._kept.whole_shard(self._shards, self._slices, self._trajectories)
        if there:
            self._underway.append(Future())
            self._underway[-1].set_result(there)
            self.untouched += 1
        elif self._pool is not None:
            self._underway.append(self._pool.submit(_write_shard, *arguments))
        else:
            self._underway.append(Future())
            self._underway[-1].set_result(_write_shard(*arguments))
        self._shards += 1
        self._trajectories += sum(piece.table.num_rows for piece in self._slices)
        self._slices, self._filled = [], 0

    def finish(self, written: Callable[[int], None]) -> tuple[tuple[ShardEntry, ...], int, int]:
        """Write the last shard and wait for all. Returns the shards, and the numbers of battles and of repeated views.

        Args:
            written: called with the rows of each shard once it is written, in order.
        """
        if self._slices:
            self._write()
        for entry in self._entries:
            written(entry.row_count)
        while self._underway:
            self._entries.append(self._underway.popleft().result())
            written(self._entries[-1].row_count)
        fsync_folder(self._own.folder)
        battle_T, view_T = np.concatenate(self._battles), np.concatenate(self._views)
        return tuple(self._entries), len(np.unique(battle_T)), len(view_T) - len(np.unique(view_T))


def _hashes(names: list[str]) -> NDArray[np.uint64]:
    return np.array([battle_hash(name) for name in names], np.uint64)


def _write_shard(own: OwnFiles, schema: Schema, number: int, slices: Sequence[Slice],
                 first_trajectory: int) -> ShardEntry:
    """The two files of a shard, under their final names."""
    stem = f"shard-{number:05d}"
    rows = sum(piece.row_stop - piece.row_start for piece in slices)
    return ShardEntry(rows=_write_rows(own, stem, schema, slices, rows, first_trajectory),
                      trajectories=_write_trajectories(own, stem, slices),
                      row_count=rows, trajectory_count=sum(piece.table.num_rows for piece in slices))


def _write_rows(own: OwnFiles, stem: str, schema: Schema, slices: Sequence[Slice], rows: int,
                first_trajectory: int) -> FileEntry:
    """One record batch. Arrow gets columns of zeros, which cost no memory, and _HashedFile writes the rows instead."""
    arrow, layout = arrow_schema(schema), row_dtypes(schema)
    arrays: list[pa.Array] = []
    columns: Columns = {}
    for field, (name, (dtype, shape)) in zip(arrow, layout.items(), strict=True):
        zeros = pa.py_buffer(np.zeros((rows, *shape), dtype))
        columns[zeros.address, zeros.size] = _column(name, schema, slices, first_trajectory)
        values = pa.Array.from_buffers(pa.from_numpy_dtype(dtype), rows * int(np.prod(shape, dtype=int)), [None, zeros])
        arrays.append(pa.FixedSizeListArray.from_arrays(values, type=field.type) if shape else values)
    batch = pa.RecordBatch.from_arrays(arrays, schema=arrow)
    return _save(own, stem, "arrow", [pa.Table.from_batches([batch])], columns)


def _column(name: str, schema: Schema, slices: Sequence[Slice], first_trajectory: int) -> Iterator[memoryview]:
    """The values of one column, a slice at a time."""
    dtype, shape = row_dtypes(schema)[name]
    width = dtype.itemsize * int(np.prod(shape, dtype=int))
    for piece in slices:
        with open(piece.path, "rb", buffering=0) as file:
            wanted = (piece.row_stop - piece.row_start) * width
            file.seek(piece.columns[name] + piece.row_start * width)
            data = file.read(wanted)
        if len(data) < wanted:
            raise OSError(None, "damaged during this run", str(piece.path))
        if name == "trajectory":
            shift = np.uint32((first_trajectory - piece.numbered) % (1 << 32))  # the difference may be negative
            yield (np.frombuffer(data, dtype) + shift).view(np.uint8).data
        else:
            yield memoryview(data)
        first_trajectory += piece.table.num_rows


def _offsets(schema: Schema, offset: int, rows: int) -> dict[str, int]:
    """Where the columns of a block are in its part, one after the other from `offset` on."""
    layout = row_dtypes(schema)
    sizes = (rows * dtype.itemsize * int(np.prod(shape, dtype=int)) for dtype, shape in layout.values())
    return dict(zip(layout, accumulate(sizes, initial=offset), strict=False))


def _write_trajectories(own: OwnFiles, stem: str, slices: Sequence[Slice]) -> FileEntry:
    """The table of a shard's trajectories: the keys of contract 1, rows, line and source."""
    def table(piece: Slice) -> pa.Table:
        lines = piece.table["line"].to_numpy() + piece.first_line
        sources = np.full(piece.table.num_rows, piece.source, np.uint16)
        table = piece.table.set_column(piece.table.column_names.index("line"), "line", pa.array(lines))
        return table.append_column("source", pa.array(sources))

    def block(pieces: Iterator[Slice]) -> pa.Table:
        """The trajectories of a block, which two old shards may have shared. They are copied: of a slice, Arrow would
        write up to 64 bytes of what follows it in memory."""
        joined = pa.concat_tables(map(table, pieces)).combine_chunks()
        return joined.take(np.arange(joined.num_rows)).combine_chunks()

    blocks = [block(pieces) for _, pieces in groupby(slices, lambda piece: piece.block)]
    return _save(own, stem, "trajectories.arrow", blocks, {})


def _save(own: OwnFiles, stem: str, ending: str, tables: Sequence[pa.Table], columns: Columns) -> FileEntry:
    """An Arrow file, written under a temporary name, fsynced and named after its digest.

    Args:
        own, stem, ending: files of the folder, and beginning and ending of the name.
        tables: tables of one schema.
        columns: address and size of a buffer in the tables -> the data to write in its place.
    """
    temporary = temporary_name(own.folder / f"{stem}.{ending}")
    with open(temporary, "wb") as file:
        sink = _HashedFile(file, columns)
        with pa.ipc.new_file(pa.PythonFile(sink, mode="w"), tables[0].schema) as writer:
            for table in tables:
                writer.write_table(table)
        assert not columns, f"{stem}: Arrow wrote copies of its columns"
        file.flush()
        os.fsync(file.fileno())
        size, xxh3 = file.tell(), sink.xxh3.hexdigest()
    name = f"{stem}-{xxh3[:8]}.{ending}"
    temporary.replace(own.claim(name, xxh3))
    return FileEntry(name=name, bytes=size, xxh3=xxh3)


class _HashedFile:
    """The file that Arrow writes to: replaces columns by their data, and hashes everything."""

    closed = False

    def __init__(self, file: BinaryIO, columns: Columns) -> None:
        self._file, self._columns = file, columns
        self.xxh3 = xxhash.xxh3_64()

    def write(self, data: bytes | pa.Buffer) -> int:
        column = self._columns.pop((data.address, data.size), None) if isinstance(data, pa.Buffer) else None
        chunks: Iterable[Any] = [data] if column is None else column
        for chunk in chunks:
            self._file.write(chunk)
            self.xxh3.update(chunk)
        return memoryview(data).nbytes

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()
