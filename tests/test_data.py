"""Order and selection: every row once an epoch, in an order that depends on (seed, epoch, position) alone."""

from __future__ import annotations

import gc
import pickle
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from batches import bits, same
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from poke_bc.contract.split import SPLIT_NAMES
from poke_bc.data.batch import TENSORS
from poke_bc.data.dataset import COLUMN_OF, ShardDataset
from poke_bc.data.order import permute, rows_at, rows_on
from poke_bc.data.selection import Selection
from poke_bc.data.shards import Shards
from poke_bc.data.windows import CHUNK_ROWS, window_at

seeds = st.integers(0, 2**63)
GOLDEN = {7: [3, 6, 1, 0, 5, 2, 4], 10**15: [249879165113049, 134735478612058, 163747738336745]}
"""Permutations by n, as the first version computed them with numpy's uint64; runs made then must resume."""


@pytest.fixture(scope="module")
def dataset(folders: dict[str, Path]) -> ShardDataset:
    return ShardDataset(folders["one"], "train")


# --- order --------------------------------------------------------------------------------------------------


@given(n=st.integers(1, 600), seed=seeds, epoch=st.integers(0, 10**6))
def test_an_epoch_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    assert sorted(permute(np.arange(n), n, seed=seed, epoch=epoch).tolist()) == list(range(n))


@given(
    n=st.integers(1, 300), seed=seeds, position=st.integers(0, 10**12), pieces=st.lists(st.integers(0, 200), max_size=5)
)
def test_the_order_does_not_depend_on_how_it_is_asked_for(n: int, seed: int, position: int, pieces: list[int]) -> None:
    whole = rows_at(position, sum(pieces), n, seed=seed)
    found = []
    for count in pieces:
        found += rows_at(position, count, n, seed=seed).tolist()
        position += count
    assert found == whole.tolist()


@given(n=st.integers(1, 2**62), seed=seeds, epoch=st.integers(0, 10**6), data=st.data())
def test_a_device_computes_the_same_permutation_bit_by_bit(
    n: int, seed: int, epoch: int, data: st.DataObject
) -> None:
    places = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20))
    expected = permute(np.array(places), n, seed=seed, epoch=epoch)
    assert permute(torch.tensor(places), n, seed=seed, epoch=epoch).tolist() == expected.tolist()


def test_the_order_is_that_of_all_versions_before() -> None:
    assert permute(np.arange(7), 7, seed=42, epoch=0).tolist() == GOLDEN[7]
    assert permute(np.array([0, 1, 10**15 - 1]), 10**15, seed=2**63, epoch=10**6).tolist() == GOLDEN[10**15]


@given(n=st.integers(1, 9 * CHUNK_ROWS), window=st.integers(1, 9 * CHUNK_ROWS), seed=seeds, epoch=st.integers(0, 99))
def test_a_windowed_epoch_is_a_permutation_too_and_a_device_computes_the_same(
    n: int, window: int, seed: int, epoch: int
) -> None:
    rows = rows_at(epoch * n, n, n, seed=seed, window=window)
    assert (np.sort(rows) == np.arange(n)).all()
    assert torch.equal(rows_on(torch.device("cpu"), epoch * n, n, n, seed=seed, window=window), torch.from_numpy(rows))


@given(n=st.integers(500, 5 * CHUNK_ROWS), window=st.integers(1, 4 * CHUNK_ROWS), seed=seeds,
       position=st.integers(0, 10**12), pieces=st.lists(st.integers(0, 2000), max_size=4))
def test_a_windowed_order_does_not_depend_on_how_it_is_asked_for(
    n: int, window: int, seed: int, position: int, pieces: list[int]
) -> None:
    whole = rows_at(position, sum(pieces), n, seed=seed, window=window)
    found = []
    for count in pieces:
        found += rows_at(position, count, n, seed=seed, window=window).tolist()
        position += count
    assert found == whole.tolist()


