"""Totals over all parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import xxhash

from pipelines.preprocess.receipts import PreprocessReceipt
from pipelines.preprocess.tally import Tally
from poke_bc.contract.manifest import Source
from poke_bc.contract.schema import Schema


class PartPlace(NamedTuple):
    """Where the lines of a part are in the input, and how many are bad."""

    source: int
    first_line: int
    """Number of its first line in the input, from 1."""
    bad: int
    kept: int | None = None
    """The part of the earlier run that it is."""


class Totals:
    """Parts in order, their counts, and the named inputs that they cover."""

    def __init__(self, inputs: Sequence[str]) -> None:
        self.inputs = inputs
        self.parts: list[PartPlace] = []
        self.tally = Tally()
        self.kept_rows = 0
        """Rows of parts of the earlier run."""
        self._bytes, self._lines = [0] * len(inputs), [0] * len(inputs)
        self._trajectories, self._decisions, self._bad = [0] * len(inputs), [0] * len(inputs), [0] * len(inputs)
        self._present: list[set[str]] = [set() for _ in inputs]
        self._xxh3 = [xxhash.xxh3_64() for _ in inputs]

    def add(self, receipt: PreprocessReceipt, kept: int | None = None) -> PartPlace:
        """Add the next part; `kept` as in PartPlace."""
        source = receipt.source
        place = PartPlace(source, 1 + self._lines[source], receipt.tally.bad, kept)
        self.parts.append(place)
        self.tally.add(receipt.tally)
        self.kept_rows += receipt.tally.rows if kept is not None else 0
        self._trajectories[source] += receipt.tally.trajectories
        self._decisions[source] += receipt.tally.rows
        self._bad[source] += receipt.tally.bad
        self._present[source] |= {name for name, count in receipt.tally.present.items() if count}
        for block in receipt.blocks:
            self._bytes[source] += block.size
            self._lines[source] += block.lines
            self._xxh3[source].update(block.xxh3.encode())
        return place

    def sources(self) -> tuple[Source, ...]:
        """The inputs, for the manifest."""
        return tuple(Source(
            name=name, bytes=self._bytes[place], lines=self._lines[place], trajectories=self._trajectories[place],
            decisions=self._decisions[place], quarantined=self._bad[place], fields=len(self._present[place]),
            xxh3=self._xxh3[place].hexdigest()) for place, name in enumerate(self.inputs))

    def sized(self, schema: Schema) -> Schema:
        """The schema with each open vocabulary as large as its largest id requires."""
        return schema.with_sizes({name: 1 + largest for name, largest in self.tally.largest_ids.items()})
