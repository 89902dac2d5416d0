"""preprocess: raw trajectories -> a committed data set. Plan, run the blocks, assemble, commit.

    out/.parts/            parts of this plan; a rerun keeps the finished ones, a commit removes them all
    out/quarantine.jsonl   lines that are no trajectories: file, line, byte, path, reason
    out/shard-*.arrow      rows
    out/manifest.json      the commit

Killed at any moment, the folder holds the data set it held before, or the new one.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from pathlib import Path
from typing import Any

from pipelines.assemble import plan_shards, write_shards
from pipelines.blocks import BLOCK_BYTES, Block, Text, blocks_of
from pipelines.detect import choose_schema
from pipelines.engine import default_workers, run_in_order
from pipelines.part import PartStore, Receipt, most_common
from pipelines.sources import find_sources, source_bytes
from poke_bc import __version__
from poke_bc.contract.errors import InputError, PokeBCError, ShardError, UsageError
from poke_bc.contract.files import atomic_write, digest, exclusively, remove_temporaries, write_json
from poke_bc.contract.manifest import MANIFEST, Counts, Manifest, ShardEntry, Source
from poke_bc.contract.rows import FORMAT_VERSION, row_bytes
from poke_bc.contract.schema import Schema

PARTS = ".parts"
QUARANTINE = "quarantine.jsonl"
SHARD_BYTES = 256 << 20
DECODER_VERSION = 1
"""Raised whenever the same text would give other rows: parts of another decoder are made anew."""

ProgressCallback = Callable[[str, int, int | None, int], None]
"""Told (stage, done, total or None, decisions so far); bytes while reading, decisions while writing."""


@dataclass(frozen=True)
class Preprocessed:
    """What a run did."""

    manifest: Manifest
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        counts = self.manifest.counts
        size = sum(shard.rows.bytes for shard in self.manifest.shards)
        return {
            "trajectories": counts.trajectories,
            "decisions": counts.decisions,
            "labelled": counts.observed,
            "duplicates": counts.duplicates,
            "quarantined": sum(counts.quarantined.values()),
            "seconds": round(self.seconds, 3),
            "decisions_per_s": round(counts.decisions / self.seconds, 1),
            "shards": len(self.manifest.shards),
            "bytes": size,
            "bytes_per_decision": round(size / counts.decisions, 1),
            "schema": self.manifest.schema.name,
            "legal_masks": self.manifest.legal_masks,
        }


def preprocess(inputs: Sequence[str | Path], out: str | Path = "data/shards", *, schema: str | Path = "auto",
               workers: int | None = None, max_bad: float = 0.001, limit: int | None = None,
               shard_bytes: int = SHARD_BYTES, block_bytes: int = BLOCK_BYTES,
               progress: ProgressCallback = lambda *_: None) -> Preprocessed:
    """Turn raw trajectories into shards.

    Args:
        inputs: JSONL files (.gz and .zst too), globs, folders, or "-" for stdin.
        out: folder of the data set.
        schema: "auto", a shipped schema's name, or a TOML file.
        workers: processes; None: one for each processor, none extra where the input is small.
        max_bad: largest share of lines that may be quarantined, 0 to 1.
        limit: only the first so many trajectories.
        shard_bytes: a shard ends with the first battle that fills this.
        block_bytes: text a task; the default is part of the format's promise of equal bytes.
        progress: told how far it is.

    Raises:
        InputError, SchemaError, UsageError, ShardError: the two-line errors; nothing half-written is left.
    """
    started = time.monotonic()
    out = Path(out)
    if not 0 <= max_bad <= 1 or (workers is not None and workers < 1) or (limit is not None and limit < 1):
        raise UsageError("needs 0 <= --max-bad <= 1, --workers >= 1 and --limit >= 1", hint="poke-bc preprocess --help")
    sources = find_sources(inputs)
    with _told_in_two_lines(out), _working_alone(out):
        _sweep(out)
        try:
            blocks: Iterator[Block] = chain.from_iterable(
                blocks_of(place, name, block_bytes) for place, name in enumerate(sources))
            table, blocks = choose_schema(schema, blocks)
            store = _open_parts(out, sources, table, block_bytes)
            receipts = _run_blocks(store, blocks, sources, workers, limit, block_bytes, progress)
            counts = _quarantine(out, store, receipts, sources, max_bad)
            manifest = _commit(out, store, receipts, sources, counts, limit, shard_bytes, progress)
        finally:
            _sweep(out)
        shutil.rmtree(out / PARTS, ignore_errors=True)
    return Preprocessed(manifest, time.monotonic() - started)


@contextlib.contextmanager
def _told_in_two_lines(out: Path) -> Iterator[None]:
    """A full disk or a folder without rights is the user's to mend, not a traceback."""
    try:
        yield
    except OSError as error:
        where = error.filename or out
        raise ShardError(f"{where}: {error.strerror or error}",
                         hint=f"make room or rights at {out}, or choose another --out; "
                              "run it again and finished blocks are kept") from None


