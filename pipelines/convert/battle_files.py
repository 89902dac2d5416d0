"""Files of battles -> raw battles: which files, and how each is cut.

The form of a file is detected from its content, and from its ending where that is not enough. A damaged file does not
end the run: it yields a "problem", which counts like any other battle that cannot be converted.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.convert.raw_battles import RawBattle, cut_json, cut_log, cut_page, cut_parquet, cut_values, problem
from pipelines.jobs.inputs import InputKind
from pipelines.jobs.streams import Source, Stream, open_stream

BATTLE_FILES = InputKind("battle", (".json", ".jsonl", ".ndjson", ".log", ".txt", ".html", ".htm", ".parquet"),
                         recursive=True)


def read_raw_battles(name: str) -> Iterator[RawBattle]:
    """The battles of a file, a pipe or standard input in order; a damaged file ends with a problem."""
    battles = consumed = 0
    try:
        with open_stream(name) as (stream, source):
            for raw in _cut(stream, source, name):
                battles, consumed = battles + 1, raw.consumed
                yield raw
    except (OSError, EOFError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else "damaged file"
        yield problem(reason, name, consumed=consumed, detail=f"{error}; {battles:,} battles could be read before")
    else:
        if not battles:
            yield problem("empty file", name)


def _cut(stream: Stream[Any], source: Source, name: str) -> Iterator[RawBattle]:
    def consumed() -> int:
        return source.consumed

    head = stream.peek(1)[:4096]
    if head.startswith(b"PAR1") and source.compression is None and Path(name).is_file():
        with open(name, "rb") as file:
            yield from cut_parquet(file, name, file.tell)
    elif head.startswith(b"PAR1"):
        with tempfile.TemporaryFile() as whole:  # reading Parquet starts at its end
            shutil.copyfileobj(stream, whole, 1 << 20)
            yield from cut_parquet(whole, name, consumed)
    elif head:
        yield from _cutter(head, name)(stream, name, consumed)


def _cutter(head: bytes, name: str) -> Callable[[Stream[Any], str, Callable[[], int]], Iterator[RawBattle]]:
    """How to cut a text that begins with `head`."""
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
