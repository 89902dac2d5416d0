"""Training on a GPU: streaming and resident, eager and captured, against compute alone and against a DataLoader.

Nobody has run this yet: it was written on machines without a GPU. The data are random valid rows in the schema
`singles`, so it needs neither polars nor real battles. The network is the default one, in bfloat16, and the whole step
is timed: input, forward, backward, clipping, AdamW, and the running sums of the metrics.

    python -m tests.bench gpu
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from poke_bc.data.batch import Batch
from poke_bc.data.buffers import Packing
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.device import Accelerator
from poke_bc.data.feed import BatchFeeder, PackedBatch
from poke_bc.policy import create_policy
from poke_bc.train.config import TrainConfig
from poke_bc.train.setup import make_optimizer
from poke_bc.train.step import Update, train_step
from tests.bench.common import Line, compare, line_of, rates, sized
from tests.bench.random_shards import write_random_shards

BATCH, LARGE = 1024, 16384
ROWS = 400_000
STEPS = 200
"""Of a round."""
RATE = 1e-3
Job = Callable[[], None]


def run(folder: Path) -> Iterator[Line]:
    if not torch.cuda.is_available():
        print("no CUDA device: training on a GPU is not measured")
        return
    data = ShardDataset(write_random_shards(folder / "shards", sized(ROWS), shards=4))
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}; {len(data):,} rows, "
          f"{Packing(data.layout, 1).nbytes} bytes each")
    yield from _modes(data)
    yield _data_loader(data)
    yield from _bus(data)
    yield _busy(data)


class Training:
    """A policy in training on the GPU, in one of the modes."""

    def __init__(self, data: ShardDataset, batch_size: int, *, captured: bool) -> None:
        self.device = torch.device("cuda")
        self.config = TrainConfig(batch_size=batch_size)
        torch.manual_seed(0)
        self.policy = create_policy("mlp", data.manifest.schema).to(self.device)
        self.policy.note_seen(data.chunks("category"))
        self.optimizer = make_optimizer(self.policy, self.config, capturable=captured)
        self.sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        self.update = Update(self.policy, self.optimizer, self.config, self.sums, bfloat16=True,
                             graphs=Accelerator(self.device) if captured else None)

    def eager(self, batch: Batch) -> Tensor:
        """One step without an Update, for batches from elsewhere."""
        return train_step(self.policy, self.optimizer, batch, self.config, bfloat16=True)

    def steps(self, next_packed: Callable[[], PackedBatch], count: int = STEPS) -> Job:
        """A round: so many steps, and a wait for the last of them."""
        def job() -> None:
            for _ in range(count):
                self.update(next_packed(), RATE)
            torch.cuda.synchronize()
        return job


def _modes(data: ShardDataset) -> Iterator[Line]:
    """All modes in turn in the same rounds: whatever else the machine does meets them alike."""
    with ExitStack() as open_feeders:
        jobs: dict[str, Job] = {}
        for captured, resident in itertools.product((True, False), (True, False)):
            feeder = open_feeders.enter_context(BatchFeeder(data, BATCH, seed=1, device="cuda", resident=resident))
            name = f"{'captured' if captured else 'eager'} {'resident' if resident else 'streaming'}"
            jobs[name] = Training(data, BATCH, captured=captured).steps(feeder.next_packed)
        for captured in (True, False):
            with BatchFeeder(data, BATCH, seed=1, device="cuda", resident=False) as feeder:
                first = feeder.next_packed()
                repeated = replace(first, raw=first.raw.clone(), tensors=None)
            jobs[f"{'captured' if captured else 'eager'} compute"] = Training(
                data, BATCH, captured=captured).steps(lambda repeated=repeated: repeated)
        found = rates(jobs, STEPS * BATCH)
    for ours, theirs, target in (
            ("captured streaming", "captured compute", ">= 0.95"), ("eager streaming", "eager compute", ">= 0.95"),
            ("captured resident", "eager streaming", ">= 2"), ("captured resident", "captured streaming", "(none)"),
            ("eager resident", "eager streaming", "(none)")):
        yield _line(f"{ours} : {theirs}, batch {BATCH}", found[ours], found[theirs], "samples/s", target)


def _line(what: str, ours: list[float], theirs: list[float], unit: str, target: str) -> Line:
    return line_of(what, unit, ours, theirs, target=target)


def _data_loader(data: ShardDataset) -> Line:
    """Our default mode against the common way with 8 workers and pinned memory, both with the same network."""
    ours, theirs = Training(data, BATCH, captured=True), Training(data, BATCH, captured=False)
    loader = DataLoader(data, BATCH, shuffle=True, num_workers=8, pin_memory=True, drop_last=True,
                        persistent_workers=True, multiprocessing_context="spawn")

    def forever() -> Iterator[dict[str, Tensor]]:
        while True:
            yield from loader

    with closing(forever()) as batches, BatchFeeder(data, BATCH, seed=1, device="cuda") as feeder:
        def with_loader() -> None:
            for columns in itertools.islice(batches, STEPS):
                theirs.eager(Batch({name: column.to("cuda", non_blocking=True) for name, column in columns.items()}))
            torch.cuda.synchronize()

        return compare(f"default : DataLoader, 8 workers, pinned, batch {BATCH}", "samples/s", STEPS * BATCH,
                       ours.steps(feeder.next_packed), with_loader, target="(none)", rounds=3)


def _bus(data: ShardDataset) -> Iterator[Line]:
    """Streaming without any compute against one large pinned copy: the fraction of the bus that feeding reaches."""
    device = torch.device("cuda")
    size = 256 << 20
    source, target = torch.empty(size, dtype=torch.uint8, pin_memory=True), torch.empty(
        size, dtype=torch.uint8, device=device)

    def peak() -> None:
        for _ in range(8):
            target.copy_(source, non_blocking=True)
        torch.cuda.synchronize()

    for batch in (BATCH, LARGE):
        count = 64 * STEPS * BATCH // LARGE
        with BatchFeeder(data, batch, seed=1, device=device, resident=False) as feeder:
            def feed(feeder: BatchFeeder = feeder, count: int = count) -> None:
                for _ in range(count):
                    feeder.next_packed()
                torch.cuda.synchronize()

            amounts = {"ours": count * Packing(data.layout, batch).nbytes / 1e6, "theirs": 8 * size / 1e6}
            yield compare(f"streaming, nothing computed : pinned copies, batch {batch}", "MB/s", 0, feed, peak,
                          amounts=amounts, target="(none)", rounds=3)


def _busy(data: ShardDataset) -> Line:
    """Fraction of the time in which a kernel or a copy ran, of captured resident steps at a large batch."""
    with BatchFeeder(data, LARGE, seed=1, device="cuda", resident=True) as feeder:
        job = Training(data, LARGE, captured=True).steps(feeder.next_packed, 50)
        job()
        with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
            started = time.perf_counter()
            job()
            wall = (time.perf_counter() - started) * 1e6
    spans = np.array(sorted((event.time_range.start, event.time_range.end) for event in profiler.events()
                            if event.device_type == torch.autograd.DeviceType.CUDA
                            and not event.is_user_annotation), dtype=np.float64).reshape(-1, 2)
    ends = np.maximum.accumulate(spans[:, 1])
    idle = np.clip(spans[1:, 0] - ends[:-1], 0, None).sum() if len(spans) else wall
    busy = (ends[-1] - spans[0, 0] - idle if len(spans) else 0.0) / wall * 100
    return _line(f"busy, captured resident : all the time, batch {LARGE}", [busy], [100.0], "% of time", ">= 0.95")
