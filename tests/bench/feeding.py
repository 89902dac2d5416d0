"""Feeding against a DataLoader that parses JSON in __getitem__; training against a loop without input."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc import BatchFeeder, ShardDataset, create_policy
from poke_bc.data.batch import Batch
from poke_bc.train import TrainConfig
from poke_bc.train.loop import train_step
from poke_bc.train.setup import make_optimizer
from tests.bench.common import Line, compare, enlarged_sample
from tests.bench.preprocess import flatten_ids, flatten_numbers

BATCH = 1024


class ParsingDataset(Dataset[tuple[Tensor, Tensor, Tensor, int]]):
    """What most projects do: an index of (line, step), the line parsed and the step flattened for each item."""

    def __init__(self, raw: Path) -> None:
        self.path = raw
        self.items: list[tuple[int, int]] = []
        with open(raw, "rb") as file:
            while line := file.readline():
                start = file.tell() - len(line)
                self.items += [(start, step) for step in range(len(json.loads(line)["steps"]))]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, Tensor, int]:
        start, number = self.items[index]
        with open(self.path, "rb") as file:
            file.seek(start)
            step: dict[str, Any] = json.loads(file.readline())["steps"][number]
        return (torch.tensor(flatten_ids(step["observation"])), torch.tensor(flatten_numbers(step["observation"])),
                torch.tensor(step["legal"]), 4 * step["action_type"] + step["action_target"])


def run(folder: Path) -> list[Line]:
    raw, shards = folder / "feed.jsonl", folder / "feed"
    enlarged_sample(raw, 100)
    preprocess([raw], shards, workers=1)
    split(shards)
    data = ShardDataset(shards, "train")
    parsing = ParsingDataset(raw)
    return [
        *(_feeding(data, parsing, workers) for workers in (0, 2)),
        _training(data),
    ]


def _feeding(data: ShardDataset, parsing: ParsingDataset, workers: int) -> Line:
    loader = DataLoader(parsing, BATCH, shuffle=True, num_workers=workers)
    return compare(f"feeding : per-item DataLoader that parses, {workers} workers", "samples/s", 1,
                   lambda: _drain(_fed(data, 2_000_000)), lambda: _drain_loader(loader, 8192),
                   amounts={"ours": 2_000_000, "theirs": 8192}, target=">= 50")


def _fed(data: ShardDataset, samples: int) -> Iterator[Batch]:
    with BatchFeeder(data, BATCH, seed=1, stop=samples) as feeder:
        yield from feeder


def _drain(batches: Iterator[Batch]) -> None:
    for batch in batches:
        batch.action.sum()


def _drain_loader(loader: DataLoader[Any], samples: int) -> None:
    for batch in itertools.islice(loader, samples // BATCH):
        batch[-1].sum()


def _training(data: ShardDataset) -> Line:
    """The same network and the same steps, with real input and with one batch over and over; short turns each."""
    config, steps = TrainConfig(), 20
    policy = create_policy("mlp", data.manifest.schema)
    with BatchFeeder(data, BATCH, seed=1) as feeder:
        repeated = next(feeder).clone()
        policy.note_seen([data.batch(np.arange(len(data))).category])
        optimizer = make_optimizer(policy, config)

        def loop(batches: Iterator[Batch]) -> None:
            for batch in itertools.islice(batches, steps):
                train_step(policy, optimizer, batch, config, bfloat16=False)

        return compare("training : the same loop on one repeated batch", "samples/s", steps * BATCH,
                       lambda: loop(feeder), lambda: loop(itertools.repeat(repeated)), target=">= 0.95", rounds=41)