@contextlib.contextmanager
def _working_alone(out: Path) -> Iterator[None]:
    """Only one preprocess may write to a folder at a time; of one that fails only finished blocks are left."""
    fresh = not out.exists()
    (out / PARTS).mkdir(parents=True, exist_ok=True)
    busy = UsageError(f"{out}: another preprocess is writing here", hint="wait for it, or choose another --out")
    with exclusively(out / PARTS / "lock", busy):
        try:
            yield
        except PokeBCError:
            if not any(part.stat().st_size for part in (out / PARTS).glob("*.rows")):
                shutil.rmtree(out / PARTS, ignore_errors=True)
            if fresh and not any(out.iterdir()):
                out.rmdir()
            raise


def _sweep(out: Path) -> None:
    """Remove temporary files and shards that no manifest names: leavings of a killed run, or of older data."""
    named: set[str] = set()
    if (out / MANIFEST).exists():
        try:
            entries = Manifest.read(out).shards
        except ShardError:
            return  # of another version, or damaged: not ours to clean up
        named = {file.name for entry in entries for file in (entry.rows, entry.trajectories)}
    remove_temporaries(out)
    for path in out.glob("shard-*.arrow"):
        if path.name not in named:
            path.unlink()


def _open_parts(out: Path, sources: list[str], schema: Schema, block_bytes: int) -> PartStore:
    """The folder of parts; emptied if it belongs to another plan."""
    folder = out / PARTS
    plan = {"format": FORMAT_VERSION, "decoder": DECODER_VERSION, "schema": schema.hash,
            "block_bytes": block_bytes, "sources": sources}
    path = folder / "plan.json"
    try:
        same = json.loads(path.read_bytes()) == plan
    except (FileNotFoundError, ValueError):
        same = False
    if not same:
        for entry in folder.iterdir():
            if entry.name != "lock":
                entry.unlink()
        write_json(path, plan)
    return PartStore(folder, schema)


def _run_blocks(store: PartStore, blocks: Iterator[Block], sources: list[str], workers: int | None,
                limit: int | None, block_bytes: int, progress: ProgressCallback) -> list[Receipt]:
    """Every block done, in order; with a limit, the last one is cut after the last trajectory wanted."""
    sizes = [source_bytes(name) for name in sources]
    total = sum(size for size in sizes if size is not None) if None not in sizes else None
    if workers is None:
        small = total is not None and total <= 2 * block_bytes
        workers = 1 if small else default_workers()
    before = [0, *accumulate(size or 0 for size in sizes)]
    underway: deque[Block] = deque()

    def remembered() -> Iterator[Block]:
        for block in blocks:
            underway.append(block)
            yield block

    receipts: list[Receipt] = []
    trajectories = decisions = 0
    results = run_in_order(store.do, remembered(), workers)
    for receipt, read in results:
        block = underway.popleft()
        if limit is not None and trajectories + receipt.trajectories >= limit:
            receipts.append(_cut_last(store, len(receipts), block, receipt, limit - trajectories))
            results.close()
            break
        receipts.append(receipt)
        trajectories += receipt.trajectories
        decisions += receipt.rows
        progress("reading", before[block.source] + read, total, decisions)
    return receipts


def _cut_last(store: PartStore, number: int, block: Block, receipt: Receipt, wanted: int) -> Receipt:
    """The part again from its text up to the last trajectory wanted."""
    if receipt.trajectories == wanted:
        last = store.read_table(number)["line"][-1].as_py()
    else:
        last = store.read_table(number)["line"][wanted - 1].as_py()
    text = block.read()
    data = b"\n".join(text.data.split(b"\n", last + 1)[: last + 1]) + b"\n"
    return store.make(number, block, Text(data[: len(text.data)], text.byte))


def _first_lines(receipts: Sequence[Receipt]) -> list[int]:
    """Number of each part's first line in its source, from 1."""
    seen: Counter[int] = Counter()
    first = []
    for receipt in receipts:
        first.append(seen[receipt.source] + 1)
        seen[receipt.source] += receipt.lines
    return first


