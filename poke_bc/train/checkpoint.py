"""Checkpoints: everything a run needs to continue exactly, written completely or not at all.

    RUN/checkpoints/step-00000500/
        policy/                       the policy to share, see policy/store.py
        training_state/state.pt       step, position, best so far, optimizer, random states, sums of the metrics
        digests.json                  xxh3 of every file above
    RUN/last, RUN/best                links to two of them

A checkpoint is written under a temporary name and renamed; then `last` is moved to it. Killed at any moment, `last`
names a complete checkpoint.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor
from torch.optim import Optimizer

from poke_bc.contract.errors import RunError
from poke_bc.contract.files import (
    TEMPORARY,
    atomic_write,
    checksum_holds,
    checksummed,
    digest_file,
    fsync_folder,
    remove_temporaries,
    temporary_name,
    write_json,
)
from poke_bc.policy import Policy, load_policy, save_policy

FOLDER, LAST, BEST = "checkpoints", "last", "best"
STATE, DIGESTS = "training_state/state.pt", "digests.json"
STATE_VERSION = 1


@dataclass(kw_only=True)
class Progress:
    """How far a run has got."""

    step: int = 0
    samples: int = 0
    """Position in the order of samples, where the feeder continues."""
    seconds: float = 0.0
    """Over all sessions."""
    train_loss: float | None = None
    """As in the last line of metrics."""
    best_step: int | None = None
    best_val: dict[str, float] | None = None
    """Validation metrics of `best_step`."""
    stale: int = 0
    """Evaluations since `best_step`."""


class Checkpoints:
    """The checkpoints of one run.

    Args:
        run: the run's folder.
        keep: number of latest checkpoints to keep, in addition to the best.
    """

    def __init__(self, run: Path, keep: int = 1) -> None:
        self.run = run
        self.keep = keep

    def save(self, progress: Progress, policy: Policy, optimizer: Optimizer, sums: Tensor, *,
             card: Mapping[str, Any]) -> None:
        """Write a checkpoint, move `last` and `best`, and remove old ones.

        Args:
            progress, policy, optimizer, sums: the state of the run; `sums` are the running sums of the metrics.
            card: facts for the policy's model card.
        """
        final = self._folder(progress.step)
        temporary = temporary_name(final)
        try:
            save_policy(policy, temporary / "policy", card)
            _save_state(temporary / STATE, progress, optimizer, sums)
            _write_digests(temporary)
            temporary.rename(final)
            fsync_folder(final.parent)
            self._link(LAST, progress.step)
            if progress.best_step is not None:
                self._link(BEST, progress.best_step)
            self._prune()
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def any(self) -> bool:
        """Whether this run has a checkpoint."""
        return any((self.run / FOLDER).glob("step-*"))

    def prepare(self) -> None:
        """Create the folders of a new run."""
        (self.run / FOLDER).mkdir(parents=True, exist_ok=True)

    def last(self) -> Path:
        """The folder of the last checkpoint."""
        return (self.run / LAST).resolve()

    def load(self, policy: Policy, optimizer: Optimizer, sums: Tensor) -> Progress:
        """Load the last checkpoint into `policy`, `optimizer`, `sums` and torch's generators.

        Later checkpoints, left by a killed session, are removed. Raises RunError if it is damaged, or was trained on
        other data than `policy.trained_on`.
        """
        if not (self.run / LAST).is_symlink():  # killed after the first checkpoint, before its link
            self._link(LAST, max(int(path.name.removeprefix("step-")) for path in (self.run / FOLDER).glob("step-*")))
        folder = self.last()
        if problems := damage(folder):
            raise RunError(problems[0], hint=f"link {self.run / LAST} to another one in {self.run / FOLDER}, "
                                             "or train again in another --run")
        saved = load_policy(folder / "policy")
        before, now = (msgspec.to_builtins(each.trained_on) or {} for each in (saved, policy))
        changed = [f"{name} was {before.get(name)}, is {now.get(name)}" for name in ("data", "split", "decisions")
                   if before.get(name) != now.get(name)]
        if changed:
            raise RunError(f"{self.run}: cannot resume with other data: {'; '.join(changed)}",
                           hint="give the --shards it was trained on, or start a new run: --run")
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
        if state["version"] != STATE_VERSION:
            raise RunError(f"{folder}: training state of version {state['version']}, "
                           f"this poke-bc reads {STATE_VERSION}", hint="resume with the poke-bc that wrote it")
        progress = Progress(**state["progress"])
        self._discard_beyond(progress)
        policy.load_state_dict(saved.state_dict())
        _restore(optimizer, state["optimizer"])
        sums.copy_(state["sums"])
        torch.set_rng_state(state["torch_rng"])
        if len(state["cuda_rng"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(state["cuda_rng"])
        return progress

    def _discard_beyond(self, progress: Progress) -> None:
        """Remove what a killed session wrote after `progress`, and restore `best` to what it was then."""
        remove_temporaries(self.run)
        for path in (self.run / FOLDER).iterdir():
            if path.name.startswith(TEMPORARY) or path.name > self._folder(progress.step).name:
                _remove(path)
        if progress.best_step is not None:
            self._link(BEST, progress.best_step)

    def _folder(self, step: int) -> Path:
        return self.run / FOLDER / f"step-{step:08d}"

    def _link(self, name: str, step: int) -> None:
        link = self.run / name
        temporary = temporary_name(link)
        temporary.symlink_to(Path(FOLDER) / self._folder(step).name)
        temporary.replace(link)
        fsync_folder(self.run)

    def _prune(self) -> None:
        kept = {(self.run / name).resolve() for name in (LAST, BEST)}
        for path in sorted((self.run / FOLDER).glob("step-*"))[: -self.keep]:
            if path.resolve() not in kept:
                _remove(path)


def damage(folder: Path) -> list[str]:
    """What is wrong with the files of a checkpoint, one line each; empty if every digest matches."""
    try:
        digests = json.loads((folder / DIGESTS).read_bytes())
        names: dict[str, str] = digests["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return [f"{folder / DIGESTS}: missing or damaged"]
    if not checksum_holds(digests):
        return [f"{folder / DIGESTS}: damaged, its digest does not match"]
    return [f"{folder / name}: missing, or damaged (its digest does not match)" for name, expected in names.items()
            if not (folder / name).is_file() or digest_file(folder / name) != expected]


@contextlib.contextmanager
def writing(run: Path) -> Iterator[None]:
    """Context that turns a full disk or a lack of permissions into a RunError."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{run}: cannot be written ({error.strerror})",
                       hint="free some space or check its permissions, then continue with --resume") from None


def _save_state(path: Path, progress: Progress, optimizer: Optimizer, sums: Tensor) -> None:
    buffer = io.BytesIO()
    torch.save({
        "version": STATE_VERSION,
        "progress": dataclasses.asdict(progress),
        "optimizer": optimizer.state_dict(),
        "sums": sums.cpu(),
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }, buffer)
    path.parent.mkdir()
    with atomic_write(path) as file:
        file.write(buffer.getbuffer())


def _restore(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Load the moments and step counts of a checkpoint; the optimizer keeps its own settings.

    A learning rate on the device, for captured steps, stays there, so a captured run can continue an eager one.
    """
    own = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(saved)
    for group, settings in zip(optimizer.param_groups, own, strict=True):
        group.update(settings)


def _write_digests(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    write_json(folder / DIGESTS, checksummed({
        "files": {path.relative_to(folder).as_posix(): digest_file(path) for path in files}}))


def _remove(path: Path) -> None:
    """Remove a checkpoint, renaming it first so that a half-removed one is never found."""
    doomed = temporary_name(path)
    with contextlib.suppress(OSError):
        path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
