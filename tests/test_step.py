"""The step: captured or not the same weights, and no wait for the device between lines of metrics."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import same
from recorded_graph import record_graph
from safetensors.torch import load_file
from stream_stand_in import SCHEDULES, Immediate, StandIn
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from training_fixtures import shards, small_config  # noqa: F401 - a fixture

import poke_bc.train.loop as loop
import poke_bc.train.step as step_module
from poke_bc.contract.errors import UsageError
from poke_bc.data import order
from poke_bc.data.batch import Batch
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.device import Accelerator
from poke_bc.data.feed import BatchFeeder
from poke_bc.policy import create_policy
from poke_bc.train import TrainConfig, train
from poke_bc.train.checkpoint import Checkpoints, Progress
from poke_bc.train.loop import Trainer
from poke_bc.train.schedule import Schedule
from poke_bc.train.setup import make_optimizer
from poke_bc.train.step import SUMS, WARM_UP, Update, set_rate

STEPS = 40
"""Of 64 rows, over a border of the epoch, through warm-up and decay of the rate."""


class Run:
    """A policy in training, stepped by hand."""

    def __init__(self, data: ShardDataset, graphs: Accelerator | None, **changes: Any) -> None:
        network = {"width": 16, "blocks": 2, "dropout": 0.2, "embedding": 4, **changes.pop("policy", {})}
        self.config = small_config(Path("unused"), Path("unused"), policy=network, steps=STEPS + 1, warmup=5,
                                   min_lr_ratio=0, **{"grad_clip": 0.05, "lr": 1e-2, **changes})
        self.data, self.graphs = data, graphs
        torch.manual_seed(7)
        self.policy = create_policy(self.config.policy, data.manifest.schema)
        self.optimizer = make_optimizer(self.policy, self.config, capturable=True)
        self.sums = torch.zeros(len(SUMS), dtype=torch.float64)
        self.step = Update(self.policy, self.optimizer, self.config, self.sums, graphs=graphs,
                           bfloat16=self.config.precision == "bfloat16")

    def go(self, first: int = 0, last: int = STEPS, *, extra: int = 0, resident: bool = False) -> None:
        """Steps [first, last), and one with `extra` rows."""
        size = self.config.batch_size
        if not first:
            torch.manual_seed(11)
        with BatchFeeder(self.data, size, seed=3, start=first * size, stop=last * size + extra, resident=resident,
                         accelerator=self.graphs) as feeder, contextlib.suppress(StopIteration):
            for step in range(first, STEPS + 1):
                self.step(feeder.next_packed(), Schedule(self.config, rows=1).rate(step))

    def state(self) -> dict[str, Tensor]:
        """All that steps change."""
        moments = {f"{number} {name}": value for number, each in self.optimizer.state_dict()["state"].items()
                   for name, value in each.items()}
        return {**self.policy.state_dict(), **moments, "sums": self.sums, "random": torch.get_rng_state()}


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert [name for name in one if not torch.equal(one[name], other[name])] == []


@pytest.fixture(scope="module")
def data(shards: Path) -> ShardDataset:  # noqa: F811
    found = ShardDataset(shards, "train")
    assert 2 * len(found) < STEPS * 64
    return found


# --- captured steps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("changes", [
    {}, {"precision": "bfloat16"}, {"policy": {"value_head": True}, "value_weight": 0.5, "label_smoothing": 0.0}])
def test_captured_steps_do_what_eager_ones_do_bit_by_bit(
    data: ShardDataset, resident: bool, changes: dict[str, Any]
) -> None:
    eager, captured = Run(data, None, **changes), Run(data, Immediate(), **changes)
    eager.go(extra=5, resident=resident)
    expected = eager.state()
    captured.go(extra=5, resident=resident)
    assert_same(captured.state(), expected)
    assert captured.graphs.captures == 1
    assert float(captured.sums[2]) == STEPS + 1


def test_a_captured_step_reads_a_rate_on_the_device_anew_and_one_in_python_never(data: ShardDataset) -> None:
    eager, captured = Run(data, None), Run(data, Immediate())
    for run in (eager, captured):
        for group in run.optimizer.param_groups:
            group["lr"] = 1e-3
        run.go()
    assert not torch.equal(eager.policy.stem.weight, captured.policy.stem.weight)


def test_a_capture_itself_changes_nothing(data: ShardDataset) -> None:
    run = Run(data, Immediate())
    run.go(last=WARM_UP)
    before = {name: value.clone() for name, value in run.state().items()}
    with BatchFeeder(data, 64, seed=3) as feeder:
        run.step._capture(run.graphs, feeder.next_packed())
    assert_same(run.state(), before)


def test_a_graph_that_reads_a_number_from_the_device_is_refused() -> None:
    with pytest.raises(RuntimeError, match="must not read"):
        record_graph(lambda: float(torch.ones(1) + 1))


@pytest.mark.parametrize("order", [(None, Immediate), (Immediate, None), (Immediate, Immediate)])
def test_a_checkpoint_of_either_kind_of_step_goes_on_as_the_other(
    data: ShardDataset, tmp_path: Path, order: tuple[Any, Any]
) -> None:
    whole = Run(data, None)
    whole.go()
    expected = whole.state()
    first, then = (Run(data, kind and kind()) for kind in order)
    first.go(last=20)
    checkpoints = Checkpoints(tmp_path / "run")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    checkpoints.save(Progress(step=20), first.policy, first.optimizer, first.sums, first.config, card={})
    rate = then.optimizer.param_groups[0]["lr"]
    checkpoints.load(then.policy, then.optimizer, then.sums)
    assert then.optimizer.param_groups[0]["lr"] is rate
    then.go(first=20)
    assert_same(then.state(), expected)


def test_a_cpu_s_checkpoint_goes_on_in_captured_steps(data: ShardDataset, tmp_path: Path) -> None:
    cpu, then = Run(data, None), Run(data, Immediate())
    cpu.optimizer = make_optimizer(cpu.policy, cpu.config)
    cpu.step = Update(cpu.policy, cpu.optimizer, cpu.config, cpu.sums, bfloat16=False)
    cpu.go(last=5)
    checkpoints = Checkpoints(tmp_path / "run")
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    checkpoints.save(Progress(step=5), cpu.policy, cpu.optimizer, cpu.sums, cpu.config, card={})
    checkpoints.load(then.policy, then.optimizer, then.sums)
    assert all(group["capturable"] and isinstance(group["lr"], Tensor) for group in then.optimizer.param_groups)
    then.go(first=5)
    assert then.graphs.captures == 1


def test_the_rate_of_captured_steps_stays_one_tensor(data: ShardDataset) -> None:
    run = Run(data, None)
    before = [group["lr"] for group in run.optimizer.param_groups]
    set_rate(run.optimizer, 0.25)
    assert all(group["lr"] is rate and float(rate) == 0.25
               for group, rate in zip(run.optimizer.param_groups, before, strict=True))


def test_a_whole_run_through_a_stand_in_has_the_weights_of_a_cpu_s(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:
    """With the rate on the device in both; a rate in Python's doubles rounds otherwise."""
    devices: list[Immediate] = []

    def run(name: str, **changes: Any) -> dict[str, Tensor]:
        train(small_config(shards, tmp_path / name, save_every=4, **changes), progress=False)
        return load_file(tmp_path / name / "last" / "policy" / "policy.safetensors")

    original = loop.make_optimizer
    monkeypatch.setattr(loop, "make_optimizer", lambda *args, **_: original(*args, capturable=True))
    expected = run("eager")
    monkeypatch.setattr(loop, "captures", lambda *_: True)
    monkeypatch.setattr(loop, "accelerator_of", lambda _: devices.append(Immediate()) or devices[-1])
    assert_same(run("captured"), expected)
    assert devices[0].captures == 1


