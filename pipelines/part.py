"""What a block leaves on disk: a part, committed by its receipt.

    000042.rows      the columns of contract.rows one after the other, raw
    000042.table     one line a trajectory, Arrow IPC
    000042.bad       quarantined lines, JSONL (only where there are some)
    000042.json      the receipt, written last: counts, and digests of the block's text and of the files

A part is kept by a later run only when block and files still have these digests, so nothing here needs fsync.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from pipelines.decoded import Bad, Decoded
from pipelines.work import Block, Content
from poke_bc.contract.actions import NO_LABEL
from poke_bc.contract.files import checksum_holds, checksummed, digest_file, temporary_name
from poke_bc.contract.rows import CATEGORY, row_dtypes
from poke_bc.contract.schema import Schema

_INDEX = re.compile(r"\[\d+\]")


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """One block, done."""

    source: int
    index: int
    text_bytes: int
    text_xxh3: str
    lines: int
    rows: int
    trajectories: int
    digests: dict[str, str]
    """File ending -> xxh3."""
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
    scanning: bool = False
    """Whether the scanner decodes text, where Numba is; else Arrow does. The rows are the same."""

    def path(self, number: int, ending: str) -> Path:
        """Where a file of part `number` is."""
        return self.folder / f"{number:06d}.{ending}"

    def do(self, number: int, block: Block) -> tuple[Receipt, int]:
        """Make part `number` out of a block, or keep the one that is there.

        Returns the receipt and how far the source is read by then.
        """
        content = block.read()
        kept = self._kept(number, content)
        return kept or self.make(number, block, content), block.progress

    def _kept(self, number: int, content: Content) -> Receipt | None:
        """The receipt of an earlier run, if block and files still are what it says."""
        receipt = self.receipt(number)
        if receipt is None or receipt.text_xxh3 != content.digest or receipt.lines != content.lines:
            return None
        files = {ending: self.path(number, ending) for ending in receipt.digests}
        if all(path.is_file() and digest_file(path) == receipt.digests[ending] for ending, path in files.items()):
            return receipt
        return None

    def receipt(self, number: int) -> Receipt | None:
        """The receipt of part `number`, None where it is missing or damaged."""
        try:
            value = json.loads(self.path(number, "json").read_bytes())
        except (FileNotFoundError, ValueError):
            return None
        if not checksum_holds(value):
            return None
        return Receipt(**{key: item for key, item in value.items() if key != "xxh3"})

    def make(self, number: int, block: Block, content: Content) -> Receipt:
        """Make part `number` out of what a block holds, whatever was there before."""
        self.path(number, "json").unlink(missing_ok=True)
        decoded, bad = content.decode(self.schema, scanning=self.scanning)
        digests = {"rows": self._write_rows(number, decoded), "table": self._write_table(number, decoded.trajectories)}
        reasons = self._write_bad(number, bad)
        if reasons:
            digests["bad"] = digest_file(self.path(number, "bad"))
        receipt = Receipt(
            source=block.source, index=block.index, text_bytes=content.size, text_xxh3=content.digest,
            lines=content.lines, rows=len(decoded.rows["action"]), trajectories=decoded.trajectories.num_rows,
            digests=digests, labels=_label_counts(decoded.rows), largest_ids=_largest_ids(decoded.rows, self.schema),
            reasons=dict(reasons), unknown=most_common(decoded.unknown), present=dict(decoded.present))
        temporary = temporary_name(self.path(number, "json"))
        temporary.write_text(json.dumps(checksummed(asdict(receipt))))
        temporary.replace(self.path(number, "json"))
        return receipt

    def _write_rows(self, number: int, decoded: Decoded) -> str:
        state = xxhash.xxh3_64()
        with open(self.path(number, "rows"), "wb") as file:
            for name in row_dtypes(self.schema):
                data = decoded.rows[name].reshape(-1).view(np.uint8).data
                file.write(data)
                state.update(data)
        return state.hexdigest()

    def _write_table(self, number: int, table: pa.Table) -> str:
        path = self.path(number, "table")
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        return digest_file(path)

    def _write_bad(self, number: int, bad: Iterator[Bad]) -> Counter[str]:
        """One JSON line each, where there are any. Counts by reason."""
        reasons: Counter[str] = Counter()
        path = self.path(number, "bad")
        path.unlink(missing_ok=True)
        file = None
        for line in bad:
            file = file or open(path, "w", encoding="utf-8")  # noqa: SIM115 - closed below
            file.write(json.dumps(asdict(line)) + "\n")
            kind = f"{_INDEX.sub('[]', line.path)}: {line.reason}"
            reasons[kind if kind in reasons or len(reasons) < MOST_NAMES else OTHERS] += 1
        if file is not None:
            file.close()
        return reasons

    def read_table(self, number: int) -> pa.Table:
        """Trajectories of part `number`."""
        with pa.OSFile(str(self.path(number, "table")), "rb") as file:
            return pa.ipc.open_file(file).read_all()

    def read_bad(self, number: int) -> Iterator[Bad]:
        """Quarantined lines of part `number`, in order."""
        path = self.path(number, "bad")
        if path.exists():
            with open(path, encoding="utf-8") as file:
                for line in file:
                    yield Bad(**json.loads(line))

    def map_rows(self, number: int, rows: int) -> dict[str, NDArray[Any]]:
        """Columns of part `number` as views of its file, by name."""
        path = self.path(number, "rows")
        bytes_ = np.memmap(path, np.uint8, "r") if rows else np.empty(0, np.uint8)
        columns, at = {}, 0
        for name, (dtype, shape) in row_dtypes(self.schema).items():
            size = rows * dtype.itemsize * int(np.prod(shape, dtype=int))
            columns[name] = np.frombuffer(bytes_, dtype, offset=at, count=size // dtype.itemsize).reshape(rows, *shape)
            at += size
        return columns


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
            here = int(rows[CATEGORY][:, schema.columns[fields.name]].max())
            largest[fields.vocab] = max(largest[fields.vocab], here)
    return largest
