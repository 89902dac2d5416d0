"""Shards of as many rows as wanted that take little disk: files with holes, which read as zeros.

The rows are valid all the same. Only the columns that tell rows apart are written; all others are holes: action 0, no
legal mask, weight 0.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from poke_bc.contract.files import digest_file
from poke_bc.contract.manifest import Counts, FileEntry, Manifest, ShardEntry
from poke_bc.contract.rows import CATEGORY_COLUMN, MAX_STEPS, arrow_schema, row_dtypes
from poke_bc.contract.schema import schema_from_dict

BASE = 50_000
"""A row's two ids are its number in this base."""
SCHEMA = schema_from_dict({"name": "narrow", "version": 1, "field": [
    {"name": "row", "kind": "category", "vocab": "digit", "width": 2}, {"name": "hp", "kind": "number"},
]}, "narrow").with_sizes({"digit": BASE})
SHARD_ROWS = 100 * MAX_STEPS
_HOLE = 1 << 16


def write_sparse_shards(folder: Path, rows: int) -> Path:
    """`rows` rows in trajectories of MAX_STEPS, the last of them perhaps shorter."""
    folder.mkdir()
    shards = tuple(_write_shard(folder / f"shard-{number:05d}", np.arange(first, min(first + SHARD_ROWS, rows)))
                   for number, first in enumerate(range(0, rows, SHARD_ROWS)))
    Manifest(schema=SCHEMA, shards=shards, sources=(), counts=Counts(decisions=rows, observed=rows),
             producer="tests").write(folder)
    return folder


def row_numbers(category_B: NDArray[np.uint16]) -> NDArray[np.int64]:
    """The rows of a batch, by its ids [B, 2]."""
    return category_B[:, 0].astype(np.int64) * BASE + category_B[:, 1]


def sizes(folder: Path) -> tuple[int, int]:
    """Bytes of all files, and bytes that they take on disk."""
    found = [path.stat() for path in folder.iterdir()]
    return sum(each.st_size for each in found), sum(512 * each.st_blocks for each in found)


def _write_shard(stem: Path, row_N: NDArray[np.int64]) -> ShardEntry:
    known = {CATEGORY_COLUMN: np.stack([row_N // BASE, row_N % BASE], axis=1), "trajectory": row_N // MAX_STEPS,
             "step": row_N % MAX_STEPS}
    arrays: list[pa.Array] = []
    schema = arrow_schema(SCHEMA)
    for field, (name, (dtype, shape)) in zip(schema, row_dtypes(SCHEMA).items(), strict=True):
        values = known[name].astype(dtype) if name in known else np.zeros((len(row_N), *shape), dtype)
        flat = pa.array(values.reshape(-1))
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=field.type) if shape else flat)
    lengths = np.bincount(known["trajectory"] - known["trajectory"][0])
    table = pa.record_batch({"rows": lengths.astype(np.uint32), "player": ["p1"] * len(lengths)})
    return ShardEntry(rows=_write(stem.with_suffix(".arrow"), pa.RecordBatch.from_arrays(arrays, schema=schema)),
                      trajectories=_write(stem.with_suffix(".trajectories.arrow"), table),
                      row_count=len(row_N), trajectory_count=len(lengths))


def _write(path: Path, batch: pa.RecordBatch) -> FileEntry:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    with open(path, "wb") as file, memoryview(sink.getvalue()) as data:
        for start in range(0, len(data), _HOLE):
            chunk = data[start:start + _HOLE]
            if np.frombuffer(chunk, np.uint8).any():
                file.seek(start)
                file.write(chunk)
        file.truncate(len(data))
    return FileEntry(name=path.name, bytes=path.stat().st_size, xxh3=digest_file(path))
