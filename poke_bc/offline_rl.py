"""Shards as transitions, for offline reinforcement learning: docs/offline-rl.md.

    B transitions   S steps of a sequence   A the ten actions
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from poke_bc.data.batch import Batch
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.feed import BatchFeeder
from poke_bc.data.shards import Shards
from poke_bc.policy.masks import legal_actions

_COLUMNS = ("category", "number", "legal", "action", "gimmick", "reward", "returns", "done")


@dataclass(frozen=True)
class Transitions:
    """A batch of transitions; its tensors are valid until the next batch is requested."""

    observation: Batch
    """What a policy is called with: `policy(batch.observation)`."""
    action: Tensor
    """[B] int64, what was chosen."""
    gimmick: Tensor
    """[B] int64, index into contract.actions.GIMMICKS: what was activated with it."""
    reward: Tensor
    """[B] float32, earned by this decision."""
    returns: Tensor
    """[B] float32, this reward and all later ones of the battle."""
    next_observation: Batch
    """The same player's next decision; where `done`, all zero."""
    done: Tensor
    """[B] bool, the battle ended with this decision: nothing is to be expected from the next observation."""
    legal: Tensor
    """[B, A] bool, the actions that could be chosen; all, where that is not recorded."""
    next_legal: Tensor
    """[B, A] bool, the same of the next observation; where `done`, all."""
    position: int
    """Transitions used up to and including this batch; a resumed run starts here."""

    def __len__(self) -> int:
        return len(self.action)


def transitions(shards: str | Path | Shards, split: str | None = "train", *, batch_size: int = 512, seed: int = 0,
                epochs: int | None = None, start: int = 0, shuffle: bool = True, window: int | None = None,
                steps: range | None = None, device: str | torch.device = "cpu") -> Iterator[Transitions]:
    """Batches of what a player saw, chose and earned, and what it saw next, by the feeder that imitation uses.

    Every decision of the split is one whose choice was seen, also where only one action was legal: it leads on to the
    next. The last decision of a record that ends before its battle does leads nowhere, and is left out. The order
    depends on the seed and the data alone, as for BatchFeeder.

    Args:
        shards: a folder of shards, or Shards that are open.
        split: "train", "val", "test", or None for all.
        batch_size: transitions per batch; the last batch may have fewer.
        seed: of the order.
        epochs: passes over the data; None: without end, or one pass if not shuffled.
        start: transitions already used, such as `Transitions.position` of an interrupted run.
        shuffle: False: in the order of the data.
        window: shuffle within windows of about this many rows, for slow disks.
        steps: of a policy that reads sequences, its `Policy.steps`, which end with the decision itself; observations
            are then [B, S, ...].
        device: of the batches.

    Raises what ShardDataset and BatchFeeder raise.

        for batch in transitions("data/shards", "train", epochs=3):
            value_B = critic(batch.next_observation)
            target_B = batch.reward + torch.where(batch.done, 0, value_B)
    """
    if steps is not None and (steps.step != 1 or steps.stop != 1):
        raise ValueError(f"{steps} does not end with the decision itself, step 0")
    data = ShardDataset(shards, split, columns=_COLUMNS, forced=True,
                        steps=range(0 if steps is None else steps.start, 2))
    rows = data.rows.astype(np.int64)
    done_M = data.column("done")
    data.rows = data.rows[(data.neighbours(rows).after_B > 0) | (done_M != 0)]
    feeder = BatchFeeder(data, batch_size, seed=seed, start=start, device=device, shuffle=shuffle, window=window,
                         stop=None if epochs is None else epochs * len(data))
    return _all_of(feeder, steps)


def _all_of(feeder: BatchFeeder, steps: range | None) -> Iterator[Transitions]:
    with feeder:
        for batch in feeder:
            now = batch.at(0)
            observation, following = (_observation(batch, at, steps) for at in (0, 1))
            yield Transitions(
                observation=observation, action=now.action.to(torch.int64), gimmick=now.gimmick.to(torch.int64),
                reward=now.reward, returns=now.returns, next_observation=following, done=now.done != 0,
                legal=legal_actions(now.legal), next_legal=legal_actions(batch.at(1).legal), position=batch.position)


def _observation(batch: Batch, at: int, steps: range | None) -> Batch:
    """What a policy reads to decide at a step of the batch."""
    if steps is None:
        row = batch.at(at)
        return Batch({name: getattr(row, name) for name in ("category", "number", "legal")})
    places = slice(at, at + len(steps))
    return Batch({name: getattr(batch, name)[:, places] for name in ("category", "number", "legal", "is_pad")},
                 steps=steps)
