"""BatchFeeder: the order's rows from any position on, one thread, errors where they belong."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from batches import joined, same
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_graph import record_graph
from stream_stand_in import GUARDS, SCHEDULES, StandIn

from poke_bc.data import modes
from poke_bc.data import order as order_module
from poke_bc.data.batch import COLUMNS, FURTHER_COLUMNS, Batch
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.feed import BatchFeeder
from poke_bc.data.order import SampleOrder


@pytest.fixture(scope="module")
def dataset(folders: dict[str, Path]) -> ShardDataset:
    return ShardDataset(folders["one"], "train")


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("poke-bc")] == []


@pytest.fixture(autouse=True, scope="module")
def _small_chunks() -> Iterator[None]:
    """So that these few rows are several windows."""
    with mock.patch.object(order_module, "CHUNK_ROWS", 32):
        yield


def fed(dataset: ShardDataset, *, start: int = 0, stop: int, size: int = 16, **options: object) -> list[Batch]:
    with BatchFeeder(dataset, size, start=start, stop=stop, seed=3, **options) as feeder:  # type: ignore[arg-type]
        return [batch.clone() for batch in feeder]


@settings(max_examples=40)
@given(size=st.integers(1, 70), start=st.integers(0, 400), length=st.integers(0, 400),
       window=st.sampled_from([None, 32, 100]), resident=st.booleans())
def test_a_feeder_gives_the_rows_of_the_order_from_any_position(
    dataset: ShardDataset, size: int, start: int, length: int, window: int | None, resident: bool
) -> None:
    batches = fed(dataset, start=start, stop=start + length, size=size, window=window, resident=resident)
    assert sum(map(len, batches)) == length
    assert all(len(batch) == size for batch in batches[:-1])
    at = start
    for batch in batches:
        rows = SampleOrder(rows=len(dataset), batch_size=size, seed=3, window=window).rows_at(at, at + len(batch))
        assert same(batch, dataset.batch(rows))
        at += len(batch)
        assert batch.position == at


@settings(max_examples=10)
@given(stopped_after=st.integers(1, 20))
def test_a_feeder_started_where_another_stopped_goes_on_exactly(dataset: ShardDataset, stopped_after: int) -> None:
    whole = fed(dataset, stop=500)
    with BatchFeeder(dataset, 16, seed=3, stop=500) as feeder:
        position = [next(feeder).position for _ in range(stopped_after)][-1]
    rest = fed(dataset, start=position, stop=500)
    assert [batch.position for batch in rest] == [batch.position for batch in whole[stopped_after:]]
    assert all(same(left, right) for left, right in zip(rest, whole[stopped_after:], strict=True))


@pytest.mark.parametrize("name", ["one", "several"])
@pytest.mark.parametrize("resident", [True, False])
def test_resident_and_gathered_batches_are_the_same(
    folders: dict[str, Path], dataset: ShardDataset, name: str, resident: bool
) -> None:
    expected = fed(dataset, stop=300)
    found = fed(ShardDataset(folders[name], "train"), stop=300, resident=resident)
    assert all(same(left, right) for left, right in zip(found, expected, strict=True))


def test_without_shuffling_rows_come_once_in_their_order(dataset: ShardDataset) -> None:
    with BatchFeeder(dataset, 16, shuffle=False) as feeder:
        action = torch.cat([batch.action.clone() for batch in feeder])
    assert torch.equal(action, dataset.batch(np.arange(len(dataset))).action)


def test_a_batch_larger_than_the_data_runs_on_over_epochs(dataset: ShardDataset) -> None:
    size = 2 * len(dataset) + 5
    batch, = fed(dataset, stop=size, size=size)
    assert same(batch, dataset.batch(SampleOrder(rows=len(dataset), batch_size=size, seed=3).rows_at(0, size)))


def test_an_error_while_prefetching_a_window_reaches_the_consumer(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = ShardDataset(folders["one"], "train")
    original, calls = dataset.read_through, []

    def failing(first: int, last: int) -> None:
        calls.append(first)
        if len(calls) == 4:  # in the second window of three chunks
            raise OSError("the network is gone")
        original(first, last)

    monkeypatch.setattr(dataset, "read_through", failing)
    with BatchFeeder(dataset, 16, window=100) as feeder, pytest.raises(OSError, match="the network is gone"):
        list(feeder)


@pytest.mark.parametrize("name", ["one", "several"])
def test_the_rows_of_a_window_were_read_when_they_are_gathered(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Of every chunk all columns, once an epoch, and at most one window ahead of what is handed out."""
    monkeypatch.setattr("poke_bc.data.shards.memory_bytes", lambda: 0)
    dataset = ShardDataset(folders[name], "train")
    original, read, gathered = dataset.read_through, [], []
    gather = dataset.gather

    def reading(first: int, last: int) -> None:
        original(first, last)
        read.append(range(first, last))

    def gathering(rows: np.ndarray, out: dict[str, np.ndarray]) -> None:
        done = {int(dataset.rows[place]) for span in read for place in span}
        assert set(rows.tolist()) <= done
        gathered.append(len(rows))
        gather(rows, out)

    monkeypatch.setattr(dataset, "read_through", reading)
    monkeypatch.setattr(dataset, "gather", gathering)
    with BatchFeeder(dataset, 16, window=32, stop=2 * len(dataset)) as feeder:
        assert sum(map(len, feeder)) == 2 * len(dataset) == sum(gathered)
    assert sorted(place for span in read for place in span) == sorted([*range(len(dataset))] * 2)


