"""The parts of a JSONL file, FILE.train.jsonl and the like, and FILE.split.json, which records them.

Only parts that the record names are ever overwritten or removed. The rename of the record commits a split: the new
parts are complete under temporary names by then. Afterwards the old parts are removed, and then the new ones take their
names, so at no moment do parts of two splits stand side by side. What a killed split left is finished or removed by the
next one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from pipelines.jobs.streams import COMPRESSION
from pipelines.split.assign import Counts, Way
from poke_bc.contract.errors import UsageError
from poke_bc.contract.files import (
    TEMPORARY,
    checksum_holds,
    checksummed,
    exclusively,
    fsync_folder,
    read_checksummed,
    remove_temporaries,
    write_json,
)
from poke_bc.contract.split import SPLIT, SPLIT_NAMES, TEST, TRAIN, VAL

RECORD = ".split.json"
_VERSION = 1


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """FILE.split.json: how the parts of a file were made."""

    source: str
    """Name of the file."""
    way: Way
    counts: Counts
    parts: dict[str, int]
    """Name of each part -> bytes."""
    unfinished: list[str] | None
    """While the parts are being exchanged: names of the old ones that have no successor."""


def recorded_way(path: Path) -> Way | None:
    """How shards or a JSONL file were split the last time; None if they were not, or if that cannot be read."""
    of_folder = path.is_dir()
    record = path / SPLIT if of_folder else Parts(path).path(RECORD)
    try:
        value = json.loads(record.read_bytes())
        return msgspec.convert(value if of_folder else value["way"], Way) if checksum_holds(value) else None
    except (OSError, ValueError, KeyError, TypeError, UsageError):
        return None


class Parts:
    """The parts of one file, for the one process that holds `locked`."""

    def __init__(self, source: Path) -> None:
        self._source, self._folder = source, source.parent
        self._stem = source.name
        for ending in (*COMPRESSION, ".jsonl", ".ndjson", ".json"):
            self._stem = self._stem.removesuffix(ending)
        self._record_path = self.path(RECORD)
        self._owned: dict[str, int] = {}

    def path(self, ending: str) -> Path:
        """FILE.ending, next to the file."""
        return self._folder / f"{self._stem}{ending}"

    def part(self, split: int) -> Path:
        """The part of a split: FILE.train.jsonl."""
        return self.path(f".{SPLIT_NAMES[split]}.jsonl")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other splits away, and finish what a killed one left.

        Raises UsageError while another one is at work, and where it would overwrite a file that split did not write.
        """
        lock = self._folder / f".{self._stem}.split.lock"
        busy = UsageError(f"{self._source}: another poke-bc split is splitting it", hint="wait for it")
        with exclusively(lock, busy):
            try:
                self._owned = self._recover()
                yield
            finally:
                lock.unlink(missing_ok=True)

    def _recover(self) -> dict[str, int]:
        """Finish or discard what a killed split left. Returns the parts that an earlier split recorded."""
        remove_temporaries(self._folder, re.escape(self._record_path.name))
        try:
            record = read_checksummed(self._record_path, _Record, UsageError, version=("version", _VERSION),
                                      hint="remove it or move it away, then split again")
        except FileNotFoundError:
            record = None
        if record is not None and record.source != self._source.name:
            raise UsageError(f"{self._record_path}: the parts of {record.source}, which those of {self._source.name} "
                             "would replace", hint=f"move them away, or rename {self._source.name}")
        if record is not None and record.unfinished is not None:
            self._exchange(record)
        for split in (TRAIN, VAL, TEST):
            _temporary(self.part(split)).unlink(missing_ok=True)
        return {} if record is None else record.parts

    def check(self, splits: list[int]) -> None:
        """Raises UsageError where a part would overwrite or remove a file that split did not write."""
        for path in (self.part(split) for split in (TRAIN, VAL, TEST)):
            if not os.path.lexists(path):
                continue
            recorded = self._owned.get(path.name)
            if recorded is None and path not in map(self.part, splits):
                continue  # not touched
            if recorded is None or path.stat().st_size != recorded:
                state = "not written by poke-bc split" if recorded is None else "changed since poke-bc split wrote it"
                raise UsageError(f"{path}: {state}, so it is not overwritten",
                                 hint="remove it or move it away, then split again")

    @contextlib.contextmanager
    def written(self, splits: list[int]) -> Iterator[Mapping[int, IO[bytes]]]:
        """Files for the new parts, under temporary names. They are removed if the block fails."""
        paths = [_temporary(self.part(split)) for split in splits]
        try:
            with contextlib.ExitStack() as stack:
                files = {split: stack.enter_context(open(path, "wb"))
                         for split, path in zip(splits, paths, strict=True)}
                yield files
                for file in files.values():
                    file.flush()
                    os.fsync(file.fileno())
        except BaseException:
            for path in paths:
                path.unlink(missing_ok=True)
            raise

    def commit(self, splits: list[int], way: Way, counts: Counts) -> tuple[Path, ...]:
        """Replace the old parts by the new ones. Returns their paths."""
        paths = [self.part(split) for split in splits]
        names = {path.name: _temporary(path).stat().st_size for path in paths}
        record = _Record(source=self._source.name, way=way, counts=counts, parts=names,
                         unfinished=[name for name in self._owned if name not in names])
        self._write(record)
        self._exchange(record)
        return tuple(paths)

    def _exchange(self, record: _Record) -> None:
        """Remove the old parts, give the new ones their names, and note that it is done."""
        renamed = [self._folder / name for name in record.parts if _temporary(self._folder / name).exists()]
        if renamed:
            for path in [*(self._folder / name for name in record.unfinished or ()), *renamed]:
                path.unlink(missing_ok=True)
        for path in renamed:
            _temporary(path).replace(path)
        fsync_folder(self._folder)
        self._write(msgspec.structs.replace(record, unfinished=None))

    def _write(self, record: _Record) -> None:
        value: dict[str, Any] = {"version": _VERSION, **msgspec.to_builtins(record)}
        write_json(self._record_path, checksummed(value))


def _temporary(path: Path) -> Path:
    return path.with_name(f"{TEMPORARY}{path.name}")
