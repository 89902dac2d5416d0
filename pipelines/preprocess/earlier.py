"""What a run of preprocess leaves for the next one into the same folder: shards.memo (jobs/memo.py). Its pieces are the
receipts of all parts with their quarantined lines. The rows are in the shards.

A part is known by the content of its blocks and their places in their input, whatever that is called. A compressed
input, whose blocks are known only once it is decompressed, is also known by its bytes on disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from pipelines.decode import Bad
from pipelines.jobs.inputs import stored_bytes
from pipelines.jobs.memo import MEMO, OTHER_RUN, MemoWriter, Piece, pack, read_footer, read_piece, unpack
from pipelines.jobs.urls import is_url
from pipelines.preprocess.parquet_blocks import is_parquet
from pipelines.preprocess.receipts import PreprocessReceipt
from pipelines.preprocess.text_blocks import is_plain
from pipelines.preprocess.totals import PartPlace
from poke_bc.contract.errors import PokeBCError
from poke_bc.contract.files import digest_file
from poke_bc.contract.intact import check_files
from poke_bc.contract.manifest import MANIFEST, Manifest

NAME = f"shards{MEMO}"


class EarlierPart(msgspec.Struct, frozen=True, array_like=True):
    """Where a part is in the data set."""

    key: str
    piece: Piece
    size: int
    """Bytes of its blocks."""
    progress: int
    """Bytes of the input on disk that are done after it."""
    source: int
    first_line: int
    """Number of its first line in its input, from 1."""
    first_trajectory: int
    """Index in the data set of its first trajectory."""


class PartContent(msgspec.Struct, frozen=True, array_like=True):
    """The receipt of a part, and its quarantined lines."""

    receipt: PreprocessReceipt
    bad: list[Bad]


class _Footer(msgspec.Struct):
    plan: Any
    data: str
    """Manifest.identity."""
    parts: list[EarlierPart]
    inputs: dict[int, str]
    """Compressed input -> digest of its bytes on disk."""


class KeptTask(NamedTuple):
    """A task that consists of a part that is there already."""

    source: int
    part: int
    progress: int

    def __str__(self) -> str:
        return f"part {self.part:,} of the data set that is there"


@dataclass(frozen=True)
class Earlier:
    """The parts of an earlier run; picklable, read by each process that looks for one."""

    path: Path
    xxh3: str

    @property
    def parts(self) -> list[EarlierPart]:
        """All parts, in order."""
        return _footer(self).parts

    def find(self, key: str) -> int | None:
        """The number of the part that was made from this."""
        return _numbers(self).get(key)

    def content(self, number: int) -> PartContent:
        """What a part consists of, apart from its rows."""
        return unpack(read_piece(self.path, self.parts[number].piece), PartContent)

    def kept_inputs(self, stored: Mapping[int, str]) -> dict[int, list[KeptTask]]:
        """The tasks of the compressed inputs that are unchanged. `stored` as in StoredInputs."""
        footer = _footer(self)
        by_digest = {xxh3: source for source, xxh3 in footer.inputs.items()}
        parts: dict[int, list[int]] = {}
        for number, part in enumerate(footer.parts):
            parts.setdefault(part.source, []).append(number)
        return {source: [KeptTask(source, number, footer.parts[number].progress)
                         for number in parts.get(by_digest[xxh3], ())]
                for source, xxh3 in stored.items() if xxh3 in by_digest}

    @staticmethod
    def forget() -> None:
        """Free what this process has read."""
        _footer.cache_clear()
        _numbers.cache_clear()


def find_earlier(folder: Path, plan: Mapping[str, Any]) -> tuple[Earlier | None, str]:
    """What an earlier run left in the folder of a data set; or None, and why it is of no use ("": there is none).

    Its shards are compared with the manifest: rows are never copied from a damaged file, nor is one left in place.
    """
    path = folder / NAME
    if not path.is_file() or not (folder / MANIFEST).exists():
        return None, ""
    try:
        footer, xxh3 = read_footer(path, _Footer)
        manifest = Manifest.read(folder)
        if footer.data != manifest.identity:
            return None, f"{path.name} is of another data set"
        if footer.plan != plan:
            return None, OTHER_RUN
        check_files(folder, [file for shard in manifest.shards for file in (shard.trajectories, shard.rows)])
    except ValueError:
        return None, f"{path.name} is damaged"
    except PokeBCError as error:
        return None, str(error)
    return Earlier(path, xxh3), ""


class StoredInputs:
    """The compressed ones of some inputs, by their bytes on disk."""

    def __init__(self, names: Sequence[str]) -> None:
        self._paths = {source: Path(name) for source, name in enumerate(names)
                       if not is_url(name) and stored_bytes(name) is not None and not is_parquet(name)
                       and not is_plain(name)}
        self._marks = self._now()
        self.digests = {source: digest_file(path) for source, path in self._paths.items()}
        """Index of the input -> digest of its bytes."""

    def unchanged(self) -> dict[int, str]:
        """The digests of those that have not been written to since."""
        now = self._now()
        return {source: xxh3 for source, xxh3 in self.digests.items() if now[source] == self._marks[source]}

    def _now(self) -> dict[int, tuple[int, int] | None]:
        return {source: (found.st_size, found.st_mtime_ns) if path.exists() and (found := path.stat()) else None
                for source, path in self._paths.items()}


class EarlierWriter:
    """Writes the memo, in the order in which a run gets its parts."""

    def __init__(self, file: IO[bytes], plan: Mapping[str, Any]) -> None:
        self._memo, self._plan = MemoWriter(file), plan
        self._parts: list[EarlierPart] = []
        self._trajectories = 0

    def add(self, receipt: PreprocessReceipt, bad: Iterator[Bad], place: PartPlace, progress: int) -> None:
        """Add the next part."""
        piece = self._memo.add(pack(PartContent(receipt, list(bad))))
        self._parts.append(EarlierPart(receipt.key, piece, sum(block.size for block in receipt.blocks), progress,
                                       place.source, place.first_line, self._trajectories))
        self._trajectories += receipt.trajectories

    def finish(self, data: str, stored: Mapping[int, str]) -> None:
        """Write the footer; `data` is the identity of the data set that was written."""
        self._memo.finish(_Footer(self._plan, data, self._parts, dict(stored)))


@lru_cache(maxsize=1)
def _footer(earlier: Earlier) -> _Footer:
    return read_footer(earlier.path, _Footer)[0]


@lru_cache(maxsize=1)
def _numbers(earlier: Earlier) -> dict[str, int]:
    return {part.key: number for number, part in reversed([*enumerate(earlier.parts)])}
