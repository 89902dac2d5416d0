"""What a block leaves on disk: a part, one file, committed by the receipt at its end.

    000042.part      rows: the columns of contract.rows one after the other, raw
                     table: one line a trajectory, Arrow IPC
                     bad: quarantined lines, JSONL
                     receipt: JSON, with digests of the block's text and of all of the above
                     length of the receipt: uint64, little endian

One file, because making one takes as long as a tenth of what is done with a block. A part is kept by a later run only
when block and file still have these digests, so nothing here needs fsync.
"""

from __future__ import annotations

import json
import os
import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from pipelines.decode import Bad, Decoder, Text
from pipelines.work import Block, Content
from poke_bc.contract.actions import NO_LABEL
from poke_bc.contract.errors import ShardError
from poke_bc.contract.files import checksum_holds, checksummed, digest_file
from poke_bc.contract.rows import CATEGORY_COLUMN, row_dtypes
from poke_bc.contract.schema import Schema

_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One block, done."""

    source: int
    index: int
    byte: int | None
    """Where the block begins in its source, which quarantined lines are told from."""
    text_bytes: int
    text_xxh3: str
    lines: int
    rows: int
    trajectories: int
    sizes: tuple[int, int, int]
    """Bytes of rows, table and bad."""
    body_xxh3: str
    """Of all three."""
    labels: dict[str, int]
    """observed, censored, unlabelled, with_legal -> rows."""
    largest_ids: dict[str, int]
    """Vocabulary -> largest id, -1 without rows."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Why lines were quarantined ("$.steps[].reward: expected a number, got string") -> how many."""
    unknown: dict[str, int] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)

    @property
    def bad(self) -> int:
        """Lines quarantined."""
        return sum(self.reasons.values())


