"""Scores of a policy on human decisions, compared with no-learning baselines.

    N decisions   U distinct pairs (legal actions, action taken)   A the ten actions
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.text import Text

from poke_bc.callable_module import callable_as
from poke_bc.contract.actions import ACTION_NAMES, MOVE_SLOTS, NO_LABEL, NUM_ACTIONS, unpack_actions
from poke_bc.contract.errors import RunError, ShardError, UsageError
from poke_bc.contract.split import read_split
from poke_bc.data.dataset import ShardDataset
from poke_bc.metrics import EVAL_BATCH, Scores, rank_and_score, score_policy, switch_labels
from poke_bc.policy import TrainedOn, check_fits, load_policy
from poke_bc.policy.store import policy_folder
from poke_bc.tables import make_table
from poke_bc.train.config import TrainConfig, is_ours
from poke_bc.train.setup import pick_device

TURN_BUCKETS = (0, 6, 11, 21, 41)
"""First turn of each bucket."""
Figures = dict[str, Any]


def evaluate(run: str | Path, shards: str | Path | None = None, split: str = "val", *, device: str = "auto",
             batch_size: int = EVAL_BATCH, checkpoint: str = "best") -> Figures:
    """Evaluate a policy on observed choices among more than one legal action (or with no recorded mask).

    Args:
        run: a run, checkpoint or policy folder.
        shards: a folder of shards; None: those the run was trained on.
        split: "val", "test" or "train"; or "all", for all battles of shards that the policy was not trained on.
        device: as for training.
        batch_size: affects the speed only.
        checkpoint: "best", "last" or "step-00000500" of a run.

    Returns nll (natural log), top1, top3, ece, decisions; judged (what was); interval (95%, over battles); switches
    (shares predicted and chosen, without and with censored choices); slices (by action, kind, legal_actions, turn) and
    no-learning baselines, each with nll, top1, top3, decisions; and remarks.

    Raises UsageError, RunError and ShardError.
    """
    where = pick_device(device)
    policy = load_policy(run, device=where, checkpoint=checkpoint)
    place = policy_folder(run, checkpoint).resolve()
    own = next(filter(is_ours, place.parents), None)
    if shards is None:
        if own is None:
            raise UsageError(f"{run}: a policy outside its run; its shards are not known",
                             hint="add --shards data/shards")
        shards = TrainConfig.read(own).shards
    folder = Path(shards)
    data = ShardDataset(folder, None if split == "all" else split)
    check_fits(policy, data.manifest)
    trained_on = policy.trained_on
    earlier = trained_on if split != "train" else None
    while earlier is not None:
        _check_unseen(earlier, data)
        earlier = earlier.after
    if not len(data):
        again = f"split with a ratio for it, then train on that split: poke-bc split {folder} --{split}-ratio 0.1"
        raise ShardError(f"{folder}: no decision in split {split} to evaluate on",
                         hint=again if split in ("val", "test") else f"see what it contains: poke-bc inspect {folder}")
    every = ShardDataset(data.shards, data.split, censored=True)
    of_every = score_policy(policy, every, device=where, batch_size=batch_size)
    scores = of_every.at(every.column("action") != NO_LABEL)
    action_N, legal_N, battle_N = data.column("action"), data.column("legal"), data.column("battle")
    counts_A = np.array([0] * NUM_ACTIONS if trained_on is None else trained_on.actions)
    figures, compared = scores.figures(), baselines(action_N, legal_N, counts_A)
    return {
        **figures,
        "judged": {"run": str(own or place), "checkpoint": place.parent.name if own else "", "split": split,
                   "shards": str(folder.resolve()), "data": data.manifest.identity,
                   "battles": len(np.unique(battle_N))},
        "interval": scores.intervals(battle_N),
        "switches": _switches(every, of_every),
        "slices": {kind: {name: scores.at(keep_N).summary() for name, keep_N in groups.items() if keep_N.any()}
                   for kind, groups in _slices(data, action_N, legal_N).items()},
        "baselines": compared,
        "remarks": [*_worse(figures, compared)],
    }


def _switches(every: ShardDataset, scores: Scores) -> Figures:
    """Share of switches among choices between moves and switches, as people chose and as the policy predicts."""
    action_N = every.column("action")
    label_N = switch_labels(action_N, every.column("candidates"), every.column("legal"))
    known_N = ~np.isnan(label_N)
    return {name: {"decisions": int(keep_N.sum()), "chosen": float(label_N[keep_N].mean()),
                   "predicted": float(scores.switch_N[keep_N].mean(dtype=np.float64))}
            for name, keep_N in (("observed", known_N & (action_N != NO_LABEL)), ("with_censored", known_N))
            if keep_N.any()}


def _worse(figures: Figures, compared: Mapping[str, Figures]) -> Iterator[str]:
    """Plain words about each baseline that is better."""
    for name, baseline in compared.items():
        worse = [f"NLL {figures['nll']:.4f} against {baseline['nll']:.4f}"] * (figures["nll"] > baseline["nll"])
        worse += [f"top-1 {figures['top1']:.1%} against {baseline['top1']:.1%}"] * (figures["top1"] < baseline["top1"])
        if worse:
            yield f"the policy is worse than the baseline {name.replace('_', ' ')}: {', '.join(worse)}"


def _check_unseen(trained_on: TrainedOn, data: ShardDataset) -> None:
    """Raises RunError if the policy was trained on these battles; warns if that cannot be determined."""
    folder = data.shards.folder
    if trained_on.data != data.manifest.identity:
        print(f"warning: {folder}: not the shards that the policy was trained on; if both contain the same battles, "
              "it may have learned from some of these", file=sys.stderr)
    elif data.split is None:
        raise RunError(f"{folder}: the policy was trained on a split of these shards, so not all of them are unseen",
                       hint="evaluate on --split val or test, or on other --shards")
    elif trained_on.split != read_split(folder, data.manifest.identity)[0].file_xxh3:
        raise RunError(f"{folder}: split again since the policy was trained; it may have learned from these battles",
                       hint="restore the split (the same --seed, ratios and --by), or train on this one")


def _slices(data: ShardDataset, action_N: NDArray[np.int8],
            legal_N: NDArray[np.uint16]) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """Kind of slice -> name of the slice -> mask of its decisions [N]."""
    has_turn = any(field.name == "turn" and field.width == 1 for field in data.manifest.schema.numbers)
    turn_N = data.field("turn")[:, 0] if has_turn else data.column("step")
    legal_count_N = unpack_actions(legal_N).sum(axis=1)
    ends = [*TURN_BUCKETS[1:], np.inf]
    return {
        "action": {str(action): action_N == action for action in range(NUM_ACTIONS)},
        "kind": {"move": action_N < MOVE_SLOTS, "switch": action_N >= MOVE_SLOTS},
        "legal_actions": {"not recorded" if count == 0 else str(count): legal_count_N == count
                          for count in range(NUM_ACTIONS + 1)},
        "turn": {f"{first}-{end - 1}" if end != np.inf else f"{first}+": (turn_N >= first) & (turn_N < end)
                 for first, end in zip(TURN_BUCKETS, ends, strict=True)},
    }


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


def render(result: Figures) -> RenderableType:
    """The result of `evaluate` as tables, followed by the remarks."""
    judged, interval = result["judged"], result["interval"]
    facts = [(("run", judged["run"]), False), (("checkpoint", judged["checkpoint"]), False),
             (("split", f"{judged['split']} of {judged['shards']}, {judged['battles']:,} battles"), False)]
    policy = {f"policy (calibration error {result['ece']:.1%})": result}
    overall = [*_rows(policy), (
        ("  95% interval over battles", "", *(f"{low:.4f}-{high:.4f}" for low, high in [interval["nll"]]),
         *(f"{low:.1%}-{high:.1%}" for low, high in (interval["top1"], interval["top3"]))), False)]
    for name, figures in result["baselines"].items():
        overall += _rows({f"baseline: {name.replace('_', ' ')}": figures})
    tables = [make_table(["", ""], facts, text=(0, 1)),
              make_table(["", *_HEADS], overall, title="decisions with a choice"),
              make_table(["", "decisions", "chosen", "predicted"], [
                  ((name.replace("_", " "), f"{each['decisions']:,}", f"{each['chosen']:.1%}",
                    f"{each['predicted']:.1%}"), False) for name, each in result["switches"].items()],
                  title="share of switches, where moves and switches were open")]
    for kind, groups in result["slices"].items():
        named = {ACTION_NAMES[int(name)]: figures for name, figures in groups.items()} if kind == "action" else groups
        tables.append(make_table(["", *_HEADS], _rows(named), title=f"by {kind.replace('_', ' ')}"))
    return Group(*tables, *(Text(f"! {remark}", style="yellow") for remark in result["remarks"]))


_HEADS = ("decisions", "NLL", "top-1", "top-3")


def _rows(named: Mapping[str, Figures]) -> list[tuple[tuple[str, ...], bool]]:
    return [((name, f"{figures['decisions']:,}", f"{figures['nll']:.4f}", f"{figures['top1']:.1%}",
              f"{figures['top3']:.1%}"), False) for name, figures in named.items()]


callable_as(evaluate, __name__)