def test_capture_is_refused_where_there_is_no_gpu(shards: Path, tmp_path: Path) -> None:  # noqa: F811
    with pytest.raises(UsageError, match="needs a CUDA device"):
        train(small_config(shards, tmp_path / "run", capture="on"), progress=False)
    assert not (tmp_path / "run").exists()


# --- windows --------------------------------------------------------------------------------------------------


def test_a_windowed_run_resumes_to_the_same_weights(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:
    monkeypatch.setattr(order, "CHUNK_ROWS", 32)  # so that few rows are many chunks
    monkeypatch.setattr("poke_bc.train.config.CHUNK_ROWS", 32)

    def config(name: str, **changes: Any) -> TrainConfig:
        return small_config(shards, tmp_path / name, order="window", window=100, epochs=2, **changes)

    train(config("whole"), progress=False)
    trainer = Trainer(config("part", save_every=4), Checkpoints(tmp_path / "part"))
    with trainer.feed() as feeder:
        for _ in range(4):
            trainer.step(feeder.next_packed())
        trainer.save()
    train(config("part"), resume=True, progress=False)
    whole, part = (load_file(tmp_path / name / "last" / "policy" / "policy.safetensors") for name in ("whole", "part"))
    assert_same(part, whole)


# --- no waiting -----------------------------------------------------------------------------------------------

READERS = ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__", "__array__",
           "__contains__", "nonzero", "unique", "is_nonzero", "equal", "allclose")
"""Of Tensor: all that brings a value from the device to Python, or makes a shape of values."""
WAITING = ("aten::_local_scalar_dense", "aten::nonzero", "aten::equal", "aten::is_nonzero", "aten::masked_select",
           "aten::_unique2", "aten::unique_dim", "aten::unique_consecutive")


class Waited(AssertionError):
    pass


