"""Parts -> shards: consecutive parts joined column by column, cut only between battles.

A shard is written in place at its full size under a temporary name, one slice of one column at a time, so
memory does not grow with the shard. It is hashed, fsynced, and named after its place and digest: a new
generation never overwrites a file that somebody has mapped.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.ledger import Part
from pipelines.part import PartStore
from poke_bc.contract.files import TEMPORARY, digest_file, fsync_folder
from poke_bc.contract.manifest import FileEntry, ShardEntry
from poke_bc.contract.rows import arrow_schema, row_dtypes
from poke_bc.contract.schema import Schema
from poke_bc.contract.trajectory import battle_hash


class Slice(NamedTuple):
    """Some consecutive trajectories of a part, and their rows."""

    number: int
    part: Part
    first: int
    """Place in the part of the first trajectory."""
    table: pa.Table
    """These trajectories: about a fiftieth of the rows' bytes."""
    row_start: int
    row_stop: int


class Index(NamedTuple):
    """What is kept of every trajectory until the end: 16 bytes each."""

    battle_T: NDArray[np.uint64]
    view_T: NDArray[np.uint64]
    """Hash of (replay_id, player)."""

    @property
    def battles(self) -> int:
        """Different battles."""
        return len(np.unique(self.battle_T))

    @property
    def duplicates(self) -> int:
        """Views that were there before."""
        return len(self.view_T) - len(np.unique(self.view_T))


class Assembler:
    """Takes parts in order, and writes every shard as soon as it is full; nothing refers to one until a manifest does.

    A shard ends with the first battle that fills it: views of one battle that follow each other stay together.

    Args:
        folder: of the data set.
        store: the parts.
        shard_rows: that fill a shard.
        threads: shards to write at once, beside the reading: copying, hashing and fsync need no interpreter. 0: a
            shard is written where it is found full, and nothing is beside anything.
    """

    def __init__(self, folder: Path, store: PartStore, shard_rows: int, threads: int) -> None:
        self._folder, self._store, self._shard_rows = folder, store, shard_rows
        self._pool = ThreadPoolExecutor(threads) if threads else None
        self._most_underway = 2 * threads
        self._battles: list[NDArray[np.uint64]] = []
        self._views: list[NDArray[np.uint64]] = []
        self._slices: list[Slice] = []  # of the shard that is not yet full
        self._filled, self._last_battle = 0, None
        self._shards = self._trajectories = 0  # of full shards
        self._underway: deque[Future[ShardEntry]] = deque()
        self._entries: list[ShardEntry] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def add(self, number: int, part: Part) -> None:
        """The next part. Waits where shards are written more slowly than parts come.

        Raises OSError where an earlier shard could not be written.
        """
        while self._underway and (self._underway[0].done() or len(self._underway) > self._most_underway):
            self._entries.append(self._underway.popleft().result())
        if not part.trajectories:
            return
        table = self._store.read_table(number)
        ids, players = table["replay_id"].to_pylist(), table["player"].to_pylist()
        battle_T = _hashes(ids)
        self._battles.append(battle_T)
        self._views.append(_hashes([f"{id_}\0{player}" for id_, player in zip(ids, players, strict=True)]))
        rows_T = table["rows"].to_numpy().astype(np.int64)
        start = 0
        for place, battle in enumerate(battle_T):
            if self._filled >= self._shard_rows and battle != self._last_battle:
                self._take(number, part, table, start, place)
                self._write()
                start = place
            self._filled += int(rows_T[place])
            self._last_battle = battle
        self._take(number, part, table, start, len(rows_T))

    def _take(self, number: int, part: Part, table: pa.Table, start: int, stop: int) -> None:
        """The trajectories [start, stop) of a part into the shard."""
        if stop > start:
            ends_T = np.cumsum(table["rows"].to_numpy(), dtype=np.int64)
            self._slices.append(Slice(number, part, start, table.slice(start, stop - start),
                                      int(ends_T[start - 1]) if start else 0, int(ends_T[stop - 1])))

    def _write(self) -> None:
        """Write the shard that is full."""
        arguments = self._folder, self._store, self._shards, self._slices, self._trajectories
        if self._pool is not None:
            self._underway.append(self._pool.submit(_write_shard, *arguments))
        else:
            self._entries.append(_write_shard(*arguments))
        self._shards += 1
        self._trajectories += sum(piece.table.num_rows for piece in self._slices)
        self._slices, self._filled = [], 0

    def finish(self, done: Callable[[int], None]) -> tuple[tuple[ShardEntry, ...], Index]:
        """Write what is left, and wait for all: the shards in order, and what must be known of all trajectories.

        Args:
            done: told the rows of each shard once it is written, in order.
        """
        if self._slices:
            self._write()
        for entry in self._all():
            done(entry.row_count)
        fsync_folder(self._folder)
        empty = np.empty(0, np.uint64)
        return tuple(self._entries), Index(np.concatenate([empty, *self._battles]),
                                           np.concatenate([empty, *self._views]))

    def _all(self) -> Iterator[ShardEntry]:
        yield from self._entries
        while self._underway:
            self._entries.append(self._underway.popleft().result())
            yield self._entries[-1]


