"""A memo: a file that a finished job leaves for the next one into the same output, which is complete without it.

    magic, pieces, footer (JSON), bytes of the footer and digest of everything before

It says what the output was made from, by digests of content, so that a later run does only what is new. Nothing in it
is trusted that does not match its digest, and nothing in the output that does not match what the memo says of it.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import IO, Any, TypeVar

import msgspec
import pyarrow as pa
import xxhash

from poke_bc.contract.errors import UsageError

MEMO = ".memo"
"""Ending of its name."""
OTHER_RUN = "it was made with other options, or by another version of poke-bc"
"""Why nothing can be kept where the plan of the earlier run differs."""
_MAGIC = b"poke-bc memo 1\n"
_END = struct.Struct("<Q16s")
_CHUNK = 1 << 20
Piece = tuple[int, int]
"""Offset and length of a piece."""
T = TypeVar("T")


class MemoWriter:
    """Writes pieces one after the other."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._xxh3, self._offset = file, xxhash.xxh3_64(), 0
        self.add(_MAGIC)

    def add(self, data: bytes | memoryview) -> Piece:
        """Append a piece."""
        self._file.write(data)
        self._xxh3.update(data)
        self._offset += len(data)
        return self._offset - len(data), len(data)

    def finish(self, footer: Any) -> None:
        """Append the footer, without which the file is no memo."""
        _, length = self.add(msgspec.json.encode(footer))
        self._file.write(_END.pack(length, self._xxh3.hexdigest().encode()))


def read_footer(path: Path, footer_type: type[T]) -> tuple[T, str]:
    """The footer, and the digest of the whole file. Raises ValueError if the file is damaged or something else."""
    with open(path, "rb") as file:
        try:
            end = file.seek(-_END.size, os.SEEK_END)
            length, xxh3 = _END.unpack(file.read())
            state, left = xxhash.xxh3_64(), end
            file.seek(0)
            while left and (chunk := file.read(min(_CHUNK, left))):
                state.update(chunk)
                left -= len(chunk)
            if state.hexdigest().encode() != xxh3:
                raise ValueError(path)
            file.seek(end - length)
            return msgspec.json.decode(file.read(length), type=footer_type), xxh3.decode()
        except (OSError, msgspec.DecodeError) as error:
            raise ValueError(path) from error


def read_piece(path: Path, piece: Piece) -> bytes:
    """A piece of a memo, or a range of any other file."""
    with open(path, "rb") as file:
        file.seek(piece[0])
        return file.read(piece[1])


def check_ours(path: Path) -> None:
    """Raises UsageError if there is a file that is no memo, which would be overwritten."""
    if os.path.lexists(path) and not (path.is_file() and read_piece(path, (0, len(_MAGIC))) == _MAGIC):
        raise UsageError(f"{path}: not written by poke-bc, so it is not overwritten",
                         hint="remove it or move it away, or choose another --out")


def pack(value: Any) -> bytes:
    """A value as compressed JSON."""
    data = msgspec.json.encode(value)
    return struct.pack("<Q", len(data)) + bytes(pa.compress(data, "zstd", asbytes=True))


def unpack(data: bytes, type_: type[T]) -> T:
    """What `pack` packed."""
    (size,) = struct.unpack_from("<Q", data)
    return msgspec.json.decode(pa.decompress(data[8:], size, "zstd", asbytes=True), type=type_)