def test_a_window_is_a_few_whole_chunks_from_all_over_the_data() -> None:
    n, size = 100 * CHUNK_ROWS + 5, 8 * CHUNK_ROWS
    orders = []
    for epoch in range(2):
        rows = rows_at(epoch * n, n, n, seed=1, window=size)
        place = 0
        while place < n:
            here = window_at(place, n, size)
            chunks, counts = np.unique(rows[place : here.stop] // CHUNK_ROWS, return_counts=True)
            assert 7 <= len(chunks) <= 9
            assert set(counts) <= {CHUNK_ROWS, 5}
            assert (np.diff(rows[place : place + 1000]) != 1).mean() > 0.99  # shuffled inside
            place = here.stop
        orders.append(rows // CHUNK_ROWS)
    assert (orders[0] == orders[1]).mean() < 0.05


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
    assert dataset.rows[:].tolist() == expected
    assert 0 < len(expected) < len(everything)
    assert any(int(bits).bit_count() == 1 for bits in legal[action >= 0])


def test_censored_rows_come_when_asked_for(folders: dict[str, Path]) -> None:
    censored = ShardDataset(folders["one"], censored=True)
    assert set(ShardDataset(folders["one"]).rows[:]) < set(censored.rows[:])
    assert ((censored.column("action") >= 0) | (censored.column("candidates") != 0)).all()


def test_parts_share_no_battle_and_make_up_everything(folders: dict[str, Path]) -> None:
    parts = [ShardDataset(folders["one"], name, every_row=True) for name in SPLIT_NAMES[:3]]
    assert sorted(row for part in parts for row in part.rows[:]) == list(range(len(Shards(folders["one"]))))
    train, val, _ = (set(part.column("battle")) for part in parts)
    assert train
    assert val
    assert not train & val


def test_columns_and_fields_are_those_of_the_selected_rows(dataset: ShardDataset) -> None:
    everything = Shards(dataset.shards.folder)
    assert dataset.column("reward").tolist() == everything.column("reward")[dataset.rows[:]].tolist()
    team = dataset.manifest.schema.columns["team_hp"]
    np.testing.assert_array_equal(dataset.field("team_hp"), everything.column("number")[dataset.rows[:]][:, team])
    with pytest.raises(KeyError):
        dataset.field("team_ph")


@given(gaps=st.lists(st.one_of(st.integers(1, 3), st.integers(1, 10**6)), max_size=1200), cuts=st.lists(
    st.integers(0, 1200), max_size=4))
def test_a_selection_is_the_rows_it_was_made_from(gaps: list[int], cuts: list[int]) -> None:
    rows = np.cumsum(np.array(gaps, dtype=np.int64))
    selection = Selection(np.split(rows, sorted(min(cut, len(rows)) for cut in cuts)))
    assert selection[:].tolist() == rows.tolist()
    places = np.random.default_rng(0).permutation(len(rows))
    assert selection[places].tolist() == rows[places].tolist()


def test_rows_farther_apart_than_32_bits_stay_whole_numbers() -> None:
    rows = np.array([5, (1 << 53) + 1, (1 << 53) + 3])
    selection = Selection([rows])
    assert selection[:].dtype == np.int64
    assert selection[:].tolist() == rows.tolist()


def test_a_selected_row_takes_about_two_bytes() -> None:
    kept = np.random.default_rng(0).random(100_000) < 0.7
    selection = Selection(np.array_split(np.flatnonzero(kept), 10))
    assert selection.nbytes < 2.1 * len(selection)


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
            joined = (torch.stack if size is None else torch.cat)([bits(batch[name]) for batch in found])
            assert torch.equal(joined, bits(column)), name


def test_a_data_loader_with_worker_processes_gives_the_same_rows(dataset: ShardDataset) -> None:
    with_workers = DataLoader(dataset, batch_size=16, num_workers=1, multiprocessing_context="spawn")
    assert torch.equal(
        torch.cat([batch["action"] for batch in with_workers]), dataset.batch(np.arange(len(dataset))).action
    )


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


def test_shards_are_mapped_read_only(folders: dict[str, Path]) -> None:
    shards = Shards(folders["one"])
    assert not shards.column("category").flags.writeable
    assert set(COLUMN_OF.values()) <= set(shards.layout)


@pytest.mark.parametrize("name", ["one", "several"])
def test_shards_that_nobody_holds_are_freed(folders: dict[str, Path], name: str) -> None:
    dataset = ShardDataset(folders[name], "train")
    dataset.batch(np.arange(9))
    shards = weakref.ref(dataset.shards)
    columns = weakref.ref(dataset.shards.column("category"))
    del dataset
    gc.collect()
    assert shards() is None
    assert columns() is None


def test_two_parts_can_share_what_is_open(folders: dict[str, Path]) -> None:
    train = ShardDataset(folders["several"], "train")
    val = ShardDataset(train.shards, "val")
    assert val.shards is train.shards
    assert val.rows[:].tolist() == ShardDataset(folders["several"], "val").rows[:].tolist()
    assert same(pickle.loads(pickle.dumps(val)).batch(np.arange(9)), val.batch(np.arange(9)))
