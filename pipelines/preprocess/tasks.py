"""The tasks of preprocess: groups of consecutive blocks of text or Parquet, in the order of the inputs."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipelines.decode.text import Text
from pipelines.jobs.inputs import InputKind, stored_bytes
from pipelines.jobs.prefetch import prefetch
from pipelines.jobs.streams import COMPRESSION
from pipelines.jobs.task_size import units_per_task
from pipelines.preprocess.battles_given import ENDINGS, hint
from pipelines.preprocess.earlier import KeptTask
from pipelines.preprocess.parquet_blocks import TableBlock, TableRows, check_parquet, is_parquet, parquet_blocks
from pipelines.preprocess.text_blocks import TextBlock, is_plain, text_blocks
from poke_bc.contract.errors import InputError

TRAJECTORY_FILES = InputKind("JSONL or Parquet", (".jsonl", ".ndjson", ".json"), (".parquet",),
                             instead=ENDINGS, instead_hint=hint("{}"))
BLOCKS_PER_TASK = 16
"""Maximum: 128 MiB of text take the scanner a third of a second, and Arrow one and a half seconds."""
_COMPRESSION_RATIO = 25
"""Compression makes converted battles 20 to 30 times smaller."""

Block = TextBlock | TableBlock
BlockData = Text | TableRows
"""The data of a block: lines of text or rows of a table, both counted as lines."""


@dataclass(frozen=True)
class Task:
    """Consecutive blocks of one input."""

    source: int
    """Index in the list of inputs."""
    blocks: tuple[Block, ...]

    @property
    def index(self) -> int:
        """Index of the first block within the input."""
        return self.blocks[0].index

    @property
    def progress(self) -> int:
        """Bytes of the input on disk that are done after this task."""
        return self.blocks[-1].progress

    def __str__(self) -> str:
        return self.blocks[0].where(self.blocks[-1])  # type: ignore[arg-type]  # blocks of one input are of one kind


def tasks_of(inputs: Sequence[str], block_bytes: int, kept: Mapping[int, Sequence[KeptTask]] | None = None,
             ) -> Generator[Task | KeptTask]:
    """All tasks of all inputs in order; `kept` holds those of inputs that are there already.

    Blocks of a file that cannot be read independently are prefetched, so that decompression overlaps with decoding.
    """
    for source, name in enumerate(inputs):
        if kept is not None and source in kept:
            yield from kept[source]
        elif is_parquet(name):
            yield from prefetch(_grouped(source, parquet_blocks(name, block_bytes)))
        elif stored_bytes(name) is not None and not is_plain(name):
            yield from prefetch(_grouped(source, text_blocks(name, block_bytes)))
        else:
            yield from _grouped(source, text_blocks(name, block_bytes))


def _grouped(source: int, blocks: Iterable[Block]) -> Generator[Task]:
    """Group the blocks of one input into tasks."""
    gathered: list[Block] = []
    for block in blocks:
        gathered.append(block)
        if len(gathered) == units_per_task(gathered[0].index, BLOCKS_PER_TASK):
            yield Task(source, tuple(gathered))
            gathered = []
    if gathered:
        yield Task(source, tuple(gathered))


def check_tables(inputs: Sequence[str]) -> None:
    """Raises InputError if an input is Parquet that cannot be read or does not hold trajectories."""
    for name in inputs:
        if is_parquet(name):
            check_parquet(name)
        elif name.endswith(tuple(f".parquet{packed}" for packed in COMPRESSION)):
            raise InputError(f"{name}: compressed Parquet, which cannot be read in blocks",
                             hint="decompress it; Parquet is compressed internally")


def expected_bytes(inputs: Sequence[str]) -> int | None:
    """Estimated size of the text to decode, after decompression; None if an input is a pipe."""
    sizes = [stored_bytes(name) for name in inputs]
    if None in sizes:
        return None
    return sum((size or 0) * (1 if is_parquet(name) or is_plain(name) else _COMPRESSION_RATIO)
               for name, size in zip(inputs, sizes, strict=True))
