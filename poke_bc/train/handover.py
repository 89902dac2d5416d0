"""What rank 0 hands to the other ranks once it has begun or resumed a run: they read nothing of it themselves."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from poke_bc.policy import Policy
from poke_bc.train.average import Average
from poke_bc.train.config import TrainConfig
from poke_bc.train.result import TrainResult
from poke_bc.train.state import Progress, apply_state, pack, random_states


@dataclass(frozen=True)
class Handover:
    """The settings, and the result of a run that is finished already, or else its state."""

    config: TrainConfig
    result: TrainResult | None = None
    weights: Mapping[str, Tensor] | None = None
    """Of the policy; where they are averaged, the average."""
    state: bytes = b""

    @classmethod
    def of(cls, config: TrainConfig, progress: Progress, policy: Policy, optimizer: Optimizer, sums: Tensor,
           average: Average | None, generators: Sequence[Mapping[str, Any]]) -> Handover:
        """The state of rank 0, with the `generators` of the checkpoint that it comes from, by rank."""
        with contextlib.nullcontext() if average is None else average.applied():
            weights = {name: each.to("cpu", copy=True) for name, each in policy.state_dict().items()}
        return cls(config, None, weights, pack(progress, optimizer, sums, average,
                                               [random_states(), *generators[1:]]))

    def take(self, policy: Policy, optimizer: Optimizer, sums: Tensor, average: Average | None, rank: int) -> Progress:
        """Give another rank's training this state."""
        assert self.weights is not None
        policy.load_state_dict(self.weights)
        state = torch.load(io.BytesIO(self.state), map_location="cpu", weights_only=True)
        apply_state(self.config.run, state, optimizer, sums, average, seed=self.config.seed, rank=rank)
        return Progress(**state["progress"])
