"""Scores of a policy on human decisions, compared with no-learning baselines.

    N decisions   U distinct pairs (legal actions, action taken)   A the ten actions
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Group, RenderableType
from rich.table import Table

from poke_bc.contract.actions import ACTION_NAMES, MOVE_SLOTS, NUM_ACTIONS, unpack_actions
from poke_bc.contract.errors import RunError, ShardError, UsageError
from poke_bc.contract.split import read_split
from poke_bc.data.dataset import ShardDataset
from poke_bc.metrics import EVAL_BATCH, rank_and_score, score_policy
from poke_bc.policy import TrainedOn, check_fits, load_policy
from poke_bc.policy.store import policy_folder
from poke_bc.train.config import CONFIG_FILE, TrainConfig
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

    Returns nll (natural log), top1, top3, ece, decisions; slices (by action, kind, legal_actions, turn) and no-learning
    baselines, each with nll, top1, top3, decisions. Raises UsageError, RunError and ShardError.
    """
    where = pick_device(device)
    policy = load_policy(run, device=where, checkpoint=checkpoint)
    folder = Path(shards) if shards is not None else _run_shards(run, checkpoint)
    data = ShardDataset(folder, None if split == "all" else split)
    check_fits(policy, data.manifest)
    trained_on = policy.trained_on
    if trained_on is not None and split != "train":
        _check_unseen(trained_on, data)
    if not len(data):
        again = f"split with a ratio for it, then train on that split: poke-bc split {folder} --{split}-ratio 0.1"
        raise ShardError(f"{folder}: no decision in split {split} to evaluate on",
                         hint=again if split in ("val", "test") else f"see what it contains: poke-bc inspect {folder}")
    scores = score_policy(policy, data, device=where, batch_size=batch_size)
    action_N, legal_N = data.column("action"), data.column("legal")
    counts_A = np.array([0] * NUM_ACTIONS if trained_on is None else trained_on.actions)
    return {
        **scores.figures(),
        "slices": {kind: {name: scores.at(keep_N).summary() for name, keep_N in groups.items() if keep_N.any()}
                   for kind, groups in _slices(data, action_N, legal_N).items()},
        "baselines": baselines(action_N, legal_N, counts_A),
    }


def _run_shards(run: str | Path, checkpoint: str) -> Path:
    """The shards of the run that a policy belongs to. Raises UsageError for a policy outside a run."""
    for folder in policy_folder(run, checkpoint).resolve().parents:
        if (folder / CONFIG_FILE).is_file():
            return TrainConfig.read(folder).shards
    raise UsageError(f"{run}: a policy outside its run; its shards are not known", hint="add --shards data/shards")


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
    nll_U, rank_U, _ = rank_and_score(torch.tensor(log_probs_UA), torch.tensor(action_U))
    return nll_U.numpy(), rank_U.numpy() == 0, rank_U.numpy() < 3


def _weighted(counts_U: NDArray[np.int64], nll_U: NDArray[Any], top1_U: NDArray[Any], top3_U: NDArray[Any]) -> Figures:
    decisions = int(counts_U.sum())
    return {"nll": float(counts_U @ nll_U / decisions), "top1": float(counts_U @ top1_U / decisions),
            "top3": float(counts_U @ top3_U / decisions), "decisions": decisions}


def render(result: Figures) -> RenderableType:
    """The result of `evaluate` as tables."""
    overall = {f"policy (calibration error {result['ece']:.1%})": result, **{
        f"baseline: {name.replace('_', ' ')}": figures for name, figures in result["baselines"].items()}}
    tables = [_table("decisions with a choice", overall)]
    for kind, groups in result["slices"].items():
        named = {ACTION_NAMES[int(name)]: figures for name, figures in groups.items()} if kind == "action" else groups
        tables.append(_table(f"by {kind.replace('_', ' ')}", named))
    return Group(*tables)


def _table(title: str, rows: Mapping[str, Figures]) -> Table:
    table = Table(title, title_justify="left")
    for column in ("decisions", "NLL", "top-1", "top-3"):
        table.add_column(column, justify="right")
    for name, figures in rows.items():
        table.add_row(name, f"{figures['decisions']:,}", f"{figures['nll']:.4f}", f"{figures['top1']:.1%}",
                      f"{figures['top3']:.1%}")
    return table
