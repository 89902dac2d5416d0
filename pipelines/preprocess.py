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
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from pipelines.assemble import Assembler
from pipelines.blocks import BLOCK_BYTES
from pipelines.decode import Decoder, is_compiled
from pipelines.detect import choose_schema
from pipelines.engine import Workers, default_workers, interrupted_later
from pipelines.ledger import Ledger
from pipelines.parquet import is_parquet
from pipelines.part import ENDING, PartStore, Receipt, most_common, read_receipt
from pipelines.sources import expected_bytes, find_sources, source_bytes
from pipelines.work import Block, check_tables, work_of
from poke_bc.contract.errors import InputError, PokeBCError, ShardError, UsageError
from poke_bc.contract.files import atomic_write, exclusively, remove_temporaries, write_json
from poke_bc.contract.manifest import MANIFEST, Counts, Manifest
from poke_bc.contract.rows import FORMAT_VERSION, row_bytes
from poke_bc.contract.schema import Schema
from poke_bc.version import __version__

PARTS = ".parts"
QUARANTINE = "quarantine.jsonl"
SHARD_BYTES = 256 << 20
DECODER_VERSION = 2
"""Raised whenever the same text would give other rows: parts of another decoder are made anew."""

_WORTH_PROCESSES = 256 << 20  # a further process takes a second to start; the scanner reads four times as much in it

ProgressCallback = Callable[[str, int, int | None, int], None]
"""Told (stage, done, total or None, decisions so far); bytes while reading, decisions while writing."""


@dataclass(frozen=True)
class Preprocessed:
    """What a run did."""

    manifest: Manifest
    seconds: float
    decoder: str
    """What read the text: "arrow", "scanner" or "arrow, then scanner"; the rows are the same."""
    advice: str | None = None
    """What the user can do about a scanner that does not work."""

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
            "decoder": self.decoder,
            "schema": self.manifest.schema.name,
            "legal_masks": self.manifest.legal_masks,
        }


