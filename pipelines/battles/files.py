"""Files of battles -> pieces, one battle each: which files, opened how, of what shape.

The shape is told by the content first and by the ending second; compression too (plain, .gz, .zst). A file that
cannot be read on is no error of the run: it ends with a piece that says what is wrong, and is counted like a battle
that cannot be converted.
"""

from __future__ import annotations

import glob
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines.battles.pieces import Piece, cut_json, cut_log, cut_page, cut_parquet, cut_values, problem
from pipelines.sources import STDIN, check_readable, source_bytes
from poke_bc.contract.errors import InputError

PARTS = ".parts"
"""Ending of the folders that convert keeps finished blocks in."""
_PLAIN = (".json", ".jsonl", ".ndjson", ".log", ".txt", ".html", ".htm", ".parquet")
_ENDINGS = tuple(f"{plain}{packed}" for plain in _PLAIN for packed in ("", ".gz", ".zst"))
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd"}
_BUFFER = 1 << 20


def find_battle_files(inputs: Sequence[str | Path], without: Path | None = None) -> list[str]:
    """File names for what the user gave, in the order given; globs, and folders with all below them, sorted.

    Args:
        inputs: files, folders, globs, or "-" for standard input.
        without: a file that is left out where a folder or a glob finds it: the output.

    Raises InputError naming what is missing, unreadable or empty.
    """
    found: list[str] = []
    for given in map(str, inputs):
        path = Path(given)
        if given == STDIN or (path.exists() and not path.is_dir()):  # also pipes: convert <(...)
            found.append(given)
        elif path.is_dir():
            inside = [name for name in _below(path) if not is_same_file(name, without)]
            if not inside:
                raise InputError(f"{given}: no file of battles in this folder",
                                 hint=f"they end in {', '.join(_PLAIN)}, also with .gz or .zst")
            found += inside
        elif glob.has_magic(given) and (matches := sorted(glob.glob(given, recursive=True))):  # noqa: PTH207 - absolute patterns
            for name in matches:
                inside_parts = any(part.endswith(PARTS) for part in Path(name).parts[:-1])
                found += _below(Path(name)) if Path(name).is_dir() and not name.endswith(PARTS) else (
                    [name] * (not is_same_file(name, without) and not inside_parts and not Path(name).is_dir()))
        else:
            raise InputError(f"{given}: no such file", hint="give replays (.json, .jsonl, .log, .html, .parquet; also "
                                                            ".gz, .zst), folders of them, or - for standard input")
    if found.count(STDIN) > 1:
        raise InputError("- (standard input) given twice", hint="name it once")
    unique = list(dict.fromkeys(found))
    for name in unique:
        if Path(name).is_file():
            check_readable(name)
    return unique


def _below(folder: Path) -> list[str]:
    """Files by their ending in a folder and its folders; nothing hidden, nothing of an unfinished convert."""
    names = []
    for entry in folder.rglob("*"):
        *folders, name = entry.relative_to(folder).parts
        hidden = any(part.startswith(".") for part in (*folders, name)) or any(each.endswith(PARTS) for each in folders)
        if not hidden and name.lower().endswith(_ENDINGS) and entry.is_file():
            names.append(str(entry))
    return sorted(names)


def is_same_file(name: str | Path, other: Path | None) -> bool:
    """Whether both names lead to one file that exists."""
    return other is not None and other.exists() and Path(name).exists() and Path(name).samefile(other)


def cut(source: str) -> Iterator[Piece]:
    """The battles of one regular file in order; what is wrong with the file comes as a piece of its own."""
    empty = True
    try:
        with open(source, "rb", buffering=0) as raw:
            for piece in _cut_stream(raw, source):
                empty = False
                yield piece
    except (OSError, EOFError, pa.ArrowException, UnicodeDecodeError) as error:
        reason = "not UTF-8" if isinstance(error, UnicodeDecodeError) else "damaged file"
        yield problem(reason, source, read=source_bytes(source) or 0, detail=str(error))
    else:
        if empty:
            yield problem("empty file", source)


def _cut_stream(raw: io.FileIO, source: str) -> Iterator[Piece]:
    packed = _MAGIC.get(raw.read(2))
    raw.seek(0)
    stream: io.BufferedReader[Any] = io.BufferedReader(raw if packed is None else _Unpacking(raw, packed), _BUFFER)
    try:
        head = stream.peek(1)[:4096]
        if head.startswith(b"PAR1"):
            yield from _cut_parquet(raw, stream, source, packed=packed is not None)
        elif head:
            yield from _cutter(head, source)(stream, source, raw.tell)
    finally:
        stream.detach()  # `raw` is closed by whoever opened it


def _cutter(head: bytes, source: str) -> Callable[[io.BufferedReader[Any], str, Callable[[], int]], Iterator[Piece]]:
    """How to cut a text that begins with `head`."""
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"{"):
        return cut_json
    if start.startswith(b"["):
        return cut_values
    name = source.lower().removesuffix(".gz").removesuffix(".zst")
    if start.startswith((b"|", b">", b"<<<")):
        return cut_log
    if start.startswith(b"<") or name.endswith((".html", ".htm")):
        return cut_page
    return cut_log if b"\n|" in head or name.endswith((".log", ".txt")) else _cut_nothing


def _cut_nothing(stream: io.BufferedReader[Any], source: str, read: Callable[[], int]) -> Iterator[Piece]:
    yield problem("not a battle" if stream.peek(1).strip() else "empty file", source, read=read())


def _cut_parquet(raw: io.FileIO, stream: io.BufferedReader[Any], source: str, *, packed: bool) -> Iterator[Piece]:
    if not packed:
        yield from cut_parquet(raw, source, raw.tell)
        return
    with tempfile.TemporaryFile() as whole:  # Parquet is read from its end
        shutil.copyfileobj(stream, whole, _BUFFER)
        yield from cut_parquet(whole, source, raw.tell)


class _Unpacking(io.RawIOBase):
    """An Arrow stream in Python's clothes: it has no readline of its own."""

    def __init__(self, raw: io.FileIO, packed: str) -> None:
        self._stream = pa.CompressedInputStream(pa.PythonFile(_Open(raw), "r"), packed)

    def readable(self) -> bool:
        """For io.BufferedReader."""
        return True

    def readinto(self, buffer: Any) -> int:
        """For io.BufferedReader."""
        data = self._stream.read(len(buffer))
        buffer[:len(data)] = data
        return len(data)


class _Open:
    """A file that Arrow may not close."""

    closed = False

    def __init__(self, raw: io.FileIO) -> None:
        self.read = raw.read

    def close(self) -> None:
        """Left to whoever opened it."""
