"""The losses: of the ten actions, over legal ones only, and of the heads for value and gimmick.

    B decisions   S steps of a sequence   N = B x S   A the ten actions   M move slots   G gimmicks
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from poke_bc.contract.actions import MOVE_SLOTS, NO_LABEL, NUM_ACTIONS, has_choice
from poke_bc.data.batch import Batch
from poke_bc.policy import PolicyOutput
from poke_bc.policy.masks import action_set, legal_actions


class LossSum(NamedTuple):
    """A loss as a sum and its weight: adding both over slices of a batch keeps the mean exact."""

    total: Tensor
    """Scalar: sum over rows of weight x loss."""
    weight: Tensor
    """Scalar: summed weight of the rows that count."""

    def mean(self) -> Tensor:
        """The mean; 0, with zero gradients, where no row counts."""
        return self.over(self.weight)

    def over(self, weight: Tensor) -> Tensor:
        """This sum's share of a mean over rows of that weight, some of which may be elsewhere."""
        return self.total / weight.clamp_min(torch.finfo(weight.dtype).tiny)


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


def gimmick_loss(gimmick_BMG: Tensor, action_B: Tensor, taken_B: Tensor, weight_B: Tensor) -> LossSum:
    """Cross-entropy of what was activated, given the move that was chosen.

    Only observed moves count for which several gimmicks are open, the one taken among them.

    Args:
        gimmick_BMG: float32 logits for each move slot; what is not available has -inf.
        action_B: -1 where the choice was not observed.
        taken_B: index into contract.actions.GIMMICKS.
        weight_B: float32, at least 0.
    """
    slot_B = action_B.to(torch.int64).clamp(0, MOVE_SLOTS - 1)
    logits_BG = gimmick_BMG.take_along_dim(slot_B[:, None, None], dim=1)[:, 0]
    open_BG = logits_BG.isfinite()
    taken_B1 = taken_B.to(torch.int64)[:, None]
    counts_B = ((action_B >= 0) & (action_B < MOVE_SLOTS) & (open_BG.sum(dim=1) > 1)
                & open_BG.take_along_dim(taken_B1, dim=1)[:, 0])
    # as above: a finite loss, multiplied by a weight of 0
    loss_B = -logits_BG.masked_fill(~counts_B[:, None], 0.0).log_softmax(dim=1).take_along_dim(taken_B1, dim=1)[:, 0]
    weight_B = weight_B * counts_B
    return LossSum((weight_B * loss_B).sum(), weight_B.sum())


class Losses(NamedTuple):
    """What a batch costs; None without such a head."""

    policy: LossSum
    value: LossSum | None
    gimmick: LossSum | None


def all_losses(output: PolicyOutput, batch: Batch, *, label_smoothing: float = 0.0, censored: bool = True,
               value: bool = True, gimmick: bool = True) -> Losses:
    """The losses of single rows, or of every step of sequences that would be selected as a single row.

    Args:
        output: of a policy for `batch`. For sequences, of step 0 or of every step.
        batch: with the column gimmick if `gimmick` and the policy has that head. The column factor, if it is there,
            multiplies the weights, but not those of the value: who is imitated must not change who is expected to win.
        label_smoothing: as in `imitation_loss`.
        censored: whether rows count whose choice was not observed; of sequences only, since single rows are selected.
        value, gimmick: whether these are asked for.
    """
    if batch.steps is not None:
        output, batch = (_steps_as_rows(output, batch, censored=censored) if output.logits.ndim == 3
                         else (output, batch.at(0)))
    weight_N = batch.weight * batch.factor if "factor" in batch.tensors() else batch.weight
    return Losses(
        imitation_loss(output.logits, batch.legal, batch.action, batch.candidates, weight_N,
                       label_smoothing=label_smoothing),
        value_loss(output.value, batch.returns, batch.weight) if value and output.value is not None else None,
        gimmick_loss(output.gimmick, batch.action, batch.gimmick, weight_N)
        if gimmick and output.gimmick is not None else None)


def _steps_as_rows(output: PolicyOutput, batch: Batch, *, censored: bool) -> tuple[PolicyOutput, Batch]:
    """[B, S, ...] -> [N, ...]; steps that are no decision, or are not to be learned from, weigh 0."""
    columns = {name: tensor.flatten(0, 1) for name, tensor in batch.tensors().items()
               if name not in ("category", "number")}
    rows = Batch(columns)
    is_labelled_N = rows.action != NO_LABEL
    if censored:
        is_labelled_N = is_labelled_N | (rows.candidates != 0)
    columns["weight"] = rows.weight * (is_labelled_N & has_choice(rows.legal) & ~rows.is_pad)
    value, gimmick = (None if each is None else each.flatten(0, 1) for each in output[1:])
    return PolicyOutput(output.logits.flatten(0, 1), value, gimmick), Batch(columns)
