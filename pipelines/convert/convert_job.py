"""convert: Showdown battles -> trajectories, in two passes.

    first     read all battles; gather what each reveals into the corpus; choose which are converted
    second    make trajectories, with the corpus filling in what a battle never showed

    OUT.parts/     finished tasks, for a run that continues this one; removed at the end
    OUT            appears when it is complete
    OUT.memo       what the next run into the same output takes over (earlier.py)

The bytes of OUT depend on the input and the options alone. If the run is killed at any moment, OUT is unchanged.
"""

from __future__ import annotations

import contextlib
import io
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

import pyarrow as pa
import xxhash

from pipelines.convert.battle_files import BATTLE_FILES
from pipelines.convert.copies import Copies, Copy
from pipelines.convert.earlier import Earlier, EarlierWriter, Written, find_earlier, memo_path
from pipelines.convert.filters import Filters
from pipelines.convert.passes import CHOSEN, RENAMED, ConvertJob, ConvertReceipt, ConvertTask, raw_tasks
from pipelines.convert.pseudonyms import Pseudonyms, find_salt
from pipelines.convert.records import TRAJECTORY
from pipelines.convert.summary import FILTERED, ConvertSummary, most_frequent
from pipelines.convert.trajectories import Conversion
from pipelines.jobs.engines import LOCAL, check_engine, make_executor
from pipelines.jobs.executor import Executor
from pipelines.jobs.inputs import STDIN, Inputs, find_inputs, is_same_file, stored_bytes, total_bytes
from pipelines.jobs.memo import check_ours
from pipelines.jobs.store import STORE_SUFFIX, PartStore, code_digest, open_store
from pipelines.jobs.streams import COMPRESSION, by_ending
from pipelines.jobs.urls import as_path, built_locally, is_url, upload
from poke_bc.contract.errors import InputError, UsageError
from poke_bc.contract.files import atomic_write, digest_file, fsync_folder
from poke_bc.showdown.consulted import Consultation, agrees
from poke_bc.showdown.convert import convert, first_pass
from poke_bc.showdown.corpus import Corpus, RevealedSets

ENDINGS = tuple(f"{plain}{packed}" for plain in (".jsonl", ".ndjson") for packed in ("", *COMPRESSION))
CODE = ("poke_bc.showdown", "poke_bc.dex", "poke_bc.contract", "pipelines.convert")
"""Code that determines the output: a change discards the parts of earlier runs."""
SHOWDOWN = Conversion(first_pass, convert, Corpus, RevealedSets, Consultation, agrees)

ProgressCallback = Callable[[str, int, int | None, int], None]
"""Called with the stage, bytes of input done, total bytes (None: unknown), and battles so far."""


