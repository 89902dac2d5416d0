"""Cutting: a stream of bytes -> pieces, one battle each, not understood yet, so that other processes can do that."""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal

import pyarrow.parquet as pq

LONGEST = 64 << 20
"""Bytes of one battle; a longer one is skipped, so that memory stays bounded."""
_COLUMNS = ("id", "log", "format", "formatid", "uploadtime", "rating", "players", "p1", "p2")
_BATCH = 64
_BETWEEN_VALUES = re.compile(r"[\s,\[\]]*")
_ROOM = re.compile(rb">(?P<room>[a-z][a-z0-9-]*)")
_FRAMED = re.compile(rb"[^|>]{0,200}?(?:<<<|>>>)(?:\x1b\[[0-9;]*m)* ?(?P<line>.*)", re.DOTALL)
_SENT_TO = re.compile(rb"(?P<room>battle-[a-z0-9-]+)\|/")

Shape = Literal["json", "log", "html", "problem"]


@dataclass(frozen=True)
class Piece:
    """One battle as it lies in a file."""

    shape: Shape
    data: bytes
    """What `shape` says; of a "problem" the reason why there is no battle, and on a second line details."""
    source: str
    """Name of the file."""
    place: str
    """For messages: `replays/a.jsonl.zst:12`."""
    read: int = 0
    """Bytes of the file on disk that were read by then."""


def problem(reason: str, source: str, *, place: str = "", read: int = 0, detail: str = "") -> Piece:
    """A piece that stands for what could not be read."""
    return Piece("problem", f"{reason}\n{detail}".encode(errors="replace"), source, place or source, read)


def too_long(source: str, place: str, read: int) -> Piece:
    """A piece that stands for a battle of more than LONGEST bytes."""
    return problem("too long", source, place=place, read=read, detail=f"over {LONGEST >> 20} MiB")


def cut_json(stream: io.BufferedReader[Any], source: str, read: Callable[[], int]) -> Iterator[Piece]:
    """One object a line, or objects over several lines each: that is told by how the first line ends."""
    lines = _lines(stream)
    first = next(lines)
    if first is not None and first.rstrip().endswith((b"{", b",", b"[", b":")):
        yield from cut_values(stream, source, read, first)
        return
    number = 0
    for number, line in enumerate(_chained(first, lines), 1):
        if line is None:
            yield too_long(source, f"{source}:{number}", read())
        elif line := line.removeprefix(codecs.BOM_UTF8).strip():
            yield Piece("json", line, source, f"{source}:{number}", read())


def _chained(first: bytes | None, lines: Iterator[bytes | None]) -> Iterator[bytes | None]:
    yield first
    yield from lines


def cut_values(stream: IO[bytes], source: str, read: Callable[[], int], begun: bytes = b"") -> Iterator[Piece]:
    """JSON values after each other, in an array or not; only one at a time is in memory.

    Args:
        stream: the text, UTF-8.
        source, read: as of a Piece.
        begun: what was read of the text already.
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
            yield Piece("json", text[at:end].encode(), source, f"{source}:{number}", read())
            at = _between(text, end)
        text = text[at:]
        if not data:
            break
        if len(text) > LONGEST:
            yield too_long(source, f"{source}:{number + 1}", read())
            return
        size = max(size, len(text))  # a long value is not tried again for every little bit more of it
    if text:
        yield problem("not JSON", source, place=f"{source}:{number + 1}", read=read(), detail="cut off or malformed")


def _between(text: str, at: int) -> int:
    found = _BETWEEN_VALUES.match(text, at)
    return found.end() if found else at


def cut_page(stream: IO[bytes], source: str, read: Callable[[], int]) -> Iterator[Piece]:
    """A saved page is one battle."""
    data = stream.read(LONGEST + 1)
    yield Piece("html", data, source, source, read()) if len(data) <= LONGEST else too_long(source, source, read())


def cut_log(stream: io.BufferedReader[Any], source: str, read: Callable[[], int]) -> Iterator[Piece]:
    """Protocol text: the file is one battle, or it names the room of what follows (`>battle-gen9ou-1`).

    Rooms may be interleaved, as in the log of a bot that plays several battles at once: each ends with its
    `|win|` or `|tie`. What poke-env writes before what it receives (`<<<`) and sends (`>>>`) is taken off.
    """
    rooms: dict[bytes, _Room] = {}
    over: set[bytes] = set()
    room = b""
    for number, line in enumerate(_lines(stream), 1):
        text, here = _unframed((line or b"").rstrip(b"\n")), room
        if found := _ROOM.fullmatch(text.rstrip()):
            room = found["room"]
            if room.startswith(b"battle-") and room not in over:
                rooms.setdefault(room, _Room(number)).add(b"")
            continue
        if (sent := _SENT_TO.match(text)) and (sent["room"] in rooms or sent["room"] in over):
            here = sent["room"]
        if here in over and text.rstrip() == b"|init|battle":  # another battle in a room of the same name
            over.discard(here)
        if here in over or (here and not here.startswith(b"battle-")):
            continue
        rooms.setdefault(here, _Room(number)).add(text if line is not None else b" " * (LONGEST + 1))
        if here and (text.startswith(b"|win|") or text.rstrip() == b"|tie"):
            over.add(here)
            yield rooms.pop(here).piece(here, source, read())
    named = [here for here in rooms if here]
    for here, kept in rooms.items():
        if here in named or (not named and not over):
            yield kept.piece(here, source, read())


def _unframed(line: bytes) -> bytes:
    if line.startswith(b"|") or not (found := _FRAMED.fullmatch(line)):
        return line
    return found["line"]


class _Room:
    """A battle as it comes in."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.lines: list[bytes] = []
        self.size = 0

    def add(self, line: bytes) -> None:
        self.size += len(line) + 1
        if self.size > LONGEST:
            self.lines.clear()
        elif line:
            self.lines.append(line)

    def piece(self, room: bytes, source: str, read: int) -> Piece:
        place = f"{source}:{self.first}" if room else source
        if self.size > LONGEST:
            return too_long(source, place, read)
        return Piece("log", b"\n".join([b">" + room, *self.lines] if room else self.lines), source, place, read)


def cut_parquet(file: Any, source: str, read: Callable[[], int]) -> Iterator[Piece]:
    """A row is a replay, by the names that replays and their data sets use."""
    table = pq.ParquetFile(file, pre_buffer=False)
    columns = [name for name in _COLUMNS if name in table.schema_arrow.names]
    if "log" not in columns:
        yield problem("not a battle", source, detail="Parquet without a log column", read=read())
        return
    number = 0
    for batch in table.iter_batches(batch_size=_BATCH, columns=columns, use_threads=False):
        for row in batch.to_pylist():
            number += 1
            data = json.dumps(row, default=str).encode()
            yield Piece("json", data, source, f"{source}:{number}", read()) if len(data) <= LONGEST else \
                too_long(source, f"{source}:{number}", read())


def _lines(stream: io.BufferedReader[Any]) -> Iterator[bytes | None]:
    """Lines with their newline; None for one that is longer than LONGEST."""
    while line := stream.readline(LONGEST + 1):
        if len(line) <= LONGEST:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = stream.readline(LONGEST)
        yield None
