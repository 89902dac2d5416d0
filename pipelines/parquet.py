"""Parquet files of trajectories, a row each: what may be wrong with one, and its blocks.

A block is one or more whole row groups, read by whoever does the work; or a slice of a large row group, which can
only be read in turn and is carried along. Which rows make a block follows from the file alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from pipelines.blocks import BLOCK_BYTES
from pipelines.decode import SAMPLED_LINES, Bad, Decoded, concat, decode_batch, row_of
from poke_bc.contract.errors import InputError
from poke_bc.contract.files import digest
from poke_bc.contract.schema import Schema
from poke_bc.contract.trajectory import BadLine

_MAGIC = (b"PAR1", b"PARE")  # PARE: with an encrypted footer
_LARGE = 32
"""A row group of more than so many blocks is cut: one process would work too long on it, and with too much memory."""
_CHUNK = 1 << 20


def is_parquet(name: str) -> bool:
    """Whether a regular file calls itself Parquet, by its ending or its first bytes."""
    path = Path(name)
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return path.suffix == ".parquet" or file.read(4) in _MAGIC


def check_parquet(name: str) -> None:
    """Raises InputError where a file is no Parquet of trajectories, told by its end: before hours of work."""
    columns = _open(name).schema_arrow
    if twice := _name_twice(columns):
        raise InputError(f"{name}: two columns are named {twice}", hint="rename or drop one of them")
    if "steps" not in columns.names:
        found = ", ".join(columns.names[:8]) + (", ..." if len(columns) > 8 else "")
        raise InputError(f"{name}: no column `steps`, so its rows are no trajectories (columns: {found})",
                         hint=f"poke-bc convert {name} -o raw.jsonl makes trajectories of its battles"
                         if "log" in columns.names else
                         "a row is a trajectory, and `steps` a list of structs: docs/format.md")


def _open(name: str) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(name, page_checksum_verification=True, pre_buffer=False, buffer_size=_CHUNK)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: Exception) -> InputError:
    return InputError(f"{name}: cannot be read as Parquet ({str(error).splitlines()[0]})",
                      hint="is it whole and not encrypted? write it again, or leave it out")


def _name_twice(columns: pa.Schema) -> str | None:
    """The path of two columns of one name among those that mean something."""
    def of(fields: list[pa.Field], path: str) -> str | None:
        names = [field.name for field in fields]
        if twice := next((name for name in names if names.count(name) > 1), None):
            return f"{path}.{twice}"
        for field in fields:
            inner = field.type
            if field.name in ("steps", "observation"):
                while hasattr(inner, "value_type") and not pa.types.is_dictionary(inner):
                    inner = inner.value_type
                if pa.types.is_struct(inner) and (found := of(list(inner), f"{path}.{field.name}")):
                    return found
        return None

    return of(list(columns), "$")


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of row groups, read when they are needed."""

    name: str
    groups: tuple[int, ...]
    lines: int
    """How many rows."""
    at_once: int
    """Rows that are decoded together, so that memory stays bounded."""
    size: int
    """Their share of the row groups' bytes in the file."""
    digest: str
    """Of those bytes, of the footer, and of which rows these are."""
    carried: pa.RecordBatch | None = None
    byte: None = None
    """Rows of a table begin at no byte."""

    def decode(self, schema: Schema) -> tuple[Decoded, Iterator[Bad]]:
        """All good rows, and the bad ones in order. Raises InputError where the file is damaged."""
        pieces: list[Decoded] = []
        bad: list[Bad] = []
        line = 0
        for batch in self._batches():
            good, refused = decode_batch(batch.slice(0, self.lines - line), line, schema)
            pieces += good
            bad += refused
            line += batch.num_rows
            if line >= self.lines:
                break
        return concat(pieces, schema), iter(bad)

    def until(self, line: int) -> Rows:
        """Up to row `line`, counted from 0."""
        return replace(self, lines=line + 1, size=self.size * (line + 1) // self.lines,
                       digest=digest(f"{self.digest} until {line}".encode()))

    def first(self) -> Iterator[dict[str, Any]]:
        """The first rows that can be read, as Python has them."""
        batch = next(self._batches())
        for number in range(min(batch.num_rows, SAMPLED_LINES)):
            with contextlib.suppress(BadLine):
                yield row_of(batch, number, None)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        return iter([self.carried]) if self.carried is not None else _read(self.name, self.groups, self.at_once)


