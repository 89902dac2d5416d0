"""Atomic writes and digests: a file is complete under its name, or absent.

A file is written under a temporary name in the same folder, flushed, fsynced and renamed, and the folder is fsynced.
A process killed at any moment leaves only `.tmp-*` files behind, which nothing reads.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import IO, Any, TypeVar

import msgspec
import xxhash

from poke_bc.contract.errors import PokeBCError

TEMPORARY = ".tmp-"
_CHUNK = 1 << 20
T = TypeVar("T")


def temporary_name(path: Path) -> Path:
    """A name in the folder of `path` that readers ignore."""
    return path.with_name(f"{TEMPORARY}{uuid.uuid4().hex[:8]}-{path.name}")


def fsync_folder(folder: Path) -> None:
    """Make renames in `folder` survive a power failure, where a folder can be opened: not on Windows."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A binary file that appears at `path` only if the block ends without an error."""
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
    """Write `value` atomically as indented JSON with a final newline."""
    with atomic_write(path) as file:
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False)
        file.write(text.encode(errors="backslashreplace") + b"\n")  # file names that are not UTF-8 become \\udcff


@contextlib.contextmanager
def exclusively(lock: Path, busy: Exception) -> Iterator[None]:
    """Hold the file `lock` (created if needed) against other processes. Raises `busy` if another one holds it.

    Whoever holds it may remove it.
    """
    from filelock import FileLock, Timeout  # 40 ms that most commands do not need

    held = FileLock(lock)
    try:
        held.acquire(timeout=0.1, poll_interval=0.02)  # more than once: its holder may have removed it meanwhile
    except Timeout:
        raise busy from None
    try:
        yield
    finally:
        held.release()


def remove_temporaries(folder: Path, names: str = ".+") -> None:
    """Remove what killed writers left of the files in `folder` whose names match a regular expression."""
    ours = re.compile(rf"{re.escape(TEMPORARY)}[0-9a-f]{{8}}-(?:{names})")
    for path in list(folder.iterdir()):
        if ours.fullmatch(path.name):
            path.unlink(missing_ok=True)


def user_cache() -> Path | None:
    """The folder for what can be made again; None for a user without a home."""
    with contextlib.suppress(RuntimeError):
        given = os.environ.get("XDG_CACHE_HOME")
        return (Path(given) if given else Path.home() / ".cache") / "poke-bc"
    return None


def digest(data: bytes | memoryview) -> str:
    """xxh3 (64 bits) as 16 hex digits."""
    return xxhash.xxh3_64_hexdigest(data)


def digest_file(path: Path, size: int | None = None) -> str:
    """xxh3 (64 bits) of a file, or of its first `size` bytes, as 16 hex digits, as `xxhsum -H3` prints it."""
    state, left = xxhash.xxh3_64(), sys.maxsize if size is None else size
    with open(path, "rb") as file:
        while chunk := file.read(min(_CHUNK, left)):
            state.update(chunk)
            left -= len(chunk)
    return state.hexdigest()


def checksummed(value: dict[str, Any]) -> dict[str, Any]:
    """`value` plus a digest of itself under "xxh3", so that a flipped bit in JSON is detected too."""
    body = {key: item for key, item in value.items() if key != "xxh3"}
    return {**body, "xxh3": digest(json.dumps(body, sort_keys=True, ensure_ascii=False)
                                    .encode(errors="backslashreplace"))}


def checksum_holds(value: dict[str, Any]) -> bool:
    """Whether a value read back still matches the digest that `checksummed` added."""
    with contextlib.suppress(RecursionError):  # nested so deeply that it can be read but not written
        return bool(value.get("xxh3")) and checksummed(value)["xxh3"] == value["xxh3"]
    return False


def is_inside(name: str) -> bool:
    r"""Whether the path of a file, as a manifest or a list of digests names it, stays in that file's folder, anywhere.

    >>> [is_inside(name) for name in ("shard-00000.arrow", "policy/config.json", "../x", "/x", "C:x", "a\\..\\..\\x")]
    [True, True, False, False, False, False]
    """
    path = PureWindowsPath(name)  # takes both kinds of slashes for what they are somewhere
    return bool(path.name) and not path.anchor and ".." not in path.parts and "\0" not in name


def holds_json(path: Path, *keys: str) -> bool:
    """Whether a file holds a JSON object with these keys, damaged or not: so one tells files of its own from others."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(value, dict) and value.keys() >= set(keys)


def read_checksummed(path: Path, as_type: type[T], error: type[PokeBCError], *, version: tuple[str, int],
                     hint: str) -> T:
    """Read a file of `checksummed` JSON and convert it to `as_type`.

    Args:
        path: the file to read.
        as_type: a struct or dataclass; keys without a field are ignored.
        error: raised when the file is damaged, of another version, or cannot be read.
        version: the key that holds the format version, and the version expected there.
        hint: how to replace a damaged file.

    Raises FileNotFoundError or NotADirectoryError if the file does not exist.
    """
    key, expected = version
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as problem:
        raise error(f"{path}: cannot be read ({problem.strerror})", hint="check the path and its permissions") from None
    except (ValueError, RecursionError):
        raise error(f"{path}: damaged, not JSON", hint=hint) from None
    found = value.get(key) if isinstance(value, dict) else None
    if found != expected:
        raise error(f"{path}: {key} {found}, this poke-bc reads {key} {expected}", hint=hint)
    if not checksum_holds(value):
        raise error(f"{path}: damaged, its digest does not match", hint=hint)
    try:
        return msgspec.convert(value, as_type)
    except (msgspec.ValidationError, RecursionError) as problem:
        raise error(f"{path}: damaged ({problem})", hint=hint) from None
