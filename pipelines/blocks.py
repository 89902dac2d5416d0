"""Newline-aligned blocks: block k of a text holds the lines that start in [k, k + 1) times 8 MiB.

That is a pure function of the text, so plain files are cut without reading what is before, workers need no
word from each other, and the same input gives the same blocks whatever the number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass

from pipelines.decode import Text
from pipelines.sources import is_seekable, open_text, source_bytes

BLOCK_BYTES = 8 << 20
"""Also the longest line: a longer one is quarantined, so that memory stays bounded."""


@dataclass(frozen=True)
class Block:
    """A piece of work: block `index` of a source; read by whoever does the work, or carried along."""

    source: int
    """Place in the list of sources."""
    name: str
    index: int
    size: int
    """Block size in bytes."""
    text: Text | None = None
    """Carried along for sources that can only be read in turn."""
    progress: int = 0
    """Bytes of the source on disk that are done once this block is."""

    def read(self) -> Text:
        """The block's lines."""
        if self.text is not None:
            return self.text
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
    """What `Block.read` gives, out of the bytes [index * size - 1, (index + 2) * size) of a text.

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


def blocks_of(source: int, name: str, size: int = BLOCK_BYTES) -> Generator[Block]:
    """All blocks of one source in order."""
    if is_seekable(name):
        total = source_bytes(name) or 0
        for index in range(-(-total // size)):
            yield Block(source, name, index, size, progress=min((index + 1) * size, total))
        return
    total = source_bytes(name) or 0
    with open_text(name) as file:
        window, index, at_end = b"", 0, False
        while True:
            start = max(index * size - 1, 0)
            wanted, border = (index + 2) * size - start, (index + 1) * size - 1 - start
            pieces = [window]
            have = len(window)
            whole = window.find(b"\n", border) >= 0  # more would only be carried to the next block
            while have < wanted and not at_end and not whole:
                piece = bytes(file.read(min(wanted - have, 1 << 20)))
                whole = piece.find(b"\n", max(border - have, 0)) >= 0
                at_end = not piece
                pieces.append(piece)
                have += len(piece)
            window = b"".join(pieces)
            if len(window) <= (index > 0):  # only the byte before the block is left
                return
            text = cut(window, index, size, at_end=at_end)
            yield Block(source, name, index, size, text, progress=total if at_end else 0)
            window = window[size - (index == 0):]
            index += 1
