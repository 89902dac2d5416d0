"""Makes Parquet of raw trajectories, with the types that other writers would choose."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from trajectories import Raw


def table_of(raws: Sequence[Raw]) -> pa.Table:
    """A row each; keys that one of them lacks are null there."""
    return pa.Table.from_struct_array(pa.array(raws))


def write_parquet(path: Path, raws: Sequence[Raw] | pa.Table, **options: Any) -> Path:
    pq.write_table(raws if isinstance(raws, pa.Table) else table_of(raws), path, **options)
    return path


def retyped(table: pa.Table, random: Random) -> pa.Table:
    """The same table with other types for its columns; values change only as float32 rounds them."""
    return pa.table({name: _retyped(table.column(name).combine_chunks(), random) for name in table.column_names})


def _retyped(values: pa.Array, random: Random) -> pa.Array:
    kind = values.type
    if pa.types.is_struct(kind):
        children = [_retyped(values.field(place), random) for place in range(kind.num_fields)]
        return pa.StructArray.from_arrays(children, [each.name for each in kind], mask=values.is_null())
    if pa.types.is_list(kind):
        lists = random.choice([pa.ListArray, pa.LargeListArray])
        offsets = values.offsets.cast(pa.int64() if lists is pa.LargeListArray else pa.int32())
        return lists.from_arrays(offsets, _retyped(values.values, random), mask=values.is_null())
    if pa.types.is_int64(kind):
        wanted = random.choice([pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint64(), pa.float64()])
        try:
            return values.cast(wanted)
        except pa.ArrowInvalid:
            return values
    if pa.types.is_float64(kind):
        narrow = values.cast(pa.float32(), safe=False)
        return narrow if random.random() < 0.5 and pc.all(pc.is_finite(narrow)).as_py() is not False else values
    if pa.types.is_string(kind):
        return random.choice([lambda: values, lambda: values.cast(pa.large_string()), values.dictionary_encode])()
    return values
