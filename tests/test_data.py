"""Shards -> batches: every row once an epoch, in an order that depends on (seed, epoch, position) alone."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from trajectories import make_trajectories, write_raw

from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.errors import ShardError
from poke_bc.contract.manifest import Manifest
from poke_bc.contract.split import PARTS, read_split
from poke_bc.data.batch import TENSORS, Batch
from poke_bc.data.dataset import COLUMN_OF, ShardDataset
from poke_bc.data.feed import BatchFeeder
from poke_bc.data.order import permute, rows_at
from poke_bc.data.shards import Shards
from poke_bc.verify import verify

seeds = st.integers(0, 2**63)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same data in one shard and in several, split alike."""
    folder = tmp_path_factory.mktemp("data")
    raw = write_raw(folder / "raw.jsonl", make_trajectories(40))
    for name, size in (("one", 1 << 30), ("several", 4000)):
        preprocess([raw], folder / name, workers=1, shard_bytes=size)
        split(folder / name, val_ratio=0.3)
    assert len(Manifest.read(folder / "several").shards) > 5
    return {name: folder / name for name in ("one", "several")}


@pytest.fixture(scope="module")
def dataset(folders: dict[str, Path]) -> ShardDataset:
    return ShardDataset(folders["one"], "train")


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("poke-bc")] == []


def same(left: Batch, right: Batch) -> bool:
    return all(torch.equal(a.view(torch.int16) if a.dtype == torch.uint16 else a, b.view(torch.int16) if b.dtype == torch.uint16 else b)
               for a, b in zip(left.tensors(), right.tensors(), strict=True))


# --- order --------------------------------------------------------------------------------------------------


@given(n=st.integers(1, 600), seed=seeds, epoch=st.integers(0, 10**6))
def test_an_epoch_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    assert sorted(permute(np.arange(n), n, seed=seed, epoch=epoch).tolist()) == list(range(n))


@given(n=st.integers(1, 300), seed=seeds, position=st.integers(0, 10**12), pieces=st.lists(st.integers(0, 200), max_size=5))
def test_the_order_does_not_depend_on_how_it_is_asked_for(n: int, seed: int, position: int, pieces: list[int]) -> None:
    whole = rows_at(position, sum(pieces), n, seed=seed)
    found = []
    for count in pieces:
        found += rows_at(position, count, n, seed=seed).tolist()
        position += count
    assert found == whole.tolist()


def test_epochs_and_seeds_have_their_own_orders() -> None:
    orders = {tuple(permute(np.arange(100), 100, seed=seed, epoch=epoch)) for seed in range(10) for epoch in range(10)}
    assert len(orders) == 100


def test_every_row_comes_to_every_place_about_equally_often() -> None:
    n, epochs = 7, 4000
    counts = np.zeros((n, n))
    for epoch in range(epochs):
        counts[np.arange(n), permute(np.arange(n), n, seed=5, epoch=epoch)] += 1
    assert np.abs(counts - epochs / n).max() < 6 * np.sqrt(epochs / n)


# --- selection ----------------------------------------------------------------------------------------------


def test_rows_without_a_label_or_without_a_choice_are_left_out(folders: dict[str, Path]) -> None:
    dataset, everything = ShardDataset(folders["one"]), ShardDataset(folders["one"], every_row=True)
    action, legal = everything.column("action"), everything.column("legal")
    expected = [row for row in range(len(everything)) if action[row] >= 0 and int(legal[row]).bit_count() != 1]
    assert dataset.rows.tolist() == expected
    assert 0 < len(expected) < len(everything)
    assert any(int(bits).bit_count() == 1 for bits in legal[action >= 0])


def test_censored_rows_come_when_asked_for(folders: dict[str, Path]) -> None:
    censored = ShardDataset(folders["one"], censored=True)
    assert set(ShardDataset(folders["one"]).rows) < set(censored.rows)
    assert ((censored.column("action") >= 0) | (censored.column("candidates") != 0)).all()


def test_parts_share_no_battle_and_make_up_everything(folders: dict[str, Path]) -> None:
    parts = [ShardDataset(folders["one"], name, every_row=True) for name in PARTS[:3]]
    assert sorted(row for part in parts for row in part.rows) == list(range(len(Shards(folders["one"]))))
    train, val, _ = (set(part.column("battle")) for part in parts)
    assert train
    assert val
    assert not train & val


