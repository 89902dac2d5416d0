"""Runs on the same decisions: which is better, and whether these battles can show it.

    N decisions   V values, FIGURES
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.errors import UsageError
from poke_bc.decisions.baselines import Figures
from poke_bc.evaluate.bootstrap import Bootstrap, pair
from poke_bc.evaluate.guessing import can_check
from poke_bc.evaluate.judge import FIGURES, judge, values_of
from poke_bc.evaluate.predictions import Predictions, predict
from poke_bc.evaluate.slices import Partition, slices_of
from poke_bc.evaluate.subject import Subject, open_subject
from poke_bc.metrics import EVAL_BATCH

MOST_RUNS = len(ascii_uppercase)


def compare(runs: Sequence[str | Path], shards: str | Path | None = None, split: str = "val", *, device: str = "auto",
            batch_size: int = EVAL_BATCH, checkpoint: str = "best", leaks: bool = False) -> Figures:
    """Evaluate several runs on the same decisions, and compare the first with each of the others.

    Args:
        runs: two or more.
        shards, split, device, batch_size, checkpoint, leaks: as for `evaluate`, for all of them.

    Returns `results`, what evaluate() returns for each run, and `pairs`, what `paired` returns for A, the first, and
    each other run.

    Raises what evaluate() raises, and UsageError for runs whose decisions are not the same.
    """
    if len(runs) > MOST_RUNS:
        raise UsageError(f"{len(runs)} runs: at most {MOST_RUNS} can be compared at once", hint="give fewer runs")
    if leaks:
        can_check(split)
    first: Subject | None = None
    results, predictions = [], []
    for run in runs:
        subject = open_subject(run, shards, split, device=device, checkpoint=checkpoint)
        first = first or subject
        _check_same_decisions(first, subject, runs[0], run)
        predicted = predict(subject.policy, subject.dataset, device=subject.device, batch_size=batch_size)
        results.append(judge(subject, predicted, leaks=leaks))
        predictions.append(predicted.at(subject.rows.is_observed_N))
    assert first is not None
    rows = first.rows.at(first.rows.is_observed_N)
    bootstrap, slices = Bootstrap(rows.battle_N), slices_of(rows, first.shards)
    return {"results": results, "pairs": [
        paired(predictions[0], other, bootstrap, slices, names=("A", ascii_uppercase[place]))
        for place, other in enumerate(predictions[1:], start=1)]}


def _check_same_decisions(first: Subject, other: Subject, first_run: str | Path, run: str | Path) -> None:
    if first.policy.schema.hash != other.policy.schema.hash:
        raise UsageError(f"{run}: reads another schema than {first_run}, so there are no decisions to judge both on",
                         hint="compare policies of one schema")
    if first.shards.manifest.identity != other.shards.manifest.identity:
        raise UsageError(f"{run}: was trained on other shards ({other.shards.folder}) than {first_run} "
                         f"({first.shards.folder})", hint="choose the shards to judge both on: --shards SHARDS")
    if not np.array_equal(first.dataset.rows, other.dataset.rows):
        raise UsageError(f"{other.shards.folder}: the same rows as {first.shards.folder}, but split in another way",
                         hint="choose the split to judge both on: --shards SHARDS")


def paired(a: Predictions, b: Predictions, bootstrap: Bootstrap, slices: dict[str, Partition], *,
           names: tuple[str, str] = ("A", "B")) -> Figures:
    """Two policies' predictions of the same observed choices, compared decision by decision.

    names            of the two
    difference       of nll, top1 and top3: the first minus the second; `interval`: 95%, over battles
    differ           share of decisions of which they find another action most likely
    right            decisions that both, only_a, only_b or neither got right
    slices           kind -> group -> decisions, and difference and interval of nll and top1
    better           the name of the one that is better, or None
    verdict          the same as a sentence
    """
    difference_NV = values_of(a.scores) - values_of(b.scores)
    right_a_N, right_b_N = a.scores.rank_N == 0, b.scores.rank_N == 0
    found: Figures = {
        "names": list(names),
        "difference": dict(zip(FIGURES, map(float, difference_NV.mean(axis=0)), strict=True)),
        "interval": dict(zip(FIGURES, map(pair, bootstrap.intervals(difference_NV)[0]), strict=True)),
        "differ": float((a.best_N != b.best_N).mean()),
        "right": {"both": int((right_a_N & right_b_N).sum()), "only_a": int((right_a_N & ~right_b_N).sum()),
                  "only_b": int((right_b_N & ~right_a_N).sum()), "neither": int((~right_a_N & ~right_b_N).sum())},
        "slices": {kind: _of_groups(groups, difference_NV[:, :2], bootstrap) for kind, groups in slices.items()},
    }
    return found | dict(zip(("better", "verdict"), _verdict(found), strict=True))


def _of_groups(groups: Partition, difference_NV: NDArray[np.float64], bootstrap: Bootstrap) -> dict[str, Figures]:
    bounds_GV2 = bootstrap.intervals(difference_NV, groups.group_N, len(groups.names))
    return {name: {"decisions": int(keep_N.sum()),
                   "difference": dict(zip(FIGURES, map(float, difference_NV[keep_N].mean(axis=0)), strict=False)),
                   "interval": dict(zip(FIGURES, map(pair, bounds_V2), strict=False))}
            for (name, keep_N), bounds_V2 in zip(groups, bounds_GV2, strict=True)}


def _verdict(found: Figures) -> tuple[str | None, str]:
    """Who is better, judged by nll and top1 where the interval of the difference leaves out zero."""
    (a, b), interval = found["names"], found["interval"]
    if interval["nll"] is None or interval["top1"] is None:
        return None, "too few battles to compare them"
    if not any(interval["nll"]) and not any(interval["top1"]) and not found["differ"]:
        return None, f"{a} and {b} predict the same"
    by: dict[str, str | None] = {}
    said = {}
    for figure, lower, text in (("nll", a, _nll), ("top1", b, _points)):
        low, high = interval[figure]
        by[figure] = None if low <= 0 <= high else lower if high < 0 else (b if lower == a else a)
        said[figure] = text(abs(found["difference"][figure]), *sorted((abs(low), abs(high))))
    if by["nll"] is None and by["top1"] is None:
        widths = {figure: (interval[figure][1] - interval[figure][0]) / 2 for figure in ("nll", "top1")}
        return None, (f"no difference between {a} and {b} that these battles can show: they tell NLL to within "
                      f"{widths['nll']:.4f}, top-1 to within {100 * widths['top1']:.1f} points")
    if by["nll"] and by["top1"] and by["nll"] != by["top1"]:
        return None, f"{by['nll']} has the lower NLL, {said['nll']}, but {by['top1']} the higher top-1, {said['top1']}"
    better = by["nll"] or by["top1"]
    parts = [said["nll"] if by["nll"] else "no difference in NLL that these battles can show",
             said["top1"] if by["top1"] else "no difference in top-1 that these battles can show"]
    return better, f"{better} is better: {', '.join(parts)}"


def _nll(size: float, low: float, high: float) -> str:
    return f"NLL lower by {size:.4f} ({low:.4f} to {high:.4f})"


def _points(size: float, low: float, high: float) -> str:
    return f"top-1 higher by {100 * size:.1f} points ({100 * low:.1f} to {100 * high:.1f})"
