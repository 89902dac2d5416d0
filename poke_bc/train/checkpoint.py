"""Checkpoints: everything a run needs to continue exactly, written completely or not at all.

    RUN/checkpoints/step-00000500/
        policy/                       the policy to share, see policy/store.py
        training_state/state.pt       step, position, best so far, optimizer, random states, sums of the metrics;
                                      where weights are averaged, those of the last step
        training_state/config.toml    the settings it was trained with
        digests.json                  xxh3 of every file above, and of metrics.jsonl as it was then
    RUN/last, RUN/best                links to two of them

A checkpoint is written under a temporary name and renamed; then `last` is moved to it. Killed at any moment, `last`
names a complete checkpoint. One that was damaged later is set aside as `step-00000500.damaged`, and the one before is
resumed. Only folders with the exact name of a checkpoint are ever removed.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from torch import Tensor
from torch.optim import Optimizer

from poke_bc.contract.errors import RunError
from poke_bc.contract.files import (
    TEMPORARY,
    checksum_holds,
    checksummed,
    digest,
    digest_file,
    fsync_folder,
    is_inside,
    remove_temporaries,
    temporary_name,
    write_json,
)
from poke_bc.policy import Policy, load_policy, save_policy
from poke_bc.train.average import Average
from poke_bc.train.config import TrainConfig
from poke_bc.train.state import Progress, apply_state, generators_in, random_states, read_state, write_state
from poke_bc.train.terminal import warn
from poke_bc.train.trackers import METRICS_FILE

FOLDER, LAST, BEST = "checkpoints", "last", "best"
STATE, DIGESTS = "training_state/state.pt", "digests.json"
_STEP = re.compile(r"step-(\d{8,})")
_UNFINISHED = re.compile(rf"{re.escape(TEMPORARY)}[0-9a-f]{{8}}-(?:{_STEP.pattern}|{LAST}|{BEST})")


class Checkpoints:
    """The checkpoints of one run.

    Args:
        run: the run's folder.
        keep: number of latest checkpoints to keep, in addition to the best.
    """

    def __init__(self, run: Path, keep: int = 1) -> None:
        self.run = run
        self.keep = keep
        self.generators: Sequence[Mapping[str, Any]] = ()
        """Random states of each rank in the checkpoint that was loaded."""

    def save(self, progress: Progress, policy: Policy, optimizer: Optimizer, sums: Tensor, config: TrainConfig, *,
             card: Mapping[str, Any], average: Average | None = None,
             generators: Sequence[Mapping[str, Any]] = ()) -> None:
        """Write a checkpoint, move `last` and `best`, and remove old ones.

        Args:
            progress, policy, optimizer, sums: the state of the run; `sums` are the running sums of the metrics.
            config: the settings it was trained with.
            card: facts for the policy's model card.
            average: of the policy's weights, which is then the policy to share.
            generators: random states of each rank; none: those of this process.
        """
        final = self._folder(progress.step)
        temporary = temporary_name(final)
        try:
            with contextlib.nullcontext() if average is None else average.applied():
                save_policy(policy, temporary / "policy", card)
            write_state(temporary / STATE, progress, optimizer, sums, average, generators or [random_states()])
            config.write((temporary / STATE).parent)
            _write_digests(temporary, self.run / METRICS_FILE)
            temporary.rename(final)
            fsync_folder(final.parent)
            self._link(LAST, progress.step)
            if progress.best_step is not None:
                self._link(BEST, progress.best_step)
            self._prune()
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def steps(self) -> dict[int, Path]:
        """Step -> folder of each checkpoint, ascending; whatever else lies there is none of ours."""
        found = {int(match[1]): path for path in (self.run / FOLDER).glob("step-*")
                 if (match := _STEP.fullmatch(path.name)) and (path / DIGESTS).is_file()}
        return dict(sorted(found.items()))

    def any(self) -> bool:
        """Whether this run has a checkpoint."""
        return self._named(LAST) is not None or bool(self.steps())

    def last(self) -> Path:
        """The folder of the last checkpoint: what `last` names, or the newest if it names none."""
        return self._named(LAST) or [*self.steps().values()][-1]

    def settings(self) -> TrainConfig:
        """The settings of the run: of its last checkpoint, or, before the first, in its config.toml.

        Raises RunError if config.toml is not as it was written.
        """
        if not self.any():
            if not TrainConfig.is_intact(self.run):
                raise RunError(f"{self.run}: its config.toml was edited or damaged, and it has no checkpoint yet",
                               hint="nothing is lost if you start it again: leave out --resume")
            return TrainConfig.read(self.run)
        return TrainConfig.read((self.last() / STATE).parent)

    def set_damaged_aside(self) -> None:
        """Make an intact checkpoint the last one, and tell of each later one, which is renamed.

        Raises RunError if no checkpoint is intact.
        """
        if not self.any():
            return
        last, damaged = self.last(), []
        for folder in (last, *reversed([path for path in self.steps().values() if _step(path) < _step(last)])):
            if not (problems := damage(folder)):
                break
            damaged.append((folder, problems[0]))
        else:
            raise RunError(f"{damaged[0][1]}; there is no earlier checkpoint that is intact",
                           hint="copy the run again from where it is intact, or train again in another --run")
        with writing(self.run):
            if damaged:
                self._link(LAST, _step(folder))
            for each, problem in damaged:
                aside = each.with_name(f"{each.name}.damaged")
                shutil.rmtree(aside, ignore_errors=True)
                each.rename(aside)
                warn(f"{problem}; set aside as {aside.name}, continuing from {folder.name}")

    def load(self, policy: Policy, optimizer: Optimizer, sums: Tensor, average: Average | None = None) -> Progress:
        """Load the last checkpoint into `policy`, `optimizer`, `sums`, `average` and torch's generators.

        Later checkpoints, left by a killed session, are removed. Raises RunError if it was trained on other data than
        `policy.trained_on`, or does not fit.
        """
        folder = self.last()
        saved = load_policy(folder / "policy")
        before, now = (msgspec.to_builtins(each.trained_on) or {} for each in (saved, policy))
        changed = [f"{name} was {before.get(name)}, is {now.get(name)}" for name in ("data", "split", "decisions")
                   if before.get(name) != now.get(name)]
        if changed:
            raise RunError(f"{self.run}: cannot resume with other data: {'; '.join(changed)}",
                           hint="give the --shards it was trained on; to learn from these with its weights, start "
                                f"another --run with --init-from {self.run}")
        progress, state = read_state(folder / STATE)
        self._discard_beyond(progress)
        self._link(LAST, progress.step)
        if progress.best_step is not None:
            self._link(BEST, progress.best_step)
        policy.load_state_dict(saved.state_dict())
        policy.trained_on = saved.trained_on
        self.generators = generators_in(state)
        apply_state(folder / STATE, state, optimizer, sums, average)
        return progress

    def _discard_beyond(self, progress: Progress) -> None:
        """Remove what a killed session wrote after `progress`."""
        for path in [*(self.run / FOLDER).iterdir(), *self.run.iterdir()]:
            if path.is_dir() and _UNFINISHED.fullmatch(path.name):
                _remove(path)
        remove_temporaries(self.run)
        for step, path in self.steps().items():
            if step > progress.step:
                _remove(path)

    def _folder(self, step: int) -> Path:
        return self.run / FOLDER / f"step-{step:08d}"

    def _named(self, name: str) -> Path | None:
        """The checkpoint that `last` or `best` names. Where a copy followed the link, it is a folder with the
        digests of that checkpoint."""
        link = self.run / name
        if link.is_symlink():
            named = self.run / FOLDER / link.readlink().name
            return named if named.is_dir() else None
        with contextlib.suppress(OSError):
            digests = (link / DIGESTS).read_bytes()
            return next((path for path in self.steps().values() if (path / DIGESTS).read_bytes() == digests), None)
        return None

    def _link(self, name: str, step: int) -> None:
        link = self.run / name
        if not self._folder(step).is_dir():  # the best one so far, which gave way to a better one that is damaged now
            if link.is_symlink():
                link.unlink()
            return
        if not link.is_symlink() and self._named(name) is not None:  # a copy of a checkpoint that is here as well
            _remove(link)
        temporary = temporary_name(link)
        try:
            temporary.symlink_to(Path(FOLDER) / self._folder(step).name)
        except OSError:  # Windows lets few users make links: a copy then
            shutil.copytree(self._folder(step), temporary)
        temporary.replace(link)
        fsync_folder(self.run)

    def _prune(self) -> None:
        kept = {self._named(LAST), self._named(BEST)}
        for path in [*self.steps().values()][: -self.keep]:
            if path not in kept:
                _remove(path)


def _step(folder: Path) -> int:
    """Of the name of a checkpoint."""
    return int(folder.name.partition("-")[2])


def damage(folder: Path) -> list[str]:
    """What is wrong with the files of a checkpoint, one line each; empty if every digest matches."""
    try:
        digests = json.loads((folder / DIGESTS).read_bytes())
        names: dict[str, str] = digests["files"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return [f"{folder / DIGESTS}: missing or damaged"]
    if not checksum_holds(digests) or not all(map(is_inside, names)):
        return [f"{folder / DIGESTS}: damaged, its digest does not match"]
    return [f"{folder / name}: missing, or damaged (its digest does not match)" for name, expected in names.items()
            if not (folder / name).is_file() or digest_file(folder / name) != expected]


def metrics_hold(run: Path, folder: Path) -> bool:
    """Whether the lines of metrics.jsonl that a checkpoint in `folder` vouches for are as they were."""
    recorded: dict[str, Any] = json.loads((folder / DIGESTS).read_bytes())["metrics"]
    return _metrics_digest(run / METRICS_FILE, recorded["bytes"]) == recorded


@contextlib.contextmanager
def writing(run: Path) -> Iterator[None]:
    """Context that turns a full disk or a lack of permissions into a RunError."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{run}: cannot be written ({error.strerror})",
                       hint="free some space or check its permissions, then continue with --resume") from None


def _write_digests(folder: Path, metrics: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    write_json(folder / DIGESTS, checksummed({
        "files": {path.relative_to(folder).as_posix(): digest_file(path) for path in files},
        "metrics": _metrics_digest(metrics)}))


def _metrics_digest(path: Path, size: int | None = None) -> dict[str, Any]:
    """Size and digest of metrics.jsonl, or of its first `size` bytes; a missing file counts as empty."""
    if not path.exists():
        return {"bytes": 0, "xxh3": digest(b"")}
    length = path.stat().st_size
    size = length if size is None else min(size, length)
    return {"bytes": size, "xxh3": digest_file(path, size)}


def _remove(path: Path) -> None:
    """Remove a checkpoint, renaming it first so that a half-removed one is never found."""
    doomed = temporary_name(path)
    with contextlib.suppress(OSError):
        path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
