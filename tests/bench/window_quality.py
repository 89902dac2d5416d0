"""What the window shuffle costs in loss, on data that is sorted as badly as data can be.

Battles are sorted by rating, so that rows that lie together are alike. The same network is trained on the same rows
in a global order, in windows of a twentieth and a hundredth of the data, and in the order of the file, three seeds
each; printed is the loss on the validation split. What counts is how many chunks a window draws together: the default
window has 256 of 1,024 rows. It takes some five minutes on one core:

    python -m tests.bench.window_quality RAW.jsonl [epochs]

RAW.jsonl holds trajectories with ratings, as `poke-bc convert` writes them.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import torch

from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.data import order as order_module
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.feed import BatchFeeder
from poke_bc.metrics import score_policy
from poke_bc.policy import create_policy
from poke_bc.policy.mlp import MLPOptions
from poke_bc.train import TrainConfig
from poke_bc.train.schedule import Schedule
from poke_bc.train.setup import make_optimizer
from poke_bc.train.step import Update

SEEDS = 3
ORDERS = {"global": (0, 1), "windows of 5%, chunks of 16": (20, 16), "windows of 5%, chunks of 64": (20, 64),
          "windows of 1%, chunks of 64": (100, 64), "as sorted": None}
"""(windows in an epoch, rows of a chunk): a small data set needs small chunks to have many of them."""


def sorted_shards(raw: Path, folder: Path) -> Path:
    """Shards of the trajectories of `raw`, lowest rating first."""
    lines = []
    with open(raw, "rb") as file:
        for line in file:
            trajectory = json.loads(line)
            if trajectory.get("rating") is not None:
                both = trajectory["rating"] + (trajectory.get("opponent_rating") or trajectory["rating"])
                lines.append((both, trajectory["replay_id"], line))
    lines.sort(key=lambda each: each[:2])
    in_order = folder / "sorted.jsonl"
    in_order.write_bytes(b"".join(line for _, _, line in lines))
    preprocess([in_order], folder / "shards", workers=1, shard_bytes=8 << 20)
    split(folder / "shards", val_ratio=0.2)
    return folder / "shards"


def final_loss(train: ShardDataset, val: ShardDataset, seed: int, epochs: float, *, window: int | None,
               shuffle: bool = True) -> float:
    """Validation NLL of a network trained on `train` in one of the orders."""
    config = TrainConfig(policy=MLPOptions(width=128, embedding=16), batch_size=512, epochs=epochs, seed=seed)
    schedule = Schedule(config, len(train))
    torch.manual_seed(seed)
    policy = create_policy(config.policy, train.manifest.schema)
    policy.note_seen(train.chunks("category"))
    update = Update(policy, make_optimizer(policy, config), config, torch.zeros(3, dtype=torch.float64), bfloat16=False)
    with BatchFeeder(train, config.batch_size, seed=seed, stop=schedule.total * config.batch_size, window=window,
                     shuffle=shuffle) as feeder:
        for number in range(schedule.total):
            update(feeder.next_packed(), schedule.rate(number))
    return float(score_policy(policy, val, device=torch.device("cpu")).figures()["nll"])


def run(raw: Path, folder: Path, epochs: float) -> Iterator[str]:
    """One line for each order."""
    shards = sorted_shards(raw, folder)
    train, val = ShardDataset(shards, "train"), ShardDataset(shards, "val")
    yield f"{len(train):,} training and {len(val):,} validation decisions, {epochs:g} epochs, {SEEDS} seeds"
    losses: dict[str, list[float]] = {name: [] for name in ORDERS}
    for seed in range(SEEDS):
        for name, order in ORDERS.items():
            count, chunk = order or (0, 1)
            with mock.patch.object(order_module, "CHUNK_ROWS", chunk):
                losses[name].append(final_loss(train, val, seed, epochs, shuffle=order is not None,
                                               window=len(train) // count if count else None))
    for name, found in losses.items():
        against = [one - other for one, other in zip(found, losses["global"], strict=True)]
        yield (f"{name:<28} nll {statistics.mean(found):.4f} (seeds {min(found):.4f} to {max(found):.4f}), "
               f"over global {statistics.mean(against):+.4f} ({min(against):+.4f} to {max(against):+.4f})")


def main() -> None:
    raw, epochs = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 2.0
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="poke-bc-bench-") as folder:
        for line in run(raw, Path(folder), epochs):
            print(line, flush=True)


if __name__ == "__main__":
    main()
