"""The state of a training beside the policy: all that the next step needs, as bytes for a file or for other ranks."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from poke_bc.contract.files import digest
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


def generators_in(state: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The `generators` of a state; of one that was written before there were ranks, rank 0's."""
    return [state, *state.get("generators_of_further_ranks", ())]


def take(state: Mapping[str, Any], optimizer: Optimizer, sums: Tensor, average: Average | None, *, seed: int = 0,
         rank: int = 0) -> Progress:
    """Give a training the state that `pack` made, where the policy has its weights already.

    A rank that had no part in the state draws from a generator of its own, which follows from `seed`, rank and step.
    """
    progress = Progress(**state["progress"])
    if average is not None:
        average.load(state["average"])
    _restore(optimizer, state["optimizer"])
    sums.copy_(state["sums"])
    generators = generators_in(state)
    if rank >= len(generators):
        torch.manual_seed(int(digest(f"{seed} {rank} {progress.step}".encode()), 16))
        return progress
    torch.set_rng_state(generators[rank]["torch_rng"])
    if len(generators[rank]["cuda_rng"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(generators[rank]["cuda_rng"])
    return progress


def random_states() -> dict[str, Any]:
    """The states of torch's generators."""
    return {"torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}


def _restore(optimizer: Optimizer, saved: dict[str, Any]) -> None:
    """Load the moments and step counts of a checkpoint; the optimizer keeps its own settings.

    A learning rate on the device, for captured steps, stays there, so a captured run can continue an eager one.
    """
    own = [{name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups]
    optimizer.load_state_dict(saved)
    for group, settings in zip(optimizer.param_groups, own, strict=True):
        group.update(settings)
