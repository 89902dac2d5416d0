"""The temperature of a policy: one number that makes its probabilities as sure as it is right.

Dropout and too many epochs leave a policy too sure of its first choice. Dividing all logits by one number changes no
ranking and mends most of that (Guo et al. 2017, On Calibration of Modern Neural Networks).

    N decisions   A the ten actions
"""

from __future__ import annotations

import torch
from torch import Tensor

from poke_bc.contract.actions import NO_LABEL
from poke_bc.data.dataset import ShardDataset
from poke_bc.metrics import some_outputs_of
from poke_bc.policy import Policy
from poke_bc.train.ranks import ALONE, Ranks

MOST_ROWS = 1 << 15
"""Decisions to fit on, spread evenly: enough to know a temperature to about a hundredth."""
_RANGE = 0.25, 4.0
_HALVINGS = 20


@torch.inference_mode()
def calibrate(policy: Policy, dataset: ShardDataset, ranks: Ranks = ALONE) -> None:
    """Set `policy.temperature` to the one with the lowest NLL of the observed choices in `dataset`.

    The ranks share the decisions.
    """
    policy.temperature.fill_(1.0)
    own, found = dataset.some(MOST_ROWS).part(ranks.rank, ranks.size), []
    for output, batch in some_outputs_of(policy, own, MOST_ROWS):
        taken = batch.action != NO_LABEL
        found.append((output.logits[taken].cpu(), batch.action[taken].long().cpu()))
    every = [each for part in ranks.gather(found) for each in part]
    if sum(len(actions) for _, actions in every):
        policy.temperature.fill_(best_temperature(*map(torch.cat, zip(*every, strict=True))))
    ranks.share_tensors([policy.temperature])


def best_temperature(logits_NA: Tensor, action_N: Tensor) -> float:
    """The temperature from 0.25 to 4 at which the actions taken [N] are likeliest. Illegal actions have -inf.

    The NLL is convex in 1 / temperature, so its slope, the expected logit less that of the action taken, is bisected.
    """
    legal_NA = logits_NA.isfinite()
    logits_NA = logits_NA.double().masked_fill(~legal_NA, 0)
    taken = logits_NA.gather(1, action_N[:, None]).mean()
    low, high = 1 / _RANGE[1], 1 / _RANGE[0]
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        probs_NA = (logits_NA * middle).masked_fill(~legal_NA, -torch.inf).softmax(dim=1)
        if (probs_NA * logits_NA).sum(dim=1).mean() > taken:
            high = middle
        else:
            low = middle
    return 2 / (low + high)
