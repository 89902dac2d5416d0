"""Metrics of a policy on human decisions, used in training and in `evaluate`.

All are sums over decisions in float64, never means of batch means.

    N decisions   B of a batch   A the ten actions
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poke_bc.contract.actions import ALL_ACTIONS, MOVE_SLOTS, NO_LABEL
from poke_bc.data.batch import Batch
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.feed import BatchFeeder
from poke_bc.policy.base import Policy, PolicyOutput
from poke_bc.policy.masks import action_set

ECE_BINS = 15
EVAL_BATCH = 4096
MOVES = (1 << MOVE_SLOTS) - 1
SWITCHES = ALL_ACTIONS ^ MOVES


@dataclass(frozen=True)
class Scores:
    """A policy's scores on each decision."""

    nll_N: NDArray[np.float32]
    """-log of the probability of the action taken; where that is not known, of the candidates together."""
    rank_N: NDArray[np.int64]
    """Number of actions more likely than the one taken; ties go to the lower action. Without an action: meaningless."""
    confidence_N: NDArray[np.float32]
    """Probability of the most likely action."""
    switch_N: NDArray[np.float32]
    """Probability that the action is a switch."""

    def __len__(self) -> int:
        return len(self.nll_N)

    @classmethod
    def together(cls, parts: Sequence[Scores]) -> Scores:
        """Scores of one part after the other."""
        return cls(*map(np.concatenate, zip(*(vars(part).values() for part in parts), strict=True)))

    def at(self, keep_N: NDArray[np.bool_]) -> Scores:
        """The scores of the decisions in a mask."""
        return Scores(self.nll_N[keep_N], self.rank_N[keep_N], self.confidence_N[keep_N], self.switch_N[keep_N])

    def summary(self) -> dict[str, Any]:
        """nll (natural log), top1, top3 and decisions; needs at least one decision."""
        return {"nll": float(self.nll_N.mean(dtype=np.float64)), "top1": float((self.rank_N == 0).mean()),
                "top3": float((self.rank_N < 3).mean()), "decisions": len(self)}

    def figures(self) -> dict[str, Any]:
        """The summary and ece."""
        return {**self.summary(), "ece": self.calibration_error()}

    def calibration_error(self) -> float:
        """Expected calibration error: |accuracy - confidence| over 15 equal bins (lo, hi], weighted by decisions."""
        _, confidence, hits = confidence_bins(self.confidence_N, self.rank_N == 0)
        return float(np.abs(hits - confidence).sum() / len(self))


