"""A block of lines -> rows: Arrow where it is sure, the exact reader for the rest.

pyarrow's JSON reader takes a block with the schema's types at several times the speed of Python. It is more
lenient than a trajectory file may be (NaN, two objects on a line, ...), so its result counts only where every
check of the exact reader (poke_bc.contract.trajectory) is seen to hold for the block as a whole. Otherwise the
block is halved until the doubtful lines are few, and those go through the exact reader, which accepts them or
says what is wrong. Rows are the same whichever way they went.
"""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.blocks import Text
from pipelines.decoded import Bad, Decoded, concat
from pipelines.read_arrow import NotSure, decode_fast
from pipelines.read_exact import decode_exact
from poke_bc.contract.schema import Schema

_EXACT_BYTES = 64 << 10  # below this a doubtful text is not halved again


def decode(text: Text, schema: Schema) -> tuple[Decoded, Iterator[Bad]]:
    """All good lines as rows, and the bad ones (in order; they are many where the file is something else)."""
    pieces, bad = _decode(text.data, 0, text.byte, schema)
    if text.long_line is not None:
        bad.append(Bad(text.lines - 1, text.long_line, "$", "longer than a block of 8 MiB"))
    return concat(pieces, schema), iter(bad)


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
