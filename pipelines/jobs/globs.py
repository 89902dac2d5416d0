"""Globs, in which links to folders are followed once: Python's own follows a circle of links 40 times."""

from __future__ import annotations

import glob
import os
from collections import deque
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

ANY_DEPTH = "**"


def is_glob(name: str) -> bool:
    """Whether a name has `*`, `?` or `[`."""
    return glob.has_magic(name)


def matches(pattern: str) -> list[str]:
    """The files and folders that match, sorted. `*` and `**` match no hidden ones."""
    path = Path(pattern)
    start, parts = (Path(path.anchor), path.parts[1:]) if path.anchor else (Path(), path.parts)
    return sorted({str(match) for match in _below(start, parts)})


def _below(folder: Path, parts: Sequence[str]) -> Iterator[Path]:
    if not parts:
        yield folder
        return
    first, rest = parts[0], parts[1:]
    if first == ANY_DEPTH:
        for each in _tree(folder):
            yield from _below(each, rest or ("*",))
    elif is_glob(first):
        for entry in _entries(folder):
            if fnmatchcase(entry.name, first) and (first.startswith(".") or not entry.name.startswith(".")):
                yield from _below(folder / entry.name, rest)
    elif os.path.lexists(folder / first):
        yield from _below(folder / first, rest)


def _tree(folder: Path) -> Iterator[Path]:
    """A folder and all below it, each once: under its own name, or else under that of the first link to it."""
    seen: set[tuple[int, int]] = set()
    waiting, links = deque([folder]), deque[Path]()
    while waiting or links:
        each = (waiting or links).popleft()
        try:
            status = each.stat()
        except OSError:  # a link that leads nowhere
            continue
        if (status.st_dev, status.st_ino) not in seen:
            seen.add((status.st_dev, status.st_ino))
            yield each
            for entry in _entries(each):
                if not entry.name.startswith(".") and entry.is_dir():
                    (links if entry.is_symlink() else waiting).append(each / entry.name)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing where it cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError:
        return []
