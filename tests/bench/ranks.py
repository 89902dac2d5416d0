"""Training on two processes of one thread each, against one: the same global batch."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection
from pathlib import Path

import torch

from poke_bc import BatchFeeder, ShardDataset, create_policy
from poke_bc.data.batch import COLUMNS
from poke_bc.train import TrainConfig
from poke_bc.train.average import Average
from poke_bc.train.ranks import joined
from poke_bc.train.setup import make_optimizer, settle
from poke_bc.train.step import SUMS, Update
from tests.bench.common import Job, Line, compare, sized
from tests.bench.random_shards import write_random_shards

BATCH = 1024
STEPS = 4  # a turn is about a second, so that whatever else the machine does meets both alike


def run(folder: Path) -> Iterator[Line]:
    shards = write_random_shards(folder / "shards", sized(40_000))
    with ExitStack() as stack:
        two, one = (_team(stack, shards, size) for size in (2, 1))
        yield compare(f"training, default network, two processes of one thread : one, batch {BATCH}", "samples/s",
                      STEPS * BATCH, two, one, target=">= 1.7", rounds=21)


def _team(stack: ExitStack, shards: Path, size: int) -> Job:
    """A job that lets so many processes take STEPS steps together. They sleep until then."""
    context = multiprocessing.get_context("spawn")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    connections = []
    for rank in range(size):
        here, there = context.Pipe()
        variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size,
                     "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "bench",
                     "TORCHELASTIC_RESTART_COUNT": 0}
        process = context.Process(target=_train, args=(there, variables, shards), daemon=True)
        process.start()
        stack.callback(process.join)
        stack.callback(here.send, 0)
        connections.append(here)

    def together() -> None:
        for connection in connections:
            connection.send(STEPS)
        for connection in connections:
            connection.recv()

    return together


def _train(connection: Connection, variables: dict[str, object], shards: Path) -> None:
    """Take as many steps as are asked for, again and again, until 0 are."""
    os.environ.update({name: str(value) for name, value in variables.items()})
    torch.set_num_threads(1)
    config = settle(TrainConfig(device="cpu", shards=shards, batch_size=BATCH), None)
    data = ShardDataset(shards, columns=(*COLUMNS, "gimmick"))
    with joined("cpu") as ranks, BatchFeeder(data, BATCH, seed=1, rank=ranks.rank, ranks=ranks.size) as feeder:
        policy = create_policy(config.policy, data.manifest.schema)
        policy.note_seen(data.chunks("category"))
        update = Update(policy, make_optimizer(policy, config), config, torch.zeros(len(SUMS), dtype=torch.float64),
                        bfloat16=config.precision == "bfloat16", average=Average(policy, config.average), ranks=ranks)
        while steps := connection.recv():
            for _ in range(steps):
                update(feeder.next_packed(), config.lr)
            connection.send(steps)
