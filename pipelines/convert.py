"""convert: Showdown battles -> trajectories, in two passes over the input.

    first     what each battle shows of the teams, gathered into the corpus; which battles are wanted
    second    trajectories, with what the corpus says about what a battle never showed

    OUT.parts/     blocks that are finished, for a run that goes on after this one; removed when all is done
    OUT            appears when it is whole

The bytes of OUT depend on the input and the options alone. Killed at any moment, OUT is what it was before.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipelines.battles.blocks import (
    DUPLICATE,
    LEFT_OUT,
    LOW_RATING,
    NO_RATING,
    OTHER_FORMAT,
    RENAMED,
    WANTED,
    Block,
    Conversion,
    Looked,
    Receipt,
    Work,
    Workshop,
    add_up,
    blocks_of,
    note,
)
from pipelines.battles.files import find_battle_files, is_same_file
from pipelines.battles.folder import OUTPUT_ENDINGS, keep_only_this_plan, open_parts, publish, spool, writing
from pipelines.battles.names import Hiding, find_salt
from pipelines.engine import Workers, default_workers
from pipelines.sources import STDIN
from poke_bc.contract.errors import InputError, UsageError
from poke_bc.contract.files import digest_file
from poke_bc.dex import to_id

_SMALL = 128 << 10
"""Bytes of input, mostly compressed, below which starting processes takes longer than converting."""

ProgressCallback = Callable[[str, int, int, int], None]
"""Told (stage, bytes of input done, bytes in all, battles so far)."""


@dataclass
class ConvertSummary:
    """What a run did."""

    battles: int = 0
    """Found in the input, whatever became of them."""
    converted: int = 0
    trajectories: int = 0
    decisions: int = 0
    labels: dict[str, int] = field(default_factory=dict)
    """observed, censored, none -> decisions."""
    exact_views: int = 0
    """Trajectories made with the player's own requests: nothing in them is inferred."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Not asked for: other format, rating below, rating unknown."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Could not be converted: reason -> battles, most frequent first."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """Reason -> where the first few are."""
    bytes: int = 0
    """Of the output before compression."""
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "battles": self.battles,
            "converted": self.converted,
            "trajectories": self.trajectories,
            "decisions": self.decisions,
            "labelled": self.labels.get("observed", 0),
            "censored": self.labels.get("censored", 0),
            "unlabelled": self.labels.get("none", 0),
            "exact_views": self.exact_views,
            "left_out": self.left_out,
            "skipped": self.skipped,
            "examples": self.examples,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 3),
            "battles_per_s": round(self.converted / self.seconds, 1) if self.seconds else 0.0,
        }


def convert_battles(inputs: Sequence[str | Path], out: str | Path, *, formats: Sequence[str] = (),
                    min_rating: int | None = None, workers: int | None = None, keep_names: bool = False,
                    salt: str | None = None, limit: int | None = None, conversion: Conversion | None = None,
                    progress: ProgressCallback = lambda *_: None) -> ConvertSummary:
    """Turn Showdown battles into raw trajectories, those of p1 and p2 of each battle in the order of the input.

    Args:
        inputs: files of any shape (see battles/files.py), folders, globs, or "-" for stdin.
        out: JSONL file, compressed by its ending (.zst, .gz), or "-" for stdout.
        formats: only battles of these formats ("gen9ou"); none: all.
        min_rating: only battles whose lower rated player has at least this; unknown ratings are left out then.
        workers: processes; None: one for each processor, none extra where the input is small.
        keep_names: leave user names as they are.
        salt: of the pseudonyms; None: see battles.names.find_salt.
        limit: only the first so many battles of those asked for.
        conversion: the steps, for tests; None: those of poke_bc.showdown.
        progress: told how far it is.

    Raises:
        InputError, UsageError: the two-line errors; the output is as it was.
    """
    started = time.monotonic()
    if any(number is not None and number < 1 for number in (workers, limit)):
        raise UsageError("needs --workers >= 1 and --limit >= 1", hint="poke-bc convert --help")
    target = None if str(out) == STDIN else Path(out)
    _check_output(target)
    sources = find_battle_files(inputs, without=target)
    if clash := next((name for name in sources if is_same_file(name, target)), None):
        raise UsageError(f"{clash}: input and output are one file", hint="choose another --out")
    wanted = frozenset(map(to_id, formats))
    hiding = Hiding(None if keep_names else find_salt(salt))
    conversion = conversion or _real_conversion()
    with open_parts(target) as parts:
        workshop = Workshop(parts, parts / "corpus", hiding, wanted, min_rating, conversion)
        keep_only_this_plan(workshop)
        sources = spool(sources, parts)
        run = _Run(workshop, sources, workers, limit, progress)
        with Workers(run.workers, conversion.corpus) as processes:
            chosen = run.look(processes)
            _refuse_nothing(run.summary, chosen, inputs, wanted, min_rating)
            run.make(processes, chosen, target)
        _refuse_nothing(run.summary, chosen if run.summary.trajectories else [], inputs, wanted, min_rating)
        if target is not None:
            publish(parts, target)
    run.summary.seconds = time.monotonic() - started
    return run.summary


def _check_output(target: Path | None) -> None:
    if target is None:
        return
    if target.is_dir():
        raise UsageError(f"{target}: a folder, the output is one file", hint=f"--out {target / 'raw.jsonl.zst'}")
    if not target.name.endswith(OUTPUT_ENDINGS):
        raise UsageError(f"{target}: not an ending of what convert writes", hint=f"one of {', '.join(OUTPUT_ENDINGS)}")