@dataclass(frozen=True)
class PartStore:
    """A folder of parts for one plan (the same sources, schema and block size)."""

    folder: Path
    schema: Schema
    decoder: Decoder = field(default_factory=Decoder)

    def path(self, number: int) -> Path:
        """Where part `number` is."""
        return self.folder / f"{number:06d}{ENDING}"

    def do(self, number: int, block: Block) -> tuple[Receipt, int]:
        """Make part `number` out of a block, or keep the one that is there.

        Returns the receipt and how far the source is read by then.
        """
        content = block.read()
        kept = self._kept(number, block, content)
        return kept or self.make(number, block, content), block.progress

    def _kept(self, number: int, block: Block, content: Content) -> Receipt | None:
        """The receipt of an earlier run, if block and files still are what it says."""
        path = self.path(number)
        receipt = read_receipt(path)
        if receipt is None or (receipt.source, receipt.index, receipt.byte, receipt.lines, receipt.text_xxh3) != (
                block.source, block.index, content.byte, content.lines, content.digest):
            return None
        return receipt if digest_file(path, sum(receipt.sizes)) == receipt.body_xxh3 else None

    def make(self, number: int, block: Block, content: Content) -> Receipt:
        """Make part `number` out of what a block holds, whatever was there before."""
        if isinstance(content, Text):
            decoded, bad = self.decoder.decode(content, self.schema)
        else:
            decoded, bad = content.decode(self.schema)
        with open(self.path(number), "wb") as file:
            body = _Hashed(file)
            for name in row_dtypes(self.schema):
                body.write(decoded.rows[name].reshape(-1).view(np.uint8).data)
            rows_end = body.size
            body.write(_to_ipc(decoded.trajectories))
            table_end = body.size
            reasons = _write_bad(body, bad)
            receipt = Receipt(
                source=block.source, index=block.index, byte=content.byte, text_bytes=content.size,
                text_xxh3=content.digest, lines=content.lines, rows=len(decoded.rows["action"]),
                trajectories=decoded.trajectories.num_rows,
                sizes=(rows_end, table_end - rows_end, body.size - table_end), body_xxh3=body.hexdigest(),
                labels=_label_counts(decoded.rows), largest_ids=_largest_ids(decoded.rows, self.schema),
                reasons=dict(reasons), unknown=most_common(decoded.unknown), present=dict(decoded.present))
            told = json.dumps(checksummed(vars(receipt))).encode()
            file.write(told + _LENGTH.pack(len(told)))
        return receipt

    def read_table(self, number: int) -> pa.Table:
        """Trajectories of part `number`."""
        return pa.ipc.open_file(pa.BufferReader(self._piece(number, 1))).read_all()

    def read_bad(self, number: int) -> Iterator[Bad]:
        """Quarantined lines of part `number`, in order."""
        for line in self._piece(number, 2).splitlines():
            yield Bad(**json.loads(line))

    def _piece(self, number: int, place: int) -> bytes:
        """One of Receipt.sizes."""
        path = self.path(number)
        receipt = read_receipt(path)
        if receipt is None:
            raise ShardError(f"{path}: damaged while this ran", hint="run the same command again")
        with open(path, "rb") as file:
            file.seek(sum(receipt.sizes[:place]))
            return file.read(receipt.sizes[place])

    def map_rows(self, number: int, rows: int) -> dict[str, NDArray[Any]]:
        """Columns of part `number` as views of its file, by name."""
        bytes_ = np.memmap(self.path(number), np.uint8, "r")
        columns, at = {}, 0
        for name, (dtype, shape) in row_dtypes(self.schema).items():
            size = rows * dtype.itemsize * int(np.prod(shape, dtype=int))
            columns[name] = np.frombuffer(bytes_, dtype, offset=at, count=size // dtype.itemsize).reshape(rows, *shape)
            at += size
        return columns


ENDING = ".part"
_LENGTH = struct.Struct("<Q")


def read_receipt(path: Path) -> Receipt | None:
    """The receipt of a part, None where it is missing or damaged."""
    try:
        with open(path, "rb") as file:
            end = file.seek(-_LENGTH.size, os.SEEK_END)
            length, = _LENGTH.unpack(file.read())
            if length > end:
                return None
            file.seek(end - length)
            value = json.loads(file.read(length))
        if not isinstance(value, dict) or not checksum_holds(value):
            return None
        fields = {key: item for key, item in value.items() if key != "xxh3"}
        return Receipt(**fields | {"sizes": tuple(fields["sizes"])})
    except (OSError, ValueError, struct.error, KeyError, TypeError):  # the last two: of another version
        return None


class _Hashed:
    """Writes to a file, and knows how many bytes and their digest."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._state, self.size = file, xxhash.xxh3_64(), 0

    def write(self, data: bytes | memoryview) -> None:
        self._file.write(data)
        self._state.update(data)
        self.size += memoryview(data).nbytes

    def hexdigest(self) -> str:
        return self._state.hexdigest()


def _to_ipc(table: pa.Table) -> memoryview:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def _write_bad(body: _Hashed, bad: Iterator[Bad]) -> Counter[str]:
    """One JSON line each. Counts by reason."""
    reasons: Counter[str] = Counter()
    for line in bad:
        body.write(json.dumps(vars(line)).encode() + b"\n")
        kind = f"{_INDEX.sub('[]', line.path)}: {line.reason}"
        reasons[kind if kind in reasons or len(reasons) < MOST_NAMES else OTHERS] += 1
    return reasons


MOST_NAMES, OTHERS = 100, "(others)"


def most_common(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by name, of bounded size whatever the input holds: long names are cut, and rare ones counted together."""
    short: Counter[str] = Counter()
    for name, count in counts.items():
        short[name[:_LONGEST_NAME].encode(errors="backslashreplace").decode()] += count
    first = sorted(short, key=lambda name: (name == OTHERS, -short[name], name))
    kept = {name: short[name] for name in sorted(first[:MOST_NAMES]) if name != OTHERS}
    others = short.total() - sum(kept.values())
    return kept | ({OTHERS: others} if others else {})


_LONGEST_NAME = 200


def _label_counts(rows: dict[str, NDArray[Any]]) -> dict[str, int]:
    observed = int((rows["action"] != NO_LABEL).sum())
    censored = int((rows["candidates"] != 0).sum())
    return {"observed": observed, "censored": censored, "unlabelled": len(rows["action"]) - observed - censored,
            "with_legal": int((rows["legal"] != 0).sum())}


def _largest_ids(rows: dict[str, NDArray[Any]], schema: Schema) -> dict[str, int]:
    largest = dict.fromkeys(schema.vocabularies, -1)
    for fields in schema.categories:
        if len(rows["action"]):
            here = int(rows[CATEGORY_COLUMN][:, schema.columns[fields.name]].max())
            largest[fields.vocab] = max(largest[fields.vocab], here)
    return largest
