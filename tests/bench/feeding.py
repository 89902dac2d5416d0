"""Feeding against a DataLoader that parses JSON in __getitem__; training against a loop without input, and against the
same network as it is usually written."""

from __future__ import annotations

import itertools
import json
import time
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
from poke_bc.policy import Policy
from poke_bc.train import TrainConfig
from poke_bc.train.loss import imitation_loss
from poke_bc.train.setup import make_optimizer, settle
from poke_bc.train.step import train_step
from tests.bench.common import Line, compare, converted_battles, enlarged_sample, line_of, sized
from tests.bench.per_field import PerFieldMLP, plain_optimizer, plain_step, with_the_weights_of
from tests.bench.preprocess import flatten_ids, flatten_numbers

BATCH = 1024
BATTLES = 300


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


def run(folder: Path) -> Iterator[Line]:
    raw, shards = folder / "feed.jsonl", folder / "feed"
    enlarged_sample(raw, 100)
    preprocess([raw], shards, workers=1)
    split(shards)
    data = ShardDataset(shards, "train")
    parsing = ParsingDataset(raw)
    for workers in (0, 2):
        yield _feeding(data, parsing, workers)
    yield from _training(data)
    yield from _against_per_field(data)
    raw, _, _ = converted_battles(folder, sized(BATTLES))
    preprocess([raw], folder / "singles", workers=1)
    split(folder / "singles")
    yield from _against_per_field(ShardDataset(folder / "singles", "train"))


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


def _training(data: ShardDataset) -> Iterator[Line]:
    """The same network and the same steps, with real input and with one batch over and over; short turns each."""
    config, steps = settle(TrainConfig(device="cpu"), None), 20
    policy = _untrained(data)
    waits, times = [], []
    with BatchFeeder(data, BATCH, seed=1) as feeder:
        repeated = next(feeder).clone()
        optimizer = make_optimizer(policy, config)

        def loop(batches: Iterator[Batch]) -> None:
            for batch in itertools.islice(batches, steps):
                train_step(policy, optimizer, batch, config, bfloat16=config.precision == "bfloat16")

        def loop_over_input() -> None:
            waited, started = feeder.wait_seconds, time.perf_counter()
            loop(feeder)
            waits.append(1e3 * (feeder.wait_seconds - waited) / steps)
            times.append(1e3 * (time.perf_counter() - started) / steps)

        yield compare("training : the same loop on one repeated batch", "samples/s", steps * BATCH, loop_over_input,
                      lambda: loop(itertools.repeat(repeated)), target=">= 0.95", rounds=41)
    yield line_of("waiting for input in training : the whole step", "ms", waits[1:], times[1:], target="< 0.02")


def _against_per_field(data: ShardDataset) -> Iterator[Line]:
    """In the default precision, and with both in float32, as on a CPU without bfloat16."""
    with BatchFeeder(data, BATCH, seed=1, stop=8 * BATCH) as feeder:
        batches = [batch.clone() for batch in feeder]
    config = settle(TrainConfig(device="cpu"), None)
    for precision in dict.fromkeys((config.precision, "float32")):
        yield _in_precision(precision, config, _untrained(data), batches)


def _in_precision(precision: str, config: TrainConfig, policy: Policy, batches: list[Batch]) -> Line:
    """Both networks from the same weights on the same batches, a few steps each in turn."""
    bfloat16, steps = precision == "bfloat16", 4
    peer = with_the_weights_of(policy)
    _check_same_start(policy, peer, batches[0], bfloat16=bfloat16)
    optimizer, peer_s = make_optimizer(policy, config), plain_optimizer(peer, config)
    ours, theirs = itertools.cycle(batches), itertools.cycle(batches)
    return compare(
        f"training, {policy.name}, {policy.schema.name}, {precision} : per-field nn.Embedding + cat, float32",
        "samples/s", steps * BATCH,
        lambda: [train_step(policy, optimizer, batch, config, bfloat16=bfloat16)
                 for batch in itertools.islice(ours, steps)],
        lambda: [plain_step(peer, peer_s, batch, config) for batch in itertools.islice(theirs, steps)],
        target=">= 1.5" if bfloat16 else "(none)", rounds=21)


def _untrained(data: ShardDataset) -> Policy:
    policy = create_policy("mlp", data.manifest.schema, value_head=False, gimmick_head=False)
    policy.note_seen([data.batch(np.arange(len(data))).category])
    return policy


def _check_same_start(policy: Policy, peer: PerFieldMLP, batch: Batch, *, bfloat16: bool) -> None:
    """The loss of both before the first step; without dropout, which draws other numbers."""
    policy.eval(), peer.eval()
    with torch.no_grad():
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            ours = policy(batch).logits
        theirs = peer(batch.category, batch.number, batch.legal)
        losses = [float(imitation_loss(logits, batch.legal, batch.action, batch.candidates, batch.weight).mean())
                  for logits in (ours, theirs)]
    assert abs(losses[0] - losses[1]) < (0.01 * losses[1] if bfloat16 else 1e-5), losses
    policy.train(), peer.train()
