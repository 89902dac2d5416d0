"""Rows of an Arrow table, as from Parquet -> decisions: vectorised where the result is certain, else one by one.

A row of a table is checked like a line of text: a bad row does not affect others. A null is a missing key. Unknown
columns are only counted, so they may hold anything.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.decode.columns import STEP_TYPES, NotSure, rows_from_arrow
from pipelines.decode.decoded import Bad, Decoded
from pipelines.decode.exact import decode_each
from poke_bc.contract.schema import Schema
from poke_bc.contract.trajectory import TRAJECTORY_KEYS, BadLine, check_trajectory

_EXACT_ROWS = 8  # up to this many doubtful rows are not halved again


def decode_batch(batch: pa.RecordBatch, line: int, schema: Schema) -> tuple[list[Decoded], list[Bad]]:
    """All good rows, and the bad ones in order; `line` is the number of the first row in its block."""
    return _decode(_with_text_dates(batch), line, schema)


def _decode(batch: pa.RecordBatch, line: int, schema: Schema) -> tuple[list[Decoded], list[Bad]]:
    if not batch.num_rows:
        return [], []
    try:
        lines = np.arange(line, line + batch.num_rows)
        return [rows_from_arrow(dict(zip(batch.schema.names, batch.columns, strict=True)), lines, schema)], []
    except NotSure:
        if batch.num_rows <= _EXACT_ROWS:
            decoded, bad = decode_each(
                ((line + number, None, number) for number in range(batch.num_rows)),
                lambda number: check_trajectory(row_of(batch, number, schema.field_names), schema), schema)
            return [decoded], bad
    middle = batch.num_rows // 2
    left, bad_left = _decode(batch.slice(0, middle), line, schema)
    right, bad_right = _decode(batch.slice(middle), line + middle, schema)
    return left + right, bad_left + bad_right


def row_of(batch: pa.RecordBatch, number: int, fields: Collection[str] | None) -> dict[str, Any]:
    """One row as Python values; unknown keys are True where they have a value.

    Args:
        batch: rows of a table.
        number: which row, from 0.
        fields: known keys of an observation; None: all.

    Raises BadLine if a value has no Python equivalent.
    """
    known: _Known = {**dict.fromkeys(TRAJECTORY_KEYS), "steps": {
        **dict.fromkeys(STEP_TYPES), "observation": None if fields is None else dict.fromkeys(fields)}}
    columns = [column.slice(number, 1) for column in batch.columns]
    row: dict[str, Any] = _python(pa.StructArray.from_arrays(columns, fields=list(batch.schema)), "$", known)[0]
    return row


_Known = Mapping[str, "_Known | None"]


def _python(values: pa.Array, path: str, known: _Known | None) -> list[Any]:
    """Arrow values as Python values; of structs, and lists of them, only `known` keys (None: all)."""
    kind = values.type
    if known is not None and pa.types.is_struct(kind):
        names = [each.name for each in kind]
        columns = [_python(child, f"{path}.{name}", known[name]) if name in known
                   else [valid or None for valid in child.is_valid().to_pylist()]
                   for name, child in zip(names, map(values.field, range(len(names))), strict=True)]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        return [row if valid else None for row, valid in zip(rows, values.is_valid().to_pylist(), strict=True)]
    if known is not None and any(is_list(kind) for is_list in _LISTS) and pa.types.is_struct(kind.value_type):
        return [_python(each.values, f"{path}[]", known) if each.is_valid else None for each in values]
    try:
        plain: list[Any] = values.to_pylist()
    except UnicodeDecodeError:
        raise BadLine(path, "invalid UTF-8") from None
    except (ValueError, TypeError, ArithmeticError, ImportError) as error:  # such as a timestamp after the year 9999
        raise BadLine(path, f"a {kind} that cannot be read: {error}") from None
    return plain


_LISTS = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def _with_text_dates(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Convert dates and timestamps in the column `date` to ISO text: 2024-01-02, or 2024-01-02 03:04:00Z."""
    place = batch.schema.get_field_index("date")
    if place < 0 or not (pa.types.is_date(batch.column(place).type) or pa.types.is_timestamp(batch.column(place).type)):
        return batch
    dates = batch.column(place)
    if pa.types.is_timestamp(dates.type) and dates.type.tz is not None:
        dates = dates.cast(pa.timestamp(dates.type.unit, "UTC"))  # the same instants; needs no time zone database
    return batch.set_column(place, "date", dates.cast(pa.string()))
