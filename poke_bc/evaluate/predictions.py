"""What a policy makes of each decision of a data set, in its order.

    N decisions   B of a batch   A the ten actions   M the four move slots   G the five gimmicks, none included
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poke_bc.data.batch import Batch
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.shards import Shards
from poke_bc.metrics import EVAL_BATCH, Scores, outputs_of, score_batch
from poke_bc.policy import Policy, PolicyOutput


@dataclass(frozen=True)
class Predictions:
    """A policy's output for N decisions."""

    scores: Scores
    """How it judged the choices that people made."""
    probability_NA: NDArray[np.float32]
    """Of each action; 0 where it is not legal."""
    best_N: NDArray[np.int64]
    """The most likely action; of equally likely ones the lowest, as in Scores."""
    value_N: NDArray[np.float32] | None
    """The predicted return; None without a value head."""
    gimmick_NMG: NDArray[np.float32] | None
    """Probability of each gimmick, given the move in each slot; None without a gimmick head."""

    def __len__(self) -> int:
        return len(self.probability_NA)

    @property
    def win_N(self) -> NDArray[np.float64] | None:
        """Probability of winning: the predicted return, between -1 and 1, as a share."""
        return None if self.value_N is None else (np.clip(self.value_N.astype(np.float64), -1, 1) + 1) / 2

    def at(self, keep_N: NDArray[np.bool_]) -> Predictions:
        """Those of the decisions in a mask."""
        value_N, gimmick_NMG = (None if each is None else each[keep_N] for each in (self.value_N, self.gimmick_NMG))
        return Predictions(self.scores.at(keep_N), self.probability_NA[keep_N], self.best_N[keep_N], value_N,
                           gimmick_NMG)


def open_rows(policy: Policy, shards: str | Shards, split: str | None, *, censored: bool = False,
              every_row: bool = False) -> ShardDataset:
    """The rows that `predict` takes: sequences where the policy reads them. Raises what ShardDataset raises."""
    return ShardDataset(shards, split, steps=policy.steps, censored=censored, every_row=every_row)


@torch.inference_mode()
def predict(policy: Policy, dataset: ShardDataset, *, device: torch.device,
            batch_size: int = EVAL_BATCH) -> Predictions:
    """Predictions for all rows of `dataset`, at least one, in its order; dropout is off.

    Args:
        policy: on `device`.
        dataset: as `open_rows` opens it.
        device: where the policy is.
        batch_size: rows at a time, all steps of sequences counted; affects the speed, and the figures by rounding only.
    """
    parts: dict[str, list[Tensor]] = {}
    for output, batch in outputs_of(policy, dataset, device=device, batch_size=batch_size):
        for name, part in _parts(output, batch).items():
            parts.setdefault(name, []).append(part)
    joined = {name: torch.cat(each).cpu().numpy() for name, each in parts.items()}
    scores = Scores(*(joined.pop(each.name) for each in fields(Scores)))
    return Predictions(scores, joined["probability"], joined["best"], joined.get("value"), joined.get("gimmick"))


def _parts(output: PolicyOutput, batch: Batch) -> dict[str, Tensor]:
    """What is kept of a batch: the scores by name, probability and best, and value and gimmick where there are any."""
    log_probs_BA = output.logits.log_softmax(dim=1)
    parts = {each.name: score for each, score in zip(fields(Scores), score_batch(output.logits, batch), strict=True)}
    parts |= {"probability": log_probs_BA.exp(), "best": log_probs_BA.argmax(dim=1)}
    if output.value is not None:
        parts["value"] = output.value.clone()  # it may be a view of all steps
    if output.gimmick is not None:
        parts["gimmick"] = output.gimmick.softmax(dim=-1)
    return parts
