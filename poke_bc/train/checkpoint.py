"""Checkpoints: everything a run needs to go on exactly, written whole or not at all.

    RUN/checkpoints/step-00000500/
        policy/                       what people share, see policy/store.py
        training_state/state.json     step, position, best so far, and what the run was trained on
        training_state/tensors.pt     optimizer, random states, sums since the last line of metrics
        digests.json                  xxh3 of every file above
    RUN/last, RUN/best                links to two of them

A checkpoint is made under a temporary name and renamed; then `last` is moved to it. Killed at any moment,
`last` names a whole checkpoint.
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

import safetensors.torch
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
from poke_bc.policy import Policy, save_policy
from poke_bc.policy.store import WEIGHTS

FOLDER, LAST, BEST, STATE, DIGESTS = "checkpoints", "last", "best", "training_state", "digests.json"
STATE_VERSION = 1


@dataclass(kw_only=True)
class Progress:
    """How far a run has come."""

    step: int = 0
    samples: int = 0
    """Position in the order of samples: where the feeder goes on."""
    seconds: float = 0.0
    """Spent so far, over all sessions."""
    train_loss: float | None = None
    """In the last line of metrics."""
    best_step: int | None = None
    best_val: dict[str, float] | None = None
    """Validation figures of `best_step`."""
    stale: int = 0
    """Evaluations since then."""


class Checkpoints:
    """The checkpoints of one run.

    Args:
        run: the run's folder.
        keep: newest ones to keep, besides the best.
    """

    def __init__(self, run: Path, keep: int = 1) -> None:
        self.run = run
        self.keep = keep

    def save(self, progress: Progress, policy: Policy, optimizer: Optimizer, window: Tensor, *,
             trained_on: Mapping[str, Any], card: Mapping[str, Any]) -> None:
        """Write, move `last` and `best`, and remove old ones.

        Args:
            progress, policy, optimizer, window: the state of the run; `window` are the trainer's open sums.
            trained_on: which data, compared on resume.
            card: facts for the policy's model card.
        """
        final = self._folder(progress.step)
        temporary = temporary_name(final)
        try:
            save_policy(policy, temporary / "policy", card)
            _save_state(temporary / STATE, progress, optimizer, window, trained_on)
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
        """Make the folders of a new run."""
        (self.run / FOLDER).mkdir(parents=True, exist_ok=True)

    def last(self) -> Path:
        """The folder of the last checkpoint."""
        return (self.run / LAST).resolve()

    def load(self, policy: Policy, optimizer: Optimizer, window: Tensor, trained_on: Mapping[str, Any]) -> Progress:
        """Put the last checkpoint into `policy`, `optimizer`, `window` and torch's generators.

        Checkpoints beyond it, left by a killed session, are removed. Raises RunError where it is damaged, or
        was not trained on `trained_on`.
        """
        if not (self.run / LAST).is_symlink():  # killed after the first checkpoint, before its link
            self._link(LAST, max(int(path.name.removeprefix("step-")) for path in (self.run / FOLDER).glob("step-*")))
        state = self._read_state()
        changed = [f"{name} was {before}, is {trained_on[name]}" for name, before in state["trained_on"].items()
                   if before != trained_on[name]]
        if changed:
            raise RunError(f"{self.run}: cannot go on with other data: {'; '.join(changed)}",
                           hint="give the --shards it was trained on, or start a new run: --run")
        progress = Progress(**state["progress"])
        self._discard_beyond(progress)
        tensors = torch.load(self.last() / STATE / "tensors.pt", map_location="cpu", weights_only=True)
        policy.load_state_dict(safetensors.torch.load_file(self.last() / "policy" / WEIGHTS))
        _restore(optimizer, tensors["optimizer"])
        window.copy_(tensors["window"])
        torch.set_rng_state(tensors["torch_rng"])
        if len(tensors["cuda_rng"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(tensors["cuda_rng"])
        return progress

    def _read_state(self) -> dict[str, Any]:
        """state.json of the last checkpoint, after checking every digest."""
        folder = self.last()
        if problems := damage(folder):
            raise RunError(problems[0], hint=f"link {self.run / LAST} to another one in {self.run / FOLDER}, "
                                             "or train again in another --run")
        state: dict[str, Any] = json.loads((folder / STATE / "state.json").read_bytes())
        if state.get("version") != STATE_VERSION:
            raise RunError(f"{folder}: training state of version {state.get('version')}, "
                           f"this poke-bc reads {STATE_VERSION}", hint="resume with the poke-bc that wrote it")
        return state

    def _discard_beyond(self, progress: Progress) -> None:
        """Remove what a killed session left after `progress`, and make `best` what it was then."""
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
    """What is wrong with the files of a checkpoint, one line each; empty when every digest holds."""
    try:
        digests = json.loads((folder / DIGESTS).read_bytes())
        names: dict[str, str] = digests["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return [f"{folder / DIGESTS}: missing or damaged"]
    if not checksum_holds(digests):
        return [f"{folder / DIGESTS}: damaged, its digest does not hold"]
    return [f"{folder / name}: missing or damaged, its digest does not hold" for name, expected in names.items()
            if not (folder / name).is_file() or digest_file(folder / name) != expected]


@contextlib.contextmanager
def writing(run: Path) -> Iterator[None]:
    """A full disk or a forbidden folder is a RunError; what was there before stays as it was."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{run}: cannot be written ({error.strerror})",
                       hint="make room or check its rights, then go on with --resume") from None


def _save_state(folder: Path, progress: Progress, optimizer: Optimizer, window: Tensor,
                trained_on: Mapping[str, Any]) -> None:
    folder.mkdir()
    tensors = {
        "optimizer": optimizer.state_dict(),
        "window": window.cpu(),
        "torch_rng": torch.get_rng_state(),
        "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    with atomic_write(folder / "tensors.pt") as file:
        file.write(buffer.getbuffer())
    write_json(folder / "state.json", {"version": STATE_VERSION, "progress": dataclasses.asdict(progress),
                                       "trained_on": dict(trained_on)})


def _restore(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Take the moments and step counts of a checkpoint; the settings stay those that the optimizer was made with.

    A rate on the device, for captured steps, stays where it is; so a captured run goes on where an eager one was.
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
    """Remove a checkpoint; first its name, so that nobody finds half of it."""
    doomed = temporary_name(path)
    with contextlib.suppress(OSError):
        path.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)
