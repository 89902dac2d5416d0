"""Counts over the rows of a data set: every value of every field, labels and legal masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.actions import NO_LABEL, NUM_ACTIONS
from poke_bc.contract.bits import unpack_bits
from poke_bc.contract.field import BITS, Field
from poke_bc.contract.rows import CATEGORY_COLUMN, NUMBER_COLUMN
from poke_bc.contract.schema import Schema
from poke_bc.contract.vocabulary import NONE, UNKNOWN
from poke_bc.inspect.report import FieldFacts
from poke_bc.metrics import switch_labels

_PATTERNS = 1 << 16  # both packed types have 16 bits, so every distinct value can be counted exactly


class Tally:
    """Counts over rows, fed shard by shard."""

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self.rows = 0
        self.values = {each.name: np.zeros(_PATTERNS, np.int64) for each in schema.fields}
        self.first: dict[str, NDArray[np.uint16]] = {}
        self.varies = {each.name: np.zeros(each.width, np.bool_) for each in schema.fields}
        self.actions_A = np.zeros(NUM_ACTIONS, np.int64)
        self.legal_counts = np.zeros(NUM_ACTIONS + 1, np.int64)
        self.switches = {"observed": np.zeros(2, np.int64), "with_censored": np.zeros(2, np.int64)}
        """[moves, switches] among choices between the two; with censored ones of which at least that is known."""

    def add(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Count the rows of a shard."""
        self.rows += len(columns["action"])
        for each in self.schema.fields:
            packed = columns[CATEGORY_COLUMN if each.is_category else NUMBER_COLUMN][:, self.schema.columns[each.name]]
            if each.kind == BITS:
                packed = unpack_bits(packed, each.width).astype(np.float16)
            values = np.ascontiguousarray(packed).view(np.uint16)
            self.values[each.name] += np.bincount(values.ravel(), minlength=_PATTERNS)
            if len(values):
                self.varies[each.name] |= (values != self.first.setdefault(each.name, values[0].copy())).any(axis=0)
        action_N = columns["action"]
        self.actions_A += np.bincount(action_N[action_N != NO_LABEL], minlength=NUM_ACTIONS)
        self.legal_counts += np.bincount(np.bitwise_count(columns["legal"]), minlength=NUM_ACTIONS + 1)
        label_N = switch_labels(action_N, columns["candidates"], columns["legal"])
        known_N = ~np.isnan(label_N)
        for name, keep_N in (("observed", known_N & (action_N != NO_LABEL)), ("with_censored", known_N)):
            self.switches[name] += np.bincount(label_N[keep_N].astype(np.int64), minlength=2)

    def facts_of(self, each: Field, present: int, gens: Sequence[int]) -> FieldFacts:
        """Summarise the values of one field.

        Args:
            each: the field.
            present: decisions in which the key had a value.
            gens: generations in the data; empty if not known.
        """
        counts = self.values[each.name]
        bits = np.flatnonzero(counts).astype(np.uint16)
        values = bits if each.is_category else bits.view(np.float16)
        note = "absent" if not present else "" if self.varies[each.name].any() else "constant"
        low, high = (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)
        named = self._is_named(each)
        default = int(np.asarray(each.default, np.uint16 if each.is_category else np.float16).view(np.uint16))
        non_default = 1 - counts[[UNKNOWN, NONE] if named else [default]].sum() / max(counts.sum(), 1)
        return FieldFacts(each.name, each.kind, each.width, present / max(self.rows, 1), low, high, named, len(values),
                          int(self.varies[each.name].sum()), float(non_default), note,
                          self._why_constant(each, values, gens) if note == "constant" else "")

    def unknown_fractions(self) -> dict[str, float]:
        """Field with named values -> fraction of values that are unknown, if above 0."""
        fractions = {each.name: self.values[each.name][UNKNOWN] / max(self.values[each.name].sum(), 1)
                     for each in self.schema.categories if self._is_named(each)}
        return {name: float(fraction) for name, fraction in fractions.items() if fraction}

    def _is_named(self, each: Field) -> bool:
        return each.is_category and not self.schema.vocabularies[each.vocab].is_open

    def _why_constant(self, each: Field, values: NDArray[Any], gens: Sequence[int]) -> str:
        if each.gens is not None and gens and not any(each.gens[0] <= gen <= each.gens[1] for gen in gens):
            return f"not in gen {ranges(gens)}"
        if len(values) > 1:  # a list may hold several values and still be the same in every row
            return "always the same"
        value = float(values[0])
        names = self.schema.vocabularies[each.vocab].names if each.is_category else None
        if value == (NONE if names is not None else np.float16(each.default)):
            return "never set"
        return f"always {value:g}" if names is None else f"always {('unknown', 'none', *names)[int(value)]}"


def ranges(gens: Sequence[int]) -> str:
    """Sorted numbers as ranges.

    >>> ranges([5, 6, 7, 9])
    '5-7, 9'
    """
    starts = [gen for gen in gens if gen - 1 not in gens]
    ends = [gen for gen in gens if gen + 1 not in gens]
    return ", ".join(f"{start}" if start == end else f"{start}-{end}" for start, end in zip(starts, ends, strict=True))
