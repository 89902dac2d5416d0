"""Newline-aligned blocks of text: block k holds the lines that start in bytes [k, k + 1) times 8 MiB. A byte order mark
at the beginning is passed over.

This is a pure function of the text: plain files are cut without reading what comes before, workers need nothing from
each other, and the same input gives the same blocks whatever the number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from typing import IO, Any

import pyarrow as pa

from pipelines.decode.text import Text
from pipelines.jobs.inputs import stored_bytes
from pipelines.jobs.streams import BOM, compression_of, open_stream
from pipelines.jobs.urls import is_private, open_input
from poke_bc.contract.errors import InputError

BLOCK_BYTES = 8 << 20
"""Also the maximum length of a line: longer ones are quarantined, so that memory stays bounded."""


@dataclass(frozen=True)
class TextBlock:
    """Block `index` of a text, read by the process that decodes it, or carrying its data."""

    name: str
    index: int
    size: int
    """Block size in bytes."""
    progress: int
    """Bytes of the file on disk that are done after this block."""
    carried: PackedText | None = None
    """The text itself, for inputs that can only be read from the start: compressed files and pipes."""

    def where(self, last: TextBlock) -> str:
        """The range from this block to `last`, for messages."""
        return f"{self.name}, bytes {self.index * self.size:,} to {(last.index + 1) * self.size:,}"

    def read(self) -> Text:
        """The lines of the block."""
        if self.carried is not None:
            return self.carried.unpack()
        size, border = self.size, (self.index + 1) * self.size
        with open_input(self.name) as file:
            begin = _line_start(file, self.index * size, border)
            if begin is None:
                return Text(b"", self.index * size)
            if begin == 0:
                begin = len(BOM) * (file.read(len(BOM)) == BOM)
            border = max(border, begin + 1)  # a block ends after its first line begins, however small it is
            end = _line_start(file, border, border + size + 1)
            if end is None and file.seek(0, os.SEEK_END) <= border + size:
                end = file.tell()
            file.seek(begin)
            data = file.read((border if end is None else end) - begin)
        whole = _end_of_block(data, 0, len(data), size, cut_off=end is None)
        return Text(data[:whole], begin, None if whole == len(data) and end is not None else begin + whole)


@dataclass(frozen=True)
class PackedText:
    """A text compressed for the way between processes: LZ4 makes it 15 times smaller, in a sixth of the time that a
    pipe takes for the text itself."""

    data: bytes
    length: int
    byte: int
    long_line: int | None

    def unpack(self) -> Text:
        """Decompress the text."""
        data = _lz4().decompress(self.data, self.length, asbytes=True) if self.length else b""
        return Text(data, self.byte, self.long_line)


@cache
def _lz4() -> Any:
    return pa.Codec("lz4_raw")


def _line_start(file: IO[bytes], offset: int, stop: int) -> int | None:
    """Offset of the first line that starts in [offset, stop)."""
    if offset == 0:
        return 0
    file.seek(offset - 1)
    before = file.readline(stop - offset)
    return offset - 1 + len(before) if before.endswith(b"\n") else None


def _end_of_block(data: bytes | bytearray, begin: int, end: int, size: int, *, cut_off: bool) -> int:
    """End of the lines in data[begin:end], without the last if it is longer than `size` or was not read to its end."""
    last = max(data.rfind(b"\n", begin, end if cut_off else end - 1) + 1, begin)
    is_long = cut_off or end - last - (data[end - 1:end] == b"\n") > size
    return last if is_long else end


def _pack_block(window: bytearray, index: int, size: int, *, at_end: bool) -> PackedText:
    """The same block that `TextBlock.read` would read from a plain file.

    Args:
        window: the bytes [index * size - 1, (index + 2) * size) of the text (from 0 for block 0), or fewer where the
            text ends or the next block has begun; of block 0 at least a byte order mark and a line.
        index: index of the block.
        size: size of a block.
        at_end: whether the text ends with the window.
    """
    start = max(index * size - 1, 0)
    border = (index + 1) * size - 1 - start  # the next block begins after the first newline from here on
    begin = 0 if index == 0 else window.find(b"\n", 0, border) + 1
    if index > 0 and begin == 0:
        return PackedText(b"", 0, index * size, None)
    if index == 0 and window.startswith(BOM):
        begin = len(BOM)
    border = max(border, begin)  # as above
    newline = window.find(b"\n", border)
    cut_off = newline < 0 and not at_end
    end = border + 1 if cut_off else len(window) if newline < 0 else newline + 1
    whole = _end_of_block(window, begin, end, size, cut_off=cut_off)
    with memoryview(window) as view, view[begin:whole] as lines:
        data = _lz4().compress(lines, asbytes=True) if whole > begin else b""
    return PackedText(data, whole - begin, start + begin, start + whole if cut_off or whole < end else None)


def is_plain(name: str) -> bool:
    """Whether the blocks of a text can be read independently: an uncompressed file that every process sees."""
    return stored_bytes(name) is not None and not is_private(name) and compression_of(name) is None


def text_blocks(name: str, size: int = BLOCK_BYTES) -> Generator[TextBlock]:
    """All blocks of one text in order. Raises InputError if it cannot be decompressed."""
    total = stored_bytes(name) or 0
    if is_plain(name):
        for index in range(-(-total // size)):
            yield TextBlock(name, index, size, min((index + 1) * size, total))
        return
    try:
        with open_stream(name) as (stream, source):
            window, index, at_end = bytearray(), 0, False
            while True:
                start = max(index * size - 1, 0)
                wanted, border = (index + 2) * size - start, (index + 1) * size - 1 - start
                if index == 0:
                    wanted = max(wanted, len(BOM) + 1 + size)
                while len(window) < wanted and not at_end and window.find(b"\n", border) < 0:
                    chunk = stream.read(min(wanted - len(window), 1 << 20))
                    at_end = not chunk
                    window += chunk
                if len(window) <= (index > 0):  # only the byte before the block is left
                    return
                packed = _pack_block(window, index, size, at_end=at_end)
                yield TextBlock(name, index, size, min(source.consumed, total), packed)
                del window[:size - (index == 0)]
                index += 1
    except (pa.ArrowException, OSError, EOFError) as error:
        raise InputError(f"{name}: cannot be read ({error})", hint="is the file complete?") from None
