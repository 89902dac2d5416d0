"""Counts of a run of convert: of one task, in its receipt, and of all tasks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

FILTERED = OTHER_FORMAT, LOW_RATING, NO_RATING, OTHER_DATE, NO_DATE, OTHER_PLAYER = (
    "other format", "rating below", "rating unknown", "other date", "date unknown", "other players")
"""Reasons for which the options exclude battles."""
DUPLICATE = "duplicate battle"
_EXAMPLES = 3


class ConvertSummary(msgspec.Struct, kw_only=True):
    """Counts of battles and of their trajectories."""

    battles: int = 0
    """All battles found in the input."""
    converted: int = 0
    kept: int = 0
    """Battles whose trajectories were in the output already, and are as they would be made now."""
    refilled: int = 0
    """Battles that were in the output, and converted again: others changed what fills their gaps."""
    all_again: str = ""
    """Why nothing of the output that was there could be kept; empty if something could, or none was there."""
    joined: int = 0
    """Battles that were joined with an earlier one: the same battle with the other player's requests."""
    trajectories: int = 0
    decisions: int = 0
    labelled: int = 0
    censored: int = 0
    unlabelled: int = 0
    """Decisions by label: observed, censored, none."""
    exact_views: int = 0
    """Trajectories made from the player's own requests: nothing in them is inferred."""
    left_out: dict[str, int] = {}
    """Battles excluded by the options: reason -> count, most frequent first."""
    other_formats: dict[str, int] = {}
    """Formats of the battles excluded because of it."""
    skipped: dict[str, int] = {}
    """Battles that could not be converted: reason -> count, most frequent first."""
    examples: dict[str, list[str]] = {}
    """Reason -> the first few battles."""
    passed_over: dict[str, int] = {}
    """Lines of converted battles of a minor kind that is not known yet: kind -> count, most frequent first."""
    bytes: int = 0
    """Size of the output before compression."""
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        rate = round(self.converted / self.seconds, 1) if self.seconds else 0.0
        return msgspec.structs.asdict(self) | {"seconds": round(self.seconds, 3), "battles_per_s": rate}

    def leave_out(self, reason: str, detail: str, place: str) -> None:
        """Count a battle that is not converted; the first few skipped ones become examples."""
        if reason in FILTERED:
            self.left_out[reason] = self.left_out.get(reason, 0) + 1
            if reason == OTHER_FORMAT:
                self.other_formats[detail] = self.other_formats.get(detail, 0) + 1
            return
        self.skipped[reason] = self.skipped.get(reason, 0) + 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(f"{place}: {detail}" if detail else place)

    def add(self, other: ConvertSummary) -> None:
        """Add the counts of other battles."""
        for name in self.__struct_fields__:
            mine, others = getattr(self, name), getattr(other, name)
            if not isinstance(mine, dict):
                setattr(self, name, mine + others)
        for name in ("left_out", "skipped", "passed_over"):
            setattr(self, name, most_frequent(getattr(self, name), getattr(other, name)))
        for reason, examples in other.examples.items():
            self.examples[reason] = [*self.examples.get(reason, ()), *examples][:_EXAMPLES]


def most_frequent(*counts: Mapping[str, int]) -> dict[str, int]:
    """Sums by name, the most frequent first; ties by name."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))
