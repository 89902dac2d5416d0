"""Atomic writes and digests: a file is either whole under its name, or not there.

A write goes to a temporary name in the same folder, is flushed and fsynced, renamed, and the folder is
fsynced. Killed at any moment, only a `.tmp-*` file stays behind, which nothing reads.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import xxhash

TEMPORARY = ".tmp-"
_CHUNK = 1 << 20


def temporary_name(path: Path) -> Path:
    """A name beside `path` that no reader looks at."""
    return path.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:8]}-{path.name}")


def fsync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """Binary file that appears under `path` only when the block ends without an error."""
    temporary = temporary_name(path)
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        fsync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Atomically write `value` as readable JSON with a last newline."""
    with atomic_write(path) as file:
        file.write(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False).encode() + b"\n")


@contextlib.contextmanager
def exclusively(lock: Path, busy: Exception) -> Iterator[None]:
    """Hold the file `lock`, which is made if needed, against other processes. Raises `busy` while one holds it."""
    with open(lock, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise busy from None
        yield


def remove_temporaries(folder: Path) -> None:
    """Remove what killed writers left in `folder`."""
    for path in folder.glob(f"{TEMPORARY}*"):
        path.unlink(missing_ok=True)


def digest(data: bytes | memoryview) -> str:
    """xxh3 (64 bits) as 16 hex digits."""
    return xxhash.xxh3_64_hexdigest(data)


def digest_file(path: Path, size: int | None = None) -> str:
    """xxh3 (64 bits) of a file's bytes, as 16 hex digits; what `xxhsum -H3` prints.

    Args:
        path: of the file.
        size: only so many of its first bytes.
    """
    state, left = xxhash.xxh3_64(), sys.maxsize if size is None else size
    with open(path, "rb") as file:
        while chunk := file.read(min(_CHUNK, left)):
            state.update(chunk)
            left -= len(chunk)
    return state.hexdigest()


def checksummed(value: dict[str, Any]) -> dict[str, Any]:
    """`value` with a digest of itself under "xxh3", so that a flipped bit in JSON is noticed too."""
    body = {key: item for key, item in value.items() if key != "xxh3"}
    return {**body, "xxh3": digest(json.dumps(body, sort_keys=True, ensure_ascii=False).encode())}


def checksum_holds(value: dict[str, Any]) -> bool:
    """Whether a value read back still has the digest that `checksummed` gave it."""
    return bool(value.get("xxh3")) and checksummed(value)["xxh3"] == value["xxh3"]
