"""The scanner: a text through the kernel, and its doubtful lines through the exact reader.

    N rows   T trajectories
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.decode.decoded import Bad, Decoded, concat, finish
from pipelines.decode.exact import decode_exact
from pipelines.decode.scan.arrays import (
    CHECKED_ACTION,
    CHECKED_CANDIDATES,
    LineArrays,
    Memory,
    RowArrays,
    SchemaArrays,
    new_memory,
    room_for_lines,
    room_for_rows,
    schema_arrays,
)
from pipelines.decode.scan.kernel import scan_lines
from pipelines.decode.scan.machine import PADDING
from poke_bc.contract.rows import CATEGORY_COLUMN, NUMBER_COLUMN
from poke_bc.contract.schema import Schema
from poke_bc.contract.trajectory import STEP_KEYS, TRAJECTORY_KEYS

_LEAST_STEP = 32  # {"observation":{},"label":"none"} and a comma are longer
_LEAST_LINE = 64
_TAIL = 1024  # at least this many bytes at the end are read from a copy that has padding; at least PADDING
_MOST_DOUBTS = 1024
_MOST_DOUBTFUL_BYTES = 1 << 20  # takes the exact reader half as long as a block takes Arrow
_PATHS = ("$.steps[].observation", "$.steps[]", "$")


def scan(data: bytes, line: int, byte: int, schema: Schema) -> tuple[Decoded, list[Bad]] | None:
    """All good lines as rows, and the bad ones in order; None if too many lines are doubtful.

    Args:
        data: whole lines; the last may lack its newline.
        line: number of the first.
        byte: offset of the first.
        schema: what the observations hold.
    """
    rows = room_for_rows(schema, len(data) // _LEAST_STEP + 2)
    lines = room_for_lines(len(data) // _LEAST_LINE + 2, _MOST_DOUBTS)
    border = data.rfind(b"\n", 0, max(len(data) - _TAIL, 0)) + 1
    tail = data[border:] + b"\n" * (not data.endswith(b"\n"))
    n = count = doubts = 0
    unknown: Counter[str] = Counter()
    present: Counter[str] = Counter()
    for text, size, offset in ((data, border, 0), (tail + bytes(PADDING), len(tail), border)):
        memory = new_memory(schema)
        before, doubts_before = count, doubts
        line, n, count, doubts = scan_lines(np.frombuffer(text, np.uint8), 0, size, line, n, count, doubts,
                                            _arrays(schema), rows, lines, memory)
        if doubts < 0:
            return None
        lines.spans[before:count, :, :2] += np.where(lines.spans[before:count, :, :1] < 0, 0, offset)
        lines.doubts[doubts_before:doubts, 1:3] += offset
        unknown += _unknown(text, memory)
        present += Counter(dict(zip((field.name for field in schema.fields), memory.present[0].tolist(), strict=True)))
    if (lines.doubts[:doubts, 2] - lines.doubts[:doubts, 1]).sum() > _MOST_DOUBTFUL_BYTES:
        return None
    scanned = Decoded(*_assemble(data, rows, lines, n, count, schema), unknown, present)
    return _with_doubtful_lines(scanned, data, byte, lines.doubts[:doubts], schema)


_arrays_by_hash: dict[str, SchemaArrays] = {}


def _arrays(schema: Schema) -> SchemaArrays:
    """The arrays of a schema, created once."""
    if schema.hash not in _arrays_by_hash:
        _arrays_by_hash[schema.hash] = schema_arrays(schema)
    return _arrays_by_hash[schema.hash]


def _unknown(text: bytes, memory: Memory) -> Counter[str]:
    """Unknown keys with a value, counted as the exact reader does."""
    counts: Counter[str] = Counter()
    for at, length, where, _, values, _ in memory.unknown[: memory.counts[1]].tolist():
        if values:
            counts[f"{_PATHS[where]}.{text[at + 1: at + length - 1].decode()}"] += values
    return counts


def _assemble(data: bytes, rows: RowArrays, lines: LineArrays, n: int, count: int,
              schema: Schema) -> tuple[dict[str, NDArray[Any]], pa.Table]:
    """Columns and trajectories from the kernel's output."""
    scalars = {name: rows.scalars[:n, place] for place, name in enumerate(STEP_KEYS)}
    top: dict[str, pa.Array] = {}
    for place, (name, kind) in enumerate(TRAJECTORY_KEYS.items()):
        if kind is str:
            top[name] = _strings(data, lines.spans[:count, place])
        else:
            figures = lines.figures[:count, place]
            absent_T = np.isnan(figures)
            top[name] = pa.array(np.where(absent_T, 0, figures).astype(np.int64 if kind is int else np.float64),
                                 mask=absent_T)
    columns = {
        CATEGORY_COLUMN: rows.category[:n], NUMBER_COLUMN: rows.number[:n].view(np.float16),
        "action": rows.scalars[:n, CHECKED_ACTION], "candidates": rows.scalars[:n, CHECKED_CANDIDATES],
        **{name: scalars[name] for name in ("legal", "gimmick", "done", "weight", "reward")},
    }
    return finish(columns, lines.lines[:count, 0], top, lines.lines[:count, 1], schema)


def _strings(data: bytes, spans: NDArray[np.int64]) -> pa.Array:
    """Strings by their positions in the text (LineArrays.spans)."""
    if (spans[:, 0] < 0).all():
        return pa.nulls(len(spans), pa.string())
    return pa.array([None if begin < 0 else json.loads(data[begin - 1: end + 1]) if escaped
                     else data[begin:end].decode() for begin, end, escaped in spans.tolist()], pa.string())


def _with_doubtful_lines(scanned: Decoded, data: bytes, byte: int, doubts: NDArray[np.int64],
                         schema: Schema) -> tuple[Decoded, list[Bad]]:
    """`scanned` with the doubtful lines that turn out to be good inserted in order, and the bad ones."""
    decoded, all_bad = [scanned], []
    for line, begin, end in doubts.tolist():
        exact, bad = decode_exact(data[begin:end], line, byte + begin, schema)
        all_bad += bad
        if exact.trajectories.num_rows:
            decoded.append(exact)
    if len(decoded) == 1:
        return scanned, all_bad
    found = concat(decoded, schema)
    order_T = np.argsort(found.trajectories["line"].to_numpy())
    counts_T = found.trajectories["rows"].to_numpy().astype(np.int64)
    first_T = np.cumsum(counts_T) - counts_T
    from_N = np.concatenate([np.arange(first, first + count) for first, count in
                             zip(first_T[order_T], counts_T[order_T], strict=True)])
    rows = {name: column[from_N] for name, column in found.rows.items()}
    rows["trajectory"] = np.repeat(np.arange(len(order_T), dtype=np.uint32), counts_T[order_T])
    return Decoded(rows, found.trajectories.take(order_T), found.unknown, found.present), all_bad