def _quarantine(out: Path, store: PartStore, receipts: Sequence[Receipt], sources: list[str],
                max_bad: float) -> Counter[str]:
    """Write quarantine.jsonl. Raises InputError if too much is in it, or nothing else is there.

    Where a data set lies in `out` already, its own stays beside it until the new one is committed.
    """
    path = (store.folder if (out / MANIFEST).exists() else out) / QUARANTINE
    bad = sum(receipt.bad for receipt in receipts)
    good = sum(receipt.trajectories for receipt in receipts)
    names = ", ".join(sources[:3]) + (", ..." if len(sources) > 3 else "")
    if not bad and not good:
        raise InputError(f"{names}: empty, not one trajectory", hint="one JSON object a line; see docs/format.md")
    if bad:
        first_lines = _first_lines(receipts)
        with atomic_write(path) as file:
            for number, receipt in enumerate(receipts):
                for line in store.read_bad(number):
                    file.write(json.dumps({"file": sources[receipt.source], "line": first_lines[number] + line.line,
                                           "byte": line.byte, "path": line.path, "reason": line.reason},
                                          ensure_ascii=False).encode() + b"\n")
    else:
        path.unlink(missing_ok=True)
    reasons = sum((Counter(receipt.reasons) for receipt in receipts), Counter[str]())
    if bad > max_bad * (good + bad) or not good:
        reason, count = reasons.most_common(1)[0]
        limit = f", more than --max-bad {max_bad:g}" if good else ""
        raise InputError(f"{names}: {bad:,} of {good + bad:,} lines are no trajectories{limit}; "
                         f"most often ({count:,}): {reason}",
                         hint=f"see {path} for each line, mend them or raise --max-bad (what was read is kept in "
                              f"{store.folder} for that)")
    return reasons


def _commit(out: Path, store: PartStore, receipts: list[Receipt], sources: list[str], reasons: Counter[str],
            limit: int | None, shard_bytes: int, progress: ProgressCallback) -> Manifest:
    shards, index = plan_shards(store, receipts, max(1, shard_bytes // row_bytes(store.schema)))
    decisions = sum(receipt.rows for receipt in receipts)
    written = 0

    def tell(rows: int) -> None:
        nonlocal written
        written += rows
        progress("writing", written, decisions, decisions)

    entries: list[ShardEntry] = write_shards(out, store, receipts, shards, _first_lines(receipts), tell)
    labels = sum((Counter(receipt.labels) for receipt in receipts), Counter[str]())
    manifest = Manifest(
        schema=_sized(store.schema, receipts), shards=tuple(entries), sources=_describe(sources, receipts),
        producer=__version__, limit=limit,
        counts=Counts(
            battles=index.battles, trajectories=len(index.battle_T), duplicates=index.duplicates, decisions=decisions,
            observed=labels["observed"], censored=labels["censored"], unlabelled=labels["unlabelled"],
            with_legal=labels["with_legal"], quarantined=most_common(reasons),
            unknown_keys=most_common(_summed(receipt.unknown for receipt in receipts)),
            present=_summed(receipt.present for receipt in receipts)))
    manifest.write(out)
    if not reasons:
        (out / QUARANTINE).unlink(missing_ok=True)
    elif (store.folder / QUARANTINE).exists():
        (store.folder / QUARANTINE).replace(out / QUARANTINE)
    return manifest


def _sized(schema: Schema, receipts: Sequence[Receipt]) -> Schema:
    """The schema with each open vocabulary as large as its largest id."""
    sizes = {name: 1 + max(receipt.largest_ids[name] for receipt in receipts) for name in schema.vocabularies}
    return Schema(schema.name, schema.version, schema.fields,
                  {name: vocab.with_size(sizes[name]) for name, vocab in schema.vocabularies.items()})


def _describe(sources: list[str], receipts: Sequence[Receipt]) -> tuple[Source, ...]:
    described = []
    for place, name in enumerate(sources):
        own = [receipt for receipt in receipts if receipt.source == place]
        described.append(Source(name=name, bytes=sum(receipt.text_bytes for receipt in own),
                                lines=sum(receipt.lines for receipt in own),
                                xxh3=digest("".join(receipt.text_xxh3 for receipt in own).encode())))
    return tuple(described)


def _summed(counts: Iterator[dict[str, int]]) -> dict[str, int]:
    return dict(sorted(sum((Counter(each) for each in counts), Counter[str]()).items()))