def _hashes(names: list[str]) -> NDArray[np.uint64]:
    return np.array([battle_hash(name) for name in names], np.uint64)


def _write_shard(folder: Path, store: PartStore, number: int, slices: Sequence[Slice],
                 first_trajectory: int) -> ShardEntry:
    """The shard's two files under their lasting names."""
    stem = f"shard-{number:05d}"
    rows = sum(piece.row_stop - piece.row_start for piece in slices)
    return ShardEntry(rows=_write_rows(folder, stem, store, slices, rows, first_trajectory),
                      trajectories=_write_trajectories(folder, stem, slices),
                      row_count=rows, trajectory_count=sum(piece.table.num_rows for piece in slices))


def _write_rows(folder: Path, stem: str, store: PartStore, slices: Sequence[Slice], rows: int,
                first_trajectory: int) -> FileEntry:
    temporary = folder / f"{TEMPORARY}{stem}.arrow"
    offsets = _write_empty(temporary, store.schema, rows)
    layout = row_dtypes(store.schema)
    with open(temporary, "r+b") as file:
        at = 0
        for piece in slices:
            part = store.map_rows(piece.number, piece.part.rows)
            for name, (dtype, shape) in layout.items():
                values = part[name][piece.row_start: piece.row_stop]
                if name == "trajectory":
                    values = values + np.uint32((first_trajectory - piece.first) % (1 << 32))  # may be below 0
                stride = dtype.itemsize * int(np.prod(shape, dtype=int))
                _write_at(file.fileno(), values.reshape(-1).view(np.uint8).data, offsets[name] + at * stride)
            at += piece.row_stop - piece.row_start
            first_trajectory += piece.table.num_rows
    return _seal(temporary, folder, stem, "arrow")


def _write_at(descriptor: int, data: memoryview, offset: int) -> None:
    """pwrite may write less than it was given."""
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written


def _write_empty(path: Path, schema: Schema, rows: int) -> dict[str, int]:
    """An Arrow file of one record batch with `rows` rows of zeros; returns where each column's bytes begin."""
    arrow = arrow_schema(schema)
    layout = row_dtypes(schema)
    arrays, zeros = [], []
    for field, (dtype, shape) in zip(arrow, layout.values(), strict=True):
        zeros.append(pa.py_buffer(np.zeros((rows, *shape), dtype)))  # untouched zero pages: costs no memory
        values = pa.Array.from_buffers(pa.from_numpy_dtype(dtype), rows * int(np.prod(shape, dtype=int)),
                                       [None, zeros[-1]])
        arrays.append(pa.FixedSizeListArray.from_arrays(values, type=field.type) if shape else values)
    with open(path, "wb") as file:
        sink = pa.PythonFile(_WithHoles(file, zeros), mode="w")
        with pa.ipc.new_file(sink, arrow) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=arrow))
    with pa.memory_map(str(path)) as mapped:
        base = mapped.read_buffer().address
        batch = pa.ipc.open_file(mapped).get_batch(0)
        return {name: (batch.column(name).values if shape else batch.column(name)).buffers()[1].address - base
                for name, (_, shape) in layout.items()}


class _WithHoles:
    """A file that leaves holes, which read as zeros, where it is given buffers that are known to hold nothing else.

    Writing zeros first took a third of the time of a shard. Arrow hands a column's buffer over as it is; were it
    to hand over copies, they would be written.
    """

    closed = False

    def __init__(self, file: BinaryIO, zeros: Sequence[pa.Buffer]) -> None:
        self._file, self._zeros = file, {(buffer.address, buffer.size) for buffer in zeros}

    def write(self, data: bytes | pa.Buffer) -> int:
        if isinstance(data, pa.Buffer) and (data.address, data.size) in self._zeros:
            self._file.seek(data.size, os.SEEK_CUR)
            return int(data.size)
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()


def _write_trajectories(folder: Path, stem: str, slices: Sequence[Slice]) -> FileEntry:
    """The table of a shard's trajectories: contract 1's keys, rows, and where each was read."""
    temporary = folder / f"{TEMPORARY}{stem}.trajectories.arrow"
    with pa.OSFile(str(temporary), "wb") as sink:
        writer = None
        for piece in slices:
            table = piece.table
            lines = table["line"].to_numpy() + piece.part.first_line
            sources = np.full(table.num_rows, piece.part.source, np.uint16)
            table = table.set_column(table.column_names.index("line"), "line", pa.array(lines))
            table = table.append_column("source", pa.array(sources)).combine_chunks()
            writer = writer or pa.ipc.new_file(sink, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
    return _seal(temporary, folder, stem, "trajectories.arrow")


def _seal(temporary: Path, folder: Path, stem: str, ending: str) -> FileEntry:
    """Hash, fsync, and give the file its lasting name."""
    xxh3 = digest_file(temporary)
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
        size = os.fstat(file.fileno()).st_size
    name = f"{stem}-{xxh3[:8]}.{ending}"
    temporary.replace(folder / name)
    return FileEntry(name=name, bytes=size, xxh3=xxh3)
