"""Shards that are missing, cut short or changed by a bit: named, never read as if they were whole."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from training_fixtures import make_shards, small_config
from trajectories import make_trajectories, write_raw

from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.errors import ShardError, UsageError
from poke_bc.contract.files import checksummed, digest_file
from poke_bc.contract.manifest import Manifest
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.shards import Shards
from poke_bc.inspect import inspect_shards
from poke_bc.train import train
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
    with pytest.raises(ShardError, match="damaged, its digest does not match"):
        Shards(damaged)


def rewritten(folder: Path, column: str, row: int, value: float) -> Path:
    """A shard with one value changed, and its manifest, as if another program had written both."""
    manifest = Manifest.read(folder)
    entry = manifest.shards[0]
    path = folder / entry.rows.name
    content = path.read_bytes()
    reader = pa.ipc.open_file(content)
    batch = reader.get_batch(0)
    place = batch.schema.get_field_index(column)
    array = batch.column(place)
    flat = (array.values if pa.types.is_fixed_size_list(array.type) else array).to_numpy().copy()
    flat[row * (len(flat) // len(batch))] = value
    values = pa.array(flat)
    if pa.types.is_fixed_size_list(array.type):
        values = pa.FixedSizeListArray.from_arrays(values, type=array.type)
    batch = pa.RecordBatch.from_arrays([values if at == place else batch.column(at)
                                        for at in range(batch.num_columns)], schema=batch.schema)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    rows = dataclasses.replace(entry.rows, bytes=path.stat().st_size, xxh3=digest_file(path))
    shards = (dataclasses.replace(entry, rows=rows), *manifest.shards[1:])
    dataclasses.replace(manifest, shards=shards).write(folder)
    return path


@pytest.mark.parametrize(("column", "value", "words"), [
    ("action", 10, "action is outside"), ("action", -2, "action is outside"), ("trajectory", 99, "trajectory is not"),
    ("step", 9, "step is not"), ("legal", 1 << 10, "legal has bits"), ("candidates", 1 << 12, "candidates has bits"),
    ("weight", -0.5, "weight is not"), ("weight", float("nan"), "weight is not"), ("gimmick", 9, "gimmick is unknown"),
    ("done", 2, "done is neither"), ("category", 65535, "an id is beyond"),
    ("number", float("inf"), "a number is not finite"),
])
def test_a_value_that_the_contract_does_not_allow_is_named(damaged: Path, column: str, value: float,
                                                          words: str) -> None:
    path = rewritten(damaged, column, 3, value)
    with pytest.raises(ShardError, match=rf"{path.name}: row 3: {words}"):
        Shards(damaged)


def test_a_label_that_its_mask_forbids_is_named(damaged: Path) -> None:
    columns = next(Shards(damaged).each())
    row = int(np.flatnonzero((columns["action"] >= 0) & (columns["legal"] != 0))[0])
    rewritten(damaged, "legal", row, 1 << ((int(columns["action"][row]) + 1) % 10))
    with pytest.raises(ShardError, match=rf"row {row}: the action is not legal"):
        Shards(damaged)


@settings(max_examples=60)
@given(place=st.integers(0, 10**9), bit=st.integers(0, 7), name=st.sampled_from(["rows", "trajectories"]))
def test_a_flipped_bit_is_never_used(folders: dict[str, Path], place: int, bit: int, name: str) -> None:
    folder = folders["several"]
    path = folder / getattr(Manifest.read(folder).shards[place % 5], name).name
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[place % len(flipped)] ^= 1 << bit
    try:
        path.write_bytes(flipped)
        users: list[Callable[[], object]] = [lambda: ShardDataset(folder, "train"), lambda: inspect_shards(folder)]
        for use in [*users, *([lambda: split(folder)] if name == "trajectories" else [])]:
            with pytest.raises(ShardError, match=path.name):
                use()
    finally:
        path.write_bytes(content)


def test_a_file_is_hashed_once_and_again_when_it_has_changed(damaged: Path) -> None:
    def hashed() -> int:
        with mock.patch("poke_bc.contract.intact.digest_file", side_effect=digest_file) as hashes:
            Shards(damaged)
        return hashes.call_count

    assert hashed() == hashed() == 2, "just written, so they may yet change within the time's resolution"
    path = rows_file(damaged)
    with mock.patch("poke_bc.contract.intact.time.time_ns", return_value=time.time_ns() + 10**10):
        assert [hashed(), hashed()] == [2, 0]
        path.write_bytes(path.read_bytes())
        assert [hashed(), hashed()] == [1, 0]
        shutil.copytree(damaged, damaged.with_name("copied"))
        damaged.rename(damaged.with_name("moved"))
        for name in ("copied", "moved"):
            damaged = damaged.with_name(name)
            assert [hashed(), hashed()] == [2, 0]
        flipped = bytearray((damaged / path.name).read_bytes())
        flipped[500] ^= 1
        (damaged / path.name).write_bytes(flipped)
        with pytest.raises(ShardError, match="damaged"):
            Shards(damaged)


# --- one bit in each part of each file ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards, split."""
    folder = make_shards(tmp_path_factory.mktemp("flipped") / "shards", battles=12)
    raw = folder.with_suffix(".jsonl")
    preprocess([raw], folder, workers=1, shard_bytes=15_000)
    split(folder, val_ratio=0.3)
    assert len(Manifest.read(folder).shards) == 2
    return folder


