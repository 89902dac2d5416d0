"""Cutting: a stream of bytes -> raw battles, which are left to other processes to parse."""

from __future__ import annotations

import codecs
import contextlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import IO, Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from pipelines.convert import public_rows
from pipelines.jobs.streams import Stream

LONGEST = 64 << 20
"""Maximum bytes of a battle. Longer ones are skipped, so that memory stays bounded."""
_OPEN, _OVER = 2 * LONGEST, 1 << 18
"""Maximum bytes of all battles of a log that have not ended yet, and number of rooms whose end is remembered."""
_COLUMNS = ("id", "log", "format", "formatid", "uploadtime", "rating", "players", "p1", "p2", "month_year",
            *public_rows.NAMES)
_BATCH = 64
_BETWEEN_VALUES = re.compile(r"[\s,\[\]]*")
_ROOM = re.compile(rb">(?P<room>[a-z][a-z0-9-]{0,200})")
_FRAMED = re.compile(rb"[^|>]{0,200}?(?:<<<|>>>)(?:\x1b\[[0-9;]*m)* ?(?P<line>.*)", re.DOTALL)
_SENT_TO = re.compile(rb"(?P<room>battle-[a-z0-9-]{1,200})\|/")

Form = Literal["json", "log", "html", "problem"]


@dataclass(frozen=True)
class RawBattle:
    """One battle as its file holds it."""

    form: Form
    data: bytes
    """The battle in that form; for a "problem", the reason, and details on a second line."""
    source: str
    """Name of the file."""
    place: str
    """For messages: `replays/a.jsonl.zst:12`."""
    consumed: int = 0
    """Bytes of the file on disk that had been read when the battle was complete."""

    @property
    def key(self) -> int:
        """Digest of the content; of forms that hold no id, of the file's name too, which may be one."""
        name = "" if self.form == "json" else PurePath(self.source).name
        state = xxhash.xxh3_64(f"{self.form}\0{name}\0".encode(errors="replace"))
        state.update(self.data)
        return state.intdigest()


def problem(reason: str, source: str, *, place: str = "", consumed: int = 0, detail: str = "") -> RawBattle:
    """A placeholder for a battle that cannot be read."""
    return RawBattle("problem", f"{reason}\n{detail}".encode(errors="replace"), source, place or source, consumed)


def too_long(source: str, place: str, consumed: int) -> RawBattle:
    """A placeholder for a battle of more than LONGEST bytes."""
    return problem("too long", source, place=place, consumed=consumed, detail=f"over {LONGEST >> 20} MiB")


def cut_json(stream: Stream[Any], source: str, consumed: Callable[[], int]) -> Iterator[RawBattle]:
    """One object per line, or objects that span lines; the end of the first line shows which."""
    lines = _lines(stream)
    first = next(lines)
    if first is not None and first.rstrip().endswith((b"{", b",", b"[", b":")):
        yield from cut_values(stream, source, consumed, first)
        return
    number = 0
    for number, line in enumerate(_chained(first, lines), 1):
        if line is None:
            yield too_long(source, f"{source}:{number}", consumed())
        elif line := line.removeprefix(codecs.BOM_UTF8).strip():
            yield RawBattle("json", line, source, f"{source}:{number}", consumed())


def _chained(first: bytes | None, lines: Iterator[bytes | None]) -> Iterator[bytes | None]:
    yield first
    yield from lines


def cut_values(stream: IO[bytes], source: str, consumed: Callable[[], int], begun: bytes = b"") -> Iterator[RawBattle]:
    """Consecutive JSON values, in an array or not; only one at a time is in memory.

    Args:
        stream: UTF-8 text.
        source, consumed: as in RawBattle.
        begun: text that was already read from the stream.
    """
    decoder, utf8 = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8-sig")()
    text, number, size = utf8.decode(begun), 0, 1 << 16
    while True:
        data = stream.read(size)
        text += utf8.decode(data, final=not data)
        at = _between(text, 0)
        while at < len(text):
            try:
                _, end = decoder.raw_decode(text, at)
            except (ValueError, RecursionError):
                break
            number += 1
            yield RawBattle("json", text[at:end].encode(), source, f"{source}:{number}", consumed())
            at = _between(text, end)
        text = text[at:]
        if not data:
            break
        if len(text) > LONGEST:
            yield too_long(source, f"{source}:{number + 1}", consumed())
            return
        size = max(size, len(text))  # read more for a long value, which is parsed again after every read
    if text:
        yield problem("not JSON", source, place=f"{source}:{number + 1}", consumed=consumed(),
                      detail="cut off or malformed")


def _between(text: str, at: int) -> int:
    found = _BETWEEN_VALUES.match(text, at)
    return found.end() if found else at


