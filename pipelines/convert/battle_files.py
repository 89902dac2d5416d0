"""Files of battles -> raw battles: which files, and how each is cut.

The form of a file is detected from its content, and from its ending where that is not enough. A damaged file does not
end the run: it yields a "problem", which counts like any other battle that cannot be converted.
"""

from __future__ import annotations

import codecs
import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from pipelines.convert.archives import (
    DAMAGE,
    cut_members,
    is_tar,
    is_zip,
    seekable,
    tar_members,
    unread_kind,
    zip_members,
)
from pipelines.convert.raw_battles import RawBattle, cut_json, cut_log, cut_page, cut_parquet, cut_values, problem
from pipelines.convert.trajectories import why
from pipelines.jobs.inputs import InputKind, stored_bytes
from pipelines.jobs.streams import Source, Stream, open_stream
from pipelines.jobs.urls import open_input
from poke_bc.contract.errors import InputError

BATTLES = InputKind("battle", (".json", ".jsonl", ".ndjson", ".log", ".txt", ".html", ".htm", ".parquet"))
"""Which members of an archive are read."""
BATTLE_FILES = InputKind("battle", (*BATTLES.compressible, ".tar"), (".zip", ".tgz"), recursive=True)


def read_raw_battles(name: str) -> Iterator[RawBattle]:
    """The battles of a file, a pipe or standard input in order; a damaged file ends with a problem."""
    battles = consumed = 0
    try:
        with open_stream(name) as (stream, source):
            for raw in _cut(stream, source, name):
                battles, consumed = battles + 1, raw.consumed
                yield raw
    except DAMAGE as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else "damaged file"
        yield problem(reason, name, consumed=consumed, detail=f"{error}; {battles:,} battles could be read before")
    except (MemoryError, InputError):  # the latter from a server, which may answer the next time
        raise
    except Exception as error:  # one odd file must not end the run
        reason, detail = why(error)
        yield problem(reason, name, consumed=consumed, detail=detail)
    else:
        if not battles:
            yield problem("empty file", name)


def _cut(stream: Stream[Any], source: Source, name: str, *, inside: bool = False) -> Iterator[RawBattle]:
    def consumed() -> int:
        return source.consumed

    begun = stream.peek(1)
    head = begun[:4096]
    if is_zip(head) or (head and is_tar(head, name)):
        if inside:
            yield problem("an archive within an archive", name)
        else:
            yield from _cut_archive(stream, source, name, head)
    elif kind := unread_kind(head):
        yield problem("unknown compression or archive", name, detail=f"{kind}: unpack it first")
    elif head.startswith(b"PAR1") and source.compression is None and not inside and stored_bytes(name) is not None:
        with open_input(name) as file:
            yield from cut_parquet(file, name, file.tell)
    elif head.startswith(b"PAR1"):
        with seekable(stream, source) as whole:
            yield from cut_parquet(whole, name, consumed)
    elif encoding := _unread_text(begun):
        yield problem(encoding, name, detail="save it as UTF-8 with lines that end in a line feed")
    elif head:
        yield from _cutter(head, name)(stream, name, consumed)


def _unread_text(begun: bytes) -> str:
    """What is unusual about a text that begins like this, if it is not read because of that."""
    if begun.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"|\0" in begun[:200] or b"{\0" in begun[:200]:
        return "UTF-16, not UTF-8"
    return "lines that end in bare carriage returns" if b"\r" in begun.strip() and b"\n" not in begun else ""


def _cut_archive(stream: Stream[Any], source: Source, name: str, head: bytes) -> Iterator[RawBattle]:
    def consumed() -> int:
        return source.consumed

    with contextlib.ExitStack() as stack:
        if is_tar(head, name):
            members = tar_members(stream)
        elif source.compression is None and stored_bytes(name) is not None:
            file = stack.enter_context(open_input(name))
            consumed, members = file.tell, zip_members(file)
        else:
            members = zip_members(stack.enter_context(seekable(stream, source)))
        yield from cut_members(members, name, BATTLES.endings, partial(_cut, inside=True), consumed)


def _cutter(head: bytes, name: str) -> Callable[[Stream[Any], str, Callable[[], int]], Iterator[RawBattle]]:
    """How to cut a text that begins with `head`."""
    if b"\0" in head:
        return _cut_nothing
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"{"):
        return cut_json
    if start.startswith(b"["):
        return cut_values
    name = name.lower().removesuffix(".gz").removesuffix(".zst")
    if start.startswith((b"|", b">", b"<<<")):
        return cut_log
    if start.startswith(b"<") or name.endswith((".html", ".htm")):
        return cut_page
    return cut_log if b"\n|" in head or name.endswith((".log", ".txt")) else _cut_nothing


def _cut_nothing(stream: Stream[Any], name: str, consumed: Callable[[], int]) -> Iterator[RawBattle]:
    yield problem("not a battle" if stream.peek(1).strip() else "empty file", name, consumed=consumed())
