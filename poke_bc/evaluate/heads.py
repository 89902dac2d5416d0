"""How good the value head and the gimmick head are, beside the best constant.

The constants are the rates of the evaluated decisions themselves: no constant that is fixed beforehand can do better.

    N decisions   T trajectories   M the four move slots   G the five gimmicks, none included
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.actions import MOVE_SLOTS
from poke_bc.data.shards import Shards
from poke_bc.decisions.rows import Rows
from poke_bc.evaluate.bootstrap import Bootstrap, pair
from poke_bc.evaluate.calibration import auc, reliability
from poke_bc.evaluate.slices import turns_of

Floats = NDArray[np.float64]


def outcomes(rows: Rows, shards: Shards) -> Floats:
    """How the battle ended for the player [N]: 1 won, 0 lost, 0.5 neither; by the sign of the total reward."""
    won_T: Floats = (np.sign(np.array(shards.trajectories("total_reward"), np.float64)) + 1) / 2
    return won_T[rows.trajectory_N]


def judge_value(rows: Rows, win_N: Floats, won_N: Floats, bootstrap: Bootstrap) -> dict[str, Any]:
    """The Brier score, mean (probability - outcome)², of the probability of winning.

    Args:
        rows: the decisions.
        win_N: predicted probability of winning.
        won_N: as `outcomes` gives it.
        bootstrap: over the battles of the decisions.

    Returns figures, with `by_turn` and bins of `reliability`. `constant` is the Brier score of `win_rate`, the share of
    these decisions whose battle was won; `gain` is how much lower the policy's is.
    """
    error_N = (win_N - won_N) ** 2
    constant_N = (won_N.mean() - won_N) ** 2
    bounds_V2 = bootstrap.intervals(np.stack([error_N, constant_N - error_N], axis=1))[0]
    return {**_brier(error_N, won_N), "interval": {"brier": pair(bounds_V2[0]), "gain": pair(bounds_V2[1])},
            "by_turn": {name: _brier(error_N[keep_N], won_N[keep_N]) for name, keep_N in turns_of(rows)},
            "reliability": reliability(win_N, won_N)}


def _brier(error_N: Floats, won_N: Floats) -> dict[str, Any]:
    brier, constant = float(error_N.mean()), float(((won_N.mean() - won_N) ** 2).mean())
    return {"decisions": len(error_N), "brier": brier, "constant": constant, "gain": constant - brier,
            "win_rate": float(won_N.mean())}


def judge_gimmick(rows: Rows, gimmick_NMG: NDArray[np.float32]) -> dict[str, Any] | None:
    """Whether something is activated together with the move that was taken, where something could be.

    Args:
        rows: decisions whose action is known.
        gimmick_NMG: probabilities given each move slot.

    Returns decisions, rate (of activations), auc (None where all are alike), log_loss, constant (the log loss of the
    rate) and bins of reliability. None without such a decision.
    """
    can_N4 = rows.fields.get("own_can_gimmick")
    is_move_N = rows.action_N < MOVE_SLOTS
    any_N = gimmick_NMG[np.arange(len(rows)), np.where(is_move_N, rows.action_N, 0), 1:].sum(axis=1, dtype=np.float64)
    keep_N = is_move_N & (can_N4.any(axis=1) if can_N4 is not None else any_N > 0)
    if not keep_N.any():
        return None
    any_N, used_N = any_N[keep_N], rows.gimmick_N[keep_N] > 0
    none_N = gimmick_NMG[keep_N, rows.action_N[keep_N], 0].astype(np.float64)
    told_N = np.maximum(np.where(used_N, any_N, none_N), np.finfo(np.float32).tiny)
    rate = float(used_N.mean())
    return {"decisions": len(used_N), "rate": rate, "auc": auc(any_N, used_N),
            "log_loss": float(-np.log(told_N).mean()), "constant": _entropy(rate),
            "reliability": reliability(np.minimum(any_N, 1), used_N)}


def _entropy(rate: float) -> float:
    """Log loss of a rate that is right."""
    return sum(-share * float(np.log(share)) for share in (rate, 1 - rate) if share)
