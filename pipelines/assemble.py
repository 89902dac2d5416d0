"""Parts -> shards: consecutive parts joined column by column, cut only between battles.

A shard is written in place at its full size under a temporary name, one slice of one column at a time, so
memory does not grow with the shard. It is hashed, fsynced, and named after its place and digest: a new
generation never overwrites a file that somebody has mapped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

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


@dataclass(frozen=True)
class Slice:
    """Trajectories [start, stop) of a part, and their rows."""

    part: int
    start: int
    stop: int
    row_start: int
    row_stop: int


@dataclass(frozen=True)
class Index:
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


def plan_shards(store: PartStore, parts: Sequence[Part], shard_rows: int) -> tuple[list[list[Slice]], Index]:
    """Which trajectories make up each shard, and what must be known of all of them.

    A shard ends with the first battle that fills it: views of one battle that follow each other stay together.
    """
    shards: list[list[Slice]] = [[]]
    battles, views = [], []
    filled, last = 0, None
    for number, part in enumerate(parts):
        if not part.trajectories:
            continue
        table = store.read_table(number)
        ids, players = table["replay_id"].to_pylist(), table["player"].to_pylist()
        battle_T = _hashes(ids)
        battles.append(battle_T)
        views.append(_hashes([f"{id_}\0{player}" for id_, player in zip(ids, players, strict=True)]))
        rows_T = table["rows"].to_numpy().astype(np.int64)
        ends_T = np.cumsum(rows_T)
        start = 0
        for place, battle in enumerate(battle_T):
            if filled >= shard_rows and battle != last:
                _append(shards[-1], number, start, place, ends_T)
                shards.append([])
                filled, start = 0, place
            filled += int(rows_T[place])
            last = battle
        _append(shards[-1], number, start, len(rows_T), ends_T)
    empty = np.empty(0, np.uint64)
    index = Index(np.concatenate([empty, *battles]), np.concatenate([empty, *views]))
    return [shard for shard in shards if shard], index


def _append(shard: list[Slice], part: int, start: int, stop: int, ends_T: NDArray[np.int64]) -> None:
    if stop > start:
        shard.append(Slice(part, start, stop, int(ends_T[start - 1]) if start else 0, int(ends_T[stop - 1])))


def _hashes(names: list[str]) -> NDArray[np.uint64]:
    return np.array([battle_hash(name) for name in names], np.uint64)


def write_shards(folder: Path, store: PartStore, parts: Sequence[Part], shards: Sequence[Sequence[Slice]],
                 first_lines: Sequence[int], done: Callable[[int], None], threads: int = 1) -> list[ShardEntry]:
    """Write all shards; nothing refers to them until the manifest does.

    Args:
        folder: of the data set.
        store, parts: the parts.
        shards: from `plan_shards`.
        first_lines: number of each part's first line in its source, from 1.
        done: told the rows written after each shard, in order.
        threads: shards to write at once; copying, hashing and fsync need no interpreter.
    """
    counts = [sum(piece.stop - piece.start for piece in slices) for slices in shards]
    firsts = [0, *accumulate(counts)]

    def write(number: int) -> ShardEntry:
        slices, stem = shards[number], f"shard-{number:05d}"
        rows = sum(piece.row_stop - piece.row_start for piece in slices)
        return ShardEntry(rows=_write_rows(folder, stem, store, parts, slices, rows, firsts[number]),
                          trajectories=_write_trajectories(folder, stem, store, parts, slices, first_lines),
                          row_count=rows, trajectory_count=counts[number])

    entries = []
    with ThreadPoolExecutor(threads) as pool:
        for entry in pool.map(write, range(len(shards))):
            entries.append(entry)
            done(entry.row_count)
    fsync_folder(folder)
    return entries


def _write_rows(folder: Path, stem: str, store: PartStore, parts: Sequence[Part], slices: Sequence[Slice],
                rows: int, first_trajectory: int) -> FileEntry:
    temporary = folder / f"{TEMPORARY}{stem}.arrow"
    offsets = _write_empty(temporary, store.schema, rows)
    layout = row_dtypes(store.schema)
    with open(temporary, "r+b") as file:
        at = 0
        for piece in slices:
            part = store.map_rows(piece.part, parts[piece.part].rows)
            for name, (dtype, shape) in layout.items():
                values = part[name][piece.row_start: piece.row_stop]
                if name == "trajectory":
                    values = values + np.uint32((first_trajectory - piece.start) % (1 << 32))  # may be below 0
                stride = dtype.itemsize * int(np.prod(shape, dtype=int))
                _write_at(file.fileno(), values.reshape(-1).view(np.uint8).data, offsets[name] + at * stride)
            at += piece.row_stop - piece.row_start
            first_trajectory += piece.stop - piece.start
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
    arrays = []
    for field, (dtype, shape) in zip(arrow, layout.values(), strict=True):
        zeros = pa.py_buffer(np.zeros((rows, *shape), dtype))  # untouched zero pages: costs no memory
        values = pa.Array.from_buffers(pa.from_numpy_dtype(dtype), rows * int(np.prod(shape, dtype=int)), [None, zeros])
        arrays.append(pa.FixedSizeListArray.from_arrays(values, type=field.type) if shape else values)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, arrow) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=arrow))
    with pa.memory_map(str(path)) as mapped:
        base = mapped.read_buffer().address
        batch = pa.ipc.open_file(mapped).get_batch(0)
        return {name: (batch.column(name).values if shape else batch.column(name)).buffers()[1].address - base
                for name, (_, shape) in layout.items()}


def _write_trajectories(folder: Path, stem: str, store: PartStore, parts: Sequence[Part],
                        slices: Sequence[Slice], first_lines: Sequence[int]) -> FileEntry:
    """The table of a shard's trajectories: contract 1's keys, rows, and where each was read."""
    temporary = folder / f"{TEMPORARY}{stem}.trajectories.arrow"
    with pa.OSFile(str(temporary), "wb") as sink:
        writer = None
        for piece in slices:
            table = store.read_table(piece.part).slice(piece.start, piece.stop - piece.start)
            lines = table["line"].to_numpy() + first_lines[piece.part]
            sources = np.full(table.num_rows, parts[piece.part].source, np.uint16)
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