def test_an_error_while_gathering_reaches_the_consumer(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = ShardDataset(folders["one"], "train")
    calls = iter([None, None])

    def failing(rows: np.ndarray, out: dict[str, np.ndarray]) -> None:
        if next(calls, "over") == "over":
            raise OSError("the disk is gone")

    monkeypatch.setattr(dataset, "gather", failing)
    with BatchFeeder(dataset, 16) as feeder:
        next(feeder)
        next(feeder)
        with pytest.raises(OSError, match="the disk is gone"):
            next(feeder)
        with pytest.raises(StopIteration):
            next(feeder)


@pytest.mark.parametrize("window", [None, 100])
def test_closing_ends_the_threads_whenever_it_happens(dataset: ShardDataset, window: int | None) -> None:
    for taken in (0, 1, 5):
        feeder = BatchFeeder(dataset, 16, window=window)
        for _ in range(taken):
            next(feeder)
        feeder.close()
        feeder.close()
        assert not feeder._thread.is_alive()
        with pytest.raises(StopIteration):
            next(feeder)


def test_a_feeder_without_rows_or_batches_is_refused(folders: dict[str, Path], dataset: ShardDataset) -> None:
    with pytest.raises(ValueError, match="rows must be at least 1"):
        BatchFeeder(ShardDataset(folders["one"], "test"), 16)
    with pytest.raises(ValueError, match="batch_size"):
        BatchFeeder(dataset, 0)


@pytest.mark.parametrize("window", [None, 100])
def test_where_there_is_no_memory_for_a_slot_no_thread_is_left(
    dataset: ShardDataset, window: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(modes, "Slot", full)
    with pytest.raises(MemoryError):
        BatchFeeder(dataset, 16, window=window)


@pytest.mark.parametrize("taken", [0, 5])
@pytest.mark.parametrize("options", [{}, {"window": 100}, {"resident": True}])
def test_a_feeder_that_is_only_dropped_ends_its_threads(
    dataset: ShardDataset, options: dict[str, int], taken: int
) -> None:
    feeder = BatchFeeder(dataset, 16, **options)  # type: ignore[arg-type]
    for _ in range(taken):
        next(feeder)
    dropped = weakref.ref(feeder)
    started = [thread for thread in threading.enumerate() if thread.name.startswith("poke-bc")]
    assert started
    del feeder
    gc.collect()
    assert dropped() is None
    for thread in started:
        thread.join(timeout=10)


def test_time_spent_waiting_for_input_is_measured_and_no_other_time(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that only moves when a batch is waited for, by three seconds, or used, by five."""
    dataset = ShardDataset(folders["one"], "train")
    clock = mock.Mock(perf_counter=lambda: seconds[0])
    seconds = [0.0]
    monkeypatch.setattr("poke_bc.data.feed.time", clock)
    with BatchFeeder(dataset, 16, stop=64) as feeder:
        ready = feeder._ready

        def get() -> object:
            seconds[0] += 3
            return ready.get()

        feeder._ready = mock.Mock(get=get)
        for _ in feeder:
            seconds[0] += 5
    assert feeder.wait_seconds == 5 * 3  # four batches, and the end


# --- on a device that works on its own time -------------------------------------------------------------------


def fed_late(dataset: ShardDataset, device: StandIn, *, resident: bool = False) -> list[Batch]:
    """The batches as a step would see them that runs when the device gets to it."""
    seen: list[Batch] = []
    with BatchFeeder(dataset, 16, seed=3, stop=500, resident=resident, accelerator=device) as feeder:
        for _ in range(-(-500 // 16)):
            packed = feeder.next_packed()
            device.current_stream().queue(lambda packed=packed: seen.append(packed.unpack().clone()))
    device.finish()
    return seen


def all_same(left: list[Batch], right: list[Batch]) -> bool:
    return len(left) == len(right) and all(same(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_streams_give_the_batches_of_a_cpu_whatever_their_timing(
    dataset: ShardDataset, schedule: str, resident: bool
) -> None:
    for seed in range(20 if schedule == "random" else 1):
        device = StandIn(schedule, seed=seed)
        assert all_same(fed_late(dataset, device, resident=resident), fed(dataset, stop=500))


@pytest.mark.parametrize(("guard", "schedule"), [*zip(GUARDS, SCHEDULES[:3], strict=True)])
def test_without_any_one_of_its_guards_streaming_gives_wrong_batches(
    dataset: ShardDataset, guard: str, schedule: str
) -> None:
    assert not all_same(fed_late(dataset, StandIn(schedule, ignored=guard)), fed(dataset, stop=500))


@pytest.mark.parametrize(("guard", "schedule"), [*zip(GUARDS[1:], SCHEDULES[1:3], strict=True)])
def test_without_any_one_of_its_guards_resident_mode_gives_wrong_batches(
    dataset: ShardDataset, guard: str, schedule: str
) -> None:
    assert not all_same(fed_late(dataset, StandIn(schedule, ignored=guard), resident=True), fed(dataset, stop=500))


@pytest.mark.parametrize("resident", [False, True])
def test_after_closing_early_the_current_stream_outlasts_all_copies(dataset: ShardDataset, resident: bool) -> None:
    device = StandIn("late")
    with BatchFeeder(dataset, 16, resident=resident, accelerator=device) as feeder:
        feeder.next_packed()
    device.current_stream().do_until(device.current_stream().queued)
    assert not any(stream.waiting for stream in device.streams)


def test_one_copy_carries_a_batch_in_the_types_of_the_shard(
    dataset: ShardDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, sizes = StandIn("late"), []
    original = device.copy
    monkeypatch.setattr(device, "copy", lambda target, source: (sizes.append(source.nbytes), original(target, source)))
    batches = fed_late(dataset, device)
    content = sum(tensor.nbytes for tensor in batches[0].tensors().values())
    assert len(sizes) == len(batches)
    assert all(content <= size < content + 64 * len(batches[0].tensors()) for size in sizes)


# --- sequences, columns and ranks -----------------------------------------------------------------------------

MODES = [{}, {"window": 32}, {"window": 100}, {"resident": True}]
WIDE = {"columns": COLUMNS + FURTHER_COLUMNS}


@settings(max_examples=40)
@given(steps=st.sampled_from([None, range(-3, 1), range(2), range(-4, 6, 2), range(2, 4)]), mode=st.sampled_from(MODES),
       size=st.integers(1, 70), start=st.integers(0, 300), length=st.integers(0, 300),
       split=st.sampled_from(["train", "val"]), name=st.sampled_from(["one", "several"]))
def test_every_mode_feeds_the_same_sequences_from_any_position(
    folders: dict[str, Path], steps: range | None, mode: dict[str, object], size: int, start: int, length: int,
    split: str, name: str
) -> None:
    data = ShardDataset(folders[name], split, steps=steps, **WIDE)
    at = start
    window = mode.get("window")
    for batch in fed(data, start=start, stop=start + length, size=size, **mode):
        rows = SampleOrder(rows=len(data), batch_size=size, seed=3, window=window).rows_at(at, at + len(batch))
        assert batch.steps == steps
        assert same(batch, data.batch(rows))
        at += len(batch)
        assert batch.position == at
    assert at == start + length


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("resident", [False, True])
def test_streams_give_the_sequences_of_a_cpu_whatever_their_timing(
    folders: dict[str, Path], schedule: str, resident: bool
) -> None:
    data = ShardDataset(folders["several"], "train", steps=range(-3, 2))
    assert all_same(fed_late(data, StandIn(schedule, seed=1), resident=resident), fed(data, stop=500))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("size", "ranks"), [(16, 2), (16, 3), (10, 4), (3, 3)])
@pytest.mark.parametrize("steps", [None, range(-2, 1)])
def test_the_ranks_together_are_fed_each_batch_of_one_rank(
    folders: dict[str, Path], mode: dict[str, object], size: int, ranks: int, steps: range | None
) -> None:
    """Over the border of an epoch and of windows, from the middle of an epoch on, with a short batch at the end."""
    data = ShardDataset(folders["one"], "train", steps=steps)
    common = {"start": 3 * size, "stop": 3 * size + len(data) + 7, "size": size, **mode}
    alone = fed(data, **common)
    shared = [fed(data, rank=rank, ranks=ranks, **common) for rank in range(ranks)]
    assert {len(batches) for batches in shared} == {len(alone)}
    for whole, *slices in zip(alone, *shared, strict=True):
        assert {batch.position for batch in slices} == {whole.position}
        assert same(joined(slices), whole)


@pytest.mark.parametrize("resident", [False, True])
@pytest.mark.parametrize("steps", [None, range(-3, 2)])
def test_a_graph_that_unpacks_a_batch_unpacks_every_later_one(
    folders: dict[str, Path], resident: bool, steps: range | None
) -> None:
    data = ShardDataset(folders["one"], "train", steps=steps, **WIDE)
    expected = fed(data, stop=160)
    with BatchFeeder(data, 16, seed=3, stop=160, resident=resident) as feeder:
        first = feeder.next_packed()
        captured, unpacked = replace(first, raw=first.raw.clone(), tensors=None), first.unpack().clone()

        def work() -> None:
            for name, tensor in captured.unpack().tensors().items():
                unpacked.tensors()[name].copy_(tensor)

        replay = record_graph(work)
        for batch in expected[1:]:
            captured.raw.copy_(feeder.next_packed().raw)
            replay()
            assert same(unpacked, batch)
