"""Files of a data set are hashed before their first use, and those that were intact are remembered.

    ~/.cache/poke-bc/intact/0123456789abcdef.json    of one folder: file -> inode, size, times, xxh3

A file is hashed again when any of these has changed. A file younger than two seconds is not remembered, since it may
change again without its time changing. Without a cache, every use hashes.
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from poke_bc.contract.errors import ShardError
from poke_bc.contract.files import digest, digest_file, remove_temporaries, user_cache, write_json
from poke_bc.contract.manifest import FileEntry

if TYPE_CHECKING:
    import pyarrow as pa

_YOUNG_NS = 2_000_000_000
_UNTRACKED: Any = {"trackfd": False} if sys.version_info >= (3, 13) else {}
"""Before Python 3.13, a mapped file stays open."""
_OTHER_FILES = 256
"""What a process opens besides the files it maps."""
Mark = list[int | str]


def check_files(folder: Path, entries: Iterable[FileEntry],
                examine: Callable[[FileEntry], None] = lambda _: None) -> None:
    """Raises ShardError where a file is missing, or not as the manifest says.

    Args:
        folder: folder of the data set.
        entries: files of the manifest.
        examine: called with each file that has not been checked before and is intact.
    """
    cache = _cache_of(folder)
    known, fresh = _read(cache), {}
    for entry in entries:
        mark = _mark(folder, entry)
        if known.get(entry.name) == mark:
            continue
        path = folder / entry.name
        if digest_file(path) != entry.xxh3:
            raise ShardError(f"{path}: damaged, its digest does not match the manifest",
                             hint=f"restore it from an intact copy, or write the shards again; poke-bc verify {folder} "
                                  "names every damaged file")
        examine(entry)
        if _mark(folder, entry) == mark and time.time_ns() - max(map(int, mark[2:4])) > _YOUNG_NS:
            fresh[entry.name] = mark
    if fresh and cache is not None:
        with contextlib.suppress(OSError):
            cache.parent.mkdir(parents=True, exist_ok=True)
            remove_temporaries(cache.parent, re.escape(cache.name))
            write_json(cache, {name: mark for name, mark in known.items() if (folder / name).exists()} | fresh)


def _mark(folder: Path, entry: FileEntry) -> Mark:
    """What must not have changed since a file was hashed."""
    path = folder / entry.name
    try:
        found = path.stat()
    except OSError as error:
        state = "is missing" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"
        raise ShardError(f"{path}: {state}", hint=f"poke-bc verify {folder}") from None
    if found.st_size != entry.bytes:
        raise ShardError(f"{path}: has {found.st_size} bytes, the manifest says {entry.bytes}",
                         hint=f"poke-bc verify {folder}")
    return [found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size, entry.xxh3]


def _cache_of(folder: Path) -> Path | None:
    cache = user_cache()
    return cache and cache / "intact" / f"{digest(os.fsencode(folder.resolve()))}.json"


def _read(cache: Path | None) -> dict[str, Mark]:
    try:
        value = json.loads(cache.read_bytes()) if cache is not None else {}
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def allow_open_files(count: int) -> None:
    """Raise this process's limit of open files, where it may, to what it takes to map `count` files."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    if _UNTRACKED:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + _OTHER_FILES if hard == resource.RLIM_INFINITY else min(count + _OTHER_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # a system's own limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def open_arrow(path: Path) -> pa.ipc.RecordBatchFileReader:
    """A reader of an Arrow file, memory-mapped, whatever the bytes of its name. Raises ShardError."""
    import pyarrow as pa

    try:
        with open(path, "rb") as file:
            mapped: mmap.mmap = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ, **_UNTRACKED)
        return pa.ipc.open_file(pa.py_buffer(mapped))
    except OSError as error:
        if error.errno == errno.EMFILE:
            raise ShardError(f"{path}: too many open files for one process",
                             hint="raise the limit (ulimit -n), or write fewer, larger shards") from None
        raise ShardError(f"{path}: cannot be mapped ({error.strerror or error})",
                         hint=f"poke-bc verify {path.parent}") from None
    except (ValueError, pa.ArrowException) as error:
        raise ShardError(f"{path}: not an Arrow file ({error})", hint=f"poke-bc verify {path.parent}") from None