class _NoWaiting(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function._schema.name in WAITING:
            raise Waited(function._schema.name)
        return function(*args, **kwargs or {})


@contextlib.contextmanager
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Reading a value from a tensor raises Waited."""
    def refuse(name: str) -> Callable[..., Any]:
        def refused(*_: Any, **__: Any) -> Any:
            raise Waited(name)
        return refused

    with monkeypatch.context() as patch:
        for name in READERS:
            patch.setattr(Tensor, name, refuse(name))
        with _NoWaiting():
            yield


@pytest.mark.parametrize("resident", [False, True])
def test_between_lines_of_metrics_a_run_never_waits_for_the_device(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resident: bool  # noqa: F811
) -> None:
    trainer = Trainer(small_config(shards, tmp_path / "run", policy={"value_head": True}, value_weight=0.5),
                      Checkpoints(tmp_path / "run"))
    with BatchFeeder(trainer.data, 64, seed=1, resident=resident) as feeder:
        trainer.step(feeder.next_packed())  # the first one makes the optimizer's state
        with no_waiting(monkeypatch):
            for _ in range(30):  # over the border of the epoch
                trainer.step(feeder.next_packed())
    assert float(trainer.sums[2]) == 31


@pytest.mark.parametrize("read", [
    lambda x: x.item(), float, bool, lambda x: x.tolist(), lambda x: x.cpu(), lambda x: x.numpy(),
    lambda x: x[x > 0], lambda x: torch.equal(x, x), lambda x: [1, 2][x.to(torch.int64)], torch.nonzero])
def test_the_check_for_waiting_notices(monkeypatch: pytest.MonkeyPatch, read: Callable[[Tensor], Any]) -> None:
    value = torch.ones(())
    read(value)
    with no_waiting(monkeypatch), pytest.raises(Waited):
        read(value)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_steps_wait_for_their_batch_and_the_next_copy_waits_for_them(
    data: ShardDataset, monkeypatch: pytest.MonkeyPatch, schedule: str
) -> None:
    """On a device that delays its streams, each step aside sees the batch that was fed, before its slot is reused."""
    monkeypatch.setattr(step_module, "WARM_UP", 12)
    monkeypatch.setattr(step_module, "train_step", lambda *_, **__: torch.zeros(len(SUMS), dtype=torch.float64))
    with BatchFeeder(data, 64, seed=3, stop=12 * 64) as feeder:
        expected = [batch.clone() for batch in feeder]
    for seed in range(20 if schedule == "random" else 1):
        device, run, seen = StandIn(schedule, seed=seed), Run(data, None), []
        run.step._graphs = device
        step = run.step._step

        def when_the_device_gets_to_it(
            batch: Batch, step: Any = step, device: StandIn = device, seen: list[Batch] = seen
        ) -> None:
            step(batch)
            device.current_stream().queue(lambda: seen.append(batch.clone()))

        monkeypatch.setattr(run.step, "_step", when_the_device_gets_to_it)
        with BatchFeeder(data, 64, seed=3, stop=12 * 64, accelerator=device) as feeder:
            for _ in range(12):
                run.step(feeder.next_packed(), 1e-3)
        device.finish()
        assert len(seen) == 12
        assert all(same(batch, wanted) for batch, wanted in zip(seen, expected, strict=True))


# --- on a GPU -------------------------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("resident", [False, True])
def test_a_gpu_s_captured_steps_learn_what_its_eager_ones_learn(data: ShardDataset, resident: bool) -> None:
    device = torch.device("cuda")
    weights, losses = [], []
    for graphs in (None, Accelerator(device)):
        run = Run(data, None, label_smoothing=0.0)
        policy = run.policy.to(device)
        optimizer = make_optimizer(policy, run.config, capturable=True)
        sums = torch.zeros(len(SUMS), dtype=torch.float64, device=device)
        step = Update(policy, optimizer, run.config, sums, bfloat16=False, graphs=graphs)
        torch.manual_seed(11)
        with BatchFeeder(data, 64, seed=3, stop=STEPS * 64 + 5, device=device, resident=resident) as feeder:
            for _ in range(STEPS + 1):
                step(feeder.next_packed(), 1e-2)
        weights.append(policy.stem.weight.detach().cpu())
        losses.append(sums.tolist())
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-2, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_records_a_graph_without_running_it() -> None:
    device = Accelerator(torch.device("cuda"))
    counter = torch.zeros(1, device=device.device)
    replay = device.capture(lambda: counter.add_(1))
    assert counter.item() == 0
    replay()
    replay()
    assert counter.item() == 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("steps", [None, range(-3, 2)])
@pytest.mark.parametrize("resident", [False, True])
def test_a_gpu_is_fed_what_a_cpu_is_fed(data: ShardDataset, resident: bool, steps: range | None) -> None:
    rows = ShardDataset(data.shards, "train", steps=steps)

    def fed(**options: Any) -> list[Tensor]:
        with BatchFeeder(rows, 64, seed=3, stop=2000, **options) as feeder:
            return [torch.cat([tensor.double().cpu().view(len(batch), -1) for tensor in batch.tensors().values()],
                              dim=1) for batch in feeder]

    assert all(torch.equal(one, other) for one, other in
               zip(fed(), fed(device="cuda", resident=resident), strict=True))
