"""The training state of a checkpoint, `training_state/state.pt`: what a run needs to go on apart from the policy.

It is read as tensors, numbers and text alone, so a checkpoint from a stranger runs no code; and none that is larger in
memory than in its file, or does not fit the run, is taken.
"""

from __future__ import annotations

import dataclasses
import io
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor
from torch.optim import Optimizer

from poke_bc.contract.errors import RunError
from poke_bc.contract.files import atomic_write, digest
from poke_bc.train.average import Average

STATE_VERSION = 2


@dataclass(kw_only=True)
class Progress:
    """How far a run has got."""

    step: int = 0
    samples: int = 0
    """Decisions used, of a sequence each of its steps; so the position in the order of samples, where the feeder
    continues."""
    seconds: float = 0.0
    """Over all sessions."""
    train_loss: float | None = None
    """As in the last line of metrics."""
    best_step: int | None = None
    best_val: dict[str, float] | None = None
    """Validation metrics of `best_step`."""
    stale: int = 0
    """Evaluations since `best_step`."""
    lengths: list[tuple[int, int]] = field(default_factory=list)
    """Where the run was made longer or shorter: the step, and the steps of the whole run until then."""
    changes: list[dict[str, Any]] = field(default_factory=list)
    """Settings that were changed on resume: {"step": 500, "epochs": [10.0, 20.0]}."""


def pack(progress: Progress, optimizer: Optimizer, sums: Tensor, average: Average | None,
         generators: Sequence[Mapping[str, Any]]) -> bytes:
    """The whole state.

    Args:
        progress, optimizer, sums: of the run; `sums` are the running sums of the metrics.
        average: of the policy's weights; with it, the state has those of the last step.
        generators: what `random_states` returns, of each rank.
    """
    buffer = io.BytesIO()
    torch.save({
        "version": STATE_VERSION,
        "progress": dataclasses.asdict(progress),
        "optimizer": optimizer.state_dict(),
        "sums": sums.cpu(),
        "average": None if average is None else average.state(),
        **generators[0],
        "generators_of_further_ranks": list(generators[1:]),
    }, buffer)
    return buffer.getvalue()


def random_states() -> dict[str, Any]:
    """The states of torch's generators."""
    return {"torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}


def generators_in(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The `generators` of a state; of one that was written before there were ranks, rank 0's."""
    return [state, *state.get("generators_of_further_ranks", ())]


def write_state(path: Path, progress: Progress, optimizer: Optimizer, sums: Tensor, average: Average | None,
                generators: Sequence[Mapping[str, Any]]) -> None:
    """Write what `pack` makes as state.pt."""
    packed = pack(progress, optimizer, sums, average, generators)
    path.parent.mkdir()
    with atomic_write(path) as file:
        file.write(packed)


def read_state(path: Path) -> tuple[Progress, dict[str, Any]]:
    """How far the run had got, and what `apply_state` takes. Raises RunError."""
    hint = "resume a run that poke-bc train wrote; --init-from takes only the weights of one"
    try:
        with zipfile.ZipFile(path) as archive:  # torch writes nothing compressed
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > path.stat().st_size:
            raise RunError(f"{path}: {unpacked:,} bytes in memory, more than in the file", hint=hint)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if state["version"] != STATE_VERSION:
            raise RunError(f"{path}: training state of version {state['version']}, this poke-bc reads {STATE_VERSION}",
                           hint="resume with the poke-bc that wrote it")
        return msgspec.convert(state["progress"], Progress), state
    except pickle.UnpicklingError:
        raise RunError(f"{path}: holds something other than tensors, numbers and text, which is not run", hint=hint) \
            from None
    except (zipfile.BadZipFile, RuntimeError, KeyError, TypeError, ValueError, EOFError,
            msgspec.ValidationError) as error:
        raise RunError(f"{path}: not a training state ({type(error).__name__}: {str(error).partition(chr(10))[0]})",
                       hint=hint) from None


def apply_state(path: Path, state: Mapping[str, Any], optimizer: Optimizer, sums: Tensor, average: Average | None, *,
                seed: int = 0, rank: int = 0) -> None:
    """Load what `read_state` read into `optimizer`, `sums`, `average` and torch's generators. Raises RunError.

    A rank that had no part in the state draws from a generator of its own, which follows from `seed`, rank and step.
    """
    try:
        if average is not None:
            average.load(state["average"])
        _restore(optimizer, state["optimizer"])
        sums.copy_(state["sums"])
        _seed(generators_in(state)[rank:], f"{seed} {rank} {state['progress']['step']}")
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path}: does not fit this run ({str(error).partition(chr(10))[0]})",
                       hint="start a new run, with --init-from to take the weights") from None


def _seed(generators: Sequence[Mapping[str, Any]], otherwise: str) -> None:
    """Set torch's generators to the first of these states, or by a text."""
    if not generators:
        torch.manual_seed(int(digest(otherwise.encode()), 16))
        return
    torch.set_rng_state(generators[0]["torch_rng"])
    if len(generators[0]["cuda_rng"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(generators[0]["cuda_rng"])


def _restore(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Load the moments and step counts of a checkpoint; the optimizer keeps its own settings.

    A learning rate on the device, for captured steps, stays there, so a captured run can continue an eager one.
    """
    own = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for number, moments in saved["state"].items():
        if any(moment.ndim and moment.shape != weights[number].shape for moment in moments.values()):
            raise ValueError(f"moments of another shape than weight {number}")
    optimizer.load_state_dict(saved)
    for group, settings in zip(optimizer.param_groups, own, strict=True):
        group.update(settings)
