"""What becomes of a task of preprocess: a part whose body holds for each block

    rows     the columns of contract.rows one after the other, raw
    table    a line for each trajectory, Arrow IPC; both are missing where the block has no trajectory
    bad      quarantined lines, JSONL
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate

import msgspec
import numpy as np
import pyarrow as pa

from pipelines.decode import Bad, Decoder
from pipelines.jobs.store import PartStore, PartWriter
from pipelines.preprocess.parquet_blocks import TableRows
from pipelines.preprocess.tally import Tally, most_common, tally_rows
from pipelines.preprocess.tasks import Content, Task
from poke_bc.contract.rows import row_bytes, row_dtypes
from poke_bc.contract.schema import Schema

_INDEX = re.compile(r"\[\d+\]")


class BlockReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """One block of a part."""

    byte: int | None
    """Where the block begins in its input, from which the offsets of quarantined lines are counted."""
    size: int
    lines: int
    xxh3: str
    """Digest of what the block held."""
    rows: int
    trajectories: int
    table_bytes: int
    bad_bytes: int


class PreprocessReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A part of preprocess."""

    source: int
    """Place of the input."""
    index: int
    """Of the first block in it."""
    blocks: tuple[BlockReceipt, ...]
    tally: Tally

    @property
    def trajectories(self) -> int:
        """Of all blocks."""
        return self.tally.trajectories


@dataclass(frozen=True)
class DecodeJob:
    """Decodes tasks into parts; sent to every process that runs tasks."""

    store: PartStore[PreprocessReceipt]
    schema: Schema
    decoder: Decoder = field(default_factory=Decoder)

    def run(self, number: int, task: Task) -> tuple[PreprocessReceipt, int]:
        """The receipt of a task's part, made now or by an earlier run, and the progress after it."""
        kept = self.store.reuse(number, lambda receipt: _is_of(receipt, task))
        return kept or self.make(number, task, (block.read() for block in task.blocks)), task.progress

    def make(self, number: int, task: Task, contents: Iterable[Content]) -> PreprocessReceipt:
        """The part of a task, whatever was there before."""
        tally, blocks, line = Tally(), [], 0
        with self.store.create(number) as part:
            for content in contents:
                blocks.append(self._add_block(part, content, line, tally))
                line += content.lines
            tally.unknown = most_common(tally.unknown)
            receipt = PreprocessReceipt(source=task.source, index=task.index, blocks=tuple(blocks), tally=tally)
            part.commit(receipt)
        return receipt

    def _add_block(self, part: PartWriter, content: Content, line: int, tally: Tally) -> BlockReceipt:
        """Decode one block; `line`: how many lines of the part come before it."""
        decoded, bad = (content.decode(self.schema) if isinstance(content, TableRows)
                        else self.decoder.decode(content, self.schema))
        of_block = tally_rows(decoded, self.schema)
        tally.add(of_block)
        rows_end = part.size
        if of_block.trajectories:
            for name in row_dtypes(self.schema):
                part.write(decoded.rows[name].reshape(-1).view(np.uint8).data)
            rows_end = part.size
            part.write(_to_ipc(decoded.trajectories))
        table_end = part.size
        for each in bad:
            part.write(json.dumps(vars(each) | {"line": line + each.line}).encode() + b"\n")
            tally.add_bad(f"{_INDEX.sub('[]', each.path)}: {each.reason}")
        return BlockReceipt(byte=content.byte, size=content.size, lines=content.lines, xxh3=content.digest,
                            rows=of_block.rows, trajectories=of_block.trajectories,
                            table_bytes=table_end - rows_end, bad_bytes=part.size - table_end)

    def cut(self, number: int, task: Task, receipt: PreprocessReceipt, trajectories: int) -> PreprocessReceipt:
        """The part again, of the lines up to the last of its first so many trajectories."""
        totals = list(accumulate(block.trajectories for block in receipt.blocks))
        last = next(place for place, total in enumerate(totals) if total >= trajectories)
        in_last = trajectories - (totals[last - 1] if last else 0)
        line = self.read_table(number, receipt, last)["line"][in_last - 1].as_py()
        contents = (block.read() if place < last else block.read().until(line)
                    for place, block in enumerate(task.blocks[: last + 1]))
        return self.make(number, task, contents)

    def offsets(self, receipt: PreprocessReceipt) -> list[int]:
        """Where each block begins in the body."""
        row = row_bytes(self.schema)
        sizes = (block.rows * row + block.table_bytes + block.bad_bytes for block in receipt.blocks)
        return list(accumulate(sizes, initial=0))

    def read_table(self, number: int, receipt: PreprocessReceipt, place: int) -> pa.Table:
        """Trajectories of one block of a part, which has some."""
        block = receipt.blocks[place]
        start = self.offsets(receipt)[place] + block.rows * row_bytes(self.schema)
        return pa.ipc.open_stream(pa.BufferReader(self._read(number, start, block.table_bytes))).read_all()

    def read_bad(self, number: int) -> Iterator[Bad]:
        """Quarantined lines of a part in order, numbered from its first line."""
        receipt = self.store.find(number)
        for block, end in zip(receipt.blocks, self.offsets(receipt)[1:], strict=True) if receipt is not None else ():
            for line in self._read(number, end - block.bad_bytes, block.bad_bytes).splitlines():
                yield Bad(**json.loads(line))

    def _read(self, number: int, start: int, size: int) -> bytes:
        with open(self.store.path(number), "rb") as file:
            file.seek(start)
            return file.read(size)


def _is_of(receipt: PreprocessReceipt, task: Task) -> bool:
    """Whether a part was made from what the blocks of a task hold now."""
    def same(block: BlockReceipt, content: Content) -> bool:
        return (block.byte, block.lines, block.xxh3) == (content.byte, content.lines, content.digest)

    return (receipt.source, receipt.index, len(receipt.blocks)) == (task.source, task.index, len(task.blocks)) and all(
        same(block, each.read()) for block, each in zip(receipt.blocks, task.blocks, strict=True))


def _to_ipc(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())
