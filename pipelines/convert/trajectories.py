"""A chosen battle -> the lines of its trajectories, from all records of it."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import PurePath
from typing import Any, NamedTuple

import msgspec

from pipelines.convert.copies import Copy, join
from pipelines.convert.kept import KeptBattles
from pipelines.convert.summary import DUPLICATE, ConvertSummary, most_frequent
from poke_bc.showdown.record import BattleRecord, SkippedBattle

INTERNAL = "internal error"
_ENCODE = msgspec.json.Encoder().encode
"""The same text as json.dumps, five times as fast; a NaN would become null, which preprocess counts as missing."""


@dataclass(frozen=True)
class Conversion:
    """The steps from a record to trajectories; their names must be importable in other processes."""

    first_pass: Callable[[BattleRecord], Any]
    """Its result is small and picklable, and has `revealed` and `passed_over`."""
    convert: Callable[[BattleRecord, Any, Any], list[dict[str, Any]]]
    """Takes a record, the corpus, and the result of the first pass."""
    corpus: type[Any]
    """Has add(revealed), save(path) and load(path)."""


class Attempt(NamedTuple):
    """One way to make a battle's trajectories."""

    sources: Sequence[str]
    """The records that it is made of."""
    record: BattleRecord
    first: Any
    """Result of the first pass; None: it is still to be done."""


def attempts(record: BattleRecord, first: Any, copies: Sequence[Copy], kept: KeptBattles) -> Iterator[Attempt]:
    """The ways to make a battle's trajectories, the best first.

    A duplicate is one only of something that was converted: if the first record turns out to be damaged, another one
    takes its place, and its name.
    """
    def load(copy: Copy) -> tuple[BattleRecord, Any]:
        other, result = kept.read(copy.task, copy.kept, copy.place)
        return replace(other, id=record.id, original_id=record.original_id), result

    partners: list[Copy] = []
    covered: frozenset[str] = frozenset(record.requests)
    for copy in copies:
        if not copy.players <= covered:
            partners.append(copy)
            covered |= copy.players
    if partners:
        joined = reduce(join, [load(copy)[0] for copy in partners], record)
        yield Attempt([record.source, *(copy.source for copy in partners)], joined, None)
    yield Attempt([record.source], record, first)
    for copy in copies:
        yield Attempt([copy.source], *load(copy))


def trajectory_lines(conversion: Conversion, ways: Iterator[Attempt], copies: Sequence[Copy], corpus: Any,
                     summary: ConvertSummary, labels: Counter[str]) -> list[bytes]:
    """The lines of the first attempt that succeeds; none if all fail. Counts the battle's records in `summary`."""
    failed: dict[str, tuple[str, str]] = {}
    used: Sequence[str] = ()
    lines: list[bytes] = []
    for sources, record, first in ways:
        try:
            found = first or conversion.first_pass(record)
            views = conversion.convert(record, corpus, found)
            lines = [_ENCODE(view) + b"\n" for view in views]
            counted = Counter(step.get("label", "observed") for view in views for step in view["steps"])
        except MemoryError:
            raise
        except Exception as error:
            failed |= dict.fromkeys(sources, why(error))
            continue
        used = sources
        labels += counted
        summary.converted += 1
        summary.joined += len(used) - 1
        summary.trajectories += len(lines)
        summary.passed_over = most_frequent(summary.passed_over, found.passed_over)
        summary.exact_views += sum(bool(record.requests.get(view["player"])) for view in views)
        break
    for source in dict.fromkeys([*failed, *(copy.source for copy in copies)]):
        if source not in used:
            summary.leave_out(*failed.get(source, (DUPLICATE, "")), source)
    return lines


def why(error: Exception) -> tuple[str, str]:
    """Reason and detail for a skipped battle; for a bug, the type of the error and the line that raised it."""
    if isinstance(error, SkippedBattle):
        return error.reason, error.detail
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"{INTERNAL}: {type(error).__name__}", f"{where}: {' '.join(str(error).split())[:200]}"