def convert_battles(inputs: Inputs, out: str | Path, *, formats: Sequence[str] = (),
                    min_rating: int | None = None, since: str | None = None, until: str | None = None,
                    players: Sequence[str] = (), winner: str | None = None, workers: int | None = None,
                    keep_names: bool = False, salt: str | None = None, limit: int | None = None,
                    engine: str = LOCAL, scheduler: str | None = None, work: Path | None = None,
                    conversion: Conversion | None = None,
                    progress: ProgressCallback = lambda *_: None) -> ConvertSummary:
    """Convert Showdown battles to raw trajectories: p1's and p2's of each battle, in the order of the input.

    Args:
        inputs: files in any form (see battle_files.py), folders, globs, or "-" for standard input.
        out: JSONL file, compressed according to its ending (.zst, .gz), its URL, or "-" for standard output.
        formats: only battles of these formats ("gen9ou"); empty: all.
        min_rating: only battles in which both players have at least this rating; excludes unknown ratings.
        since, until: only battles from this day, month or year on, and up to it ("2024-05-31", "2024-05").
        players: only battles of one of these.
        winner: only battles that this player won.
        workers: number of processes; None: one for each processor, once there is enough to do.
        keep_names: do not replace user names.
        salt: salt of the pseudonyms; None: see pseudonyms.find_salt.
        limit: convert at most this many of the battles that match the other options.
        engine: what runs the tasks, "local" or "dask"; see make_executor.
        scheduler: address of a Dask scheduler, whose workers must see the folder of `out`.
        work: if `out` is a URL, the folder in which it is built before it is uploaded; None: in the user's cache.
        conversion: the steps, for tests; None: those of poke_bc.showdown.
        progress: called after each task.

    Raises:
        InputError, UsageError, ShardError: the output is unchanged.
    """
    started = time.monotonic()
    if any(number is not None and number < 1 for number in (workers, limit)):
        raise UsageError("--workers and --limit must be at least 1", hint="poke-bc convert --help")
    check_engine(engine, scheduler, workers)
    if is_url(out):
        _check_output(Path(out))
        names = find_inputs(inputs, BATTLE_FILES, output=out)
        if str(out) in names:
            raise UsageError(f"{out}: is both input and output", hint="choose another --out")
        with built_locally(str(out), work) as built:
            summary = convert_battles(
                names, built, formats=formats, min_rating=min_rating, since=since, until=until, players=players,
                winner=winner, workers=workers, keep_names=keep_names, salt=salt, limit=limit, engine=engine,
                scheduler=scheduler, conversion=conversion, progress=progress)
            upload(built.parent, [built.name], str(out).rpartition("/")[0])
        return summary
    target = None if str(out) == STDIN else Path(as_path(out))
    _check_output(target)
    names = list(dict.fromkeys(find_inputs(inputs, BATTLE_FILES, output=target)))
    if clash := next((name for name in names if is_same_file(name, target)), None):
        raise UsageError(f"{clash}: is both input and output", hint="choose another --out")
    pseudonyms = Pseudonyms(None if keep_names else find_salt(salt))
    filters = Filters.of(pseudonyms, formats=formats, min_rating=min_rating, since=since, until=until, players=players,
                         winner=winner)
    conversion = conversion or SHOWDOWN
    with _store(target) as store:
        compression = (by_ending(target) if target is not None else None) or "zstd"
        job = ConvertJob(store, compression, pseudonyms, filters, conversion)
        plan = _plan(job)
        store.follow(plan)
        again = ""
        if target is not None:
            earlier, again = find_earlier(target, plan, is_packed=by_ending(target) is not None,
                                          revealed=conversion.revealed)
            job = replace(job, earlier=earlier)
        run = _Run(job, names, limit, progress)
        run.summary.all_again = again
        with (make_executor(engine, scheduler, workers, store.folder, conversion.corpus) as executor,
              atomic_write(store.job_file("memo")) as file):
            run.both_passes(executor, EarlierWriter(file, plan), target)
        if target is not None:
            Earlier.close()
            _publish(store, target)
    run.summary.seconds = time.monotonic() - started
    return run.summary


def _check_output(target: Path | None) -> None:
    if target is None:
        return
    if target.is_dir():
        raise UsageError(f"{target}: a folder, but the output is one file", hint=f"--out {target / 'raw.jsonl.zst'}")
    if not target.name.endswith(ENDINGS):
        raise UsageError(f"{target}: unknown ending for the output", hint=f"one of {', '.join(ENDINGS)}")
    check_ours(memo_path(target))


def _no_results(summary: ConvertSummary, names: Sequence[str], job: ConvertJob) -> InputError:
    """The error for a run without any trajectory, with the most frequent reason."""
    none = f"{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}: none of {summary.battles:,} battles"
    reasons = most_frequent(summary.skipped, summary.left_out)
    reason = next(iter(reasons), "")
    if reason in FILTERED and not summary.skipped:
        what, hint = job.filters.none_left(reason, summary.other_formats)
        return InputError(f"{none} is {what}", hint=hint)
    example = next(iter(summary.examples.get(reason, ())), "")
    return InputError(f"{none} could be converted; most often ({reasons[reason]:,}): {reason}"
                      + (f" ({example})" if example else ""),
                      hint=f"poke-bc preprocess {names[0]}" if reason == TRAJECTORY else
                      "give replays as JSON, logs, saved pages or Parquet; see docs/format.md")


@contextlib.contextmanager
def _store(target: Path | None) -> Iterator[PartStore[ConvertReceipt]]:
    """The store next to the output; for standard output a temporary folder, from which no run can resume."""
    if target is None:
        with tempfile.TemporaryDirectory(prefix="poke-bc-") as folder:
            yield PartStore(Path(folder), ConvertReceipt)
    else:
        with open_store(target.with_name(target.name + STORE_SUFFIX), ConvertReceipt, target, InputError) as store:
            yield store


def _plan(job: ConvertJob) -> dict[str, object]:
    steps = job.conversion.first_pass, job.conversion.convert, job.conversion.corpus
    return {"code": code_digest(*CODE), "compression": job.compression,
            "filters": job.filters.to_dict(), "names": job.pseudonyms.fingerprint,
            "steps": [f"{step.__module__}.{step.__qualname__}" for step in steps]}


