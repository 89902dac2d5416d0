"""Predictors that ignore the battle, or look at the damage of moves alone.

    N decisions   U distinct pairs (legal actions, action taken)   A the ten actions
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from poke_bc.contract.actions import NUM_ACTIONS, unpack_actions
from poke_bc.decisions.damage import strongest_move
from poke_bc.decisions.rows import Rows
from poke_bc.metrics import rank_and_score

Figures = dict[str, Any]


def compare_baselines(rows: Rows, train_counts_A: NDArray[np.int64]) -> dict[str, Figures]:
    """`baselines`, and strongest_move where the rows have estimates of damage.

    Args:
        rows: decisions whose action is known.
        train_counts_A: how often each action was taken in training.
    """
    found = baselines(rows.action_N, rows.legal_N, train_counts_A)
    strongest = strongest_move(rows)
    if strongest is not None:
        found["strongest_move"] = {name: float(each_N.mean()) for name, each_N in strongest.items()} | {
            "decisions": len(rows)}
    return found


def baselines(action_N: NDArray[np.int8], legal_N: NDArray[np.uint16],
              train_counts_A: NDArray[np.int64]) -> dict[str, Figures]:
    """Scores of predictors that ignore the battle.

    most_frequent: the frequency of each action in training (every count plus one), legal or not.
    uniform_legal: each legal action equally likely; top-1 and top-3 are expectations, 1/n and min(3, n)/n.
    frequency_legal: the frequencies in training, renormalised over the legal actions.
    """
    # There are at most 1,024 x 10 pairs of a mask and an action, however many decisions: score each pair once.
    pairs, counts_U = np.unique(legal_N.astype(np.int64) * NUM_ACTIONS + action_N, return_counts=True)
    legal_U, action_U = (pairs // NUM_ACTIONS).astype(np.uint16), pairs % NUM_ACTIONS
    legal_UA = unpack_actions(legal_U) | (legal_U == 0)[:, None]
    log_probs_A = np.log((train_counts_A + 1) / (train_counts_A.sum() + NUM_ACTIONS))
    legal_count_U = legal_UA.sum(axis=1)
    any_UA = np.broadcast_to(log_probs_A, legal_UA.shape)
    return {
        "most_frequent": _weighted(counts_U, *_score(any_UA, action_U)),
        "uniform_legal": _weighted(counts_U, np.log(legal_count_U), 1 / legal_count_U,
                                   np.minimum(3, legal_count_U) / legal_count_U),
        "frequency_legal": _weighted(counts_U, *_score(np.where(legal_UA, any_UA, -np.inf), action_U)),
    }


def _score(log_probs_UA: NDArray[np.float64], action_U: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    """nll, top1 and top3, each [U]."""
    nll_U, rank_U, *_ = rank_and_score(torch.tensor(log_probs_UA), torch.tensor(action_U))
    return nll_U.numpy(), rank_U.numpy() == 0, rank_U.numpy() < 3


def _weighted(counts_U: NDArray[np.int64], nll_U: NDArray[Any], top1_U: NDArray[Any], top3_U: NDArray[Any]) -> Figures:
    decisions = int(counts_U.sum())
    return {"nll": float(counts_U @ nll_U / decisions), "top1": float(counts_U @ top1_U / decisions),
            "top3": float(counts_U @ top3_U / decisions), "decisions": decisions}
