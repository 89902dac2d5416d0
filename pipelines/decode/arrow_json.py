"""Text through Arrow's JSON reader, which is more lenient than the trajectory format.

Its result is used only if the checks here and in `columns` hold for the whole text.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.json as pj
from numpy.typing import NDArray

from pipelines.decode.columns import STEP_TYPES, NotSure, field_type, rows_from_arrow, sure
from pipelines.decode.decoded import TRAJECTORY_SCHEMA, Decoded
from poke_bc.contract.nesting import DEEPEST, nesting, skeleton
from poke_bc.contract.schema import Schema
from poke_bc.contract.trajectory import TRAJECTORY_KEYS

_INFER_BYTES = 256 << 10  # up to here Arrow may infer the types of unknown keys


def decode_with_arrow(data: bytes, line: int, schema: Schema) -> Decoded:
    """All lines as rows; `line` is the number of the first. Raises NotSure unless every line is certainly valid."""
    lines = _line_numbers(data, line)
    table = _parse(data, schema)
    sure(table.num_rows == len(lines))
    sure(all(column.num_chunks == 1 for column in table.columns))
    # Not combine_chunks, which fails on the invalid array that Arrow 26 makes from an unknown list of nulls.
    return rows_from_arrow({name: table.column(name).chunk(0) for name in table.column_names}, lines, schema)


def _line_numbers(data: bytes, line: int) -> NDArray[np.int64]:
    """Numbers of the lines that are not empty; each must begin with "{" and end with "}".

    A newline between "}" and "{" cannot be inside a JSON value, so either there are as many values as lines, or some
    line holds two.
    """
    sure(bool(data))
    bare = skeleton(data)
    sure(b"N" not in bare and b"I" not in bare and nesting(bare) <= DEEPEST)
    if not data.isascii():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            raise NotSure from None
    bytes_ = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(bytes_ == ord("\n"))
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    starts = np.append(0, ends[:-1] + 1)
    ends = ends - (bytes_[ends - 1] == ord("\r"))
    filled = ends > starts
    sure(bool(filled.any()))
    sure(bool((bytes_[starts[filled]] == ord("{")).all() and (bytes_[ends[filled] - 1] == ord("}")).all()))
    return np.flatnonzero(filled) + line


def _parse(data: bytes, schema: Schema) -> pa.Table:
    """Arrow's table, with exactly the types that the exact reader accepts.

    Arrow can infer unknown keys, but each costs a column over all rows: where keys are names, 3 MB of text took 2.5 GB.
    So the unknown keys of a long text are learned from its first lines; a text with others is halved.
    """
    types = _types(schema)
    try:
        if len(data) <= _INFER_BYTES:
            return _read_json(data, types, "infer")
        try:
            return _read_json(data, types, "error")
        except pa.ArrowException:
            head = data[: data.rfind(b"\n", 0, _INFER_BYTES) + 1]
            learned = _types(schema, _read_json(head, types, "infer").schema)
            sure(learned != types)
            return _read_json(data, learned, "error")
    except pa.ArrowException:
        raise NotSure from None


def _read_json(data: bytes, types: pa.Schema, unexpected: str) -> pa.Table:
    return pj.read_json(
        pa.BufferReader(data),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
        parse_options=pj.ParseOptions(explicit_schema=types, unexpected_field_behavior=unexpected))


def _types(schema: Schema, inferred: pa.Schema | None = None) -> pa.Schema:
    """Arrow's types of a trajectory, plus those of the unknown keys in `inferred`, wide enough for later values."""
    def with_unknown(known: list[pa.Field], found: Iterator[pa.Field] | None) -> list[pa.Field]:
        names = {each.name for each in known}
        return known + [each.with_type(_widened(each.type)) for each in found or () if each.name not in names]

    found_step = inferred.field("steps").type.value_type if inferred else None
    found_observation = found_step.field("observation").type if found_step else None
    observation = pa.struct(with_unknown(
        [pa.field(field.name, one if field.width == 1 else pa.list_(one))
         for field in schema.fields for one in [field_type(field, schema)]], found_observation))
    step = pa.struct(with_unknown(
        [*(pa.field(name, kind) for name, kind in STEP_TYPES.items()), pa.field("observation", observation)],
        found_step))
    return pa.schema(with_unknown(
        [*(field for field in TRAJECTORY_SCHEMA if field.name in TRAJECTORY_KEYS), pa.field("steps", pa.list_(step))],
        inferred))


def _widened(kind: pa.DataType) -> pa.DataType:
    """A type for all values of a key whose first values were of type `kind`."""
    if pa.types.is_struct(kind):
        return pa.struct([each.with_type(_widened(each.type)) for each in kind])
    if pa.types.is_list(kind):
        return pa.list_(_widened(kind.value_type))
    if pa.types.is_integer(kind):
        return pa.float64()
    return pa.string() if pa.types.is_temporal(kind) else kind
