"""Newline-aligned blocks of text: block k holds the lines that start in bytes [k, k + 1) times 8 MiB.

This is a pure function of the text. So plain files are cut without reading what comes before, workers need nothing from
each other, and the same input gives the same blocks whatever the number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pyarrow as pa

from pipelines.decode.text import Text
from pipelines.jobs.inputs import stored_bytes
from pipelines.jobs.streams import compression_of, open_stream
from poke_bc.contract.errors import InputError

BLOCK_BYTES = 8 << 20
"""Also the length of the longest line: longer ones are quarantined, so that memory stays bounded."""


@dataclass(frozen=True)
class TextBlock:
    """Block `index` of a text, read by whoever needs it, or carried along."""

    name: str
    index: int
    size: int
    """Block size in bytes."""
    progress: int
    """Bytes of the file on disk that are done once this block is."""
    carried: PackedText | None = None
    """The text itself, where it can only be read from the start: compressed files and pipes."""

    def where(self, last: TextBlock) -> str:
        """For messages: from this block to `last`."""
        return f"{self.name}, bytes {self.index * self.size:,} to {(last.index + 1) * self.size:,}"

    def read(self) -> Text:
        """The lines of the block."""
        if self.carried is not None:
            return self.carried.unpack()
        size, border = self.size, (self.index + 1) * self.size
        with open(self.name, "rb", buffering=0) as file:
            descriptor = file.fileno()
            begin = _line_start(descriptor, self.index * size, border)
            if begin is None:
                return Text(b"", self.index * size)
            end = _line_start(descriptor, border, border + size + 1)
            if end is None and os.fstat(descriptor).st_size <= border + size:
                end = os.fstat(descriptor).st_size
            text = Text(_read(descriptor, begin, (border if end is None else end) - begin), begin)
        return text.without_long_line(size, cut_off=end is None)


@dataclass(frozen=True)
class PackedText:
    """A text as it travels between processes. LZ4 makes it fifteen times smaller, and takes a sixth of the time that
    a pipe takes for the text itself."""

    data: bytes
    length: int
    text: Text
    """Without its data."""

    def unpack(self) -> Text:
        """The text."""
        data = _lz4().decompress(self.data, self.length, asbytes=True) if self.length else b""
        return Text(data, self.text.byte, self.text.long_line)


def _pack(text: Text) -> PackedText:
    data = _lz4().compress(text.data, asbytes=True) if text.data else b""
    return PackedText(data, len(text.data), Text(b"", text.byte, text.long_line))


@cache
def _lz4() -> Any:
    return pa.Codec("lz4_raw")


def _line_start(descriptor: int, offset: int, stop: int) -> int | None:
    """Offset of the first line that starts in [offset, stop)."""
    if offset == 0:
        return 0
    at = offset - 1
    while at < stop - 1 and (piece := os.pread(descriptor, min(1 << 16, stop - 1 - at), at)):
        if (newline := piece.find(b"\n")) >= 0:
            return at + newline + 1
        at += len(piece)
    return None


def _read(descriptor: int, offset: int, size: int) -> bytes:
    data = os.pread(descriptor, size, offset)
    while len(data) < size and (more := os.pread(descriptor, size - len(data), offset + len(data))):
        data += more
    return data


def cut(window: bytes, index: int, size: int, *, at_end: bool) -> Text:
    """What `TextBlock.read` gives, from the bytes [index * size - 1, (index + 2) * size) of a text.

    Args:
        window: those bytes (from 0 for block 0), or fewer where the text ends or the next block has begun.
        index: of the block.
        size: of a block.
        at_end: whether the text ends where the window does.
    """
    start = max(index * size - 1, 0)
    border = (index + 1) * size - 1 - start  # the next block begins after the first newline from here on
    begin = 0 if index == 0 else window.find(b"\n", 0, border) + 1
    if index > 0 and begin == 0:
        return Text(b"", index * size)
    newline = window.find(b"\n", border)
    cut_off = newline < 0 and not at_end
    end = border + 1 if cut_off else len(window) if newline < 0 else newline + 1
    return Text(window[begin:end], start + begin).without_long_line(size, cut_off=cut_off)


def is_plain(name: str) -> bool:
    """Whether the blocks of a text can be read independently: an uncompressed regular file."""
    return stored_bytes(name) is not None and compression_of(name) is None


def text_blocks(name: str, size: int = BLOCK_BYTES) -> Generator[TextBlock]:
    """All blocks of one text in order. Raises InputError where compression is damaged."""
    total = stored_bytes(name) or 0
    if is_plain(name):
        for index in range(-(-total // size)):
            yield TextBlock(name, index, size, min((index + 1) * size, total))
        return
    try:
        with open_stream(name) as (stream, source):
            window, index, at_end = b"", 0, False
            while True:
                start = max(index * size - 1, 0)
                wanted, border = (index + 2) * size - start, (index + 1) * size - 1 - start
                pieces, have = [window], len(window)
                whole = window.find(b"\n", border) >= 0  # the rest would only be carried over to the next block
                while have < wanted and not at_end and not whole:
                    piece = stream.read(min(wanted - have, 1 << 20))
                    whole = piece.find(b"\n", max(border - have, 0)) >= 0
                    at_end = not piece
                    pieces.append(piece)
                    have += len(piece)
                window = b"".join(pieces)
                if len(window) <= (index > 0):  # only the byte before the block is left
                    return
                text = cut(window, index, size, at_end=at_end)
                yield TextBlock(name, index, size, min(source.consumed, total), _pack(text))
                window = window[size - (index == 0):]
                index += 1
    except (pa.ArrowException, OSError, EOFError) as error:
        raise InputError(f"{name}: cannot be read ({error})", hint="is the file complete?") from None
