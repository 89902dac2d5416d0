"""The two passes of convert over a task, which is a group of consecutive battles.

    first     read the battles and find what they reveal; keep what was read (kept.py) for the second pass
    second    make trajectories, with the corpus of all that was revealed; the part is their compressed text

A later run reuses a part only if its battles, the choice among them and the corpus are unchanged.
"""

from __future__ import annotations

import gc
import pickle
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from pipelines.convert.battle_files import read_raw_battles
from pipelines.convert.copies import Copy, Identity
from pipelines.convert.earlier import Earlier, Known, Outcomes, Report, frame_of
from pipelines.convert.filters import Filters
from pipelines.convert.kept import KeptBattles, keep, kept_path, reports_path
from pipelines.convert.pseudonyms import Pseudonyms
from pipelines.convert.raw_battles import RawBattle
from pipelines.convert.records import read_battle
from pipelines.convert.summary import ConvertSummary
from pipelines.convert.trajectories import Conversion, Outcome, attempts, trajectory_lines, why
from pipelines.jobs.memo import pack
from pipelines.jobs.store import PartStore
from pipelines.jobs.streams import Packer
from pipelines.jobs.task_size import units_per_task
from poke_bc.contract.files import digest

UNIT_BATTLES = 16
"""Battles in the smallest task, which take a fifth of a second, both passes together."""
_MOST_UNITS = 8
_TASK_BYTES = 8 << 20
"""Maximum size of a task with more than one battle."""
NOT_CHOSEN, CHOSEN, RENAMED = range(3)
"""RENAMED: another battle has the same id, so this one gets a new id."""


@dataclass(frozen=True)
class RawTask:
    """The battles of one task, as their files hold them."""

    number: int
    battles: tuple[RawBattle, ...]
    progress: int
    """Bytes of all inputs on disk that are read once this task is done."""

    def __str__(self) -> str:
        first, last = self.battles[0].place, self.battles[-1].place
        return first if first == last else f"battles {first} to {last}"



