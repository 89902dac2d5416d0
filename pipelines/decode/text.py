"""Text: whole lines of a file or a pipe."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from poke_bc.contract.files import digest
from poke_bc.contract.trajectory import BadLine, parse_strict

SAMPLED_LINES = 200
"""Maximum number of lines that `first` parses."""


@dataclass(frozen=True)
class Text:
    """Whole lines and where they begin."""

    data: bytes
    byte: int
    """Offset of `data` in the decompressed source."""
    long_line: int | None = None
    """Offset of one more line, at the end, that is longer than a block and was not read."""

    @cached_property
    def lines(self) -> int:
        """Number of lines, with the long one."""
        count, at = 0, self.data.find(b"\n")
        while at >= 0:  # three times as fast as bytes.count where lines are long
            count, at = count + 1, self.data.find(b"\n", at + 1)
        return count + (not self.data.endswith(b"\n") and self.data != b"") + (self.long_line is not None)

    @property
    def size(self) -> int:
        """Number of bytes, without the long line."""
        return len(self.data)

    @property
    def digest(self) -> str:
        """xxh3 of `data`."""
        return digest(self.data)

    def until(self, line: int) -> Text:
        """The lines up to and including number `line`, counted from 0."""
        data = b"\n".join(self.data.split(b"\n", line + 1)[: line + 1]) + b"\n"
        return Text(data[: len(self.data)], self.byte)

    def first(self) -> Iterator[dict[str, Any]]:
        """The first lines that are JSON objects, otherwise unchecked."""
        for line in self.data.split(b"\n", SAMPLED_LINES)[:SAMPLED_LINES]:
            with contextlib.suppress(BadLine):
                yield parse_strict(line)