def confidence_bins(confidence_N: NDArray[np.float32], hit_N: NDArray[Any]) -> NDArray[np.float64]:
    """(decisions, summed confidence, summed hits) of ECE_BINS equal bins (lo, hi] of the confidence: [3, bins].

    `hit_N` may be a fraction, such as half a win for a tie.
    """
    bins_N = np.clip(np.ceil(confidence_N * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
    return np.stack([np.bincount(bins_N, weights, minlength=ECE_BINS)
                     for weights in (np.ones(len(bins_N)), confidence_N, hit_N)])


def switch_labels(action_N: NDArray[Any], candidates_N: NDArray[Any], legal_N: NDArray[Any]) -> NDArray[np.float64]:
    """1 for a switch, 0 for a move, nan where that is not known or there was no choice between the two, each [N].

    Censored choices count where all candidates are of one kind.
    """
    may_N = np.where(action_N != NO_LABEL, 1 << np.maximum(action_N, 0).astype(np.int64), candidates_N.astype(np.int64))
    legal_N = np.where(legal_N == 0, ALL_ACTIONS, legal_N)
    move_N, switch_N = (may_N & MOVES) != 0, (may_N & SWITCHES) != 0
    known_N = (move_N != switch_N) & ((legal_N & MOVES) != 0) & ((legal_N & SWITCHES) != 0)
    return np.where(known_N, switch_N, np.nan)


def rank_and_score(logits_BA: Tensor, action_B: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(nll, rank, confidence, switch), each [B], as in Scores. Logits may be -inf; actions lie in [0, 10)."""
    action_B1 = action_B.to(torch.int64)[:, None]
    log_probs_BA = logits_BA.log_softmax(dim=1)
    taken_B1 = log_probs_BA.gather(1, action_B1)
    earlier_BA = torch.arange(logits_BA.shape[1], device=logits_BA.device) < action_B1
    rank_B = ((log_probs_BA > taken_B1) | ((log_probs_BA == taken_B1) & earlier_BA)).sum(dim=1)
    switch_B = log_probs_BA[:, MOVE_SLOTS:].exp().sum(dim=1)
    return -taken_B1[:, 0], rank_B, log_probs_BA.amax(dim=1).exp(), switch_B


def score_batch(logits_BA: Tensor, batch: Batch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """(nll, rank, confidence, switch), each [B], as in Scores; the nll is inf where nothing is known of the choice."""
    nll_B, rank_B, confidence_B, switch_B = rank_and_score(logits_BA, batch.action.clamp_min(0))
    hidden_BA = logits_BA.log_softmax(dim=1).masked_fill(~action_set(batch.candidates), -torch.inf)
    nll_B = torch.where(batch.action == NO_LABEL, -hidden_BA.logsumexp(dim=1), nll_B)
    return nll_B, rank_B, confidence_B, switch_B


@torch.inference_mode()
def outputs_of(policy: Policy, dataset: ShardDataset, *, device: torch.device,
               batch_size: int = EVAL_BATCH) -> Iterator[tuple[PolicyOutput, Batch]]:
    """The policy's output for all rows of `dataset`, in its order, in float32, without dropout.

    Of sequences, the output for step 0 and the batch of these rows; `batch_size` counts rows, all steps together. The
    batch is valid until the next one.
    """
    size = max(1, batch_size // len(dataset.steps or (0,)))
    with policy.evaluating(), BatchFeeder(dataset, size, shuffle=False, device=device) as feeder:
        for batch in feeder:
            yield _decisions(policy, batch)


@torch.inference_mode()
def some_outputs_of(policy: Policy, dataset: ShardDataset, rows: int) -> Iterator[tuple[PolicyOutput, Batch]]:
    """As `outputs_of`, but for at most `rows` rows of `dataset`, spread evenly; on the policy's device."""
    size = max(1, EVAL_BATCH // len(dataset.steps or (0,)))
    places = np.linspace(0, len(dataset) - 1, min(len(dataset), rows), dtype=np.int64)
    with policy.evaluating():
        for first in range(0, len(places), size):
            yield _decisions(policy, dataset.batch(places[first : first + size]).to(policy.device))


def _decisions(policy: Policy, batch: Batch) -> tuple[PolicyOutput, Batch]:
    """The output for the sampled decisions, and these as single rows."""
    output: PolicyOutput = policy(batch)
    return output.of_decisions(batch), batch if batch.steps is None else batch.at(0)


@torch.inference_mode()
def score_policy(policy: Policy, dataset: ShardDataset, *, device: torch.device,
                 batch_size: int = EVAL_BATCH) -> Scores:
    """Scores of all rows of `dataset`, in its order, in float32, without dropout. Waits for the device only at the end.

    Args:
        policy: on `device`; left in the mode it was in.
        dataset: of at least one row, with the policy's steps; of sequences, step 0 is scored.
        device: where the policy is.
        batch_size: affects the speed, and the scores by rounding only.
    """
    batches = [score_batch(output.logits, batch)
               for output, batch in outputs_of(policy, dataset, device=device, batch_size=batch_size)]
    return Scores(*(torch.cat(each).cpu().numpy() for each in zip(*batches, strict=True)))


@torch.inference_mode()
def is_finite(policy: Policy, dataset: ShardDataset) -> bool:
    """Whether the policy gives probabilities for decisions of `dataset`: for those of one batch from all over it."""
    return all(bool(output.logits.logsumexp(dim=1).isfinite().all())
               for output, _ in some_outputs_of(policy, dataset, max(1, EVAL_BATCH // len(dataset.steps or (0,)))))