def raw_tasks(inputs: Sequence[str], sizes: Sequence[int | None]) -> Iterator[RawTask]:
    """All battles of the inputs in order, as tasks; the grouping depends on the battles alone."""
    number = taken = size = before = progress = 0
    battles: list[RawBattle] = []
    for name, bytes_ in zip(inputs, sizes, strict=True):
        for raw in read_raw_battles(name):
            most = UNIT_BATTLES * units_per_task(taken // UNIT_BATTLES, _MOST_UNITS)
            if battles and (len(battles) >= most or size + len(raw.data) > _TASK_BYTES):
                yield RawTask(number, tuple(battles), progress)
                number, taken, size, battles = number + 1, taken + len(battles), 0, []
            battles.append(raw)
            size += len(raw.data)
            progress = before + min(raw.consumed, bytes_ or 0)
        before += bytes_ or 0
    if battles:
        yield RawTask(number, tuple(battles), before)


@dataclass(frozen=True)
class BattleReport:
    """The first pass's findings about one battle."""

    place: str
    identity: Identity | None = None
    """None where the battle is not converted."""
    players: frozenset[str] = frozenset()
    """Whose requests were recorded."""
    reason: str = ""
    """Why it is not converted; empty if it is."""
    detail: str = ""
    revealed: Any = None

    def stored(self) -> Report:
        """What a later run needs to know."""
        return Report(self.identity, tuple(sorted(self.players)), self.reason, self.detail,
                      msgspec.Raw(msgspec.json.encode(self.revealed)))


@dataclass(frozen=True)
class ConvertTask:
    """A task of the second pass."""

    number: int
    name: str
    keys: array[int]
    """RawBattle.key of each battle."""
    kept: str
    """Digest of what the first pass kept of them."""
    progress: int
    chosen: bytes = b""
    """One byte per battle: NOT_CHOSEN, CHOSEN or RENAMED. Set once the first pass has gone through the task."""
    copies: Mapping[int, tuple[Copy, ...]] = field(default_factory=dict)
    """The other records of chosen battles, by place. Set at the end of the first pass, as is `corpus`."""
    corpus: str = ""
    """Digest of the corpus file."""

    @property
    def xxh3(self) -> str:
        """Digest of the raw battles."""
        return digest(self.keys.tobytes())

    @property
    def choice(self) -> str:
        """Digest of what is converted."""
        return digest("".join(self.choice_of(place) for place in range(len(self.chosen))).encode())

    def choice_of(self, place: int) -> str:
        """Digest of how a battle is converted."""
        return digest(repr((self.chosen[place], [copy.key for copy in self.copies.get(place, ())])).encode())

    def __str__(self) -> str:
        return self.name


class ConvertReceipt(msgspec.Struct, frozen=True, kw_only=True):
    """A part of convert, whose body is the compressed text of its trajectories, or empty."""

    xxh3: str
    chosen: str
    corpus: str
    summary: ConvertSummary
    outcomes: Outcomes

    @property
    def trajectories(self) -> int:
        """Number of trajectories in the body."""
        return self.summary.trajectories


@dataclass(frozen=True)
class ConvertJob:
    """Both passes over a task; sent to every process that runs tasks."""

    store: PartStore[ConvertReceipt]
    compression: str
    """Compression of the parts: "zstd" or "gzip"."""
    pseudonyms: Pseudonyms
    filters: Filters
    conversion: Conversion
    earlier: Earlier | None = None
    """What an earlier run into the same output left."""

    @property
    def corpus_path(self) -> Path:
        """Where the corpus is stored between the passes."""
        return self.store.job_file("corpus")

    def first_pass(self, _number: int, task: RawTask) -> tuple[ConvertTask, list[BattleReport]]:
        """Read the battles, and decide which of them the options exclude."""
        with _cycles_left_alone():
            keys = array("Q", [raw.key for raw in task.battles])
            read = [self._known(raw, key) or self._read(raw) for raw, key in zip(task.battles, keys, strict=True)]
            kept = keep(self.store, task.number, [battle for _, battle in read])
            reports = [report for report, _ in read]
            with self.store.replaced(reports_path(self.store, task.number)) as file:
                file.write(pack([report.stored() for report in reports]))
            return ConvertTask(task.number, str(task), keys, kept, task.progress), reports

    def _known(self, raw: RawBattle, key: int) -> tuple[BattleReport, bytes] | None:
        """As `_read`, of a battle in which an earlier run found the same."""
        found = self.earlier.report(key) if self.earlier is not None else None
        if self.earlier is None or found is None:
            return None
        if found.identity is None:
            return BattleReport(raw.place, reason=found.reason, detail=found.detail), b""
        report = BattleReport(raw.place, Identity(*found.identity), frozenset(found.players),
                              revealed=self.earlier.decode_revealed(found))
        return report, pickle.dumps((raw, None), protocol=5)

    def _read(self, raw: RawBattle) -> tuple[BattleReport, bytes]:
        """The report on a battle, and what the second pass needs of it, pickled; empty if it is excluded."""
        try:
            record = read_battle(raw, self.pseudonyms)
            reason, detail = self.filters.excluded(record)
            if reason:
                return BattleReport(raw.place, reason=reason, detail=detail), b""
            first = self.conversion.first_pass(record)
            report = BattleReport(raw.place, Identity.of(record), frozenset(record.requests), revealed=first.revealed)
            return report, pickle.dumps((record, first), protocol=5)
        except MemoryError:
            raise
        except Exception as error:  # one odd battle must not end the run: it is counted and reported
            reason, detail = why(error)
            return BattleReport(raw.place, reason=reason, detail=detail), b""

    def second_pass(self, _number: int, task: ConvertTask) -> tuple[ConvertReceipt, int]:
        """The receipt of a task's part, made now or by an earlier run, and the progress after it."""
        def same(receipt: ConvertReceipt) -> bool:
            return (receipt.xxh3, receipt.chosen, receipt.corpus) == (task.xxh3, task.choice, task.corpus)

        with _cycles_left_alone():
            return self.store.reuse(task.number, same) or self._convert(task), task.progress

    def take_reports(self, number: int) -> bytes:
        """What the first pass found in a task, packed; removed from the store."""
        path = reports_path(self.store, number)
        packed = path.read_bytes()
        path.unlink()
        return packed

    def forget(self, task: ConvertTask) -> None:
        """Remove what the first pass kept of a task, once it is no longer needed."""
        kept_path(self.store, task.number, task.kept).unlink(missing_ok=True)

    def _convert(self, task: ConvertTask) -> ConvertReceipt:
        corpus = _load_corpus(self.conversion.corpus.load, self.corpus_path, task.corpus)
        places = [place for place, chosen in enumerate(task.chosen) if chosen]
        summary, kept = ConvertSummary(), KeptBattles(self.store, self.pseudonyms)
        known = {place: found for place in places if (found := self._still_known(task, place, corpus, summary))}
        frame = frame_of([*known.values()]) if len(known) == len(places) else None
        packer, outcomes = Packer(self.compression), Outcomes()
        with self.store.create(task.number) as part:
            for place in places:
                if place in known:
                    outcome, text = known[place].outcome, b"" if frame else known[place].text()
                    summary.kept += 1
                else:
                    outcome, text = self._trajectories(task, place, corpus, kept)
                packer.write(text)
                outcomes[place] = task.choice_of(place), outcome
                copies = task.copies.get(place, ())
                own = kept.source(task.number, task.kept, place) if outcome.failed else ""
                outcome.count(summary, [own, *(copy.source for copy in copies)])
            if summary.bytes:
                part.write(frame or packer.finish())
            receipt = ConvertReceipt(xxh3=task.xxh3, chosen=task.choice, corpus=task.corpus, summary=summary,
                                     outcomes=outcomes)
            part.commit(receipt)
        return receipt

    def _still_known(self, task: ConvertTask, place: int, corpus: Any, summary: ConvertSummary) -> Known | None:
        """Where the earlier output has a battle's trajectories, if they would be the same now."""
        if self.earlier is None or (found := self.earlier.known(task.keys[place], task.choice_of(place))) is None:
            return None
        if self.conversion.agrees(corpus, bytes(found.outcome.answers)):
            return found
        summary.refilled += 1
        return None

    def _trajectories(self, task: ConvertTask, place: int, corpus: Any, kept: KeptBattles) -> tuple[Outcome, bytes]:
        """Convert a battle."""
        record, first = kept.read(task.number, task.kept, place)
        if task.chosen[place] == RENAMED:
            name = f"{record.id}-{Identity.of(record).lines:016x}"[:len(record.id) + 9]
            record = replace(record, id=name, original_id=record.id)
        ways = attempts(record, first, task.copies.get(place, ()), kept)
        return trajectory_lines(self.conversion, ways, corpus)


@lru_cache(maxsize=1)
def _load_corpus(load: Callable[[Path], Any], path: Path, _xxh3: str) -> Any:
    """Load the corpus once per process; the digest as a key keeps that of another run from being used."""
    return load(path)


@contextmanager
def _cycles_left_alone() -> Iterator[None]:
    """Collect reference cycles once per task: automatic collections, while millions of small lists are created, take a
    third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(0)
        if was_on:
            gc.enable()