def test_columns_and_fields_are_those_of_the_selected_rows(dataset: ShardDataset) -> None:
    everything = Shards(dataset.shards.folder)
    assert dataset.column("reward").tolist() == everything.column("reward")[dataset.rows].tolist()
    team = dataset.manifest.schema.columns["team_hp"]
    np.testing.assert_array_equal(dataset.field("team_hp"), everything.column("number")[dataset.rows][:, team])
    with pytest.raises(KeyError):
        dataset.field("team_ph")


# --- batches ------------------------------------------------------------------------------------------------


def test_one_shard_and_several_give_the_same_rows(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    indices = np.random.default_rng(0).permutation(len(ShardDataset(folders["one"], "train")))
    expected = ShardDataset(folders["one"], "train").batch(indices)
    assert same(ShardDataset(folders["several"], "train").batch(indices), expected)
    monkeypatch.setattr("poke_bc.data.shards._memory_bytes", lambda: 0)
    mapped = ShardDataset(folders["several"], "train")
    assert not mapped.shards.is_resident
    assert same(mapped.batch(indices), expected)


def test_a_torch_data_loader_gives_the_same_rows(dataset: ShardDataset) -> None:
    expected = dataset.batch(np.arange(len(dataset)))
    for size in (1, 7, None):
        found = list(DataLoader(dataset, batch_size=size))
        for name, column in zip(TENSORS, expected.tensors(), strict=True):
            joined = (torch.stack if size is None else torch.cat)([batch[name].view(torch.int16) if column.dtype == torch.uint16
                                                                   else batch[name] for batch in found])
            assert torch.equal(joined, column.view(torch.int16) if column.dtype == torch.uint16 else column), name


def test_a_data_loader_with_worker_processes_gives_the_same_rows(dataset: ShardDataset) -> None:
    with_workers = DataLoader(dataset, batch_size=16, num_workers=1, multiprocessing_context="spawn")
    assert torch.equal(torch.cat([batch["action"] for batch in with_workers]), dataset.batch(np.arange(len(dataset))).action)


def test_a_dataset_travels_to_another_process_by_its_path_not_by_its_rows(dataset: ShardDataset) -> None:
    packed = pickle.dumps(dataset)
    assert len(packed) < 8 * len(dataset) + 4000
    assert same(pickle.loads(packed).batch(np.arange(9)), dataset.batch(np.arange(9)))


def test_indices_count_from_the_end_too_but_not_beyond(dataset: ShardDataset) -> None:
    assert same(dataset.batch(np.array([-1])), dataset.batch(np.array([len(dataset) - 1])))
    for index in (len(dataset), -len(dataset) - 1):
        with pytest.raises(IndexError):
            dataset[index]


def test_rows_can_be_changed_without_changing_the_shard(dataset: ShardDataset) -> None:
    row = dataset[0]
    row["number"][:] = 7
    assert not torch.equal(dataset[0]["number"], row["number"])


# --- feeder -------------------------------------------------------------------------------------------------


def fed(dataset: ShardDataset, *, start: int = 0, stop: int, size: int = 16, **options: object) -> list[Batch]:
    with BatchFeeder(dataset, size, start=start, stop=stop, seed=3, **options) as feeder:  # type: ignore[arg-type]
        return [batch.clone() for batch in feeder]


@settings(max_examples=25)
@given(size=st.integers(1, 70), start=st.integers(0, 400), length=st.integers(0, 400))
def test_a_feeder_gives_the_rows_of_the_order_from_any_position(dataset: ShardDataset, size: int, start: int, length: int) -> None:
    batches = fed(dataset, start=start, stop=start + length, size=size)
    assert sum(map(len, batches)) == length
    assert all(len(batch) == size for batch in batches[:-1])
    at = start
    for batch in batches:
        rows = rows_at(at, len(batch), len(dataset), seed=3)
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
def test_resident_and_gathered_batches_are_the_same(folders: dict[str, Path], dataset: ShardDataset, name: str, resident: bool) -> None:
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
    assert same(batch, dataset.batch(rows_at(0, size, len(dataset), seed=3)))


def test_an_error_while_gathering_reaches_the_consumer(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_closing_ends_the_thread_whenever_it_happens(dataset: ShardDataset) -> None:
    for taken in (0, 1, 5):
        feeder = BatchFeeder(dataset, 16)
        for _ in range(taken):
            next(feeder)
        feeder.close()
        feeder.close()
        assert not feeder._thread.is_alive()
        with pytest.raises(StopIteration):
            next(feeder)


def test_a_feeder_without_rows_or_batches_is_refused(folders: dict[str, Path], dataset: ShardDataset) -> None:
    with pytest.raises(ValueError, match="no rows"):
        BatchFeeder(ShardDataset(folders["one"], "test"), 16)
    with pytest.raises(ValueError, match="batch_size"):
        BatchFeeder(dataset, 0)


def test_time_spent_waiting_is_told(dataset: ShardDataset) -> None:
    with BatchFeeder(dataset, 16, stop=64) as feeder:
        list(feeder)
    assert feeder.wait_seconds > 0


# --- damage -------------------------------------------------------------------------------------------------


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    preprocess([write_raw(tmp_path / "raw.jsonl", make_trajectories(6))], tmp_path / "shards", workers=1)
    split(tmp_path / "shards", val_ratio=0.5)
    return tmp_path / "shards"


def rows_file(folder: Path) -> Path:
    return folder / Manifest.read(folder).shards[0].rows.name


def test_a_shard_that_is_missing_or_cut_short_is_named(damaged: Path) -> None:
    path = rows_file(damaged)
    content = path.read_bytes()
    for broken, words in ((content[:-64], "the manifest says"), (b"", "has 0 bytes"), (None, "is missing")):
        path.unlink() if broken is None else path.write_bytes(broken)
        with pytest.raises(ShardError, match=words) as caught:
            Shards(damaged)
        assert path.name in caught.value.what
        assert any(path.name in each for each in verify(damaged).differences)


def test_a_file_of_the_right_size_that_is_no_shard_is_named(damaged: Path) -> None:
    path = rows_file(damaged)
    path.write_bytes(bytes(path.stat().st_size))
    with pytest.raises(ShardError, match="not a shard of this schema"):
        Shards(damaged)


@settings(max_examples=30)
@given(place=st.integers(0, 10**9), bit=st.integers(0, 7), name=st.sampled_from(["rows", "trajectories", "parts"]))
def test_a_flipped_bit_is_named(folders: dict[str, Path], place: int, bit: int, name: str) -> None:
    folder = folders["several"]
    entry = Manifest.read(folder).shards[place % 5]
    path = folder / ("split.parts" if name == "parts" else getattr(entry, name).name)
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[place % len(flipped)] ^= 1 << bit
    try:
        path.write_bytes(flipped)
        difference, = verify(folder).differences
        assert str(path) in difference or (name == "parts" and "split.json" in difference)
    finally:
        path.write_bytes(content)
    assert verify(folder).differences == []


def test_verify_names_what_belongs_to_nothing(damaged: Path) -> None:
    (damaged / ".tmp-12-shard").write_bytes(b"")
    found = verify(damaged)
    assert (found.differences, found.leftovers) == ([], [str(damaged / ".tmp-12-shard")])


def test_shards_that_are_not_split_say_how_to_split_them(damaged: Path) -> None:
    (damaged / "split.json").unlink()
    with pytest.raises(ShardError, match="not split") as caught:
        ShardDataset(damaged, "train")
    assert caught.value.hint == f"poke-bc split {damaged}"
    with pytest.raises(ShardError, match="no part 'valid'"):
        ShardDataset(damaged, "valid")
    assert len(ShardDataset(damaged)) > 0


def test_opening_shards_writes_nothing_and_maps_them_read_only(folders: dict[str, Path]) -> None:
    column = Shards(folders["one"]).column("category")
    assert not column.flags.writeable
    assert set(COLUMN_OF.values()) <= set(Shards(folders["one"]).layout)
    assert len(read_split(folders["one"], Manifest.read(folders["one"]).identity)[1]) == 80
