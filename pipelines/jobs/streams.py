"""Streams of bytes: files, pipes and standard input, compressed or not, all opened as io.BufferedReader.

Compressed files may consist of several frames (zstd) or members (gzip), which are joined. What is written has a
checksum of the content in each, so that a flipped bit is an error when it is read.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import xxhash

from pipelines.jobs.urls import open_input

COMPRESSION = {".gz": "gzip", ".zst": "zstd"}
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
BOM = b"\xef\xbb\xbf"
"""The byte order mark that some editors write at the beginning of a file, which is not part of its text."""
_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
"""Frames of zstd that hold no text: a file may begin with one."""
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
        self.compression = next((name for magic, name in _MAGIC.items() if self._head.startswith(magic)),
                                "zstd" if _SKIPPABLE.match(self._head) else None)

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
        self._source, self._read = source, 0
        self._stream = pa.CompressedInputStream(pa.PythonFile(source, "r"), compression)

    def readable(self) -> bool:
        """For io.BufferedReader."""
        return True

    def readinto(self, buffer: Any) -> int:
        """For io.BufferedReader."""
        try:
            size = int(self._stream.readinto(buffer))
        except (pa.ArrowException, OSError, EOFError) as error:
            raise OSError(f"{error}, in its first {self._source.consumed:,} bytes; {self._read:,} bytes of text "
                          "could be read before") from None
        self._read += size
        return size


class Packer:
    """Compresses in memory what is written to it, into one frame (zstd) or member (gzip) with a checksum."""

    def __init__(self, compression: str) -> None:
        self._packed, self._is_zstd = pa.BufferOutputStream(), compression == "zstd"
        self._stream = pa.CompressedOutputStream(self._packed, compression)
        self._xxh64 = xxhash.xxh64()

    def write(self, data: bytes) -> None:
        """Add text."""
        self._stream.write(data)
        self._xxh64.update(data)

    def finish(self) -> bytes:
        """The compressed bytes."""
        self._stream.close()
        packed = self._packed.getvalue().to_pybytes()
        return with_checksum(packed, self._xxh64.intdigest()) if self._is_zstd else packed


def with_checksum(frame: bytes, xxh64: int) -> bytes:
    """A zstd frame with the checksum of its content, which Arrow cannot ask zstd for.

    It consists of a flag in the frame's header, and the lower half of the content's xxh64 at its end (RFC 8878, 3.1.1).
    """
    return b"".join((frame[:4], bytes([frame[4] | 0b100]), memoryview(frame)[5:], xxh64.to_bytes(8, "little")[:4]))


@contextlib.contextmanager
def open_stream(name: str) -> Iterator[tuple[Stream, Source]]:
    """The decompressed bytes of a file, a pipe or standard input ("-"), and the source they come from.

    Compression is detected by the first bytes. Reading damaged files raises OSError, which says how
    much could be read.
    """
    with contextlib.ExitStack() as stack:
        file = sys.stdin.buffer if name == "-" else stack.enter_context(open_input(name, ahead=True))
        yield unpacked(file)


def unpacked(file: Any) -> tuple[Stream, Source]:
    """The same of an open file."""
    source = Source(file)
    raw = source if source.compression is None else _Unpacking(source, source.compression)
    return io.BufferedReader(raw, _BUFFER), source


def compression_of(name: str) -> str | None:
    """How a regular file is compressed: "gzip", "zstd" or None."""
    with open_input(name) as file:
        return Source(file).compression


def by_ending(name: str | Path) -> str | None:
    """The compression that the ending of a name stands for."""
    return COMPRESSION.get(Path(name).suffix)