def cut_page(stream: IO[bytes], source: str, consumed: Callable[[], int]) -> Iterator[RawBattle]:
    """The one battle of a saved page."""
    data = stream.read(LONGEST + 1)
    yield (RawBattle("html", data, source, source, consumed()) if len(data) <= LONGEST
           else too_long(source, source, consumed()))


def cut_log(stream: Stream[Any], source: str, consumed: Callable[[], int]) -> Iterator[RawBattle]:
    """Protocol text: the file is one battle, or it names the room of the lines that follow (`>battle-gen9ou-1`).

    Rooms may be interleaved, as in the log of a bot that plays several battles simultaneously; each ends with its
    `|win|` or `|tie`. The marks with which poke-env logs received (`<<<`) and sent (`>>>`) lines are removed. Where
    too much is open, what began first is given up.
    """
    rooms: dict[bytes, _Room] = {}
    over: dict[bytes, None] = {}
    room, size = b"", 0
    for number, line in enumerate(_lines(stream), 1):
        text, here = _unframed((line or b"").rstrip(b"\n")), room
        if found := _ROOM.fullmatch(text.rstrip()):
            room = found["room"]
            if room.startswith(b"battle-") and room not in over:
                size += rooms.setdefault(room, _Room(number)).add(b"")
            continue
        if (sent := _SENT_TO.match(text)) and (sent["room"] in rooms or sent["room"] in over):
            here = sent["room"]
        if here in over and text.rstrip() == b"|init|battle":  # another battle in a room of the same name
            over.pop(here, None)
        if here in over or (here and not here.startswith(b"battle-")):
            continue
        size += rooms.setdefault(here, _Room(number)).add(text if line is not None else b" " * (LONGEST + 1))
        ended = here if here and (text.startswith(b"|win|") or text.rstrip() == b"|tie") else None
        if size > _OPEN:
            ended = next(iter(rooms))
            rooms[ended].give_up()
        if ended is not None:
            over[ended] = None
            if len(over) > _OVER:
                del over[next(iter(over))]
            size -= rooms[ended].held
            yield rooms.pop(ended).finish(ended, source, consumed())
    named = [here for here in rooms if here]
    for here, kept in rooms.items():
        if here in named or (not named and not over):
            yield kept.finish(here, source, consumed())


def _unframed(line: bytes) -> bytes:
    if line.startswith(b"|") or not (found := _FRAMED.fullmatch(line)):
        return line
    return found["line"]


_ROOM_BYTES = 512
"""What a room needs beside its text."""


class _Room:
    """The lines of a battle so far."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.text = bytearray()
        self.size = self.held = 0

    def add(self, line: bytes) -> int:
        """Add a line; returns by how many bytes memory grew."""
        before = self.held
        self.size += len(line) + 1
        if self.size > LONGEST:
            self.text.clear()
        elif line:
            self.text += line + b"\n"
        self.held = len(self.text) + _ROOM_BYTES
        return self.held - before

    def give_up(self) -> None:
        self.size = LONGEST + 1

    def finish(self, room: bytes, source: str, consumed: int) -> RawBattle:
        place = f"{source}:{self.first}" if room else source
        if self.size > LONGEST:
            return too_long(source, place, consumed)
        begun = b">" + room + b"\n" if room else b""
        return RawBattle("log", begun + self.text[:-1], source, place, consumed)


def cut_parquet(file: Any, source: str, consumed: Callable[[], int]) -> Iterator[RawBattle]:
    """One replay per row; the columns have the names that the site and published data sets use."""
    table = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=False)
    columns = [name for name in _COLUMNS if name in table.schema_arrow.names]
    if not {"log", "text"} & {*columns}:
        yield problem("not a battle", source, detail="Parquet without a log column", consumed=consumed())
        return
    number = 0
    for batch in table.iter_batches(batch_size=_BATCH, columns=columns, use_threads=False):
        for row in zip(*(_items(column) for column in batch.columns), strict=True):
            number += 1
            data = json.dumps(dict(zip(columns, row, strict=True)), default=_as_text).encode()
            yield RawBattle("json", data, source, f"{source}:{number}", consumed()) if len(data) <= LONGEST else \
                too_long(source, f"{source}:{number}", consumed())


def _as_text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _items(column: pa.Array) -> list[Any]:
    """The values of a column; as text, or else None, where Python has nothing like them, such as nanoseconds."""
    try:
        return list(column.to_pylist())
    except Exception:  # Arrow raises what Python's own types do
        return [_item(each) for each in column]


def _item(value: pa.Scalar) -> Any:
    for read in (value.as_py, lambda: value.cast(pa.string()).as_py()):
        with contextlib.suppress(Exception):
            return read()
    return None


def _lines(stream: Stream[Any]) -> Iterator[bytes | None]:
    """Lines with their newline; None for one that is longer than LONGEST."""
    while line := stream.readline(LONGEST + 1):
        if len(line) <= LONGEST:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST)
        yield None
