"""The imitation loss, over legal actions only.

    B decisions   A the ten actions
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from poke_bc.contract.actions import NO_LABEL, NUM_ACTIONS
from poke_bc.policy.masks import action_set, legal_actions


class LossSum(NamedTuple):
    """A loss as a sum and its weight: adding both over slices of a batch keeps the mean exact."""

    total: Tensor
    """Scalar: sum over rows of weight x loss."""
    weight: Tensor
    """Scalar: summed weight of the rows that count."""

    def mean(self) -> Tensor:
        """The mean; 0, with zero gradients, where no row counts."""
        return self.total / self.weight.clamp_min(torch.finfo(self.weight.dtype).tiny)


def imitation_loss(logits_BA: Tensor, legal_B: Tensor, action_B: Tensor, candidates_B: Tensor, weight_B: Tensor,
                   *, label_smoothing: float = 0.0) -> LossSum:
    """Cross-entropy against what people did.

    An observed choice costs (1 - s) times -log p(action), plus s times the mean of -log p over the *legal*
    actions (over masked ones it would be infinite). A choice that is only known to be one of its candidates
    costs -log of their summed probability, without smoothing, since it is vague already. Rows without a legal target
    do not count.

    Args:
        logits_BA: float32, illegal ones -inf.
        legal_B: bits; 0: not recorded, all are legal.
        action_B: -1 where the choice was not observed.
        candidates_B: bits; 0: none.
        weight_B: float32, at least 0.
        label_smoothing: s, in [0, 1).
    """
    legal_BA = legal_actions(legal_B)
    seen_B = action_B != NO_LABEL
    chosen_BA = action_B[:, None] == torch.arange(NUM_ACTIONS, device=action_B.device)
    targets_BA = torch.where(seen_B[:, None], chosen_BA, action_set(candidates_B)) & legal_BA
    counts_B = targets_BA.any(dim=1)
    # Rows that do not count get every legal action as target: a finite loss (0), multiplied by a weight of 0.
    targets_BA = torch.where(counts_B[:, None], targets_BA, legal_BA)

    log_probs_BA = logits_BA.log_softmax(dim=1)
    missed_B = -log_probs_BA.masked_fill(~targets_BA, -torch.inf).logsumexp(dim=1)
    spread_B = -log_probs_BA.masked_fill(~legal_BA, 0.0).sum(dim=1) / legal_BA.sum(dim=1)
    smoothing_B = label_smoothing * seen_B
    loss_B = (1 - smoothing_B) * missed_B + smoothing_B * spread_B
    weight_B = weight_B * counts_B
    return LossSum((weight_B * loss_B).sum(), weight_B.sum())


def value_loss(value_B: Tensor, returns_B: Tensor, weight_B: Tensor) -> LossSum:
    """Squared error of the predicted return."""
    return LossSum((weight_B * (value_B - returns_B).square()).sum(), weight_B.sum())
