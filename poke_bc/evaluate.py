"""How good a policy is, next to what one knows without learning.

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
from poke_bc.policy import check_fits, load_policy
from poke_bc.policy.store import policy_folder
from poke_bc.train.config import CONFIG_FILE, TrainConfig, read_toml
from poke_bc.train.setup import pick_device

TURN_BUCKETS = (0, 6, 11, 21, 41)
"""First turns of the buckets."""
Figures = dict[str, Any]


def evaluate(run: str | Path, shards: str | Path | None = None, split: str = "val", *, device: str = "auto",
             batch_size: int = EVAL_BATCH, checkpoint: str = "best") -> Figures:
    """Judge a policy on observed choices among more than one legal action (or with no recorded mask).

    Args:
        run: a run, checkpoint or policy folder.
        shards: None: those the run was trained on.
        split: "val", "test" or "train".
        device: as for training.
        batch_size: changes the speed only.
        checkpoint: "best", "last" or "step-00000500" of a run.

    Returns nll (natural log), top1, top3, ece, decisions; slices (by action, kind, legal_actions, turn) and
    baselines, each with nll, top1, top3, decisions. Raises RunError and ShardError.
    """
    where = pick_device(device)
    policy = load_policy(run, device=where, checkpoint=checkpoint)
    folder = Path(shards) if shards is not None else _trained_on(run, checkpoint)
    data = ShardDataset(folder, split)
    check_fits(policy, data.manifest)
    if split != "train":
        _check_unseen(policy.trained_on, data)
    if not len(data):
        raise ShardError(f"{folder}: the {split} part has no decision to judge by",
                         hint="split with a ratio for it, then train on that split: "
                              f"poke-bc split {folder} --{'test' if split == 'test' else 'val'}-ratio 0.1")
    scores = score_policy(policy, data, device=where, batch_size=batch_size)
    action_N, legal_N = data.column("action"), data.column("legal")
    train_action_N = ShardDataset(data.shards, "train").column("action")
    return {
        **scores.figures(),
        "slices": {kind: {name: scores.at(keep_N).summary() for name, keep_N in groups.items() if keep_N.any()}
                   for kind, groups in _slices(data, action_N, legal_N).items()},
        "baselines": baselines(action_N, legal_N, np.bincount(train_action_N, minlength=NUM_ACTIONS)),
    }


def _trained_on(run: str | Path, checkpoint: str) -> Path:
    """The shards of the run that a policy lies in. Raises UsageError for one that lies elsewhere."""
    for folder in policy_folder(run, checkpoint).resolve().parents:
        if (folder / CONFIG_FILE).is_file():
            return TrainConfig(**read_toml(folder / CONFIG_FILE)).shards
    raise UsageError(f"{run}: a policy without its run does not say on which shards to judge it",
                     hint="name them: --shards data/shards")


def _check_unseen(trained_on: Mapping[str, str], data: ShardDataset) -> None:
    """Raises RunError when the battles may be ones that the policy learned from; warns where nobody can tell."""
    folder = data.shards.folder
    if not trained_on:
        return
    if trained_on["data"] != data.manifest.identity:
        print(f"warning: {folder}: not the shards that the policy was trained on; where they share battles, "
              "those may be ones it learned from", file=sys.stderr)
    elif trained_on["split"] != read_split(folder, data.manifest.identity)[0].file_xxh3:
        raise RunError(f"{folder}: split anew since the policy was trained; it may have learned from these battles",
                       hint="split it as it was (the same --seed, ratios and --by), or train on this split")


def _slices(data: ShardDataset, action_N: NDArray[np.int8],
            legal_N: NDArray[np.uint16]) -> dict[str, dict[str, NDArray[np.bool_]]]:
    """Kind of slice -> its name -> which decisions [N]."""
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
    """What one scores on these decisions without looking at the battle.

    most_frequent: the odds of each action in the train part (every count plus one), whatever is legal.
    uniform_legal: each legal action alike; top-1 and top-3 as expected, 1/n and min(3, n)/n.
    frequency_legal: the train part's odds, shared out over the legal actions.
    """
    # Whatever battles hold, there are at most 1,024 x 10 different questions: score each once.
    pairs, counts_U = np.unique(legal_N.astype(np.int64) * NUM_ACTIONS + action_N, return_counts=True)
    legal_U, action_U = (pairs // NUM_ACTIONS).astype(np.uint16), pairs % NUM_ACTIONS
    open_UA = unpack_actions(legal_U) | (legal_U == 0)[:, None]
    log_odds_A = np.log((train_counts_A + 1) / (train_counts_A.sum() + NUM_ACTIONS))
    legal_count_U = open_UA.sum(axis=1)
    anywhere_UA = np.broadcast_to(log_odds_A, open_UA.shape)
    return {
        "most_frequent": _weighted(counts_U, *_score(anywhere_UA, action_U)),
        "uniform_legal": _weighted(counts_U, np.log(legal_count_U), 1 / legal_count_U,
                                   np.minimum(3, legal_count_U) / legal_count_U),
        "frequency_legal": _weighted(counts_U, *_score(np.where(open_UA, anywhere_UA, -np.inf), action_U)),
    }


def _score(log_odds_UA: NDArray[np.float64], action_U: NDArray[np.int64]) -> tuple[NDArray[Any], ...]:
    """(nll, in first place, among the first three), each [U]."""
    nll_U, rank_U, _ = rank_and_score(torch.tensor(log_odds_UA), torch.tensor(action_U))
    return nll_U.numpy(), rank_U.numpy() == 0, rank_U.numpy() < 3


def _weighted(counts_U: NDArray[np.int64], nll_U: NDArray[Any], top1_U: NDArray[Any], top3_U: NDArray[Any]) -> Figures:
    decisions = int(counts_U.sum())
    return {"nll": float(counts_U @ nll_U / decisions), "top1": float(counts_U @ top1_U / decisions),
            "top3": float(counts_U @ top3_U / decisions), "decisions": decisions}


def render(result: Figures) -> RenderableType:
    """The result of `evaluate` as tables for people."""
    overall = {f"the policy (calibration error {result['ece']:.1%})": result, **{
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
