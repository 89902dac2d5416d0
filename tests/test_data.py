"""Order, selection and sequences: every row once an epoch, in an order that depends on (seed, position) alone."""

from __future__ import annotations

import gc
import itertools
import json
import pickle
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from batches import bits, same
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from poke_bc.contract.split import SPLIT_NAMES
from poke_bc.data.batch import COLUMNS, FURTHER_COLUMNS, Batch
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.order import CHUNK_ROWS, SampleOrder, window_at
from poke_bc.data.permutation import permute
from poke_bc.data.shards import Shards

seeds = st.integers(0, 2**63)
GOLDEN = {7: [3, 6, 1, 0, 5, 2, 4], 10**15: [249879165113049, 134735478612058, 163747738336745]}
"""Permutations by n: other ones would change the order of every run."""
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset(folders: dict[str, Path]) -> ShardDataset:
    return ShardDataset(folders["one"], "train")


def order(rows: int, **changes: Any) -> SampleOrder:
    return SampleOrder(rows=rows, **{"batch_size": 8, **changes})


# --- order --------------------------------------------------------------------------------------------------


@given(n=st.integers(1, 600), seed=seeds, epoch=st.integers(0, 10**6))
def test_an_epoch_is_a_permutation(n: int, seed: int, epoch: int) -> None:
    assert sorted(permute(np.arange(n), n, seed=seed, epoch=epoch).tolist()) == list(range(n))


@given(
    n=st.integers(1, 300), seed=seeds, position=st.integers(0, 10**12), pieces=st.lists(st.integers(0, 200), max_size=5)
)
def test_the_order_does_not_depend_on_how_it_is_asked_for(n: int, seed: int, position: int, pieces: list[int]) -> None:
    assert_the_same_in_pieces(order(n, seed=seed), position, pieces)


def assert_the_same_in_pieces(order: SampleOrder, position: int, pieces: list[int]) -> None:
    ends = list(itertools.accumulate(pieces, initial=position))
    found = [row for first, last in itertools.pairwise(ends) for row in order.rows_at(first, last).tolist()]
    assert found == order.rows_at(position, ends[-1]).tolist()


@given(n=st.integers(1, 2**62), seed=seeds, epoch=st.integers(0, 10**6), data=st.data())
def test_a_device_computes_the_same_permutation_bit_by_bit(
    n: int, seed: int, epoch: int, data: st.DataObject
) -> None:
    places = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=20))
    expected = permute(np.array(places), n, seed=seed, epoch=epoch)
    assert permute(torch.tensor(places), n, seed=seed, epoch=epoch).tolist() == expected.tolist()


def test_the_order_is_pinned() -> None:
    assert permute(np.arange(7), 7, seed=42, epoch=0).tolist() == GOLDEN[7]
    assert permute(np.array([0, 1, 10**15 - 1]), 10**15, seed=2**63, epoch=10**6).tolist() == GOLDEN[10**15]


@given(n=st.integers(1, 9 * CHUNK_ROWS), window=st.integers(CHUNK_ROWS, 9 * CHUNK_ROWS), seed=seeds,
       epoch=st.integers(0, 99))
def test_a_windowed_epoch_is_a_permutation_too_and_a_device_computes_the_same(
    n: int, window: int, seed: int, epoch: int
) -> None:
    windowed = order(n, seed=seed, window=window)
    rows = windowed.rows_at(epoch * n, (epoch + 1) * n)
    assert (np.sort(rows) == np.arange(n)).all()
    assert torch.equal(windowed.rows_at(epoch * n, (epoch + 1) * n, CPU), torch.from_numpy(rows))


@given(n=st.integers(500, 5 * CHUNK_ROWS), window=st.integers(CHUNK_ROWS, 4 * CHUNK_ROWS), seed=seeds,
       position=st.integers(0, 10**12), pieces=st.lists(st.integers(0, 2000), max_size=4))
def test_a_windowed_order_does_not_depend_on_how_it_is_asked_for(
    n: int, window: int, seed: int, position: int, pieces: list[int]
) -> None:
    assert_the_same_in_pieces(order(n, seed=seed, window=window), position, pieces)


def test_a_window_is_a_few_whole_chunks_from_all_over_the_data() -> None:
    n, size = 100 * CHUNK_ROWS + 5, 8 * CHUNK_ROWS
    orders = []
    for epoch in range(2):
        rows = order(n, seed=1, window=size).rows_at(epoch * n, (epoch + 1) * n)
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


@settings(max_examples=200)
@given(n=st.integers(1, 300), batch_size=st.integers(1, 50), ranks=st.integers(1, 7), start=st.integers(0, 700),
       length=st.integers(0, 700), shuffle=st.booleans(), on_device=st.booleans(), data=st.data())
