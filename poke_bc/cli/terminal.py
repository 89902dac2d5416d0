"""Standard output and error that never stop a command: whatever their encoding, closed, or with nobody reading on."""

from __future__ import annotations

import codecs
import io
import os
import sys
import unicodedata
from typing import TextIO

_PLAIN = {"·": "-", "→": "->", "–": "-", "—": "-", "…": "...", "×": "x", "±": "+-", "≤": "<=", "≥": ">=", "’": "'",
          "‘": "'", "“": '"', "”": '"', "━": "-", "─": "-", "│": "|", "╸": "-", "╺": "-", "•": "*"}
_WRITES = (("stdout", 1), ("stderr", 2))


class _UntilClosed(io.TextIOWrapper):
    """Text that goes nowhere once its reader is gone: the work goes on, and the exit code stays that of the work."""

    def write(self, text: str) -> int:
        """As of any text file."""
        try:
            return super().write(text)
        except BrokenPipeError:
            discard(self.fileno())
            return len(text)

    def flush(self) -> None:
        """As of any text file."""
        try:
            super().flush()
        except BrokenPipeError:
            discard(self.fileno())
            super().flush()


def prepare() -> None:
    """Replace sys.stdout and sys.stderr; to be called once, before anything is printed.

    A descriptor that is closed is opened on the null device: the next file would get its number, and what is printed
    would end in that file.
    """
    codecs.register_error("plain", _plainly)
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    for name, descriptor in _WRITES:
        before: TextIO | None = getattr(sys, name)
        file = io.BufferedWriter(io.FileIO(descriptor, "w", closefd=False))
        setattr(sys, name, _UntilClosed(file, before.encoding if before else "utf-8", "plain",
                                        line_buffering=descriptor == 2 or file.isatty()))


def discard(descriptor: int) -> None:
    """Let a descriptor lead nowhere from now on."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def is_unicode(stream: TextIO) -> bool:
    """Whether every character can be written to a stream as it is."""
    return (stream.encoding or "").lower().replace("-", "").startswith("utf")


def _plainly(error: UnicodeError) -> tuple[str | bytes, int]:
    """Codec error handler: something similar that ASCII has, or the number of the character."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    wanted = error.object[error.start:error.end]
    return "".join(_PLAIN.get(each) or _letters(each) or each.encode("ascii", "backslashreplace").decode()
                   for each in wanted), error.end


def _letters(character: str) -> str:
    """ "é" -> "e"; nothing where no part of the character is ASCII."""
    return unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
