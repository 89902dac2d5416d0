"""Contract 3: `manifest.json`, the promise about all shards of a data set. Written last.

A folder without a manifest is no data set. The manifest names every file with its size and xxh3, carries the
schema whole, and ends with a digest of itself. Nothing in it depends on time, place or number of workers:
the same input gives the same bytes.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from poke_bc.contract.errors import ShardError
from poke_bc.contract.files import checksum_holds, checksummed, write_json
from poke_bc.contract.rows import FORMAT_VERSION
from poke_bc.contract.schema import Schema, schema_from_dict
from poke_bc.contract.vocabulary import Vocabulary

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
    """Of the text, after decompression; of Parquet, of its row groups in the file."""
    lines: int
    """Of the text, or rows of the table."""
    xxh3: str


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What went in and what came out."""

    battles: int = 0
    trajectories: int = 0
    duplicates: int = 0
    """Trajectories whose (replay_id, player) was there before; they are kept."""
    decisions: int = 0
    observed: int = 0
    censored: int = 0
    unlabelled: int = 0
    with_legal: int = 0
    """Decisions with a recorded legal mask."""
    quarantined: dict[str, int] = field(default_factory=dict)
    """"$.path: reason" -> lines."""
    unknown_keys: dict[str, int] = field(default_factory=dict)
    present: dict[str, int] = field(default_factory=dict)
    """Observation field -> decisions in which it had a value; the others took the default."""


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

    @property
    def legal_masks(self) -> str:
        """"all", "some" or "none": which decisions say what was legal."""
        with_legal = self.counts.with_legal
        return "none" if not with_legal else "all" if with_legal == self.counts.decisions else "some"

    @cached_property
    def identity(self) -> str:
        """16 hex digits that stand for exactly this data set."""
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
            "counts": asdict(self.counts),
            "sources": [asdict(source) for source in self.sources],
            "shards": [asdict(shard) for shard in self.shards],
        }

    def write(self, folder: Path) -> None:
        """Commit the data set: from now on `folder` is one."""
        write_json(folder / MANIFEST, checksummed(self._to_dict()))

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises ShardError where there is none, it is damaged, or of another format version."""
        path = folder / MANIFEST
        again = f"poke-bc preprocess RAW.jsonl --out {folder}"
        try:
            value = json.loads(path.read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise ShardError(f"{folder}: no shards here ({MANIFEST} is missing)", hint=again) from None
        except OSError as error:
            raise ShardError(f"{path}: cannot be read ({error.strerror})",
                             hint="check the path and its rights") from None
        except ValueError:
            raise ShardError(f"{path}: damaged, not JSON", hint=again) from None
        version = value.get("format") if isinstance(value, dict) else None
        if version != FORMAT_VERSION:
            raise ShardError(f"{path}: format {version}, this poke-bc reads format {FORMAT_VERSION}",
                             hint=f"make them again: {again}")
        if not checksum_holds(value):
            raise ShardError(f"{path}: damaged, its digest does not hold", hint=again)
        return cls._from_dict(value, str(path))

    @classmethod
    def _from_dict(cls, value: dict[str, Any], where: str) -> Manifest:
        schema = schema_from_dict(value["schema"], where)
        sizes = value["vocabulary_sizes"]
        sized: dict[str, Vocabulary] = {name: vocab.with_size(sizes[name])
                                        for name, vocab in schema.vocabularies.items()}
        return cls(
            schema=Schema(schema.name, schema.version, schema.fields, sized),
            shards=tuple(ShardEntry(rows=FileEntry(**entry["rows"]), trajectories=FileEntry(**entry["trajectories"]),
                                    row_count=entry["row_count"], trajectory_count=entry["trajectory_count"])
                         for entry in value["shards"]),
            sources=tuple(Source(**source) for source in value["sources"]),
            counts=Counts(**value["counts"]),
            producer=value["producer"],
            limit=value["limit"],
        )
