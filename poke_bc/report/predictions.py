"""A policy's outputs for rows of a data set.

    N rows   B of a batch   A the ten actions   G what can be activated
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poke_bc.data.dataset import ShardDataset
from poke_bc.policy import Policy
from poke_bc.policy.base import PolicyOutput

_BATCH = 2048


@dataclass(frozen=True)
class Predictions:
    """What a policy says about each row."""

    probs_NA: NDArray[np.float32]
    """Probability of each action; 0 where it is not legal."""
    value_N: NDArray[np.float32] | None
    """Predicted return; None without a value head."""
    gimmick_NG: NDArray[np.float32] | None
    """Probability of each activation given each move slot [N, 4, 5]; None without a gimmick head."""

    @property
    def best_N(self) -> NDArray[np.int64]:
        """The most likely action; ties go to the lower one."""
        return self.probs_NA.argmax(axis=1)


@torch.inference_mode()
def predict(policy: Policy, data: ShardDataset, places_N: NDArray[np.int64]) -> Predictions:
    """Outputs for places of the selection of `data`, in this order, without dropout.

    Args:
        policy: in any mode, which it keeps.
        data: opened with the steps that the policy reads.
        places_N: as `ShardDataset.batch` takes them; may be empty.
    """
    training = policy.training
    policy.eval()
    try:
        outputs = [_of_step_0(policy(data.batch(places_N[first : first + _BATCH]).to(policy.device)), data.steps)
                   for first in range(0, len(places_N), _BATCH)]
    finally:
        policy.train(training)
    probs = [output.logits.softmax(dim=1) for output in outputs]
    values = [output.value for output in outputs if output.value is not None]
    gimmicks = [output.gimmick.softmax(dim=-1) for output in outputs if output.gimmick is not None]
    return Predictions(_joined(probs) if probs else np.empty((0, 10), np.float32),
                       _joined(values) if values else None, _joined(gimmicks) if gimmicks else None)


def _of_step_0(output: PolicyOutput, steps: range | None) -> PolicyOutput:
    """The output for the sampled decisions, where a policy gives one for every step of a sequence."""
    if steps is None or output.logits.ndim == 2:
        return output
    place = steps.index(0)
    return PolicyOutput(*(None if each is None else each[:, place] for each in output))


def _joined(tensors: list[Tensor]) -> NDArray[np.float32]:
    joined: NDArray[np.float32] = torch.cat(tensors).float().cpu().numpy()
    return joined
