"""Contract 3: `manifest.json` describes a data set and all its shards. It is written last.

A folder without a manifest is not a data set. The manifest lists every file with its size and xxh3, contains the
whole schema, and ends with a digest of itself. Nothing in it depends on time, machine or number of workers: the same
input gives the same bytes.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from poke_bc.contract.errors import ShardError, UsageError
from poke_bc.contract.files import checksum_holds, checksummed, holds_json, is_inside, read_checksummed, write_json
from poke_bc.contract.rows import FORMAT_VERSION
from poke_bc.contract.schema import Schema, schema_from_dict

MANIFEST = "manifest.json"


@dataclass(frozen=True, kw_only=True)
class FileEntry:
    """One file of the data set."""

    name: str
    bytes: int
    xxh3: str


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One shard: its rows, and the table of the trajectories they belong to."""

    rows: FileEntry
    trajectories: FileEntry
    row_count: int
    trajectory_count: int


@dataclass(frozen=True, kw_only=True)
class Source:
    """One raw input: where it was read from, and a digest over the digests of its 8 MiB blocks."""

    name: str
    bytes: int
    """Text: size after decompression; Parquet: size of its row groups in the file."""
    lines: int
    """Lines of text, or rows of the table."""
    trajectories: int
    decisions: int
    quarantined: int
    fields: int
    """Fields of the schema that had a value in it; the others took their default."""
    xxh3: str


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Counts of what was read, kept and quarantined."""

    battles: int = 0
    trajectories: int = 0
    duplicates: int = 0
    """Trajectories whose (replay_id, player) occurred before; they are kept."""
    decisions: int = 0
    observed: int = 0
    censored: int = 0
    unlabelled: int = 0
    with_legal: int = 0
    """Decisions with a recorded legal mask."""
    quarantined: dict[str, int] = field(default_factory=dict)
    """"$.path: reason" -> lines."""
    unknown_keys: dict[str, int] = field(default_factory=dict)
    """Path of a key that the schema does not have -> occurrences."""
    present: dict[str, int] = field(default_factory=dict)
    """Observation field -> decisions in which it had a value; the others took the default."""


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """The keys of a manifest that are read; all others are derived from them."""

    producer: str
    schema: dict[str, Any]
    vocabulary_sizes: dict[str, int]
    limit: int | None
    counts: Counts
    sources: tuple[Source, ...]
    shards: tuple[ShardEntry, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Everything a reader must know before it maps a shard."""

    schema: Schema
    """With vocabulary sizes as found in the data."""
    shards: tuple[ShardEntry, ...]
    sources: tuple[Source, ...]
    counts: Counts
    producer: str
    """Version of poke-bc that wrote it."""
    limit: int | None = None
    """The `limit` that preprocess was run with."""

    @property
    def legal_masks(self) -> str:
        """Whether "all", "some" or "none" of the decisions have a legal mask."""
        with_legal = self.counts.with_legal
        return "none" if not with_legal else "all" if with_legal == self.counts.decisions else "some"

    @cached_property
    def identity(self) -> str:
        """16 hex digits that identify exactly this data set."""
        return str(checksummed(self._to_dict())["xxh3"])

    def _to_dict(self) -> dict[str, Any]:
        return {
            "format": FORMAT_VERSION,
            "producer": self.producer,
            "schema": self.schema.to_dict(),
            "schema_hash": self.schema.hash,
            "vocabulary_sizes": {name: vocab.size for name, vocab in self.schema.vocabularies.items()},
            "legal_masks": self.legal_masks,
            "limit": self.limit,
            "counts": msgspec.to_builtins(self.counts),
            "sources": msgspec.to_builtins(self.sources),
            "shards": msgspec.to_builtins(self.shards),
        }

    def write(self, folder: Path) -> None:
        """Commit the data set: readers accept `folder` once this file exists."""
        write_json(folder / MANIFEST, checksummed(self._to_dict()))

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises UsageError if there is no manifest, ShardError if it is damaged or of another format version."""
        path = folder / MANIFEST
        hint = f"write the shards again: poke-bc preprocess RAW.jsonl --out {folder}"
        try:
            found = read_checksummed(path, _Stored, ShardError, version=("format", FORMAT_VERSION), hint=hint)
        except (FileNotFoundError, NotADirectoryError):
            if folder.is_file():
                raise UsageError(f"{folder}: a file, and no folder of shards",
                                 hint=f"if it holds trajectories: poke-bc preprocess {folder}") from None
            raise UsageError(f"{folder}: no shards here ({MANIFEST} is missing)",
                             hint=f"poke-bc preprocess RAW.jsonl --out {folder}") from None
        names = [file.name for shard in found.shards for file in (shard.rows, shard.trajectories)]
        if outside := [name for name in names if not is_inside(name)]:
            raise ShardError(f"{path}: names a file outside its folder, {outside[0]!r}", hint=hint)
        schema = schema_from_dict(found.schema, str(path)).with_sizes(found.vocabulary_sizes)
        return cls(schema=schema, shards=found.shards, sources=found.sources, counts=found.counts,
                   producer=found.producer, limit=found.limit)


def recorded_files(folder: Path) -> set[str] | None:
    """Names of the shards' files that the manifest in `folder` lists, of any format version.

    Empty without a manifest; None for a damaged one, which vouches for nothing. Raises UsageError where manifest.json
    is something else.
    """
    path = folder / MANIFEST
    if not os.path.lexists(path):
        return set()
    if not holds_json(path, "format", "producer", "shards"):
        raise UsageError(f"{path}: not a manifest that poke-bc wrote, or damaged, so it is not overwritten",
                         hint="remove it or move it away, or choose another --out")
    value = json.loads(path.read_bytes())
    if not checksum_holds(value):
        return None
    return {file["name"] for shard in value["shards"] for file in (shard["rows"], shard["trajectories"])}
