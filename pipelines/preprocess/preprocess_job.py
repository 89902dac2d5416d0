"""preprocess: raw trajectories -> a committed data set.

    out/.parts/            finished tasks, for a rerun of the same command; removed at the end
    out/quarantine.jsonl   lines that are not trajectories: file, line, byte, path, reason
    out/shard-*.arrow      rows
    out/manifest.json      the commit
    out/shards.memo        what the next run into the same folder takes over (earlier.py)

Killed at any moment, the folder holds the data set it held before, or the new one.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from pipelines.decode import Decoder
from pipelines.jobs.engines import LOCAL, check_engine, make_executor
from pipelines.jobs.executor import Executor
from pipelines.jobs.inputs import Inputs, find_inputs, stored_bytes, total_bytes
from pipelines.jobs.memo import check_ours
from pipelines.jobs.store import STORE_SUFFIX, PartStore, code_digest, open_store
from pipelines.jobs.urls import as_path, is_url
from pipelines.preprocess.beginnings import observation_keys
from pipelines.preprocess.detect_schema import choose_schema
from pipelines.preprocess.earlier import NAME, Earlier, EarlierWriter, KeptTask, StoredInputs, find_earlier
from pipelines.preprocess.kept_rows import KeptRows
from pipelines.preprocess.own_files import QUARANTINE, OwnFiles
from pipelines.preprocess.parquet_blocks import is_parquet
from pipelines.preprocess.parts import DecodeJob
from pipelines.preprocess.receipts import PreprocessReceipt
from pipelines.preprocess.shard_writer import ShardWriter
from pipelines.preprocess.tally import most_common
from pipelines.preprocess.tasks import TRAJECTORY_FILES, Task, check_tables, expected_bytes, tasks_of
from pipelines.preprocess.text_blocks import BLOCK_BYTES
from pipelines.preprocess.totals import Totals
from pipelines.preprocess.uploaded import uploaded
from poke_bc.contract.errors import InputError, ShardError, UsageError
from poke_bc.contract.files import atomic_write
from poke_bc.contract.manifest import MANIFEST, Counts, Manifest
from poke_bc.contract.rows import row_bytes
from poke_bc.version import __version__

STORE = STORE_SUFFIX
"""Name of the store's folder inside the data set's."""
SHARD_BYTES = 256 << 20
CODE = ("poke_bc.contract", "pipelines.decode", "pipelines.preprocess")
"""Code that determines the rows: a change discards the parts of earlier runs."""
ProgressCallback = Callable[[str, int, int | None, int], None]
"""Called with the stage, amount done, total amount (None: unknown), and decisions so far. Amounts are bytes while
reading and decisions while writing."""


@dataclass(frozen=True)
class Preprocessed:
    """The result of a run."""

    manifest: Manifest
    seconds: float
    decoder: str
    """The reader that decoded the text: "arrow", "scanner" or "arrow, then scanner". The rows are the same."""
    advice: str | None = None
    """What the user can do if the scanner was not used."""
    kept: int = 0
    """Decisions that were in the data set already, and did not have to be decoded again."""
    shards_untouched: int = 0
    """Shards that were there already."""
    all_again: str = ""
    """Why nothing of the data set that was there could be kept; empty if something could, or none was there."""

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
            "kept": self.kept,
            "shards_untouched": self.shards_untouched,
            "all_again": self.all_again,
        }


def preprocess(inputs: Inputs, out: str | Path = "data/shards", *, schema: str | Path = "auto",
               workers: int | None = None, max_bad: float = 0.001, limit: int | None = None,
               engine: str = LOCAL, scheduler: str | None = None, work: Path | None = None,
               shard_bytes: int = SHARD_BYTES, block_bytes: int = BLOCK_BYTES,
               progress: ProgressCallback = lambda *_: None) -> Preprocessed:
    """Turn raw trajectories into shards.

    Args:
        inputs: JSONL files (.gz and .zst too), Parquet files, globs, folders, or "-" for standard input.
        out: folder of the data set, or its URL.
        schema: "auto", a shipped schema's name, or a TOML file.
        workers: number of processes; None: one for each processor, once there is enough to do.
        max_bad: maximum fraction of lines that may be quarantined, 0 to 1.
        limit: maximum number of trajectories.
        engine: what runs the tasks, "local" or "dask"; see make_executor.
        scheduler: address of a Dask scheduler, whose workers must see `out` and the input files.
        work: if `out` is a URL, the folder in which it is built before it is uploaded; None: in the user's cache.
        shard_bytes: a shard ends with the first battle that reaches this size.
        block_bytes: size of a block: bytes of text, or of values in Parquet. The bytes of the data set are guaranteed
            for the default only.
        progress: called after each task and each shard.

    Raises:
        InputError, SchemaError, UsageError, ShardError: no incomplete data set is left.
    """
    started = time.monotonic()
    if is_url(out):
        with uploaded(str(out), work) as folder:
            return preprocess(inputs, folder, schema=schema, workers=workers, max_bad=max_bad, limit=limit,
                              engine=engine, scheduler=scheduler, shard_bytes=shard_bytes, block_bytes=block_bytes,
                              progress=progress)
    out = Path(as_path(out))
    if not 0 <= max_bad <= 1 or (workers is not None and workers < 1) or (limit is not None and limit < 1):
        raise UsageError("--max-bad must be between 0 and 1, --workers and --limit at least 1",
                         hint="poke-bc preprocess --help")
    check_engine(engine, scheduler, workers)
    names = find_inputs(inputs, TRAJECTORY_FILES)
    check_tables(names)
    check_ours(out / NAME)
    with open_store(out / STORE, PreprocessReceipt, out, ShardError) as store:
        own = OwnFiles(out, store.job_file("shards"))
        own.check()
        own.sweep()
        kept: dict[int, list[KeptTask]] = {}
        try:
            with contextlib.closing(tasks_of(names, block_bytes, kept)) as all_tasks, contextlib.ExitStack() as stack:
                keys, tasks = observation_keys(names, all_tasks)
                table = choose_schema(schema, keys)
                plan = {"code": code_digest(*CODE), "schema": table.hash, "block_bytes": block_bytes}
                store.follow(plan | {"inputs": names})
                earlier, again = find_earlier(out, plan) if limit is None else (None, "")
                stored = StoredInputs(names)
                kept |= earlier.kept_inputs(stored.digests) if earlier else {}
                memo = EarlierWriter(stack.enter_context(atomic_write(store.job_file("memo"))), plan)
                executor = make_executor(engine, scheduler, workers, store.folder)
                decoder = stack.enter_context(Decoder(_bytes_to_decode(names, earlier), executor.count))
                job = DecodeJob(store, table, decoder, earlier)
                threads = executor.count if executor.count > 1 else 0
                rows = KeptRows(out, earlier.parts) if earlier else None
                with ShardWriter(own, job, max(1, shard_bytes // row_bytes(table)), threads, rows) as shards:
                    with executor:
                        totals = _run_tasks(job, tasks, names, executor, limit, shards, memo, progress)
                    _quarantine(out, job, totals, max_bad)
                    manifest = _commit(own, job, totals, limit, shards, progress)
                memo.finish(manifest.identity, stored.unchanged())
            _replace_memo(store, out, whole=limit is None)
        finally:
            own.sweep()
    return Preprocessed(manifest, time.monotonic() - started, decoder.name, decoder.advice, totals.kept_rows,
                        shards.untouched, again)


def _bytes_to_decode(names: Sequence[str], earlier: Earlier | None) -> int | None:
    """Estimated bytes of text that no earlier run has decoded; None if an input is a pipe."""
    expected = expected_bytes([name for name in names if not is_parquet(name)])
    there = sum(part.size for part in earlier.parts) if earlier else 0
    return None if expected is None else max(0, expected - there)


def _replace_memo(store: PartStore[PreprocessReceipt], out: Path, *, whole: bool) -> None:
    """After the manifest, which alone says what there is; of a run with a limit there is no memo."""
    Earlier.forget()
    if whole:
        store.job_file("memo").replace(out / NAME)
    else:
        (out / NAME).unlink(missing_ok=True)


def _run_tasks(job: DecodeJob, tasks: Iterator[Task | KeptTask], names: Sequence[str], executor: Executor,
               limit: int | None, shards: ShardWriter, memo: EarlierWriter, progress: ProgressCallback) -> Totals:
    """Run the tasks and pass the parts on to `shards`; with a limit, the last part is cut after the last trajectory."""
    sizes = [stored_bytes(name) for name in names]
    total = total_bytes(names)
    before = [0, *accumulate(size or 0 for size in sizes)]
    underway: deque[Task | KeptTask | None] = deque()  # None without a limit, which alone needs them: they carry data

    def remembered() -> Iterator[Task | KeptTask]:
        for task in tasks:
            underway.append(task if limit is not None else None)
            yield task

    totals, decoded = Totals(names), 0
    job.decoder.update(decoded)
    with contextlib.closing(executor.run_in_order(job.run, remembered())) as results:
        for number, (receipt, read, kept) in enumerate(results):
            task = underway.popleft()
            enough = limit is not None and totals.tally.trajectories + receipt.trajectories >= limit
            if enough and limit is not None and isinstance(task, Task):
                receipt = job.cut(number, task, receipt, limit - totals.tally.trajectories)
            place = totals.add(receipt, kept)
            shards.add(number, receipt, place)
            memo.add(receipt, job.read_bad(number, kept), place, read)
            if enough:
                break
            progress("reading", before[receipt.source] + read, total, totals.tally.rows)
            decoded += sum(block.size for block in receipt.blocks) if kept is None else 0
            job.decoder.update(decoded)
    return totals


def _quarantine(out: Path, job: DecodeJob, totals: Totals, max_bad: float) -> None:
    """Write quarantine.jsonl. Raises InputError if too many lines are bad, or no line is good.

    If `out` already holds a data set, its quarantine.jsonl is kept until the new data set is committed.
    """
    path = _pending_quarantine(job.store) if (out / MANIFEST).exists() else out / QUARANTINE
    bad, good = totals.tally.bad, totals.tally.trajectories
    names = ", ".join(totals.inputs[:3]) + (", ..." if len(totals.inputs) > 3 else "")
    if not bad and not good:
        raise InputError(f"{names}: empty, not one trajectory", hint="one JSON object a line; see docs/format.md")
    if bad:
        with atomic_write(path) as file:
            for number, part in enumerate(totals.parts):
                for line in job.read_bad(number, part.kept) if part.bad else ():
                    place = {"file": totals.inputs[part.source], "line": part.first_line + line.line}
                    byte = {} if line.byte is None else {"byte": line.byte}
                    entry = {**place, **byte, "path": line.path, "reason": line.reason}
                    file.write(json.dumps(entry, ensure_ascii=False).encode(errors="backslashreplace") + b"\n")
    else:
        path.unlink(missing_ok=True)
    if bad > max_bad * (good + bad) or not good:
        reason, count = max(totals.tally.reasons.items(), key=lambda item: item[1])
        limit = f", more than --max-bad {max_bad:g}" if good else ""
        raise InputError(f"{names}: {bad:,} of {good + bad:,} lines are not trajectories{limit}; "
                         f"most often ({count:,}): {reason}",
                         hint=_what_to_do(path, job.store.folder, good))


def _what_to_do(quarantine: Path, store: Path, good: int) -> str:
    """A hint that names only what stays: the store is removed if no line is good."""
    if not good:
        kept = f"{quarantine} names each line; " if quarantine.parent != store else ""
        return f"{kept}expected is one trajectory a line, as poke-bc convert writes it (docs/format.md)"
    return (f"see {quarantine} for each line, then fix them or raise --max-bad (finished tasks are kept in {store} for "
            "the next run)")


def _pending_quarantine(store: PartStore[PreprocessReceipt]) -> Path:
    return store.job_file("quarantine")


def _commit(own: OwnFiles, job: DecodeJob, totals: Totals, limit: int | None, shards: ShardWriter,
            progress: ProgressCallback) -> Manifest:
    written = 0

    def report(rows: int) -> None:
        nonlocal written
        written += rows
        progress("writing", written, totals.tally.rows, totals.tally.rows)

    entries, battles, duplicates = shards.finish(report)
    tally, labels = totals.tally, totals.tally.labels
    manifest = Manifest(
        schema=totals.sized(job.schema), shards=entries, sources=totals.sources(), producer=__version__, limit=limit,
        counts=Counts(
            battles=battles, trajectories=tally.trajectories, duplicates=duplicates, decisions=tally.rows,
            observed=labels["observed"], censored=labels["censored"], unlabelled=labels["unlabelled"],
            with_legal=labels["with_legal"], quarantined=most_common(tally.reasons),
            unknown_keys=most_common(tally.unknown), present=dict(sorted(tally.present.items()))))
    own.replace_data_set()
    manifest.write(own.folder)
    if not tally.bad:
        (own.folder / QUARANTINE).unlink(missing_ok=True)
    elif (pending := _pending_quarantine(job.store)).exists():
        pending.replace(own.folder / QUARANTINE)
    return manifest
