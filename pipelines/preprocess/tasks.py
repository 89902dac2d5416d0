"""The tasks of preprocess: blocks of text or of Parquet, a few at a time, in the order of the inputs."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass

from pipelines.decode.text import Text
from pipelines.jobs.inputs import InputKind, stored_bytes
from pipelines.jobs.prefetch import prefetch
from pipelines.jobs.streams import COMPRESSION
from pipelines.jobs.task_size import units_per_task
from pipelines.preprocess.parquet_blocks import TableBlock, TableRows, check_parquet, is_parquet, parquet_blocks
from pipelines.preprocess.text_blocks import TextBlock, is_plain, text_blocks
from poke_bc.contract.errors import InputError

TRAJECTORY_FILES = InputKind("JSONL or Parquet", (".jsonl", ".ndjson", ".json"), (".parquet",))
BLOCKS_PER_TASK = 16
"""At most: 128 MiB of text take the scanner a third of a second, Arrow one and a half."""
_COMPRESSION_RATIO = 25
"""Converted battles become 20 to 30 times smaller."""

Block = TextBlock | TableBlock
Content = Text | TableRows
"""What a block holds; lines of text, or rows of a table, which are its lines."""


@dataclass(frozen=True)
class Task:
    """Consecutive blocks of one input."""

    source: int
    """Place in the list of inputs."""
    blocks: tuple[Block, ...]

    @property
    def index(self) -> int:
        """Of the first block, in its input."""
        return self.blocks[0].index

    @property
    def progress(self) -> int:
        """Bytes of the input on disk that are done once this task is."""
        return self.blocks[-1].progress

    def __str__(self) -> str:
        return self.blocks[0].where(self.blocks[-1])  # type: ignore[arg-type]  # blocks of one input are of one kind


def tasks_of(inputs: Sequence[str], block_bytes: int) -> Generator[Task]:
    """All tasks of all inputs in order.

    Blocks that cannot be read independently are prefetched where they come from a file, so that decompression overlaps
    with decoding.
    """
    for source, name in enumerate(inputs):
        if is_parquet(name):
            yield from prefetch(_together(source, parquet_blocks(name, block_bytes)))
        elif stored_bytes(name) is not None and not is_plain(name):
            yield from prefetch(_together(source, text_blocks(name, block_bytes)))
        else:
            yield from _together(source, text_blocks(name, block_bytes))


def _together(source: int, blocks: Iterable[Block]) -> Generator[Task]:
    """Gather the blocks of one input into tasks."""
    gathered: list[Block] = []
    for block in blocks:
        gathered.append(block)
        if len(gathered) == units_per_task(gathered[0].index, BLOCKS_PER_TASK):
            yield Task(source, tuple(gathered))
            gathered = []
    if gathered:
        yield Task(source, tuple(gathered))


def check_tables(inputs: Sequence[str]) -> None:
    """Raises InputError where an input is Parquet, but has no trajectories or cannot be read."""
    for name in inputs:
        if is_parquet(name):
            check_parquet(name)
        elif name.endswith(tuple(f".parquet{packed}" for packed in COMPRESSION)):
            raise InputError(f"{name}: compressed Parquet, which cannot be read in pieces",
                             hint="decompress it; Parquet is compressed inside")


def expected_bytes(inputs: Sequence[str]) -> int | None:
    """An estimate of the text to decode, after decompression; None where an input is a pipe."""
    sizes = [stored_bytes(name) for name in inputs]
    if None in sizes:
        return None
    return sum((size or 0) * (1 if is_parquet(name) or is_plain(name) else _COMPRESSION_RATIO)
               for name, size in zip(inputs, sizes, strict=True))