def parts_of_rows(path: Path) -> dict[str, range]:
    """Where in a shard its header, its columns and its footer are."""
    content = pa.py_buffer(path.read_bytes())
    batch = pa.ipc.open_file(content).get_batch(0)
    places = {}
    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        buffer = (array.values if pa.types.is_fixed_size_list(array.type) else array).buffers()[1]
        start = buffer.address - content.address
        places[name] = range(start, start + buffer.size)
    begin, end = min(each.start for each in places.values()), max(each.stop for each in places.values())
    return {"header": range(begin), "footer": range(end, content.size), **places}


def file_and_place(folder: Path, part: str) -> tuple[Path, range]:
    """The file that a part is in, and where."""
    shard = Manifest.read(folder).shards[1]
    name = {"trajectories": shard.trajectories.name}.get(part, part)
    if (folder / name).exists():
        return folder / name, range((folder / name).stat().st_size)
    return folder / shard.rows.name, parts_of_rows(folder / shard.rows.name)[part]


def first_message(use: Callable[[], object]) -> str:
    """What an error names, and nothing less."""
    with pytest.raises(ShardError) as caught:
        use()
    return caught.value.what


@pytest.mark.parametrize("part", ["header", "category", "number", "legal", "action", "gimmick", "battle", "footer",
                                  "trajectories", "manifest.json", "split.json", "split.bin"])
def test_a_bit_of_any_part_is_found_by_verify_and_before_the_first_step(part: str, trained_on: Path,
                                                                        tmp_path: Path) -> None:
    path, place = file_and_place(trained_on, part)
    content = path.read_bytes()
    with mock.patch("poke_bc.contract.intact.time.time_ns", return_value=time.time_ns() + 10**10):
        ShardDataset(trained_on, "train")  # which is remembered
    try:
        for at in (place[0], place[len(place) // 2], place[-1]):
            flipped = bytearray(content)
            flipped[at] ^= 1 << at % 8
            with path.open("r+b") as file:  # in place, and with its old time
                file.write(flipped)
            os.utime(path, ns=(path.stat().st_atime_ns, 10**18))
            found = first_message(lambda: verify(trained_on)) if part == "manifest.json" else "\n".join(
                verify(trained_on).differences)
            assert path.name in found, at
            step = mock.Mock(side_effect=AssertionError("a step on a damaged shard"))
            with mock.patch("poke_bc.train.step.train_step", step):
                assert path.name in first_message(lambda: train(small_config(trained_on, tmp_path / "run"),
                                                                progress=False)), at
            assert not list(tmp_path.rglob("*.safetensors"))
    finally:
        path.write_bytes(content)
    assert verify(trained_on).differences == []


def swap(folder: Path, first: Path, second: Path) -> None:
    first.rename(folder / "aside")
    second.rename(first)
    (folder / "aside").rename(second)


@pytest.mark.parametrize("harm", ["truncated", "extended", "deleted", "swapped", "foreign"])
@pytest.mark.parametrize("name", ["rows", "trajectories"])
def test_a_file_that_is_not_the_one_of_the_manifest_is_named_by_verify_and_before_the_first_step(
        harm: str, name: str, trained_on: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(trained_on, folder)
    path, other = (folder / getattr(shard, name).name for shard in Manifest.read(folder).shards)
    content = path.read_bytes()
    match harm:
        case "truncated":
            path.write_bytes(content[:-1])
        case "extended":
            path.write_bytes(content + b"\0")
        case "deleted":
            path.unlink()
        case "swapped":
            swap(folder, path, other)
        case "foreign":  # a whole Arrow file of the same size
            table = pa.table({"x": pa.array([1], pa.uint8())})
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
            path.write_bytes(path.read_bytes().ljust(len(content), b"\0")[:len(content)])
    named = [path, other] if harm == "swapped" else [path]
    assert [sum(each.name in line for line in verify(folder).differences) for each in named] == [1] * len(named)
    message = first_message(lambda: train(small_config(folder, tmp_path / "run"), progress=False))
    assert any(each.name in message for each in named)


@pytest.mark.parametrize("version", [1, 3])
def test_shards_of_an_older_and_of_a_newer_format_are_refused(version: int, trained_on: Path, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(trained_on, folder)
    value = json.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_text(json.dumps(checksummed(value | {"format": version})))
    for use in (lambda: verify(folder), lambda: train(small_config(folder, tmp_path / "run"), progress=False)):
        assert f"manifest.json: format {version}, this poke-bc reads format 2" in first_message(use)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"a": 1}', b"\xff"])
def test_what_was_remembered_may_be_lost(damaged: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(damaged.parent / "cache"))
    with mock.patch("poke_bc.contract.intact.time.time_ns", return_value=time.time_ns() + 10**10):
        Shards(damaged)
        cache, = (damaged.parent / "cache" / "poke-bc" / "intact").iterdir()
        cache.write_bytes(content)
        Shards(damaged)
        monkeypatch.setenv("XDG_CACHE_HOME", str(rows_file(damaged)))
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
