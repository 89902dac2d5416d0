"""What a run of convert leaves for the next one into the same output: OUT.memo (jobs/memo.py). Its pieces are:

    reports    of each task: what the first pass found in its battles
    written    of each task: where its text is in OUT, and what became of each chosen battle
    parts      where these are: four numbers a task
    index      digest of a battle's content -> its task, and its place in it

A battle is known by its content, whatever file it is in. Its text is copied from OUT if it was chosen in the same way
and the corpus still answers as it did (Conversion.agrees).
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from pipelines.convert.trajectories import Outcome
from pipelines.jobs.memo import MEMO, OTHER_RUN, MemoWriter, Piece, pack, read_footer, read_piece, unpack
from poke_bc.contract.files import digest

_PARTS, _KEYS, _PLACES = np.dtype("<u8"), np.dtype("<u8"), np.dtype("<u4")
Outcomes = dict[int, tuple[str, Outcome]]
"""Place in a task -> how the battle there was chosen (ConvertTask.choice_of), and what became of it."""


class Report(msgspec.Struct, frozen=True, array_like=True):
    """What the first pass found in one battle."""

    identity: tuple[int, int, int] | None
    players: tuple[str, ...]
    reason: str
    detail: str
    revealed: msgspec.Raw


class Written(msgspec.Struct, frozen=True, array_like=True):
    """The text of one task."""

    offset: int
    """Where it begins in OUT."""
    length: int
    xxh3: str
    """Digest of these bytes of OUT."""
    outcomes: Outcomes


class _Footer(msgspec.Struct):
    plan: Any
    parts: Piece
    keys: Piece
    tasks: Piece
    places: Piece


class EarlierWriter:
    """Writes the file, in the order in which a run gets its results."""

    def __init__(self, file: IO[bytes], plan: Mapping[str, Any]) -> None:
        self._memo, self._plan = MemoWriter(file), plan
        self._parts: list[tuple[int, int, int, int]] = []
        self._keys, self._is_written = array("Q"), bytearray()
        self._starts = array("Q", [0])
        """Number of battles before each task, and of all."""

    def add_reports(self, keys: Sequence[int], reports: bytes) -> None:
        """Add the packed reports of the next task."""
        self._parts.append((*self._memo.add(reports), 0, 0))
        self._keys.extend(keys)
        self._is_written.extend(bytes(len(keys)))
        self._starts.append(len(self._keys))

    def add_written(self, task: int, written: Written) -> None:
        """Add what became of a task's battles."""
        self._parts[task] = (*self._parts[task][:2], *self._memo.add(pack(written)))
        for place in written.outcomes:
            self._is_written[self._starts[task] + place] = 1

    def finish(self) -> None:
        """Write the index and the footer. Of several battles with the same content, the one in OUT is found."""
        starts, keys = np.frombuffer(self._starts, np.uint64).astype(np.int64), np.frombuffer(self._keys, np.uint64)
        lengths = np.diff(starts)
        task_M = np.repeat(np.arange(len(lengths)), lengths)
        place_M = np.arange(len(keys)) - np.repeat(starts[:-1], lengths)
        order_M = np.lexsort((np.frombuffer(self._is_written, np.uint8) == 0, keys))
        tables = (np.array(self._parts, _PARTS), keys[order_M].astype(_KEYS), task_M[order_M].astype(_PLACES),
                  place_M[order_M].astype(_PLACES))
        parts, keys_, tasks, places = (self._memo.add(table.tobytes()) for table in tables)
        self._memo.finish(_Footer(self._plan, parts, keys_, tasks, places))


@dataclass(frozen=True)
class Earlier:
    """What an earlier run left; picklable, opened by each process that looks something up."""

    path: Path
    out: Path
    is_packed: bool
    """Whether the text of a task is a compressed frame."""
    revealed: Any
    """Conversion.revealed."""
    xxh3: str

    def report(self, key: int) -> Report | None:
        """What the first pass found in a battle with this content."""
        return _opened(self).report(key)

    def known(self, key: int, choice: str) -> Known | None:
        """Where the text of a battle is, if it was chosen in this way, and OUT is still what was written."""
        found = _opened(self).known(key, choice)
        return found and Known(self, *found)

    def decode_revealed(self, report: Report) -> Any:
        """What a battle revealed, for the corpus."""
        return msgspec.json.decode(report.revealed, type=self.revealed)

    @staticmethod
    def close() -> None:
        """Forget what this process has mapped, which could not be replaced on Windows."""
        _opened.cache_clear()


