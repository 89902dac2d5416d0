"""Archives of battles, .zip and .tar, read as a stream: nothing is unpacked to disk.

A damaged archive or member is a problem like any other, named as `replays.zip/gen9ou-1.json`.
"""

from __future__ import annotations

import contextlib
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import PurePath
from typing import IO, Any

import pyarrow as pa

from pipelines.convert.raw_battles import RawBattle, problem
from pipelines.jobs.streams import Source, Stream, unpacked

DAMAGE = (OSError, EOFError, pa.ArrowException, UnicodeDecodeError, tarfile.TarError, zipfile.BadZipFile, zlib.error,
          NotImplementedError)
"""What reading damaged or unusual files raises."""
_UNREAD = {b"\xfd7zXZ\x00": "xz", b"BZh": "bzip2", b"7z\xbc\xaf\x27\x1c": "7z", b"Rar!\x1a\x07": "rar",
           b"\x04\x22\x4d\x18": "lz4"}
_USTAR = slice(257, 262)

_LARGEST_EXTENSION = 1 << 20
"""Bytes of a header that extends another: long names, attributes. `tarfile` reads it into memory."""
_EXTENSIONS = frozenset((tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME,
                         tarfile.GNUTYPE_LONGLINK))
_LARGEST_RATIO, _ALWAYS_TAKEN = 100, 256 << 20

Members = Iterator[tuple[str, IO[bytes] | None]]
"""Names and contents, in order; None for what cannot be opened because it is encrypted."""
Cut = Callable[[Stream, Source, str], Iterator[RawBattle]]


def is_zip(head: bytes) -> bool:
    """Whether a file begins like a .zip."""
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def is_tar(head: bytes, name: str) -> bool:
    """Whether a file begins like a .tar, or is called one: a damaged one must not pass for a log."""
    name = name.lower().removesuffix(".gz").removesuffix(".zst")
    return head[_USTAR] == b"ustar" or name.endswith((".tar", ".tgz"))


def unread_kind(head: bytes) -> str:
    """The name of a kind of archive or compression that is not read; empty for anything else."""
    return next((kind for magic, kind in _UNREAD.items() if head.startswith(magic)), "")


def zip_members(file: IO[bytes]) -> Members:
    """The files of a .zip, which must be seekable. Raises one of DAMAGE."""
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if not info.is_dir():
                is_encrypted = bool(info.flag_bits & 1)
                yield info.filename, None if is_encrypted else archive.open(info)


def tar_members(stream: IO[bytes]) -> Members:
    """The files of a .tar. Raises one of DAMAGE."""
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_CheckedInfo) as archive:
        while (info := archive.next()) is not None:
            if info.isfile():
                yield info.name, archive.extractfile(info)
            archive.members.clear()  # type: ignore[attr-defined]  # which would grow with the archive


class _CheckedInfo(tarfile.TarInfo):
    """A header. `tarfile` takes a damaged one, and the end of a cut file, for the end of the archive; and whatever a
    header says that it is followed by into memory."""

    @classmethod
    def frombuf(cls, *arguments: Any, **more: Any) -> Any:
        """A header from its bytes."""
        header = super().frombuf(*arguments, **more)
        if header.type == tarfile.GNUTYPE_SPARSE or (header.type in _EXTENSIONS and header.size > _LARGEST_EXTENSION):
            raise tarfile.ReadError(f"a header of {header.size:,} bytes, or of a sparse file, which is not read")
        return header

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Any:
        """The next header."""
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the end that a whole archive has
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"cut off or damaged ({error})") from None


@contextlib.contextmanager
def seekable(stream: IO[bytes], source: Source) -> Iterator[IO[bytes]]:
    """A copy of a stream, which is needed where reading begins at the end: of .zip and Parquet, which are compressed
    themselves, so that one that grows by far when it is unpacked is a bomb. Raises OSError for that."""
    with tempfile.TemporaryFile() as whole:
        while chunk := stream.read(1 << 20):
            whole.write(chunk)
            if whole.tell() > max(_ALWAYS_TAKEN, _LARGEST_RATIO * source.consumed):
                raise OSError(f"more than {_LARGEST_RATIO} times as large when it is unpacked")
        yield whole


def cut_members(members: Members, name: str, endings: tuple[str, ...], cut: Cut,
                consumed: Callable[[], int]) -> Iterator[RawBattle]:
    """The battles of all members with one of these endings; a damaged member does not end the archive."""
    found = 0
    for inner, file in members:
        path = PurePath(inner)
        if not inner.lower().endswith(endings) or any(part.startswith((".", "__MACOSX")) for part in path.parts):
            continue
        found += 1
        place = f"{name}/{inner}"
        try:
            if file is None:
                yield problem("encrypted", place, consumed=consumed())
                continue
            stream, source = unpacked(file)
            is_empty = True
            for raw in cut(stream, source, place):
                is_empty = False
                yield RawBattle(raw.form, raw.data, raw.source, raw.place, consumed())
            if is_empty:
                yield problem("empty file", place, consumed=consumed())
        except DAMAGE as error:
            yield problem("damaged file", place, consumed=consumed(), detail=str(error))
    if not found:
        yield problem("an archive without battle files", name, consumed=consumed())


