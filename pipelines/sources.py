"""Which raw files, opened how: plain, .gz, .zst, Parquet, several, globs, folders, and stdin ("-")."""

from __future__ import annotations

import glob
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from poke_bc.contract.errors import InputError

STDIN = "-"
_COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
_OURS = ("manifest.json", "split.json", "quarantine.jsonl")
"""JSON that preprocess and split write themselves: no input, where shards lie beside the raw files."""
_TEXT = (".jsonl", ".ndjson", ".json")
_ENDINGS = (*(f"{plain}{packed}" for plain in _TEXT for packed in ("", *_COMPRESSION)), ".parquet")


def find_sources(inputs: Sequence[str | Path]) -> list[str]:
    """File names for what the user gave, in the order given; globs and folders sorted by name.

    Raises InputError naming what is missing, unreadable or empty of such files.
    """
    found: list[str] = []
    for given in map(str, inputs):
        path = Path(given)
        if given == STDIN or (path.exists() and not path.is_dir()):  # also pipes: preprocess <(...)
            found.append(given)
        elif path.is_dir():
            try:
                inside = sorted(str(entry) for entry in path.iterdir() if entry.name.endswith(_ENDINGS)
                                and not entry.name.startswith(".") and entry.name not in _OURS)
            except OSError as error:
                raise InputError(f"{given}: cannot be listed ({error.strerror})", hint="check its rights") from None
            if not inside:
                raise InputError(f"{given}: no {', '.join(_TEXT)} or .parquet file in this folder",
                                 hint="name the files, or a folder that holds them")
            found += inside
        elif glob.has_magic(given) and (matches := sorted(glob.glob(given, recursive=True))):  # noqa: PTH207 - absolute patterns
            found += matches
        else:
            raise InputError(f"{given}: no such file", hint="give JSONL files (.jsonl, .jsonl.gz, .jsonl.zst), "
                                                            "Parquet files, or - for standard input")
    if found.count(STDIN) > 1:
        raise InputError("- (standard input) given twice", hint="name it once")
    for name in found:
        if Path(name).is_file():
            check_readable(name)
    return found


def check_readable(name: str) -> None:
    """Raises InputError where a file cannot be opened, now rather than hours later."""
    try:
        with open(name, "rb"):
            pass
    except OSError as error:
        raise InputError(f"{name}: cannot be opened ({error.strerror})", hint="check the path and its rights") from None


def is_seekable(name: str) -> bool:
    """Whether blocks of this source can be read out of turn: a plain regular file."""
    return name != STDIN and Path(name).suffix not in _COMPRESSION and Path(name).is_file()


def source_bytes(name: str) -> int | None:
    """Bytes on disk, for progress; None for stdin and pipes."""
    return Path(name).stat().st_size if name != STDIN and Path(name).is_file() else None


def expected_bytes(names: Sequence[str]) -> int | None:
    """About how much text there is to decode, compressed or not; None where a pipe may hold anything."""
    sizes = [source_bytes(name) for name in names]
    if None in sizes:
        return None
    return sum((size or 0) * (_SHRUNK if Path(name).suffix in _COMPRESSION else 1)
               for name, size in zip(names, sizes, strict=True))


_SHRUNK = 25  # converted battles become 20 to 30 times smaller


@contextmanager
def open_text(name: str) -> Iterator[IO[bytes] | Any]:
    """The source's decompressed bytes as a readable stream. Raises InputError on damaged compression."""
    if name == STDIN:
        yield sys.stdin.buffer
        return
    packed = _COMPRESSION.get(Path(name).suffix)
    try:
        if packed is None:
            with open(name, "rb") as file:
                yield file
        else:
            with pa.CompressedInputStream(pa.OSFile(name, "rb"), packed) as stream:
                yield stream
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{name}: cannot be read ({error})", hint="is the file whole, and its ending right?") from None