class _Run:
    """Both passes over the same tasks."""

    def __init__(self, job: ConvertJob, names: Sequence[str], limit: int | None, progress: ProgressCallback) -> None:
        self._job, self._names, self._limit, self._progress = job, names, limit, progress
        self._total = total_bytes(names)
        self.summary = ConvertSummary()
        self._needed: dict[int, list[ConvertTask]] = {}
        """Task -> tasks without a chosen battle whose other records it is the last to need."""

    def _report(self, stage: str, done: int, battles: int) -> None:
        self._progress(stage, done, None if self._total is None else 2 * self._total, battles)

    def both_passes(self, executor: Executor, memo: EarlierWriter, target: Path | None) -> None:
        """Raises InputError for a run without any trajectory."""
        tasks = self._first_pass(executor, memo)
        if tasks:
            self._second_pass(executor, tasks, memo, target)
        if not self.summary.trajectories:
            raise _no_results(self.summary, self._names, self._job)
        memo.finish()

    def _first_pass(self, executor: Executor, memo: EarlierWriter) -> list[ConvertTask]:
        """Read all battles and save the corpus. Returns the tasks in which battles were chosen."""
        corpus = self._job.conversion.corpus()
        copies, chosen_battles = Copies(), 0
        tasks: list[ConvertTask] = []
        raw = raw_tasks(self._names, [stored_bytes(name) for name in self._names])
        with contextlib.closing(executor.run_in_order(self._job.first_pass, raw)) as results:
            for task, battles in results:
                memo.add_reports(task.keys, self._job.take_reports(task.number))
                chosen = bytearray(len(battles))
                needed_by = -1
                for place, battle in enumerate(battles):
                    first = copies.first(battle.identity) if battle.identity else None
                    if battle.identity and first is None and chosen_battles == self._limit:
                        break
                    self.summary.battles += 1
                    if battle.identity is None:
                        self.summary.leave_out(battle.reason, battle.detail, battle.place)
                    elif first is not None:
                        copies.add(first, Copy(task.number, place, battle.place, battle.players, task.keys[place],
                                                task.kept))
                        needed_by = max(needed_by, first[0])
                    else:
                        is_new = copies.choose(battle.identity, (task.number, place))
                        chosen[place] = CHOSEN if is_new else RENAMED
                        chosen_battles += 1
                        corpus.add(battle.revealed)
                if any(chosen):
                    tasks.append(replace(task, chosen=bytes(chosen)))
                elif needed_by >= 0:
                    self._needed.setdefault(needed_by, []).append(task)
                else:
                    self._job.forget(task)
                self._report("reading battles", task.progress, self.summary.battles)
                if chosen_battles == self._limit:
                    break
        corpus.save(self._job.corpus_path)
        xxh3 = digest_file(self._job.corpus_path)
        return [replace(task, corpus=xxh3, copies=copies.of_task(task.number)) for task in tasks]

    def _second_pass(self, executor: Executor, tasks: Sequence[ConvertTask], memo: EarlierWriter,
                     target: Path | None) -> None:
        """Write the trajectories in order, to standard output or to a file of the store."""
        plain, offset = target is None or by_ending(target) is None, 0
        with (contextlib.closing(executor.run_in_order(self._job.second_pass, tasks)) as results,
              atomic_write(self._job.store.job_file("output")) if target is not None else _stdout() as output):
            for task, (receipt, progress) in zip(tasks, results, strict=True):
                body = self._job.store.body(task.number)
                length, xxh3 = _append(body, output, unpack=plain)
                memo.add_written(task.number, Written(offset, length, xxh3, receipt.outcomes))
                offset += length
                for done in (task, *self._needed.get(task.number, ())):
                    self._job.forget(done)
                self.summary.add(receipt.summary)
                self._report("converting", (self._total or 0) + progress, self.summary.converted)


def _publish(store: PartStore[ConvertReceipt], target: Path) -> None:
    """OUT first: the memo is not trusted where it does not fit OUT."""
    store.job_file("output").replace(target)
    store.job_file("memo").replace(memo_path(target))
    fsync_folder(target.parent)


@contextlib.contextmanager
def _stdout() -> Iterator[IO[bytes]]:
    with open(1, "wb", closefd=False) as output:  # not sys.stdout, where messages go
        yield output


def _append(body: bytes, output: IO[bytes], *, unpack: bool) -> tuple[int, str]:
    """Add a part to the output; compressed parts are added as they are, since frames can be concatenated.

    Returns the bytes added, and their digest.
    """
    length, state = 0, xxhash.xxh3_64()
    with pa.CompressedInputStream(pa.BufferReader(body), "zstd") if unpack and body else io.BytesIO(body) as text:
        while chunk := text.read(1 << 20):
            output.write(chunk)
            state.update(chunk)
            length += len(chunk)
    return length, state.hexdigest()
