"""Streams of bytes: files, pipes and standard input, compressed or not, all opened as io.BufferedReader.

Compressed files may consist of several frames (zstd) or members (gzip), which are joined.
"""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
BOM = b"\xef\xbb\xbf"
"""The byte order mark that some editors write at the beginning of a file, which is not part of its text."""
_BUFFER = 1 << 20

Stream = io.BufferedReader


class Source(io.RawIOBase):
    """A file as it is on disk, which counts the bytes read and detects compression by the first ones."""

    def __init__(self, file: io.RawIOBase | Any) -> None:
        self._file = file
        self.consumed = 0
        """Bytes read so far."""
        self._head = b""
        while len(self._head) < 4 and (more := file.read(4 - len(self._head))):  # a pipe may give one at a time
            self._head += more
        self.compression = next((name for magic, name in _MAGIC.items() if self._head.startswith(magic)), None)

    def readable(self) -> bool:
        """For io.BufferedReader."""
        return True

    def readinto(self, buffer: Any) -> int:
        """For io.BufferedReader."""
        size = min(len(buffer), len(self._head))
        buffer[:size], self._head = self._head[:size], self._head[size:]
        size += self._file.readinto(memoryview(buffer)[size:]) or 0
        self.consumed += size
        return size


class _Unpacking(io.RawIOBase):
    """Arrow's decompression as a Python stream. At the end of a frame, Arrow continues with the next one."""

    def __init__(self, source: Source, compression: str) -> None:
        self._stream = pa.CompressedInputStream(pa.PythonFile(source, "r"), compression)

    def readable(self) -> bool:
        """For io.BufferedReader."""
        return True

    def readinto(self, buffer: Any) -> int:
        """For io.BufferedReader."""
        return int(self._stream.readinto(buffer))


@contextlib.contextmanager
def open_stream(name: str) -> Iterator[tuple[Stream, Source]]:
    """The decompressed bytes of a file, a pipe or standard input ("-"), and the source they come from.

    Compression is detected by the first bytes. Reading damaged files raises OSError, EOFError or pa.ArrowException.
    """
    with contextlib.ExitStack() as stack:
        file = sys.stdin.buffer if name == "-" else stack.enter_context(open(name, "rb", buffering=0))
        source = Source(file)
        raw = source if source.compression is None else _Unpacking(source, source.compression)
        yield io.BufferedReader(raw, _BUFFER), source


def compression_of(name: str) -> str | None:
    """How a regular file is compressed: "gzip", "zstd" or None."""
    with open(name, "rb", buffering=0) as file:
        return Source(file).compression


def by_ending(name: str | Path) -> str | None:
    """The compression that the ending of a name stands for."""
    return COMPRESSION.get(Path(name).suffix)
