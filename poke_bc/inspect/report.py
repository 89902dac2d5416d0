"""The result of inspect, and its tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from poke_bc.tables import make_table


@dataclass(frozen=True)
class FieldFacts:
    """The values of one field."""

    name: str
    kind: str
    width: int
    present: float
    """Fraction of decisions in which the key had a value; the others took the default."""
    low: float
    high: float
    """Smallest and largest value; ids if `named`."""
    named: bool
    """Whether it is a category whose vocabulary lists names."""
    distinct: int
    varying: int
    """Number of the `width` positions that take more than one value."""
    non_default: float
    """Fraction of values that differ from the default; if `named`, of values that are in the vocabulary."""
    note: str
    """"constant", "absent", or ""."""
    why: str
    """Why a field is constant: "not in gen 9", "never set", "always 100"."""


@dataclass(frozen=True)
class Inspection:
    """The result of inspect."""

    path: str
    kind: str
    """raw, shards or run."""
    facts: dict[str, Any]
    fields: list[FieldFacts] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    """Action -> decisions with that label."""
    legal_actions: dict[int, int] = field(default_factory=dict)
    """Number of legal actions (0: not recorded) -> decisions."""
    remarks: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def render(found: Inspection) -> RenderableType:
    """The result as tables, followed by the remarks."""
    facts = [((name.replace("_", " "), _plain(value)), False) for name, value in found.facts.items()]
    shown: list[RenderableType] = [Text(f"{found.path} ({found.kind})", style="bold"),
                                   make_table(["", ""], facts, text=(0, 1))]
    if found.fields:
        shown.append(make_table(
            ["field", "kind", "width", "vary", "present", "low", "high", "distinct", "set", ""],
            [(_cells(each), bool(each.note)) for each in found.fields], text=(0, 1, 9),
            title="fields (vary: positions that vary; set: values that are not the default, or are a known name)"))
    if sum(found.labels.values()):
        legal = {f"{count} legal" if count else "not recorded": rows for count, rows in found.legal_actions.items()}
        shown += [_bars("labels", found.labels), _bars("legal actions", legal)]
    return Group(*shown, *(Text(f"! {remark}", style="yellow") for remark in found.remarks))


def percent(fraction: float) -> str:
    """A percentage that is never rounded down to 0.

    >>> percent(0.0001), percent(0.123)
    ('<0.1%', '12.3%')
    """
    return "<0.1%" if 0 < fraction < 0.0005 else f"{fraction:.1%}"


def _cells(each: FieldFacts) -> tuple[str, ...]:
    """One line of at most 100 characters."""
    low, high = ("", "") if each.named else (f"{each.low:.4g}", f"{each.high:.4g}")
    return (each.name, "name" if each.named else each.kind, str(each.width), str(each.varying), f"{each.present:.0%}",
            low, high, f"{each.distinct:,}", percent(each.non_default), each.why or each.note)


def _bars(title: str, counts: Mapping[str, int]) -> RenderableType:
    total, largest = sum(counts.values()), max(counts.values())
    return make_table(["", "", "", ""], [
        ((name, f"{count:,}", f"{count / total:.1%}", "█" * round(40 * count / largest)), False)
        for name, count in counts.items()], title=title, text=(0, 3))


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
