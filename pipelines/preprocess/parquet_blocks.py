"""Parquet files of trajectories, one per row: their checks and their blocks.

A block is one or more whole row groups, read by the process that decodes them; or a slice of a large row group, which
can only be read from its start, so the block carries its data. The division into blocks depends on the file alone.
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

from pipelines.decode import SAMPLED_LINES, Bad, Decoded, concat, decode_batch, row_of
from pipelines.jobs.urls import is_private, is_url, open_input
from pipelines.preprocess.battles_given import hint
from pipelines.preprocess.parquet_footers import is_deadly
from pipelines.preprocess.text_blocks import BLOCK_BYTES
from poke_bc.contract.errors import InputError
from poke_bc.contract.files import digest
from poke_bc.contract.schema import Schema
from poke_bc.contract.trajectory import BadLine

_MAGIC = (b"PAR1", b"PARE")  # PARE: with an encrypted footer
_LARGE = 32
"""A row group larger than this many blocks is sliced: it would take one process too long, and too much memory."""
_CHUNK = 1 << 20


def is_parquet(name: str) -> bool:
    """Whether a regular file is Parquet by its ending or its first bytes; under a URL, by its ending."""
    path = Path(name)
    if is_url(name):  # without asking the server
        return path.suffix == ".parquet"
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return path.suffix == ".parquet" or file.read(4) in _MAGIC


def check_parquet(name: str) -> None:
    """Raises InputError if a file's footer does not describe trajectories, at the start rather than hours later."""
    if is_private(name):
        raise InputError(f"{name}: Parquet, which every process reads itself, in the memory of one",
                         hint="write it to a file")
    if is_deadly(name):
        raise _unreadable(name, ValueError("its footer is damaged"))
    columns = _open(name).schema_arrow
    if twice := _name_twice(columns):
        raise InputError(f"{name}: two columns are named {twice}", hint="rename or drop one of them")
    if "steps" not in columns.names:
        found = ", ".join(columns.names[:8]) + (", ..." if len(columns) > 8 else "")
        raise InputError(f"{name}: no column `steps`, so its rows are not trajectories (columns: {found})",
                         hint=hint(name) if {"log", "text"} & {*columns.names} else
                         "each row must be a trajectory, and `steps` a list of structs: docs/format.md")


def _open(name: str) -> pq.ParquetFile:
    try:
        file = open_input(name) if is_url(name) else pa.OSFile(os.fsencode(name))
        return pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False,
                              buffer_size=_CHUNK)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(name, error) from None


def _unreadable(name: str, error: Exception) -> InputError:
    return InputError(f"{name}: cannot be read as Parquet ({str(error).splitlines()[0]})",
                      hint="is it complete, and not encrypted? write it again, or leave it out")


def _name_twice(columns: pa.Schema) -> str | None:
    """The path of a column name that occurs twice, among the columns that are read."""
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
class TableRows:
    """Consecutive rows of row groups, read when needed."""

    name: str
    groups: tuple[int, ...]
    lines: int
    """Number of rows."""
    at_once: int
    """Rows decoded together, so that memory stays bounded."""
    size: int
    """Their bytes in the file; for a slice, its fraction of the row group's bytes."""
    digest: str
    """Digest of those bytes, of the footer, and of the range of rows."""
    carried: bytes | None = None
    """For a slice, the rows themselves as an Arrow stream."""
    byte: None = None
    """Rows of a table have no offset."""

    def decode(self, schema: Schema) -> tuple[Decoded, Iterator[Bad]]:
        """The valid rows, and the invalid ones in order. Raises InputError if the file is damaged."""
        decoded: list[Decoded] = []
        bad: list[Bad] = []
        line = 0
        for batch in self._batches():
            good, refused = decode_batch(batch.slice(0, self.lines - line), line, schema)
            decoded += good
            bad += refused
            line += batch.num_rows
            if line >= self.lines:
                break
        return concat(decoded, schema), iter(bad)

    def until(self, line: int) -> TableRows:
        """The rows up to and including number `line`, counted from 0."""
        return replace(self, lines=line + 1, size=self.size * (line + 1) // self.lines,
                       digest=digest(f"{self.digest} until {line}".encode()))

    def first(self) -> Iterator[dict[str, Any]]:
        """The first rows that can be read, as Python values."""
        batch = next(self._batches())
        for number in range(min(batch.num_rows, SAMPLED_LINES)):
            with contextlib.suppress(BadLine):
                yield row_of(batch, number, None)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        if self.carried is None:
            return _read(self.name, self.groups, self.at_once)
        with pa.ipc.open_stream(self.carried) as stream:
            return iter(stream.read_all().to_batches())


