"""Metrics of a policy on human decisions, used in training and in `evaluate`.

All are sums over decisions in float64, never means of batch means.

    N decisions   B of a batch   A the ten actions
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poke_bc.data.dataset import ShardDataset
from poke_bc.data.feed import BatchFeeder
from poke_bc.policy.base import Policy

ECE_BINS = 15
EVAL_BATCH = 4096


@dataclass(frozen=True)
class Scores:
    """A policy's scores on each decision."""

    nll_N: NDArray[np.float32]
    """-log of the probability of the action taken."""
    rank_N: NDArray[np.int64]
    """Number of actions more likely than the one taken; ties go to the lower action."""
    confidence_N: NDArray[np.float32]
    """Probability of the most likely action."""

    def __len__(self) -> int:
        return len(self.nll_N)

    def at(self, keep_N: NDArray[np.bool_]) -> Scores:
        """The scores of the decisions in a mask."""
        return Scores(self.nll_N[keep_N], self.rank_N[keep_N], self.confidence_N[keep_N])

    def summary(self) -> dict[str, Any]:
        """nll (natural log), top1, top3 and decisions; needs at least one decision."""
        return {"nll": float(self.nll_N.mean(dtype=np.float64)), "top1": float((self.rank_N == 0).mean()),
                "top3": float((self.rank_N < 3).mean()), "decisions": len(self)}

    def figures(self) -> dict[str, Any]:
        """The summary and ece."""
        return {**self.summary(), "ece": self.calibration_error()}

    def calibration_error(self) -> float:
        """Expected calibration error: |accuracy - confidence| over 15 equal bins (lo, hi], weighted by decisions."""
        bins_N = np.clip(np.ceil(self.confidence_N * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
        hits = np.bincount(bins_N, weights=self.rank_N == 0, minlength=ECE_BINS)
        confidence = np.bincount(bins_N, weights=self.confidence_N, minlength=ECE_BINS)
        return float(np.abs(hits - confidence).sum() / len(self))


def rank_and_score(logits_BA: Tensor, action_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(nll, rank, confidence), each [B], as in Scores. Logits may be -inf; actions lie in [0, 10)."""
    action_B1 = action_B.to(torch.int64)[:, None]
    log_probs_BA = logits_BA.log_softmax(dim=1)
    taken_B1 = log_probs_BA.gather(1, action_B1)
    earlier_BA = torch.arange(logits_BA.shape[1], device=logits_BA.device) < action_B1
    rank_B = ((log_probs_BA > taken_B1) | ((log_probs_BA == taken_B1) & earlier_BA)).sum(dim=1)
    return -taken_B1[:, 0], rank_B, log_probs_BA.amax(dim=1).exp()


@torch.inference_mode()
def score_policy(policy: Policy, dataset: ShardDataset, *, device: torch.device,
                 batch_size: int = EVAL_BATCH) -> Scores:
    """Scores of all rows of `dataset`, in its order, in float32, without dropout. Waits for the device only at the end.

    Args:
        policy: on `device`; left in the mode it was in.
        dataset: single rows, all with an observed label; at least one.
        device: where the policy is.
        batch_size: affects the speed, and the scores by rounding only.
    """
    training = policy.training
    policy.eval()
    try:
        with BatchFeeder(dataset, batch_size, shuffle=False, device=device) as feeder:
            batches = [rank_and_score(policy(batch).logits, batch.action) for batch in feeder]
    finally:
        policy.train(training)
    nll, rank, confidence = (torch.cat(each).cpu().numpy() for each in zip(*batches, strict=True))
    return Scores(nll, rank, confidence)


@torch.inference_mode()
def is_finite(policy: Policy, dataset: ShardDataset) -> bool:
    """Whether the policy gives probabilities for decisions of `dataset`: for those of one batch from all over it."""
    training = policy.training
    policy.eval()
    try:
        places_B = np.linspace(0, len(dataset) - 1, min(len(dataset), EVAL_BATCH), dtype=np.int64)
        return bool(policy(dataset.batch(places_B).to(policy.device)).logits.logsumexp(dim=1).isfinite().all())
    finally:
        policy.train(training)
