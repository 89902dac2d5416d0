"""Counts over the rows of a block, of a part, or of a whole data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import msgspec

from pipelines.decode import Decoded
from poke_bc.contract.actions import NO_LABEL
from poke_bc.contract.rows import CATEGORY_COLUMN
from poke_bc.contract.schema import Schema

MOST_NAMES, OTHERS = 100, "(others)"
_LONGEST_NAME = 200


class Tally(msgspec.Struct, kw_only=True):
    """Counts, which can be added. Keys and fields are in order: readers come across them in different ones."""

    rows: int = 0
    trajectories: int = 0
    labels: dict[str, int] = {}
    """observed, censored, unlabelled, with_legal -> rows."""
    reasons: dict[str, int] = {}
    """Reason for quarantine ("$.steps[].reward: expected a number, got string") -> lines."""
    unknown: dict[str, int] = {}
    """Keys that the schema does not have -> occurrences."""
    present: dict[str, int] = {}
    """Fields -> rows in which they had a value."""
    largest_ids: dict[str, int] = {}
    """Vocabulary -> largest id; -1 without rows."""

    @property
    def bad(self) -> int:
        """Number of quarantined lines."""
        return sum(self.reasons.values())

    def add(self, other: Tally) -> None:
        """Add the counts of other rows."""
        self.rows += other.rows
        self.trajectories += other.trajectories
        for counts in ("labels", "reasons", "unknown", "present"):
            mine, others = getattr(self, counts), getattr(other, counts)
            setattr(self, counts, {name: mine.get(name, 0) + others.get(name, 0) for name in sorted({*mine, *others})})
        for name, largest in other.largest_ids.items():
            self.largest_ids[name] = max(self.largest_ids.get(name, -1), largest)

    def add_bad(self, reason: str) -> None:
        """Count a quarantined line. Once there are MOST_NAMES reasons, new ones are counted as OTHERS."""
        reason = reason if reason in self.reasons or len(self.reasons) < MOST_NAMES else OTHERS
        self.reasons[reason] = self.reasons.get(reason, 0) + 1


def tally_rows(decoded: Decoded, schema: Schema) -> Tally:
    """All counts except `reasons`."""
    rows, count = decoded.rows, len(decoded.rows["action"])
    observed, censored = int((rows["action"] != NO_LABEL).sum()), int((rows["candidates"] != 0).sum())
    largest = dict.fromkeys(schema.vocabularies, -1)
    for field in schema.categories if count else ():
        here = int(rows[CATEGORY_COLUMN][:, schema.columns[field.name]].max())
        largest[field.vocab] = max(largest[field.vocab], here)
    return Tally(
        rows=count, trajectories=decoded.trajectories.num_rows, largest_ids=largest,
        unknown=dict(sorted(decoded.unknown.items())), present=dict(sorted(decoded.present.items())),
        labels={"observed": observed, "censored": censored, "unlabelled": count - observed - censored,
                "with_legal": int((rows["legal"] != 0).sum())})


def most_common(counts: Mapping[str, int]) -> dict[str, int]:
    """Counts by name, bounded in size for any input: long names are cut, rare ones counted together."""
    short: Counter[str] = Counter()
    for name, count in counts.items():
        short[name[:_LONGEST_NAME].encode(errors="backslashreplace").decode()] += count
    first = sorted(short, key=lambda name: (name == OTHERS, -short[name], name))
    kept = {name: short[name] for name in sorted(first[:MOST_NAMES]) if name != OTHERS}
    others = short.total() - sum(kept.values())
    return kept | ({OTHERS: others} if others else {})
