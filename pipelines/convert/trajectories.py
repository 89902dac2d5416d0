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
from poke_bc.contract.actions import LABELS
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
    """Takes a record, a consultation of the corpus, and the result of the first pass."""
    corpus: type[Any]
    """Has add(revealed), save(path) and load(path)."""
    revealed: Any
    """Type of what is added to it."""
    consult: Callable[[Any], Any]
    """The corpus as `convert` takes it, which has `answers() -> bytes`: JSON of what was asked and answered."""
    agrees: Callable[[Any, bytes], bool]
    """Whether a corpus still gives these answers."""


class Attempt(NamedTuple):
    """One way to make a battle's trajectories."""

    records: Sequence[int]
    """Numbers of the records that it is made of: 0 the battle's own, the others as in its copies from 1 on."""
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

    partners: list[int] = []
    covered: frozenset[str] = frozenset(record.requests)
    for number, copy in enumerate(copies, 1):
        if not copy.players <= covered:
            partners.append(number)
            covered |= copy.players
    if partners:
        joined = reduce(join, [load(copies[number - 1])[0] for number in partners], record)
        yield Attempt([0, *partners], joined, None)
    yield Attempt([0], record, first)
    for number, copy in enumerate(copies, 1):
        yield Attempt([number], *load(copy))


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of a chosen battle and of the other records of it. Records are numbered, the battle's own as 0."""

    used: tuple[int, ...] = ()
    """Records that the trajectories are made of; none if all attempts failed."""
    failed: dict[int, tuple[str, str]] = {}
    """Record -> reason and detail."""
    trajectories: int = 0
    bytes: int = 0
    """Size of their lines."""
    labels: dict[str, int] = {}
    exact_views: int = 0
    passed_over: dict[str, int] = {}
    answers: msgspec.Raw
    """What was asked of the corpus, as Conversion.consult records it."""

    def count(self, summary: ConvertSummary, sources: Sequence[str]) -> None:
        """Add it to the counts of a task; `sources` says where each record is."""
        if self.used:
            summary.converted += 1
            summary.joined += len(self.used) - 1
            summary.trajectories += self.trajectories
            summary.bytes += self.bytes
            summary.passed_over = most_frequent(summary.passed_over, self.passed_over)
            summary.exact_views += self.exact_views
            summary.decisions += sum(self.labels.values())
            for name, counter in zip(LABELS, ("labelled", "censored", "unlabelled"), strict=True):
                setattr(summary, counter, getattr(summary, counter) + self.labels.get(name, 0))
        for number in [*self.failed, *(each for each in range(1, len(sources)) if each not in self.failed)]:
            if number not in self.used:
                summary.leave_out(*self.failed.get(number, (DUPLICATE, "")), sources[number])


def trajectory_lines(conversion: Conversion, ways: Iterator[Attempt], corpus: Any) -> tuple[Outcome, bytes]:
    """The lines of the first attempt that succeeds; none if all fail."""
    failed: dict[int, tuple[str, str]] = {}
    consultation = conversion.consult(corpus)
    for records, record, first in ways:
        try:
            found = first or conversion.first_pass(record)
            views = conversion.convert(record, consultation, found)
            text = b"".join([_ENCODE(view) + b"\n" for view in views])
            labels = Counter(step.get("label", "observed") for view in views for step in view["steps"])
        except MemoryError:
            raise
        except Exception as error:
            failed |= dict.fromkeys(records, why(error))
            continue
        return Outcome(
            used=tuple(records), failed=failed, trajectories=len(views), bytes=len(text), labels=dict(labels),
            exact_views=sum(bool(record.requests.get(view["player"])) for view in views),
            passed_over=dict(found.passed_over), answers=msgspec.Raw(consultation.answers())), text
    return Outcome(failed=failed, answers=msgspec.Raw(consultation.answers())), b""


def why(error: Exception) -> tuple[str, str]:
    """Reason and detail for a skipped battle; for a bug, the type of the error and the line that raised it."""
    if isinstance(error, SkippedBattle):
        return error.reason, error.detail
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"{INTERNAL}: {type(error).__name__}", f"{where}: {' '.join(str(error).split())[:200]}"
