"""What convert does with a block of battles: look at it, then make a part of the output out of it.

    000042.jsonl.zst   the block's trajectories
    000042.json        the receipt, written last: counts, and digests of the block, the corpus and the part

A part is kept by a later run only when all of that is the same again, so nothing here needs fsync.
"""

from __future__ import annotations

import gc
import json
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

import msgspec
import pyarrow as pa
import xxhash

from pipelines.battles.files import cut
from pipelines.battles.names import Hiding
from pipelines.battles.pieces import Piece
from pipelines.battles.records import read_battle
from poke_bc.contract.errors import InputError
from poke_bc.contract.files import checksum_holds, checksummed, digest, digest_file, temporary_name
from poke_bc.showdown.record import BattleRecord, SkippedBattle

BLOCK_BATTLES = 64
BLOCK_BYTES = 8 << 20
DUPLICATE = "duplicate battle"
INTERNAL = "internal error"
OTHER_FORMAT, LOW_RATING, NO_RATING = "other format", "rating below", "rating unknown"
LEFT_OUT = (OTHER_FORMAT, LOW_RATING, NO_RATING)
"""Why a battle was not asked for: no fault of its own, and no skip."""
WANTED, RENAMED = 1, 2
"""RENAMED: another battle has its id already; it gets one of its own."""
_EXAMPLES = 3
_ENCODE = msgspec.json.Encoder().encode
"""The same text as json.dumps, five times as fast; a NaN would become null, and preprocess would count it missing."""


@dataclass(frozen=True)
class Conversion:
    """The steps from a record to trajectories, importable by name in other processes."""

    first_pass: Callable[[BattleRecord], Any]
    """Its result has `revealed`."""
    convert: Callable[[BattleRecord, Any], list[dict[str, Any]]]
    corpus: type[Any]
    """Has add(revealed), save(path) and load(path)."""


@dataclass(frozen=True)
class Block:
    """Some battles that follow each other; a pure function of the input."""

    number: int
    pieces: tuple[Piece, ...]
    progress: int
    """Bytes of all sources on disk that are done once this block is."""

    @property
    def xxh3(self) -> str:
        """Of everything that the battles are made from."""
        state = xxhash.xxh3_64()
        for piece in self.pieces:
            state.update(f"{piece.shape}\0{PurePath(piece.source).name}\0{len(piece.data)}\0".encode(errors="replace"))
            state.update(piece.data)
        return state.hexdigest()


def blocks_of(sources: Sequence[str], sizes: Sequence[int]) -> Iterator[Block]:
    """All battles of the sources, in order."""
    number, size, before = 0, 0, 0
    pieces: list[Piece] = []
    progress = 0
    for source, bytes_ in zip(sources, sizes, strict=True):
        for piece in cut(source):
            if pieces and (len(pieces) >= BLOCK_BATTLES or size + len(piece.data) > BLOCK_BYTES):
                yield Block(number, tuple(pieces), progress)
                number, size, pieces = number + 1, 0, []
            pieces.append(piece)
            size += len(piece.data)
            progress = before + min(piece.read, bytes_)
        before += bytes_
    if pieces:
        yield Block(number, tuple(pieces), before)


@dataclass(frozen=True)
class Look:
    """What the first pass says of one battle."""

    place: str
    id_hash: str = ""
    """Empty where there is no battle."""
    lines_hash: str = ""
    """Of what was played."""
    reason: str = ""
    """Why it is not converted; empty if it is."""
    detail: str = ""
    revealed: Any = None


@dataclass(frozen=True)
class Looked:
    """A block after the first pass."""

    xxh3: str
    progress: int
    battles: tuple[Look, ...]


@dataclass(frozen=True)
class Work:
    """A block for the second pass."""

    block: Block
    chosen: bytes
    """One byte a battle: 0, WANTED, or RENAMED."""
    xxh3: str
    corpus: str
    """Digest of the corpus' file."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """A part, done."""

    block: str
    chosen: str
    corpus: str
    xxh3: str
    """Of the part's file."""
    bytes: int
    """Of its text."""
    converted: int
    trajectories: int
    decisions: int
    exact_views: int
    """Trajectories of a player whose requests were recorded."""
    labels: dict[str, int]
    reasons: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)


def note(examples: dict[str, list[str]], reason: str, place: str, detail: str) -> None:
    """Keep the first few battles of each reason."""
    here = examples.setdefault(reason, [])
    if len(here) < _EXAMPLES:
        here.append(f"{place}: {detail}" if detail else place)