def test_the_ranks_share_every_batch_in_slices_that_follow_each_other(
    n: int, batch_size: int, ranks: int, start: int, length: int, shuffle: bool, on_device: bool, data: st.DataObject
) -> None:
    ranks = min(ranks, batch_size)
    common = {"batch_size": batch_size, "seed": 5, "start": start, "stop": start + length, "shuffle": shuffle}
    alone = [rows.tolist() for rows in order(n, **common).batches()]
    assert [row for batch in alone for row in batch] == order(n, **common).rows_at(start, start + length).tolist()
    shared = [[rows.tolist() for rows in order(n, **common, rank=rank, ranks=ranks).batches(CPU if on_device else None)]
              for rank in range(ranks)]
    assert {len(batches) for batches in shared} == {len(alone)}
    assert [list(itertools.chain(*slices)) for slices in zip(*shared, strict=True)] == alone
    for batches, rank in zip(shared, range(ranks), strict=True):
        sizes = {len(rows) for rows in batches[:-1]}
        assert sizes <= {len(order(n, **common, rank=rank, ranks=ranks).places)}
    assert {len(order(n, **common, rank=rank, ranks=ranks).places) for rank in range(ranks)} <= {
        batch_size // ranks, -(-batch_size // ranks)}


def test_the_ranks_share_batches_of_windows_too() -> None:
    n, common = 5 * CHUNK_ROWS + 7, {"batch_size": 1000, "window": 2 * CHUNK_ROWS, "start": 3000, "stop": 12_345}
    alone = [rows.tolist() for rows in order(n, **common).batches()]
    shared = [[rows.tolist() for rows in order(n, **common, rank=rank, ranks=3).batches()] for rank in range(3)]
    assert [list(itertools.chain(*slices)) for slices in zip(*shared, strict=True)] == alone


@pytest.mark.parametrize(("changes", "words"), [
    ({"rows": 0}, "rows must be at least 1, got 0"), ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ({"batch_size": 2, "ranks": 3}, "batch_size must be at least 3, got 2"), ({"start": -1}, "start must be"),
    ({"window": CHUNK_ROWS - 1}, f"window must be at least {CHUNK_ROWS}"), ({"window": 0}, "window must be"),
    ({"rank": 2, "ranks": 2}, "rank must be from 0 to 1, got 2"), ({"rank": -1}, "rank must be")])
def test_an_order_names_the_argument_that_is_out_of_range(changes: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        order(**{"rows": 10, **changes})


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


def test_splits_share_no_battle_and_together_are_everything(folders: dict[str, Path]) -> None:
    splits = [ShardDataset(folders["one"], name, every_row=True) for name in SPLIT_NAMES[:3]]
    assert sorted(row for split in splits for row in split.rows) == list(range(len(Shards(folders["one"]))))
    train, val, _ = (set(split.column("battle")) for split in splits)
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
    monkeypatch.setattr("poke_bc.data.shards.memory_bytes", lambda: 0)
    mapped = ShardDataset(folders["several"], "train")
    assert not mapped.shards.is_resident
    assert same(mapped.batch(indices), expected)


def test_a_torch_data_loader_gives_the_same_rows(dataset: ShardDataset) -> None:
    expected = dataset.batch(np.arange(len(dataset)))
    for size in (1, 7, None):
        found = list(DataLoader(dataset, batch_size=size))
        for name, column in expected.tensors().items():
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


def test_two_splits_can_share_open_shards(folders: dict[str, Path]) -> None:
    train = ShardDataset(folders["several"], "train")
    val = ShardDataset(train.shards, "val")
    assert val.shards is train.shards
    assert val.rows.tolist() == ShardDataset(folders["several"], "val").rows.tolist()
    assert same(pickle.loads(pickle.dumps(val)).batch(np.arange(9)), val.batch(np.arange(9)))


# --- columns ------------------------------------------------------------------------------------------------


def test_a_batch_holds_the_columns_that_were_selected_and_names_the_way_to_others(folders: dict[str, Path]) -> None:
    everything = Shards(folders["one"])
    data = ShardDataset(folders["one"], "train", columns=("reward", "done", "gimmick", "action"))
    batch = data.batch(np.arange(9))
    assert list(batch.tensors()) == ["reward", "done", "gimmick", "action"]
    for name, tensor in batch.tensors().items():
        assert tensor.tolist() == everything.column(name)[data.rows[:9]].tolist()
    assert len(batch) == 9
    with pytest.raises(AttributeError, match=r"no 'weight'.*columns="):
        _ = batch.weight
    assert list(ShardDataset(folders["one"]).batch(np.arange(2)).tensors()) == list(COLUMNS)


@pytest.mark.parametrize(("options", "words"), [
    ({"columns": ("rewards",)}, "no column 'rewards'; columns are category"), ({"columns": ()}, "at least one column"),
    ({"steps": range(0)}, "at least one step")])
def test_columns_and_steps_that_do_not_exist_are_refused(
    folders: dict[str, Path], options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        ShardDataset(folders["one"], **options)


def test_a_batch_from_observations_is_what_the_shards_hold(tmp_path: Path) -> None:
    from trajectories import make_trajectories, write_raw

    from pipelines.preprocess import preprocess

    raw = write_raw(tmp_path / "raw.jsonl", make_trajectories(5))
    preprocess([raw], tmp_path / "shards", workers=1)
    steps = [step for line in raw.read_text("utf-8").splitlines() for step in json.loads(line)["steps"]]
    data = ShardDataset(tmp_path / "shards", every_row=True, columns=("category", "number", "legal"))
    schema = data.manifest.schema
    observations = [{key: value for key, value in step["observation"].items() if key in schema.columns}
                    for step in steps]
    known = [step.get("legal") for step in steps]
    everything = data.batch(np.arange(len(data)))
    unknown = Batch.from_observations(schema, observations)
    assert same(unknown, Batch({**everything.tensors(), "legal": torch.zeros(len(steps), dtype=torch.int16)}))
    some = [place for place, legal in enumerate(known) if legal]
    assert some
    recorded = Batch.from_observations(schema, [observations[place] for place in some],
                                       [known[place] for place in some])
    assert same(recorded, data.batch(np.array(some)))


# --- sequences ----------------------------------------------------------------------------------------------


def naive(shards: Shards, row: int, steps: range) -> list[int | None]:
    """The rows at these steps around a row, looked for one by one; None where the trajectory has none."""
    trajectory, step = shards.column("trajectory"), shards.column("step")
    found: list[int | None] = []
    for offset in steps:
        near = row + offset
        is_there = (0 <= near < len(shards) and trajectory[near] == trajectory[row]
                    and int(step[near]) == int(step[row]) + offset)
        found.append(near if is_there else None)
    return found


spans = st.sampled_from([range(-7, 1), range(2), range(-2, 3), range(1, 3), range(-6, 1, 3), range(0, 1),
                         range(-40, 40)])


@settings(max_examples=60)
@given(steps=spans, name=st.sampled_from(["one", "several"]), split=st.sampled_from(["train", "val", None]),
       seed=st.integers(0, 99))
def test_a_sequence_is_the_rows_around_a_decision_and_zeros_beyond_its_trajectory(
    folders: dict[str, Path], steps: range, name: str, split: str | None, seed: int
) -> None:
    data = ShardDataset(folders[name], split, columns=COLUMNS + FURTHER_COLUMNS, steps=steps)
    rows = ShardDataset(folders[name], columns=COLUMNS + FURTHER_COLUMNS, every_row=True)
    assert data.rows.tolist() == ShardDataset(folders[name], split).rows.tolist()
    places = np.random.default_rng(seed).permutation(len(data))[:12]
    batch = data.batch(places)
    assert batch.steps == steps
    for index, row in enumerate(data.rows[places].tolist()):
        expected = naive(data.shards, row, steps)
        assert batch.is_pad[index].tolist() == [near is None for near in expected]
        for place, near in enumerate(expected):
            for column, tensor in rows.batch(np.array([near or 0])).tensors().items():
                got = bits(batch.tensors()[column][index, place])
                assert torch.equal(got, bits(tensor[0]) if near is not None else torch.zeros_like(got)), column
    if 0 in steps:
        single = ShardDataset(folders[name], split, columns=data.columns).batch(places)
        assert same(batch.at(0), Batch({**single.tensors(), "is_pad": torch.zeros(len(batch), dtype=torch.bool)}))
    with pytest.raises(ValueError, match="range"):
        batch.at(1000)


def test_a_data_loader_gives_sequences_too(folders: dict[str, Path]) -> None:
    data = ShardDataset(folders["several"], "train", steps=range(-3, 2))
    for batch, first in zip(DataLoader(data, batch_size=7), range(0, len(data), 7), strict=True):
        expected = data.batch(np.arange(first, min(first + 7, len(data))))
        assert same(Batch(batch), expected)
    assert same(pickle.loads(pickle.dumps(data)).batch(np.arange(9)), data.batch(np.arange(9)))


def test_single_rows_have_no_steps_to_choose_from(dataset: ShardDataset) -> None:
    with pytest.raises(ValueError, match="single rows"):
        dataset.batch(np.arange(3)).at(0)