class Known(NamedTuple):
    """A battle whose text is in OUT."""

    earlier: Earlier
    outcome: Outcome
    written: Written
    place: int
    """Index among the battles of the text."""
    start: int
    """Offset in the text."""

    def text(self) -> bytes:
        """The lines of the battle."""
        return _opened(self.earlier).text(self.written)[self.start:self.start + self.outcome.bytes]


def frame_of(known: Sequence[Known]) -> bytes | None:
    """The compressed text of a task as OUT holds it, if it consists of just these battles; else None."""
    if not known or not known[0].earlier.is_packed:
        return None
    written = known[0].written
    is_whole = [each.place for each in known] == [*range(len(written.outcomes))]
    return _opened(known[0].earlier).frame(written) if is_whole and all(
        each.written.offset == written.offset for each in known) else None


def find_earlier(out: Path, plan: Mapping[str, Any], *, is_packed: bool, revealed: Any) -> tuple[Earlier | None, str]:
    """What an earlier run left next to `out`; or None, and why it is of no use ("" if there is none)."""
    path = memo_path(out)
    if not path.is_file() or not out.is_file():
        return None, ""
    try:
        footer, xxh3 = read_footer(path, _Footer)
    except ValueError:
        return None, f"{path.name} is damaged"
    if footer.plan != plan:
        return None, OTHER_RUN
    return Earlier(path, out, is_packed, revealed, xxh3), ""


def memo_path(out: Path) -> Path:
    """Name of the memo of an output."""
    return out.with_name(out.name + MEMO)


class _Open:
    """The two files, opened."""

    def __init__(self, earlier: Earlier) -> None:
        footer, _ = read_footer(earlier.path, _Footer)
        self._path, self._out, self._is_packed = earlier.path, earlier.out, earlier.is_packed
        whole = np.memmap(self._path, np.uint8, "r")
        self._parts, self._keys, self._tasks, self._places = (
            np.frombuffer(whole[start:start + length], dtype) for (start, length), dtype in (
                (footer.parts, _PARTS), (footer.keys, _KEYS), (footer.tasks, _PLACES), (footer.places, _PLACES)))
        self._parts = self._parts.reshape(-1, 4)
        self._reports = lru_cache(4)(self._read_reports)
        self._written = lru_cache(4)(self._read_written)
        self._texts = lru_cache(2)(self._read_text)

    def report(self, key: int) -> Report | None:
        at = self._find(key)
        return None if at is None else self._reports(at[0])[at[1]]

    def known(self, key: int, choice: str) -> tuple[Outcome, Written, int, int] | None:
        if (at := self._find(key)) is None:
            return None
        written, places = self._written(at[0])
        if written is None or at[1] not in places or written.outcomes[at[1]][0] != choice:
            return None
        return written.outcomes[at[1]][1], written, *places[at[1]]

    def frame(self, written: Written) -> bytes:
        return read_piece(self._out, (written.offset, written.length))

    def text(self, written: Written) -> bytes:
        return self._texts(written.offset, written.length)

    def _find(self, key: int) -> tuple[int, int] | None:
        """Task and place of a battle."""
        at = int(np.searchsorted(self._keys, np.uint64(key)))
        if at == len(self._keys) or int(self._keys[at]) != key:
            return None
        return int(self._tasks[at]), int(self._places[at])

    def _piece(self, task: int, which: int) -> bytes:
        offset, length = map(int, self._parts[task, which:which + 2])
        return read_piece(self._path, (offset, length)) if length else b""

    def _read_reports(self, task: int) -> list[Report]:
        return unpack(self._piece(task, 0), list[Report])

    def _read_written(self, task: int) -> tuple[Written | None, dict[int, tuple[int, int]]]:
        """What was written of a task, if OUT still holds it, and of each place the index and offset in its text."""
        data = self._piece(task, 2)
        written = unpack(data, Written) if data else None
        if written is None or digest(self.frame(written)) != written.xxh3:
            return None, {}
        starts = accumulate((outcome.bytes for _, outcome in written.outcomes.values()), initial=0)
        return written, {place: (index, start) for index, (place, start) in enumerate(
            zip(written.outcomes, starts, strict=False))}

    def _read_text(self, offset: int, length: int) -> bytes:
        data = read_piece(self._out, (offset, length))
        if not self._is_packed or not data:
            return data
        with pa.CompressedInputStream(pa.BufferReader(data), _codec(data)) as stream:
            return bytes(stream.read())


def _codec(frame: bytes) -> str:
    return "gzip" if frame.startswith(b"\x1f\x8b") else "zstd"


@lru_cache(maxsize=1)
def _opened(earlier: Earlier) -> _Open:
    return _Open(earlier)
