"""The work of preprocess: blocks of text and blocks of Parquet, in the order of the sources.

    Block.read()  ->  Content  ->  rows, and what is wrong

Whoever takes a block need not know which of the two it is.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Protocol

from pipelines.ahead import read_ahead
from pipelines.blocks import blocks_of
from pipelines.decode import Text
from pipelines.parquet import Rows, check_parquet, is_parquet, parquet_blocks
from pipelines.sources import is_seekable
from poke_bc.contract.errors import InputError

Content = Text | Rows
"""What a block holds: lines of text, or rows of a table, which are its lines."""


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
