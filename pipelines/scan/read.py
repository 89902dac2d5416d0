"""The scanning reader: a text through the kernel, its doubtful lines through the exact reader.

    N rows   T trajectories
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.decoded import TRAJECTORY_SCHEMA, Bad, Decoded, concat, finish
from pipelines.read_exact import decode_exact
from pipelines.scan.kernel import scan_lines
from pipelines.scan.machine import PADDING
from pipelines.scan.plan import (
    CHECKED_ACTION,
    CHECKED_CANDIDATES,
    Memory,
    Plan,
    Rows,
    Tops,
    make_memory,
    make_plan,
    make_rows,
    make_tops,
)
from poke_bc.contract.rows import CATEGORY_COLUMN, NUMBER_COLUMN
from poke_bc.contract.schema import Schema
from poke_bc.contract.trajectory import STEP_KEYS, TRAJECTORY_KEYS

_LEAST_STEP = 32  # {"observation":{},"label":"none"} and a comma are more
_LEAST_LINE = 64
_TAIL = 1024  # at least so many bytes at the end, PADDING or more, are read from a copy that has padding
_MOST_DOUBTS = 1024
_WHERE = ("$.steps[].observation", "$.steps[]", "$")


class TooDoubtful(Exception):
    """The kernel understands too little of a text to be worth its while."""


def decode_scanning(data: bytes, line: int, byte: int, schema: Schema) -> tuple[Decoded, list[Bad]]:
    """All good lines as rows, and the bad ones in order.

    Args:
        data: whole lines; the last may lack its newline.
        line: number of the first.
        byte: offset of the first.
        schema: what the observations hold.

    Raises TooDoubtful.
    """
    rows = make_rows(schema, len(data) // _LEAST_STEP + 2)
    tops = make_tops(len(data) // _LEAST_LINE + 2, _MOST_DOUBTS)
    border = data.rfind(b"\n", 0, max(len(data) - _TAIL, 0)) + 1
    tail = data[border:] + b"\n" * (not data.endswith(b"\n"))
    n = count = doubts = 0
    unknown: Counter[str] = Counter()
    present: Counter[str] = Counter()
    for text, size, offset in ((data, border, 0), (tail + bytes(PADDING), len(tail), border)):
        memory = make_memory(schema)
        before, doubts_before = count, doubts
        line, n, count, doubts = scan_lines(np.frombuffer(text, np.uint8), 0, size, line, n, count, doubts,
                                            _plan(schema), rows, tops, memory)
        if doubts < 0:
            raise TooDoubtful
        tops.spans[before:count, :, :2] += np.where(tops.spans[before:count, :, :1] < 0, 0, offset)
        tops.doubts[doubts_before:doubts, 1:3] += offset
        unknown += _unknown(text, memory)
        present += Counter(dict(zip((field.name for field in schema.fields), memory.present[0].tolist(), strict=True)))
    scanned = Decoded(*_assemble(data, rows, tops, n, count, schema), unknown, present)
    return _with_doubtful_lines(scanned, data, byte, tops.doubts[:doubts], schema)


_plans: dict[str, Plan] = {}


def _plan(schema: Schema) -> Plan:
    """The plan of a schema, made once."""
    if schema.hash not in _plans:
        _plans[schema.hash] = make_plan(schema)
    return _plans[schema.hash]


def _unknown(text: bytes, memory: Memory) -> Counter[str]:
    """Unknown keys with a value, counted as the exact reader does."""
    counts: Counter[str] = Counter()
    for at, length, where, _, values, _ in memory.unknown[: memory.counts[1]].tolist():
        if values:
            counts[f"{_WHERE[where]}.{text[at + 1: at + length - 1].decode()}"] += values
    return counts


def _assemble(data: bytes, rows: Rows, tops: Tops, n: int, count: int,
              schema: Schema) -> tuple[dict[str, NDArray[Any]], pa.Table]:
    """Columns and trajectories of what the kernel read."""
    counts_T = tops.lines[:count, 0]
    scalars = {name: rows.scalars[:n, place] for place, name in enumerate(STEP_KEYS)}
    reward_N = scalars["reward"]
    top: dict[str, pa.Array] = {}
    for place, (name, kind) in enumerate(TRAJECTORY_KEYS.items()):
        if kind is str:
            top[name] = _strings(data, tops.spans[:count, place])
        else:
            figures = tops.figures[:count, place]
            absent_T = np.isnan(figures)
            top[name] = pa.array(np.where(absent_T, 0, figures).astype(np.int64 if kind is int else np.float64),
                                 mask=absent_T)
    totals_T = tops.figures[:count, list(TRAJECTORY_KEYS).index("total_reward")].copy()
    if (missing_T := np.isnan(totals_T)).any():
        last_T = np.cumsum(counts_T)
        for missing in np.flatnonzero(missing_T):
            totals_T[missing] = math.fsum(reward_N[last_T[missing] - counts_T[missing]: last_T[missing]])
        top["total_reward"] = pa.array(totals_T)
    columns = {
        CATEGORY_COLUMN: rows.category[:n], NUMBER_COLUMN: rows.number[:n].view(np.float16),
        "action": rows.scalars[:n, CHECKED_ACTION], "candidates": rows.scalars[:n, CHECKED_CANDIDATES],
        **{name: scalars[name] for name in ("legal", "gimmick", "done", "weight", "reward")},
    }
    trajectories = pa.table({**top, "rows": counts_T.astype(np.uint32), "line": tops.lines[:count, 1]},
                            schema=TRAJECTORY_SCHEMA)
    return finish(columns, reward_N, counts_T, totals_T, top["replay_id"].to_pylist(), schema), trajectories


def _strings(data: bytes, spans: NDArray[np.int64]) -> pa.Array:
    """Strings by where they stand in the text (Tops.spans)."""
    if (spans[:, 0] < 0).all():
        return pa.nulls(len(spans), pa.string())
    return pa.array([None if begin < 0 else json.loads(data[begin - 1: end + 1]) if escaped
                     else data[begin:end].decode() for begin, end, escaped in spans.tolist()], pa.string())


def _with_doubtful_lines(scanned: Decoded, data: bytes, byte: int, doubts: NDArray[np.int64],
                         schema: Schema) -> tuple[Decoded, list[Bad]]:
    """The exact reader's word on the lines that the kernel left: the good ones in their places, and the bad ones."""
    pieces, all_bad, done = [], [], 0
    for line, begin, end, before in doubts.tolist():
        exact, bad = decode_exact(data[begin:end], line, byte + begin, schema)
        all_bad += bad
        if exact.trajectories.num_rows:
            pieces += [_between(scanned, done, before), exact]
            done = before
    if not pieces:
        return scanned, all_bad
    pieces.append(_between(scanned, done, scanned.trajectories.num_rows))
    first = concat(pieces, schema)
    return Decoded(first.rows, first.trajectories, first.unknown + scanned.unknown,
                   first.present + scanned.present), all_bad


def _between(scanned: Decoded, start: int, stop: int) -> Decoded:
    """The trajectories [start, stop) with their rows; without counts."""
    begin, end = np.searchsorted(scanned.rows["trajectory"], [start, stop])
    rows = {name: column[begin:end] for name, column in scanned.rows.items()}
    return Decoded(rows | {"trajectory": rows["trajectory"] - np.uint32(start)},
                   scanned.trajectories.slice(start, stop - start), Counter(), Counter())
