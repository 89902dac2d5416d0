"""The parts of preprocess. The body of a part holds for each block of its task:

    rows     the columns of contract.rows one after the other, raw
    table    one row per trajectory, Arrow IPC; a block without trajectories has neither rows nor table
    bad      quarantined lines, JSONL
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from pipelines.decode import Bad, Decoder
from pipelines.jobs.store import PartStore, PartWriter
from pipelines.preprocess.earlier import Earlier, KeptTask
from pipelines.preprocess.parquet_blocks import TableRows
from pipelines.preprocess.receipts import BlockReceipt, PreprocessReceipt, key_of
from pipelines.preprocess.tally import Tally, most_common, tally_rows
from pipelines.preprocess.tasks import BlockData, Task
from poke_bc.contract.rows import row_bytes, row_dtypes
from poke_bc.contract.schema import Schema

_INDEX = re.compile(r"\[\d+\]")


class Done(NamedTuple):
    """A finished task."""

    receipt: PreprocessReceipt
    progress: int
    """Bytes of the input on disk that are done after it."""
    kept: int | None
    """The part of the earlier run that it is; None: there is a part of this run."""


@dataclass(frozen=True)
class DecodeJob:
    """Decodes tasks into parts; sent to every process that runs tasks."""

    store: PartStore[PreprocessReceipt]
    schema: Schema
    decoder: Decoder = field(default_factory=Decoder)
    earlier: Earlier | None = None
    """What an earlier run left whose data set is there."""

    def run(self, number: int, task: Task | KeptTask) -> Done:
        """A task's part: of the data set that is there, or finished by an interrupted run, or made now."""
        if isinstance(task, KeptTask):
            return self._kept(task.part, task.source, task.progress)
        if self.earlier is not None and (part := self.earlier.find(_key(task))) is not None:
            return self._kept(part, task.source, task.progress, task.index)
        reused = self.store.reuse(number, lambda receipt: _is_of(receipt, task))
        return Done(reused or self.make(number, task, (block.read() for block in task.blocks)), task.progress, None)

    def _kept(self, part: int, source: int, progress: int, index: int | None = None) -> Done:
        assert self.earlier is not None
        receipt = self.earlier.content(part).receipt
        index = receipt.index if index is None else index
        return Done(msgspec.structs.replace(receipt, source=source, index=index), progress, part)

    def make(self, number: int, task: Task, contents: Iterable[BlockData]) -> PreprocessReceipt:
        """Make the part of a task from what its blocks hold, replacing an earlier part."""
        tally, blocks, line = Tally(), [], 0
        with self.store.create(number) as part:
            for data in contents:
                blocks.append(self._add_block(part, data, line, tally))
                line += data.lines
            tally.unknown = most_common(tally.unknown)
            receipt = PreprocessReceipt(source=task.source, index=task.index, blocks=tuple(blocks), tally=tally)
            part.commit(receipt)
        return receipt

    def _add_block(self, part: PartWriter, data: BlockData, line: int, tally: Tally) -> BlockReceipt:
        """Decode one block; `line` is the number of lines before it in the part."""
        decoded, bad = (data.decode(self.schema) if isinstance(data, TableRows)
                        else self.decoder.decode(data, self.schema))
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
        return BlockReceipt(byte=data.byte, size=data.size, lines=data.lines, xxh3=data.digest,
                            rows=of_block.rows, trajectories=of_block.trajectories,
                            table_bytes=table_end - rows_end, bad_bytes=part.size - table_end)

    def cut(self, number: int, task: Task, receipt: PreprocessReceipt, trajectories: int) -> PreprocessReceipt:
        """Make the part again, ending with the line of the given number of trajectories."""
        totals = list(accumulate(block.trajectories for block in receipt.blocks))
        last = next(place for place, total in enumerate(totals) if total >= trajectories)
        in_last = trajectories - (totals[last - 1] if last else 0)
        line = self.read_table(number, receipt, last)["line"][in_last - 1].as_py()
        contents = (block.read() if place < last else block.read().until(line)
                    for place, block in enumerate(task.blocks[: last + 1]))
        return self.make(number, task, contents)

    def offsets(self, receipt: PreprocessReceipt) -> list[int]:
        """Offset of each block in the body, and the end of the last."""
        row = row_bytes(self.schema)
        sizes = (block.rows * row + block.table_bytes + block.bad_bytes for block in receipt.blocks)
        return list(accumulate(sizes, initial=0))

    def read_table(self, number: int, receipt: PreprocessReceipt, place: int) -> pa.Table:
        """The table of trajectories of one block, which must have some."""
        block = receipt.blocks[place]
        start = self.offsets(receipt)[place] + block.rows * row_bytes(self.schema)
        return pa.ipc.open_stream(pa.BufferReader(self._read(number, start, block.table_bytes))).read_all()

    def read_bad(self, number: int, kept: int | None = None) -> Iterator[Bad]:
        """Quarantined lines of a part in order, numbered from its first line; `kept` as in Done."""
        if kept is not None and self.earlier is not None:
            yield from self.earlier.content(kept).bad
            return
        receipt = self.store.find(number)
        for block, end in zip(receipt.blocks, self.offsets(receipt)[1:], strict=True) if receipt is not None else ():
            for line in self._read(number, end - block.bad_bytes, block.bad_bytes).splitlines():
                yield Bad(**json.loads(line))

    def _read(self, number: int, start: int, size: int) -> bytes:
        with open(self.store.path(number), "rb") as file:
            file.seek(start)
            return file.read(size)


def _key(task: Task) -> str:
    """PreprocessReceipt.key of the part that the task would make."""
    return key_of(block.read() for block in task.blocks)


def _is_of(receipt: PreprocessReceipt, task: Task) -> bool:
    """Whether a part was made from the current data of a task's blocks."""
    def same(block: BlockReceipt, data: BlockData) -> bool:
        return (block.byte, block.lines, block.xxh3) == (data.byte, data.lines, data.digest)

    return (receipt.source, receipt.index, len(receipt.blocks)) == (task.source, task.index, len(task.blocks)) and all(
        same(block, each.read()) for block, each in zip(receipt.blocks, task.blocks, strict=True))


def _to_ipc(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())
