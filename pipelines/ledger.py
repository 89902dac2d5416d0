"""What is kept of all parts: a short entry for each, since 5 million battles are 200,000 of them, and sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from pipelines.part import Receipt
from poke_bc.contract.files import digest
from poke_bc.contract.manifest import Source
from poke_bc.contract.schema import Schema


class Part(NamedTuple):
    """One block, done."""

    source: int
    first_line: int
    """Number of its first line in the source, from 1."""
    lines: int
    rows: int
    trajectories: int
    text_bytes: int
    text_xxh3: str


class Ledger:
    """Parts in order, and what they come to.

    Args:
        sources: names of the inputs.
    """

    def __init__(self, sources: Sequence[str]) -> None:
        self.sources = sources
        self.parts: list[Part] = []
        self.rows = self.trajectories = self.bad = 0
        self.labels: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.present: Counter[str] = Counter()
        self._largest_ids: dict[str, int] = {}

    def add(self, receipt: Receipt) -> Part:
        """Enter the next part."""
        last = self.parts[-1] if self.parts else None
        first_line = last.first_line + last.lines if last is not None and last.source == receipt.source else 1
        part = Part(receipt.source, first_line, receipt.lines, receipt.rows, receipt.trajectories, receipt.text_bytes,
                    receipt.text_xxh3)
        self.parts.append(part)
        self.rows += receipt.rows
        self.trajectories += receipt.trajectories
        self.bad += receipt.bad
        for total, counts in ((self.labels, receipt.labels), (self.reasons, receipt.reasons),
                              (self.unknown, receipt.unknown), (self.present, receipt.present)):
            total.update(counts)
        for name, largest in receipt.largest_ids.items():
            self._largest_ids[name] = max(self._largest_ids.get(name, -1), largest)
        return part

    def described(self) -> tuple[Source, ...]:
        """The sources for the manifest."""
        bytes_, lines = Counter[int](), Counter[int]()
        digests: list[list[str]] = [[] for _ in self.sources]
        for part in self.parts:
            bytes_[part.source] += part.text_bytes
            lines[part.source] += part.lines
            digests[part.source].append(part.text_xxh3)
        return tuple(Source(name=name, bytes=bytes_[place], lines=lines[place],
                            xxh3=digest("".join(digests[place]).encode()))
                     for place, name in enumerate(self.sources))

    def sized(self, schema: Schema) -> Schema:
        """The schema with each open vocabulary as large as its largest id."""
        return Schema(schema.name, schema.version, schema.fields,
                      {name: vocab.with_size(1 + self._largest_ids[name])
                       for name, vocab in schema.vocabularies.items()})