@dataclass(frozen=True)
class TableBlock:
    """Block `index` of a Parquet file."""

    name: str
    index: int
    groups: tuple[int, ...]
    lines: int
    at_once: int
    progress: int
    """Bytes of the file that are done after this block."""
    slice: TableRows | None = None
    """The rows, if the block is a slice of a row group."""

    def where(self, last: TableBlock) -> str:
        """The range from this block to `last`, for messages."""
        return f"{self.name}, row groups {self.groups[0]:,} to {last.groups[-1]:,}"

    def read(self) -> TableRows:
        """The rows of the block. Raises InputError."""
        if self.slice is not None:
            return self.slice
        size, xxh3 = _stored(self.name, self.groups)
        return TableRows(self.name, self.groups, self.lines, self.at_once, size, xxh3)


def parquet_blocks(name: str, size: int = BLOCK_BYTES) -> Generator[TableBlock]:
    """All blocks of one file in order. Raises InputError.

    Args:
        name: name of the file.
        size: size of a block in bytes of values, each counted as at least eight.
    """
    file = _open(name).metadata
    index = done = 0
    for groups, values in _grouped(file, size):
        lines = sum(file.row_group(group).num_rows for group in groups)
        at_once = max(1, lines * size // values)
        if values <= _LARGE * size:
            done += _stored_bytes(file, groups)
            yield TableBlock(name, index, groups, lines, at_once, done)
            index += 1
            continue
        stored, xxh3 = _stored(name, groups)
        start = 0
        for batch in _read(name, groups, at_once):
            stop = start + batch.num_rows
            own = stored * stop // lines - stored * start // lines
            done += own
            yield TableBlock(name, index, groups, batch.num_rows, at_once, done, TableRows(
                name, groups, batch.num_rows, at_once, own, digest(f"{xxh3} {start} {stop}".encode()), _pack(batch)))
            index += 1
            start = stop


def _pack(batch: pa.RecordBatch) -> bytes:
    """Compress rows for the way between processes, see PackedText."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


def _grouped(file: pq.FileMetaData, size: int) -> Iterator[tuple[tuple[int, ...], int]]:
    """Row groups that together fill a block, or a single larger one; and the bytes of their values."""
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
    """Batches of up to `rows` rows, within one row group each: nested dictionaries cannot be read across row groups."""
    file = _open(name)
    try:
        for group in groups:
            yield from file.iter_batches(rows, row_groups=[group], use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable(name, error) from None


def _stored_bytes(file: pq.FileMetaData, groups: tuple[int, ...]) -> int:
    return sum(length for _, length in _ranges(file, groups))


def _ranges(file: pq.FileMetaData, groups: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Offset and length in the file of each column of the row groups."""
    for group in map(file.row_group, groups):
        for column in map(group.column, range(group.num_columns)):
            begins = [at for at in (column.dictionary_page_offset, column.data_page_offset) if at]
            yield min(begins, default=0), column.total_compressed_size


def _stored(name: str, groups: tuple[int, ...]) -> tuple[int, str]:
    """Size of row groups in the file, and a digest of their bytes and of the footer, which describes them."""
    state, size = xxhash.xxh3_64(), 0
    metadata = _open(name).metadata
    try:
        with open_input(name) as file:
            end = file.seek(-8, os.SEEK_END)
            length = int.from_bytes(file.read(4), "little")
            for offset, left in [*_ranges(metadata, groups), (end - length, length)]:
                file.seek(offset)
                size += left
                while left and (chunk := file.read(min(left, _CHUNK))):
                    state.update(chunk)
                    left -= len(chunk)
    except (OSError, ValueError) as error:
        raise _unreadable(name, error) from None
    return size - length, state.hexdigest()
