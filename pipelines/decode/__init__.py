"""A block of lines -> rows: a quick reader where it is sure, the exact reader for the rest.

There are two quick readers. The scanner (pipelines.scan, with Numba installed) goes over the bytes once, knowing
the schema. Arrow's JSON reader takes any text with the schema's types at several times the speed of Python. Both
are held to the exact reader (poke_bc.contract.trajectory): what they cannot vouch for goes through that one, which
accepts it or says what is wrong. Rows are the same whichever way they went.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any

from pipelines.decode.text import Text
from pipelines.decoded import Bad, Decoded, concat
from pipelines.read_arrow import NotSure, decode_fast
from pipelines.read_exact import decode_exact
from poke_bc.contract.schema import Schema

WORTH_SCANNING = 64 << 20
"""Bytes of input from which on loading the scanner pays, and compiling it, which is done once on a machine."""

_EXACT_BYTES = 64 << 10  # below this a doubtful text is not halved again


@cache
def can_scan() -> bool:
    """Whether the scanner is there: Numba is installed and works. `POKE_BC_DECODER=arrow` says no."""
    if os.environ.get("POKE_BC_DECODER") == "arrow" or find_spec("numba") is None:
        return False
    try:
        import numba

        import pipelines.scan.read  # noqa: F401 - whether it can be
    except ImportError:  # Numba refuses this NumPy, say
        return False
    settings: Any = numba.config
    return not settings.DISABLE_JIT


def prepare(schema: Schema) -> bool:
    """Load the scanner, and compile it if that was never done here, before there are several processes to do so.

    Returns whether there is one that works. What an earlier process left of compiled code may be damaged, or its disk
    full: then it is removed and compiled once more, and if that is no help either, text is read with Arrow.
    """
    if not can_scan():
        return False
    from pipelines.scan.compiling import folder
    from pipelines.scan.read import decode_scanning

    for _ in range(2):
        with contextlib.suppress(Exception):
            decode_scanning(b"\n", 0, 0, schema)
            return True
        with contextlib.suppress(OSError):
            for path in folder().rglob("*.nb?"):
                path.unlink()
    return False


def decode(text: Text, schema: Schema, *, scanning: bool = True) -> tuple[Decoded, Iterator[Bad]]:
    """All good lines as rows, and the bad ones (in order; they are many where the file is something else).

    Args:
        text: whole lines.
        schema: what the observations hold.
        scanning: with the scanner, if it is there; False: with Arrow.
    """
    pieces, bad = _decode_quickly(text, schema) if scanning and can_scan() else _decode(text.data, 0, text.byte, schema)
    if text.long_line is not None:
        bad.append(Bad(text.lines - 1, text.long_line, "$", "longer than a block of 8 MiB"))
    return concat(pieces, schema), iter(bad)


def _decode_quickly(text: Text, schema: Schema) -> tuple[list[Decoded], list[Bad]]:
    from pipelines.scan.read import TooDoubtful, decode_scanning

    try:
        decoded, bad = decode_scanning(text.data, 0, text.byte, schema)
        return [decoded], bad
    except (TooDoubtful, OSError):  # or there is no room to keep compiled code
        return _decode(text.data, 0, text.byte, schema)


def _decode(data: bytes, line: int, byte: int, schema: Schema) -> tuple[list[Decoded], list[Bad]]:
    try:
        return [decode_fast(data, line, schema)], []
    except NotSure:
        middle = data.find(b"\n", len(data) // 2) + 1
        if len(data) <= _EXACT_BYTES or middle in (0, len(data)):
            decoded, bad = decode_exact(data, line, byte, schema)
            return [decoded], bad
    first, second = data[:middle], data[middle:]
    left, bad_left = _decode(first, line, byte, schema)
    right, bad_right = _decode(second, line + first.count(b"\n"), byte + middle, schema)
    return left + right, bad_left + bad_right
