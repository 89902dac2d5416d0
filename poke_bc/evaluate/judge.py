"""The result of evaluating one policy: figures with intervals, beside baselines, and where it is good or bad.

    N decisions   A the ten actions   V values
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.actions import NO_LABEL, NUM_ACTIONS
from poke_bc.decisions.baselines import Figures, compare_baselines
from poke_bc.decisions.rows import Rows
from poke_bc.evaluate.bootstrap import Bootstrap, pair
from poke_bc.evaluate.calibration import reliability
from poke_bc.evaluate.confusion import confusion
from poke_bc.evaluate.guessing import can_check, leaks_of
from poke_bc.evaluate.heads import judge_gimmick, judge_value, outcomes
from poke_bc.evaluate.predictions import Predictions, predict
from poke_bc.evaluate.slices import Partition, slices_of
from poke_bc.evaluate.subject import Subject, open_subject
from poke_bc.metrics import EVAL_BATCH, Scores, switch_labels

FIGURES = ("nll", "top1", "top3")


def evaluate(run: str | Path, shards: str | Path | None = None, split: str = "val", *, device: str = "auto",
             batch_size: int = EVAL_BATCH, checkpoint: str = "best", leaks: bool = False) -> Figures:
    """Evaluate a policy on observed choices among more than one legal action (or with no recorded mask).

    Args:
        run: a run, checkpoint or policy folder.
        shards: a folder of shards; None: those the run was trained on.
        split: "val", "test" or "train"; or "all", for all battles of shards that the policy was not trained on.
        device: as for training.
        batch_size: affects the speed only.
        checkpoint: "best", "last" or "step-00000500" of a run.
        leaks: also run the leak check on the same decisions, which takes some seconds.

    Returns the dict that `judge` describes. Raises UsageError, RunError and ShardError.
    """
    if leaks:
        can_check(split)
    subject = open_subject(run, shards, split, device=device, checkpoint=checkpoint)
    predicted = predict(subject.policy, subject.dataset, device=subject.device, batch_size=batch_size)
    return judge(subject, predicted, leaks=leaks)


def judge(subject: Subject, predicted: Predictions, *, leaks: bool = False) -> Figures:
    """Everything that can be said of predictions for the rows of a subject's dataset.

    nll (natural log), top1, top3, ece, decisions
        over observed choices; `interval` holds [low, high] of the first three: 95%, over battles
    judged              run, checkpoint, split, shards, data (their identity), battles
    voluntary_switches  the same figures where a switch was chosen and a move was legal; None without such a decision
    switches            shares of switches chosen and predicted, without and with censored choices
    slices              kind -> group -> the figures, battles, and interval of nll and top1
    reliability         bins of the policy's confidence, as calibration.reliability returns them
    confusion           predicted against chosen actions, as confusion.confusion returns it
    value, gimmick      as heads.judge_value and judge_gimmick return them; None without such a head
    baselines           name -> nll, top1, top3, decisions
    leaks               as guessing.leaks_of returns it; None unless asked for
    remarks             plain words about what is worse than it should be

    An interval is None where there are fewer than five battles.
    """
    every = subject.rows
    observed_N = every.is_observed_N
    rows, seen = every.at(observed_N), predicted.at(observed_N)
    scores, bootstrap = seen.scores, Bootstrap(rows.battle_N)
    trained_on = subject.policy.trained_on
    figures = scores.figures()
    result = {
        **figures,
        "judged": {"run": str(subject.place), "checkpoint": subject.checkpoint, "split": subject.split,
                   "shards": str(subject.shards.folder.resolve()), "data": subject.shards.manifest.identity,
                   "battles": bootstrap.battles},
        "interval": dict(zip(FIGURES, map(pair, bootstrap.intervals(values_of(scores))[0]), strict=True)),
        "voluntary_switches": _voluntary(rows, scores, bootstrap),
        "switches": _switches(every, predicted.scores),
        "value": None if seen.win_N is None else judge_value(
            rows, seen.win_N, outcomes(rows, subject.shards), bootstrap),
        "gimmick": None if seen.gimmick_NMG is None else judge_gimmick(rows, seen.gimmick_NMG),
        "baselines": compare_baselines(rows, np.array([0] * NUM_ACTIONS if trained_on is None else trained_on.actions)),
        "reliability": reliability(scores.confidence_N, scores.rank_N == 0),
        "confusion": confusion(rows, seen.best_N),
        "slices": {kind: figures_of(groups, scores, rows.battle_N, bootstrap)
                   for kind, groups in slices_of(rows, subject.shards).items()},
        "leaks": leaks_of(subject, rows, seen) if leaks else None,
    }
    return result | {"remarks": [*_remarks(result)]}


def values_of(scores: Scores) -> NDArray[np.float64]:
    """What is averaged to FIGURES [N, V]."""
    return np.stack([scores.nll_N, scores.rank_N == 0, scores.rank_N < 3], axis=1).astype(np.float64)


def figures_of(groups: Partition, scores: Scores, battle_N: NDArray[np.uint64],
               bootstrap: Bootstrap) -> dict[str, Figures]:
    """Group -> its figures, battles, and the interval of nll and top1."""
    bounds_GV2 = bootstrap.intervals(values_of(scores)[:, :2], groups.group_N, len(groups.names))
    return {name: {**scores.at(keep_N).figures(), "battles": len(np.unique(battle_N[keep_N])),
                   "interval": {"nll": pair(bounds_V2[0]), "top1": pair(bounds_V2[1])}}
            for (name, keep_N), bounds_V2 in zip(groups, bounds_GV2, strict=True)}


def _voluntary(rows: Rows, scores: Scores, bootstrap: Bootstrap) -> Figures | None:
    keep_N = rows.is_voluntary_N
    if not keep_N.any():
        return None
    bounds_V2 = bootstrap.intervals(values_of(scores), keep_N.astype(np.int64) - 1)[0]
    return {**scores.at(keep_N).figures(), "interval": dict(zip(FIGURES, map(pair, bounds_V2), strict=True))}


def _switches(every: Rows, scores: Scores) -> Figures:
    """Share of switches among choices between moves and switches, as people chose and as the policy predicts."""
    label_N = switch_labels(every.action_N, every.candidates_N, every.legal_N)
    known_N = ~np.isnan(label_N)
    return {name: {"decisions": int(keep_N.sum()), "chosen": float(label_N[keep_N].mean()),
                   "predicted": float(scores.switch_N[keep_N].mean(dtype=np.float64))}
            for name, keep_N in (("observed", known_N & (every.action_N != NO_LABEL)), ("with_censored", known_N))
            if keep_N.any()}


def _remarks(result: Mapping[str, Any]) -> Iterator[str]:
    """Plain words about everything that a baseline or a constant does better."""
    for name, baseline in result["baselines"].items():
        worse = [f"NLL {result['nll']:.4f} against {baseline['nll']:.4f}"] * (result["nll"] > baseline["nll"])
        worse += [f"top-1 {result['top1']:.1%} against {baseline['top1']:.1%}"] * (result["top1"] < baseline["top1"])
        if worse:
            yield f"the policy is worse than the baseline {name.replace('_', ' ')}: {', '.join(worse)}"
    value, gimmick = result["value"], result["gimmick"]
    if value and value["gain"] <= 0:
        yield (f"the value head is no better than a constant: Brier score {value['brier']:.4f} against "
               f"{value['constant']:.4f}")
    if gimmick and 0 < gimmick["rate"] < 1 and gimmick["log_loss"] >= gimmick["constant"]:
        yield (f"the gimmick head is no better than the rate: log loss {gimmick['log_loss']:.4f} against "
               f"{gimmick['constant']:.4f}")