@contextmanager
def no_search_for_cycles() -> Iterator[None]:
    """Look for reference cycles once a block, among its own objects: Python's habit of looking while millions of small
    lists are made takes a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(0)
        if was_on:
            gc.enable()


@dataclass(frozen=True)
class Workshop:
    """What every worker knows."""

    parts: Path
    corpus: Path
    hiding: Hiding
    formats: frozenset[str]
    min_rating: int | None
    conversion: Conversion

    def look(self, _number: int, block: Block) -> Looked:
        """First pass: what is there, what of it is wanted, and what it shows of the teams."""
        with no_search_for_cycles():
            return Looked(block.xxh3, block.progress, tuple(self._look_at(piece) for piece in block.pieces))

    def _look_at(self, piece: Piece) -> Look:
        try:
            record = read_battle(piece, self.hiding)
            hashes = digest(record.id.encode()), lines_hash(record)
            if reason := self._unwanted(record):
                return Look(piece.place, *hashes, reason)
            return Look(piece.place, *hashes, revealed=self.conversion.first_pass(record).revealed)
        except SkippedBattle as skipped:
            return Look(piece.place, reason=skipped.reason, detail=skipped.detail)
        except MemoryError:
            raise
        except Exception as error:  # one odd battle must not end the run; it is counted and told
            reason, detail = _internal(error)
            return Look(piece.place, reason=reason, detail=detail)

    def _unwanted(self, record: BattleRecord) -> str:
        if self.formats and record.format not in self.formats:
            return OTHER_FORMAT
        if self.min_rating is None:
            return ""
        rating = rating_of(record)
        return NO_RATING if rating is None else LOW_RATING if rating < self.min_rating else ""

    def make(self, _number: int, work: Work) -> tuple[Receipt, int]:
        """Second pass: the part of a block, or the one that an earlier run left. With it the block's progress."""
        if work.block.xxh3 != work.xxh3:
            raise InputError(f"{work.block.pieces[0].place}: changed while it was read",
                             hint="run the same command again when nothing writes to it")
        with no_search_for_cycles():
            return self._kept(work) or self._make(work), work.block.progress

    def path(self, number: int, ending: str) -> Path:
        """Where a file of part `number` is."""
        return self.parts / f"{number:06d}.{ending}"

    def read_part(self, number: int, receipt: Receipt) -> bytes:
        """The lines of a part."""
        packed = self.path(number, "jsonl.zst").read_bytes()
        return bytes(pa.decompress(packed, receipt.bytes, "zstd", asbytes=True)) if receipt.bytes else b""

    def _kept(self, work: Work) -> Receipt | None:
        path = self.path(work.block.number, "jsonl.zst")
        try:
            value = json.loads(self.path(work.block.number, "json").read_bytes())
            if not checksum_holds(value["receipt"]):
                return None
            receipt = Receipt(**value["receipt"]["of"])
            same = (receipt.block, receipt.chosen, receipt.corpus) == (work.xxh3, digest(work.chosen), work.corpus)
            return receipt if same and digest_file(path) == receipt.xxh3 else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _make(self, work: Work) -> Receipt:
        number = work.block.number
        self.path(number, "json").unlink(missing_ok=True)
        lines: list[bytes] = []
        reasons: Counter[str] = Counter()
        labels: Counter[str] = Counter()
        examples: dict[str, list[str]] = {}
        converted = decisions = exact = 0
        corpus = _corpus(self.conversion.corpus.load, self.corpus, work.corpus)
        for piece, wanted in zip(work.block.pieces, work.chosen, strict=True):
            if not wanted:
                continue
            try:
                record = read_battle(piece, self.hiding)
                if wanted == RENAMED:
                    record = replace(record, id=f"{record.id}-{lines_hash(record)[:8]}")
                trajectories = self.conversion.convert(record, corpus)
                here = [_to_line(trajectory) for trajectory in trajectories]
                counted = Counter(step.get("label", "observed") for each in trajectories for step in each["steps"])
            except MemoryError:
                raise
            except Exception as error:
                reason, detail = (error.reason, error.detail) if isinstance(error, SkippedBattle) else _internal(error)
                reasons[reason] += 1
                note(examples, reason, piece.place, detail)
                continue
            lines += here
            labels += counted
            converted += 1
            decisions += counted.total()
            exact += sum(bool(record.requests.get(each["player"])) for each in trajectories)
        text = b"".join(lines)
        packed = pa.Codec("zstd", compression_level=1).compress(text, asbytes=True) if text else b""
        self.path(number, "jsonl.zst").write_bytes(packed)
        receipt = Receipt(
            block=work.xxh3, chosen=digest(work.chosen), corpus=work.corpus, xxh3=digest(packed), bytes=len(text),
            converted=converted, trajectories=len(lines), decisions=decisions, exact_views=exact, labels=dict(labels),
            reasons=dict(reasons), examples=examples)
        temporary = temporary_name(self.path(number, "json"))
        temporary.write_text(json.dumps({"receipt": checksummed({"of": asdict(receipt)})}), encoding="utf-8")
        temporary.replace(self.path(number, "json"))
        return receipt


def lines_hash(record: BattleRecord) -> str:
    """What tells that two files hold one battle, whatever they call it."""
    return digest("\n".join(record.lines).encode(errors="replace"))


def rating_of(record: BattleRecord) -> int | None:
    """The lower of the two players' ratings; that of the record where the log does not give both."""
    found: dict[str, int] = {}
    for line in record.lines:
        if line.startswith("|player|"):
            parts = line.split("|")
            if len(parts) > 5 and parts[2] not in found and parts[5].strip().isdecimal():
                found[parts[2]] = int(parts[5])
        elif line.startswith("|turn|"):
            break
    return min(found["p1"], found["p2"]) if {"p1", "p2"} <= found.keys() else record.rating


@lru_cache(maxsize=1)
def _corpus(load: Callable[[Path], Any], path: Path, _xxh3: str) -> Any:
    """Loaded once in each process; by digest, so that another run's is never taken for it."""
    return load(path)


def _to_line(trajectory: dict[str, Any]) -> bytes:
    return _ENCODE(trajectory) + b"\n"


def _internal(error: Exception) -> tuple[str, str]:
    """Reason and detail of an error that is a bug of ours: its type, and the line it comes from."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f"{PurePath(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    return f"{INTERNAL}: {type(error).__name__}", f"{where}: {' '.join(str(error).split())[:200]}"


def add_up(counts: Iterable[dict[str, int]]) -> dict[str, int]:
    """Sums by name; the most frequent first, then by name."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))
