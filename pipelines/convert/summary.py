"""What a run of convert did, and which battles its first pass chose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipelines.convert.passes import (
    FILTERED,
    LOW_RATING,
    NO_RATING,
    OTHER_FORMAT,
    BattleReport,
    ConvertReceipt,
    TaskReport,
    note_example,
)
from poke_bc.contract.errors import InputError

DUPLICATE = "duplicate battle"


@dataclass
class ConvertSummary:
    """What a run did."""

    battles: int = 0
    """Found in the input, whatever became of them."""
    converted: int = 0
    trajectories: int = 0
    decisions: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    """observed, censored, none -> decisions."""
    exact_views: int = 0
    """Trajectories made from the player's own requests: nothing in them is inferred."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Excluded by the options: reason -> battles, most frequent first."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Could not be converted: reason -> battles, most frequent first."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> the first few battles."""
    bytes: int = 0
    """Of the output before compression."""
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "battles": self.battles,
            "converted": self.converted,
            "trajectories": self.trajectories,
            "decisions": self.decisions,
            "labelled": self.labels.get("observed", 0),
            "censored": self.labels.get("censored", 0),
            "unlabelled": self.labels.get("none", 0),
            "exact_views": self.exact_views,
            "left_out": self.left_out,
            "skipped": self.skipped,
            "examples": self.examples,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "battles_per_s": round(self.converted / self.seconds, 1) if self.seconds else 0.0,
        }

    def usable(self, report: TaskReport, known: set[str]) -> Iterator[tuple[int, BattleReport]]:
        """Battles of a task that can be converted, by their place in it; the others are counted.

        Args:
            report: of the first pass.
            known: log hashes of the battles chosen so far.
        """
        for place, battle in enumerate(report.battles):
            reason = DUPLICATE if battle.lines_hash and battle.lines_hash in known else battle.reason
            if battle.reason in FILTERED:
                self.left_out[battle.reason] = self.left_out.get(battle.reason, 0) + 1
            elif not reason:
                yield place, battle  # and not counted if the run stops here because of its limit
            else:
                self.skipped[reason] = self.skipped.get(reason, 0) + 1
                note_example(self.examples, reason, battle.place, battle.detail)
            self.battles += 1

    def add(self, receipt: ConvertReceipt) -> None:
        """Add a part."""
        self.converted += receipt.converted
        self.trajectories += receipt.trajectories
        self.decisions += receipt.decisions
        self.exact_views += receipt.exact_views
        self.bytes += receipt.text_bytes
        self.labels = _sums(self.labels, receipt.labels)
        self.skipped = _sums(self.skipped, receipt.reasons)
        for reason, places in receipt.examples.items():
            for place in places:
                note_example(self.examples, reason, place, "")

    def sort(self) -> None:
        """Bring the reasons into order."""
        self.left_out, self.skipped = _sums(self.left_out), _sums(self.skipped)

    def require_results(self, any_left: bool, inputs: Sequence[object], formats: Iterable[str],
                        min_rating: int | None) -> None:
        """Raises InputError, with the most frequent reason, where no battle is left."""
        self.sort()
        if any_left:
            return
        names = ", ".join(map(str, inputs[:3])) + (", ..." if len(inputs) > 3 else "")
        none = f"{names}: none of {self.battles:,} battles"
        for key, wanted, hint in ((OTHER_FORMAT, f"of format {', '.join(sorted(formats))}", "see their formatid"),
                                  (LOW_RATING, f"rated {min_rating} or more", "lower --min-rating"),
                                  (NO_RATING, "known to be rated", "omit --min-rating")):
            if self.left_out and not self.skipped and key == next(iter(self.left_out)):
                raise InputError(f"{none} is {wanted}", hint=hint)
        reason, count = next(iter(_sums(self.skipped, self.left_out).items()), ("no file holds one", 0))
        example = next(iter(self.examples.get(reason, ())), "")
        raise InputError(f"{none} could be converted; most often ({count:,}): {reason}"
                         + (f" ({example})" if example else ""),
                         hint="give replays as JSON, logs, saved pages or Parquet; see docs/format.md")


def _sums(*counts: dict[str, int]) -> dict[str, int]:
    """Sums by name, the most frequent first, then by name."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))
