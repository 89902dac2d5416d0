"""Shards in use while they are replaced or moved; more of them than files may be open; any name for their folder."""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from battle_shapes import FAKE, jsonl, replay
from command_line import assert_told_in_two_lines, run_cli
from training_fixtures import small_config
from trajectories import make_trajectories, make_trajectory, write_raw

from pipelines.convert import convert_battles
from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.errors import ShardError
from poke_bc.contract.manifest import Manifest
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.feed import BatchFeeder
from poke_bc.evaluate import evaluate
from poke_bc.train import train
from poke_bc.verify import verify


def make_shards(folder: Path, battles: range, shard_bytes: int = 2000) -> Path:
    raw = write_raw(folder.with_suffix(".jsonl"), [make_trajectory(battle) for battle in battles])
    preprocess([raw], folder, workers=1, shard_bytes=shard_bytes)
    split(folder, val_ratio=0.3)
    return folder


def everything(data: ShardDataset) -> dict[str, bytes]:
    """Every row, in an order that takes pages from everywhere, and a column of the trajectories."""
    order = np.random.default_rng(0).permutation(len(data))
    rows = {name: tensor.numpy().tobytes() for name, tensor in data.batch(order).tensors().items()}
    return rows | {"ids": repr(data.shards.trajectories("replay_id")).encode()}


@pytest.fixture
def mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardDataset:
    """From several shards that are read through their maps, not joined in memory."""
    monkeypatch.setattr("poke_bc.data.shards.memory_bytes", lambda: 0)
    data = ShardDataset(make_shards(tmp_path / "shards", range(60)), "train")
    assert len(data.manifest.shards) > 3
    assert not data.shards.is_resident
    return data


def test_who_has_opened_shards_that_are_replaced_goes_on_with_the_old_ones(mapped: ShardDataset) -> None:
    folder, before = mapped.shards.folder, everything(mapped)
    with BatchFeeder(mapped, 16, seed=1) as batches:
        next(batches)
        make_shards(folder, range(100, 120))
        assert [next(batches).action.shape for _ in range(40)] == [(16,)] * 40
    assert not any((folder / shard.rows.name).exists() for shard in mapped.manifest.shards)
    assert everything(mapped) == before
    assert verify(folder).differences == []
    assert len(ShardDataset(folder, "train")) < len(mapped)


def test_a_worker_that_starts_when_shards_were_replaced_does_not_take_rows_of_others(mapped: ShardDataset) -> None:
    packed = pickle.dumps(mapped)
    make_shards(mapped.shards.folder, range(100, 120))
    with pytest.raises(ShardError, match="replaced by other shards since they were opened"):
        pickle.loads(packed)


def test_shards_that_are_moved_while_in_use_stay_readable(mapped: ShardDataset) -> None:
    before = everything(mapped)
    moved = mapped.shards.folder.rename(mapped.shards.folder.with_name("moved"))
    assert everything(mapped) == before
    assert everything(ShardDataset(moved, "train")) == before
    assert verify(moved).differences == []


def with_open_files(soft: int, hard: int) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, "
                                  f"{hard})); os.execv(sys.argv[1], sys.argv[1:])")


@pytest.mark.skipif(os.name == "nt", reason="no limit of open files")
def test_more_shards_than_files_may_be_open(tmp_path: Path) -> None:
    shards = make_shards(tmp_path / "shards", range(120), shard_bytes=1)
    assert len(Manifest.read(shards).shards) == 120
    made = run_cli("preprocess", tmp_path / "shards.jsonl", "--out", tmp_path / "again", prefix=with_open_files(64, 64))
    assert made.code == 0, made
    done = run_cli("inspect", shards, prefix=with_open_files(64, 1024))
    assert (done.code, done.stderr) == (0, "")
    done = run_cli("inspect", shards, prefix=with_open_files(64, 64))
    if sys.version_info >= (3, 13):
        assert (done.code, done.stderr) == (0, "")
    else:
        assert_told_in_two_lines(done, "too many open files", code=3)
        assert "ulimit -n" in done.stderr


@pytest.mark.parametrize("name", ["a b  é 日本 😀", "quote' \"$HOME\" *[0]?", os.fsdecode(b"\xff\xfe latin")],
                         ids=["spaces and unicode", "signs of shells", "not UTF-8"])
def test_a_folder_of_any_name(name: str, tmp_path: Path) -> None:
    """From battles to an evaluated policy, and again when the folder was renamed."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "battles é.jsonl").write_bytes(jsonl(map(replay, range(8))))
    done = convert_battles([folder / "battles é.jsonl"], folder / "raw ü.jsonl.zst", conversion=FAKE, salt="s",
                           workers=1)
    assert done.converted == 8
    raw = write_raw(folder / "raw ß.jsonl", make_trajectories(12))
    preprocess([raw], folder / "shards", workers=2)
    split(folder / "shards", val_ratio=0.3)
    train(small_config(folder / "shards", folder / "run", epochs=1), progress=False)
    moved = folder.rename(tmp_path / f"{name} moved")
    for part in ("shards", "run"):
        assert verify(moved / part).differences == []
    assert evaluate(moved / "run", moved / "shards")["decisions"] > 0
