"""Which files a job reads: files, folders and globs, on disk or under URLs, and "-" for standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pipelines.jobs.globs import is_glob, matches
from pipelines.jobs.store import STORE_SUFFIX
from pipelines.jobs.streams import COMPRESSION
from pipelines.jobs.urls import as_path, find_urls, is_url, url_bytes
from poke_bc.contract.errors import InputError, UsageError

Inputs = str | Path | Sequence[str | Path]
"""One file, folder, glob or URL, or several."""
STDIN = "-"
_OUTPUTS = ("manifest.json", "split.json", ".split.json", "quarantine.jsonl")
"""Endings of JSON that preprocess and split write, which is never an input even in a folder of inputs."""


@dataclass(frozen=True)
class InputKind:
    """Which files of a folder are inputs of a job."""

    name: str
    """For messages: "JSONL or Parquet"."""
    compressible: tuple[str, ...]
    """File endings that may be followed by .gz or .zst."""
    plain: tuple[str, ...] = ()
    """Other file endings."""
    recursive: bool = False
    """Whether folders within a folder are searched too."""
    instead: tuple[str, ...] = ()
    """Endings of files that belong to another command."""
    instead_hint: str = ""
    """A hint for a folder that holds such files alone; "{}" stands for the folder."""

    @property
    def endings(self) -> tuple[str, ...]:
        """Every ending, lower case."""
        return (*(f"{ending}{packed}" for ending in self.compressible for packed in ("", *COMPRESSION)), *self.plain)

    @property
    def hint(self) -> str:
        """A hint that names the files to give."""
        return f"give files ending in {', '.join((*self.compressible, *self.plain))} (also .gz, .zst), folders, or -"


def find_inputs(inputs: Inputs, kind: InputKind, *, output: str | Path | None = None) -> list[str]:
    """File names in the order given; what a folder or a glob finds is sorted by name.

    Args:
        inputs: files, pipes, folders, globs, URLs of them, or "-".
        kind: which files of a folder count.
        output: skipped if a folder or a glob contains it.

    Raises UsageError naming what is missing or holds no such file, InputError what cannot be read.
    """
    found: list[str] = []
    for given in map(as_path, [inputs] if isinstance(inputs, str | Path) else inputs):
        path = Path(given)
        if is_url(given):
            found += _under_url(given, kind, output)
        elif given == STDIN or (path.exists() and not path.is_dir()):  # also pipes: preprocess <(...)
            if given != STDIN and not (path.is_file() or path.is_fifo() or path.samefile(os.devnull)):
                raise UsageError(f"{given}: neither a file nor a pipe", hint=kind.hint)
            found.append(given)
        elif path.is_dir():
            inside = [name for name in _inside(path, kind) if not is_same_file(name, output)]
            if not inside:
                others = any(each.name.lower().endswith(kind.instead) for each in path.iterdir())
                raise UsageError(f"{given}: no {kind.name} file in this folder",
                                 hint=kind.instead_hint.format(given) if others else kind.hint)
            found += inside
        elif is_glob(given) and (matched := matches(given)):
            names = [name for match in matched for name in _matched(Path(match), kind)]
            found += (name for name in _once(names) if not is_same_file(name, output))
        else:
            raise UsageError(f"{given}: no such file", hint=kind.hint)
    if found.count(STDIN) > 1:
        raise UsageError("- (standard input) given twice", hint="name it once")
    for name in found:
        if Path(name).is_file():
            check_readable(name)
    return found


def _under_url(given: str, kind: InputKind, output: str | Path | None) -> list[str]:
    """The file of a URL, or what a folder or a glob finds there, by the same rules as on disk."""
    how, names = find_urls(given, recursive=kind.recursive)
    if how == "folder":
        names = [name for name in names if name.lower().endswith(kind.endings) and not name.endswith(_OUTPUTS)
                 and not any(part.startswith(".") or _is_store(part)
                             for part in PurePosixPath(name.removeprefix(given)).parts)]
    if how != "file":
        names = [name for name in names if name != str(output)]
    if not names:
        raise UsageError(f"{given}: no {kind.name} file there", hint=kind.hint)
    return names


def _matched(path: Path, kind: InputKind) -> Iterator[str]:
    """The files of one match of a glob."""
    if any(_is_store(part) for part in path.parts):
        return
    if path.is_dir():
        yield from _inside(path, kind)
    elif _is_regular(path):
        yield str(path)


def _once(names: list[str]) -> list[str]:
    """The names of different files, sorted: of several names of one file, the one without a link."""
    files: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (os.path.realpath(name) != os.path.abspath(name), name)):  # noqa: PTH100 - keeps links
        files.setdefault(os.path.realpath(name), name)
    return sorted(files.values())


def _inside(folder: Path, kind: InputKind) -> list[str]:
    """Inputs in a folder, without hidden files and the stores of unfinished jobs."""
    try:
        entries = list(folder.rglob("*") if kind.recursive else folder.iterdir())
    except OSError as error:
        raise InputError(f"{folder}: cannot be listed ({error.strerror})", hint="check its permissions") from None
    named = sorted(entry for entry in entries
                   if entry.name.lower().endswith(kind.endings) and not entry.name.endswith(_OUTPUTS)
                   and not entry.is_dir()
                   and not any(part.startswith(".") or _is_store(part) for part in entry.relative_to(folder).parts))
    return [str(entry) for entry in named if _is_regular(entry)]


def _is_regular(path: Path) -> bool:
    """Whether a path that was found, not given, is a file: a pipe may have no writer, and then never ends."""
    if not path.is_file():
        print(f"{path}: skipped, not a regular file", file=sys.stderr)
    return path.is_file()


def _is_store(name: str) -> bool:
    return name.endswith(STORE_SUFFIX)


def is_same_file(name: str | Path, other: str | Path | None) -> bool:
    """Whether both names refer to the same existing file."""
    if other is None or is_url(name) or is_url(other):
        return str(name) == str(other)
    return Path(other).exists() and Path(name).exists() and Path(name).samefile(other)


def check_readable(name: str) -> None:
    """Raises InputError if a file cannot be opened, at the start rather than hours later."""
    try:
        with open(name, "rb"):
            pass
    except OSError as error:
        raise InputError(f"{name}: cannot be opened ({error.strerror})",
                         hint="check the path and its permissions") from None


def stored_bytes(name: str) -> int | None:
    """Size on disk, or under the URL; None for standard input and pipes."""
    if is_url(name):
        return url_bytes(name)
    return Path(name).stat().st_size if name != STDIN and Path(name).is_file() else None


def total_bytes(names: Sequence[str]) -> int | None:
    """Size on disk of all inputs; None where one is a pipe."""
    sizes = [stored_bytes(name) for name in names]
    return None if None in sizes else sum(size or 0 for size in sizes)