def preprocess(inputs: Sequence[str | Path], out: str | Path = "data/shards", *, schema: str | Path = "auto",
               workers: int | None = None, max_bad: float = 0.001, limit: int | None = None,
               shard_bytes: int = SHARD_BYTES, block_bytes: int = BLOCK_BYTES,
               progress: ProgressCallback = lambda *_: None) -> Preprocessed:
    """Turn raw trajectories into shards.

    Args:
        inputs: JSONL files (.gz and .zst too), Parquet files, globs, folders, or "-" for stdin.
        out: folder of the data set.
        schema: "auto", a shipped schema's name, or a TOML file.
        workers: processes; None: one for each processor, none extra where the input is small.
        max_bad: largest share of lines that may be quarantined, 0 to 1.
        limit: only the first so many trajectories.
        shard_bytes: a shard ends with the first battle that fills this.
        block_bytes: text a task (of Parquet: values); the default is part of the format's promise of equal bytes.
        progress: told how far it is.

    Raises:
        InputError, SchemaError, UsageError, ShardError: the two-line errors; nothing half-written is left.
    """
    started = time.monotonic()
    out = Path(out)
    if not 0 <= max_bad <= 1 or (workers is not None and workers < 1) or (limit is not None and limit < 1):
        raise UsageError("needs 0 <= --max-bad <= 1, --workers >= 1 and --limit >= 1", hint="poke-bc preprocess --help")
    sources = find_sources(inputs)
    check_tables(sources)
    with _told_in_two_lines(out), _working_alone(out):
        _sweep(out)
        try:
            with contextlib.closing(work_of(sources, block_bytes)) as work, contextlib.ExitStack() as stack:
                table, blocks = choose_schema(schema, work)
                workers = workers or _enough_workers(sources)
                texts = [name for name in sources if not is_parquet(name)]
                decoder = stack.enter_context(Decoder(expected_bytes(texts), workers))
                store = replace(_open_parts(out, sources, table, block_bytes), decoder=decoder)
                with Assembler(out, store, max(1, shard_bytes // row_bytes(table)),
                               threads=workers if workers > 1 else 0) as assembler:
                    with Workers(workers) as processes:
                        ledger = _run_blocks(store, blocks, sources, processes, limit, assembler, progress)
                    _quarantine(out, store, ledger, max_bad)
                    manifest = _commit(out, store, ledger, limit, assembler, progress)
        finally:
            _sweep(out)
        shutil.rmtree(out / PARTS, ignore_errors=True)
    return Preprocessed(manifest, time.monotonic() - started, decoder.name, decoder.advice)


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
            receipts = map(read_receipt, (out / PARTS).glob(f"*{ENDING}"))
            if not any(receipt is not None and receipt.rows for receipt in receipts):
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


def _enough_workers(sources: Sequence[str]) -> int:
    """One process a processor, where there is enough to read."""
    text = expected_bytes(sources)
    if text is not None and (text < _WORTH_PROCESSES or (text < 4 * _WORTH_PROCESSES and is_compiled())):
        return 1
    return default_workers()


def _run_blocks(store: PartStore, blocks: Iterator[Block], sources: list[str], processes: Workers,
                limit: int | None, assembler: Assembler, progress: ProgressCallback) -> Ledger:
    """Every block done, in order, and handed on; with a limit, the last is cut after the last trajectory wanted."""
    sizes = [source_bytes(name) for name in sources]
    total = sum(size for size in sizes if size is not None) if None not in sizes else None
    before = [0, *accumulate(size or 0 for size in sizes)]
    underway: deque[tuple[int, Block | None]] = deque()  # source; and the block, which may be large, for a limit only

    def remembered() -> Iterator[Block]:
        for block in blocks:
            underway.append((block.source, block if limit is not None else None))
            yield block

    def update_decoder(decoded: int) -> None:
        with interrupted_later():  # what LLVM calls back would swallow Ctrl-C
            store.decoder.update(decoded)

    ledger, decoded = Ledger(sources), 0
    update_decoder(decoded)
    with contextlib.closing(processes.run_in_order(store.do, remembered())) as results:
        for receipt, read in results:
            source, block = underway.popleft()
            number = len(ledger.parts)
            enough = limit is not None and ledger.trajectories + receipt.trajectories >= limit
            if enough and limit is not None and block is not None:
                receipt = _cut_last(store, number, block, receipt, limit - ledger.trajectories)
            assembler.add(number, ledger.add(receipt))
            if enough:
                break
            progress("reading", before[source] + read, total, ledger.rows)
            decoded += receipt.text_bytes
            update_decoder(decoded)
    return ledger


def _cut_last(store: PartStore, number: int, block: Block, receipt: Receipt, wanted: int) -> Receipt:
    """The part again from what its block holds up to the last trajectory wanted."""
    if receipt.trajectories == wanted:
        last = store.read_table(number)["line"][-1].as_py()
    else:
        last = store.read_table(number)["line"][wanted - 1].as_py()
    return store.make(number, block, block.read().until(last))


def _quarantine(out: Path, store: PartStore, ledger: Ledger, max_bad: float) -> None:
    """Write quarantine.jsonl. Raises InputError if too much is in it, or nothing else is there.

    Where a data set lies in `out` already, its own stays beside it until the new one is committed.
    """
    path = (store.folder if (out / MANIFEST).exists() else out) / QUARANTINE
    bad, good = ledger.bad, ledger.trajectories
    names = ", ".join(ledger.sources[:3]) + (", ..." if len(ledger.sources) > 3 else "")
    if not bad and not good:
        raise InputError(f"{names}: empty, not one trajectory", hint="one JSON object a line; see docs/format.md")
    if bad:
        with atomic_write(path) as file:
            for number, part in enumerate(ledger.parts):
                for line in store.read_bad(number):
                    place = {"file": ledger.sources[part.source], "line": part.first_line + line.line}
                    byte = {} if line.byte is None else {"byte": line.byte}
                    told = {**place, **byte, "path": line.path, "reason": line.reason}
                    file.write(json.dumps(told, ensure_ascii=False).encode() + b"\n")
    else:
        path.unlink(missing_ok=True)
    if bad > max_bad * (good + bad) or not good:
        reason, count = ledger.reasons.most_common(1)[0]
        limit = f", more than --max-bad {max_bad:g}" if good else ""
        raise InputError(f"{names}: {bad:,} of {good + bad:,} lines are no trajectories{limit}; "
                         f"most often ({count:,}): {reason}",
                         hint=f"see {path} for each line, mend them or raise --max-bad (what was read is kept in "
                              f"{store.folder} for that)")


def _commit(out: Path, store: PartStore, ledger: Ledger, limit: int | None, assembler: Assembler,
            progress: ProgressCallback) -> Manifest:
    written = 0

    def tell(rows: int) -> None:
        nonlocal written
        written += rows
        progress("writing", written, ledger.rows, ledger.rows)

    shards, index = assembler.finish(tell)
    labels = ledger.labels
    manifest = Manifest(
        schema=ledger.sized(store.schema), shards=shards, sources=ledger.described(),
        producer=__version__, limit=limit,
        counts=Counts(
            battles=index.battles, trajectories=len(index.battle_T), duplicates=index.duplicates, decisions=ledger.rows,
            observed=labels["observed"], censored=labels["censored"], unlabelled=labels["unlabelled"],
            with_legal=labels["with_legal"], quarantined=most_common(ledger.reasons),
            unknown_keys=most_common(ledger.unknown), present=dict(sorted(ledger.present.items()))))
    manifest.write(out)
    if not ledger.reasons:
        (out / QUARANTINE).unlink(missing_ok=True)
    elif (store.folder / QUARANTINE).exists():
        (store.folder / QUARANTINE).replace(out / QUARANTINE)
    return manifest
