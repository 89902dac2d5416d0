"""Shards full of random valid rows, written without the offline wing: for machines that have no polars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from poke_bc.contract.actions import NUM_ACTIONS
from poke_bc.contract.files import digest_file
from poke_bc.contract.manifest import Counts, FileEntry, Manifest, ShardEntry
from poke_bc.contract.rows import CATEGORY_COLUMN, NUMBER_COLUMN, arrow_schema, row_dtypes
from poke_bc.contract.schema import Schema, load_schema

ROWS_OF_A_TRAJECTORY = 32


def write_random_shards(folder: Path, rows: int, *, shards: int = 1, schema: Schema | None = None) -> Path:
    """`rows` labelled decisions in `shards` files of equal size, in the schema singles where none is given."""
    folder.mkdir(parents=True, exist_ok=True)
    schema = schema or load_schema("singles")
    entries, first = [], 0
    for number in range(shards):
        count = rows * (number + 1) // shards - first
        entries.append(_write_shard(folder, f"shard-{number:05d}", schema, first, count))
        first += count
    counts = Counts(decisions=rows, observed=rows, with_legal=rows)
    Manifest(schema=schema, shards=tuple(entries), sources=(), counts=counts, producer="benchmark").write(folder)
    return folder


def _write_shard(folder: Path, stem: str, schema: Schema, first: int, count: int) -> ShardEntry:
    random = np.random.default_rng(first)
    action = random.integers(0, NUM_ACTIONS, count)
    row = np.arange(first, first + count)
    sizes = [schema.vocabularies[field.vocab].size for field in schema.categories for _ in range(field.width)]
    bounds = [(field.low, field.high) for field in schema.numbers for _ in range(field.columns)]
    low, high = np.array(bounds, dtype=np.float32).T if bounds else np.zeros((2, 0), np.float32)
    values = {
        CATEGORY_COLUMN: random.random((count, len(sizes)), np.float32) * np.array(sizes),
        NUMBER_COLUMN: low + random.random((count, len(bounds)), np.float32) * (high - low),
        "action": action,
        "legal": random.integers(0, 1 << NUM_ACTIONS, count) | 1 << action | 1 << (action + 1) % NUM_ACTIONS,
        "weight": np.ones(count), "battle": row // (2 * ROWS_OF_A_TRAJECTORY),
        "trajectory": row // ROWS_OF_A_TRAJECTORY, "step": row % ROWS_OF_A_TRAJECTORY,
    }
    arrow, arrays = arrow_schema(schema), []
    for field, (name, (dtype, shape)) in zip(arrow, row_dtypes(schema).items(), strict=True):
        flat = pa.array(values.get(name, np.zeros(count)).astype(dtype).reshape(-1))
        arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=field.type) if shape else flat)
    rows_T = np.unique(values["trajectory"], return_counts=True)[1].astype(np.uint32)
    table = pa.table({"player": ["p1"] * len(rows_T), "rows": rows_T})
    return ShardEntry(rows=_write(folder / f"{stem}.arrow", pa.RecordBatch.from_arrays(arrays, schema=arrow)),
                      trajectories=_write(folder / f"{stem}.trajectories.arrow", table.to_batches()[0]),
                      row_count=count, trajectory_count=table.num_rows)


def _write(path: Path, batch: pa.RecordBatch) -> FileEntry:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return FileEntry(name=path.name, bytes=path.stat().st_size, xxh3=digest_file(path))
