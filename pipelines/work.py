"""The work of preprocess: blocks of text and blocks of Parquet, in the order of the sources.

    Block.read()  ->  Content.decode(schema)  ->  rows, and what is wrong

Whoever takes a block need not know which of the two it is.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipelines.ahead import read_ahead
from pipelines.blocks import blocks_of
from pipelines.decoded import Bad, Decoded
from pipelines.parquet import check_parquet, is_parquet, parquet_blocks
from pipelines.sources import is_seekable
from poke_bc.contract.errors import InputError
from poke_bc.contract.schema import Schema


class Content(Protocol):
    """What a block holds: lines of text, or rows of a table, which are its lines."""

    @property
    def byte(self) -> int | None:
        """Where it begins in the source; None for rows of a table."""

    @property
    def lines(self) -> int:
        """How many."""

    @property
    def size(self) -> int:
        """Bytes in the source: of the text after decompression, of Parquet as it lies in the file."""

    @property
    def digest(self) -> str:
        """Equal only where the content is."""

    def decode(self, schema: Schema, *, scanning: bool = False) -> tuple[Decoded, Iterator[Bad]]:
        """All good lines as rows, and the bad ones in order."""

    def until(self, line: int) -> Content:
        """Up to line `line`, counted from 0."""

    def first(self) -> Iterator[dict[str, Any]]:
        """The first lines that can be read, as Python has them, checked no further."""


class Block(Protocol):
    """A piece of work, small enough to be sent to another process."""

    @property
    def source(self) -> int:
        """Place in the list of sources."""

    @property
    def index(self) -> int:
        """Place in its source."""

    @property
    def progress(self) -> int:
        """Bytes of the source on disk that are done once this block is."""

    def read(self) -> Content:
        """What it holds. Raises InputError."""


def work_of(sources: Sequence[str], size: int) -> Generator[Block]:
    """All blocks of all sources in order.

    Blocks that can only be read in turn are read ahead where they come from a file: decompression runs beside the
    decoding of the block before.
    """
    for place, name in enumerate(sources):
        if is_parquet(name):
            yield from read_ahead(parquet_blocks(place, name, size))
        elif Path(name).is_file() and not is_seekable(name):
            yield from read_ahead(blocks_of(place, name, size))
        else:
            yield from blocks_of(place, name, size)


def check_tables(sources: Sequence[str]) -> None:
    """Raises InputError where one of the sources is Parquet, but holds no trajectories or cannot be read."""
    for name in sources:
        if is_parquet(name):
            check_parquet(name)
        elif name.endswith((".parquet.gz", ".parquet.zst")):
            raise InputError(f"{name}: compressed Parquet, which cannot be read in pieces",
                             hint="unpack it; Parquet is compressed inside")
