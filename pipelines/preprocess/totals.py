"""Sums over all parts of a data set, and what the quarantine must know of each part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import xxhash

from pipelines.preprocess.parts import PreprocessReceipt
from poke_bc.contract.manifest import Source
from poke_bc.contract.schema import Schema


class PartPlace(NamedTuple):
    """Where the lines of a part are in the input."""

    source: int
    first_line: int
    """Number of its first line in the input, from 1."""
    bad: int


class Totals:
    """Parts in order, and their sums.

    Args:
        inputs: their names.
    """

    def __init__(self, inputs: Sequence[str]) -> None:
        self.inputs = inputs
        self.parts: list[PartPlace] = []
        self.rows = self.trajectories = self.bad = 0
        self.labels: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.present: Counter[str] = Counter()
        self._largest_ids: dict[str, int] = {}
        self._bytes, self._lines = [0] * len(inputs), [0] * len(inputs)
        self._xxh3 = [xxhash.xxh3_64() for _ in inputs]

    def add(self, receipt: PreprocessReceipt) -> PartPlace:
        """Add the next part."""
        source = receipt.source
        place = PartPlace(source, 1 + self._lines[source], receipt.bad)
        self.parts.append(place)
        for block in receipt.blocks:
            self._bytes[source] += block.size
            self._lines[source] += block.lines
            self._xxh3[source].update(block.xxh3.encode())
        self.rows += receipt.decisions
        self.trajectories += receipt.trajectories
        self.bad += receipt.bad
        for total, counts in ((self.labels, receipt.labels), (self.reasons, receipt.reasons),
                              (self.unknown, receipt.unknown), (self.present, receipt.present)):
            total.update(counts)
        for name, largest in receipt.largest_ids.items():
            self._largest_ids[name] = max(self._largest_ids.get(name, -1), largest)
        return place

    def sources(self) -> tuple[Source, ...]:
        """The inputs, for the manifest."""
        return tuple(Source(name=name, bytes=self._bytes[place], lines=self._lines[place],
                            xxh3=self._xxh3[place].hexdigest()) for place, name in enumerate(self.inputs))

    def sized(self, schema: Schema) -> Schema:
        """The schema with each open vocabulary as large as its largest id requires."""
        return Schema(schema.name, schema.version, schema.fields,
                      {name: vocab.with_size(1 + self._largest_ids[name])
                       for name, vocab in schema.vocabularies.items()})
