"""What a comparison counted, field by field."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from truth.decisions import Decision


@dataclass
class Tally:
    """Per field: how often it was compared, how often it was wrong, and examples of that."""

    compared: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    keep: int = 10

    def check(self, name: str, right: bool, decision: Decision, expected: object, got: object) -> None:
        self.compared[name] += 1
        if right:
            return
        self.wrong[name] += 1
        kept = self.examples.setdefault(name, [])
        if len(kept) < self.keep:
            kept.append(f"{decision.battle} {decision.player} turn {decision.turn} {decision.phase}: "
                        f"expected {expected}, got {got}")

    def equal(self, name: str, decision: Decision, expected: object, got: object) -> None:
        self.check(name, expected == got, decision, expected, got)

    def near(self, name: str, decision: Decision, expected: float, got: float, tolerance: float) -> None:
        self.check(name, abs(expected - got) <= tolerance, decision, round(expected, 4), got)

    def table(self, show: int = 0) -> str:
        lines = [f"{'field':34s} {'compared':>10s} {'wrong':>8s} {'share':>9s}"]
        for name in sorted(self.compared):
            share = self.wrong[name] / self.compared[name]
            lines.append(f"{name:34s} {self.compared[name]:10d} {self.wrong[name]:8d} {share:9.4%}")
            lines += [f"    {example}" for example in self.examples.get(name, [])[:show]]
        return "\n".join(lines)