@dataclass(frozen=True)
class RowGroups:
    """A piece of work: block `index` of a source."""

    source: int
    """Place in the list of sources."""
    name: str
    index: int
    groups: tuple[int, ...]
    lines: int
    at_once: int
    progress: int
    """Bytes of the source that are done once this block is."""
    part: Rows | None = None
    """Carried along where the block is a slice of one row group."""

    def read(self) -> Rows:
        """The block's rows. Raises InputError."""
        if self.part is not None:
            return self.part
        size, xxh3 = _stored(self.name, self.groups)
        return Rows(self.name, self.groups, self.lines, self.at_once, size, xxh3)


def parquet_blocks(source: int, name: str, size: int = BLOCK_BYTES) -> Generator[RowGroups]:
    """All blocks of one file in order; `size`: bytes of values, had each at least eight. Raises InputError."""
    file = _open(name).metadata
    index = done = 0
    for groups, values in _together(file, size):
        lines = sum(file.row_group(group).num_rows for group in groups)
        at_once = max(1, lines * size // values)
        if values <= _LARGE * size:
            done += _stored_bytes(file, groups)
            yield RowGroups(source, name, index, groups, lines, at_once, done)
            index += 1
            continue
        stored, xxh3 = _stored(name, groups)
        start = 0
        for batch in _read(name, groups, at_once):
            stop = start + batch.num_rows
            share = stored * stop // lines - stored * start // lines
            done += share
            yield RowGroups(source, name, index, groups, batch.num_rows, at_once, done, Rows(
                name, groups, batch.num_rows, at_once, share, digest(f"{xxh3} {start} {stop}".encode()), batch))
            index += 1
            start = stop


def _together(file: pq.FileMetaData, size: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Row groups that fill a block together, or are larger than one; and the bytes of their values."""
    groups: tuple[int, ...] = ()
    filled = 0
    for number in range(file.num_row_groups):
        group = file.row_group(number)
        if not group.num_rows:
            continue
        columns = [group.column(place) for place in range(group.num_columns)]
        values = sum(max(8 * column.num_values, column.total_uncompressed_size) for column in columns)
        if groups and filled + values > size:
            yield groups, filled
            groups, filled = (), 0
        groups, filled = (*groups, number), filled + values
    if groups:
        yield groups, filled


def _read(name: str, groups: tuple[int, ...], rows: int) -> Iterator[pa.RecordBatch]:
    """Batches of so many rows, none of two row groups: a nested dictionary cannot be read over their border."""
    file = _open(name)
    try:
        for group in groups:
            yield from file.iter_batches(rows, row_groups=[group], use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(name, error) from None


def _stored_bytes(file: pq.FileMetaData, groups: tuple[int, ...]) -> int:
    return sum(length for _, length in _ranges(file, groups))


def _ranges(file: pq.FileMetaData, groups: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Where in the file the row groups' columns are: offset and length of each."""
    for group in map(file.row_group, groups):
        for column in map(group.column, range(group.num_columns)):
            begins = [at for at in (column.dictionary_page_offset, column.data_page_offset) if at]
            yield min(begins, default=0), column.total_compressed_size


def _stored(name: str, groups: tuple[int, ...]) -> tuple[int, str]:
    """Bytes of row groups in the file, and a digest of them and of the footer, which says what they are."""
    state, size = xxhash.xxh3_64(), 0
    metadata = _open(name).metadata
    try:
        with open(name, "rb") as file:
            end = file.seek(-8, os.SEEK_END)
            length = int.from_bytes(file.read(4), "little")
            for offset, left in [*_ranges(metadata, groups), (end - length, length)]:
                file.seek(offset)
                size += left
                while left and (piece := file.read(min(left, _CHUNK))):
                    state.update(piece)
                    left -= len(piece)
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from None
    return size - length, state.hexdigest()
