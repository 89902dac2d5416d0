"""Shards that are missing, cut short or changed by a bit: named, never read as if they were whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trajectories import make_trajectories, write_raw

from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.errors import ShardError, UsageError
from poke_bc.contract.manifest import Manifest
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.shards import Shards
from poke_bc.verify import verify


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
    path = folder / ("split.bin" if name == "parts" else getattr(entry, name).name)
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
    with pytest.raises(UsageError, match="no split 'valid'"):
        ShardDataset(damaged, "valid")
    assert len(ShardDataset(damaged)) > 0