def _real_conversion() -> Conversion:
    from poke_bc.showdown.convert import convert, first_pass
    from poke_bc.showdown.corpus import Corpus

    return Conversion(first_pass, convert, Corpus)


class _Run:
    """Both passes over the same blocks."""

    def __init__(self, workshop: Workshop, sources: Sequence[str], workers: int | None, limit: int | None,
                 progress: ProgressCallback) -> None:
        self.workshop, self.sources, self.limit, self.progress = workshop, sources, limit, progress
        self.sizes = [Path(name).stat().st_size for name in sources]
        self.workers = workers or (1 if sum(self.sizes) <= _SMALL else default_workers())
        self.summary = ConvertSummary()

    def look(self, processes: Workers) -> list[tuple[bytes, str]]:
        """First pass. Which battles of each block are wanted, and the block's digest; the corpus is saved."""
        corpus = self.workshop.conversion.corpus()
        ids: set[str] = set()
        battles: set[str] = set()
        chosen: list[tuple[bytes, str]] = []
        wanted = 0
        results = processes.run_in_order(self.workshop.look, blocks_of(self.sources, self.sizes))
        with contextlib.closing(results):
            for looked in results:
                here = bytearray(len(looked.battles))
                for at in self._judge(looked, battles):
                    if wanted == self.limit:
                        break
                    battle = looked.battles[at]
                    here[at] = RENAMED if battle.id_hash in ids else WANTED
                    ids.add(battle.id_hash)
                    battles.add(battle.lines_hash)
                    wanted += 1
                    corpus.add(battle.revealed)
                chosen.append((bytes(here), looked.xxh3))
                self.progress("looking", looked.progress, 2 * sum(self.sizes), self.summary.battles)
                if wanted == self.limit:
                    break
        corpus.save(self.workshop.corpus)
        self._tidy()
        return chosen

    def _judge(self, looked: Looked, known: set[str]) -> Iterator[int]:
        """Places of the battles that can be converted; what becomes of the others is counted."""
        left_out, skipped = self.summary.left_out, self.summary.skipped
        for at, battle in enumerate(looked.battles):
            if battle.reason in LEFT_OUT:
                self.summary.battles += 1
                left_out[battle.reason] = left_out.get(battle.reason, 0) + 1
                continue
            reason = DUPLICATE if battle.lines_hash and battle.lines_hash in known else battle.reason
            if not reason:
                yield at  # not to be counted where the limit is reached
            else:
                skipped[reason] = skipped.get(reason, 0) + 1
                note(self.summary.examples, reason, battle.place, battle.detail)
            self.summary.battles += 1

    def make(self, processes: Workers, chosen: Sequence[tuple[bytes, str]], target: Path | None) -> None:
        """Second pass: write the trajectories, under the target's name in the folder of parts."""
        corpus = digest_file(self.workshop.corpus)
        total = sum(self.sizes)

        def work() -> Iterator[Work]:
            blocks: Iterator[Block] = blocks_of(self.sources, self.sizes)
            for block, (wanted, xxh3) in zip(blocks, chosen, strict=False):
                if any(wanted):
                    numbers.append(block.number)
                    yield Work(block, wanted, xxh3, corpus)

        numbers: list[int] = []
        receipts: list[Receipt] = []
        results = processes.run_in_order(self.workshop.make, work())
        with contextlib.closing(results), writing(self.workshop.parts, target) as write:
            for receipt, done in results:
                write(self.workshop.read_part(numbers[len(receipts)], receipt))
                receipts.append(receipt)
                self.summary.converted += receipt.converted
                self.progress("converting", total + done, 2 * total, self.summary.converted)
        self._add_up(receipts)

    def _add_up(self, receipts: Sequence[Receipt]) -> None:
        summary = self.summary
        for name in ("trajectories", "decisions", "exact_views", "bytes"):
            setattr(summary, name, sum(getattr(receipt, name) for receipt in receipts))
        summary.labels = add_up(receipt.labels for receipt in receipts)
        summary.skipped = add_up([summary.skipped, *(receipt.reasons for receipt in receipts)])
        for receipt in receipts:
            for reason, places in receipt.examples.items():
                for place in places:
                    note(summary.examples, reason, place, "")
        self._tidy()

    def _tidy(self) -> None:
        self.summary.left_out = add_up([self.summary.left_out])
        self.summary.skipped = add_up([self.summary.skipped])


def _refuse_nothing(summary: ConvertSummary, chosen: Sequence[tuple[bytes, str]], inputs: Sequence[str | Path],
                    formats: frozenset[str], min_rating: int | None) -> None:
    """Raises InputError where no battle is left, with the commonest reason."""
    if any(any(wanted) for wanted, _ in chosen):
        return
    names = ", ".join(map(str, inputs[:3])) + (", ..." if len(inputs) > 3 else "")
    nothing = f"{names}: none of {summary.battles:,} battles"
    for key, asked, hint in ((OTHER_FORMAT, f"of format {', '.join(sorted(formats))}", "see each replay's formatid"),
                             (LOW_RATING, f"rated {min_rating} or more", "lower --min-rating"),
                             (NO_RATING, "known to be rated", "leave --min-rating away")):
        if summary.left_out and not summary.skipped and key == next(iter(summary.left_out)):
            raise InputError(f"{nothing} is {asked}", hint=hint)
    reason, count = next(iter((add_up([summary.skipped, summary.left_out])).items()), ("no file holds one", 0))
    example = next(iter(summary.examples.get(reason, ())), "")
    raise InputError(f"{nothing} could be converted; most often ({count:,}): {reason}"
                     + (f" ({example})" if example else ""),
                     hint="give replays as JSON, logs, saved pages or Parquet; see docs/format.md")
