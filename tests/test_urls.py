"""Inputs and outputs under URLs: the same bytes as files on disk, on fsspec's memory and on a server that speaks S3."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import fsspec
import pytest
from battle_shapes import FAKE, jsonl, parquet, replay
from command_line import assert_told_in_two_lines, run_cli
from file_trees import files
from trajectories import make_trajectories, to_text

from pipelines.convert import convert_battles
from pipelines.jobs import urls
from pipelines.preprocess import Preprocessed, preprocess
from pipelines.preprocess.earlier import NAME
from poke_bc.contract.errors import InputError, UsageError

RAW = to_text(make_trajectories(60))
BATTLES = jsonl(replay(number) for number in range(40))


def make_shards(raw: Any, out: Any, **options: Any) -> Preprocessed:
    return preprocess(raw, out, **{"block_bytes": 5000, "shard_bytes": 30_000, "workers": 1, "work": None} | options)


def convert(battles: Any, out: Any, **options: Any) -> None:
    convert_battles(battles, out, **{"conversion": FAKE, "salt": "s", "workers": 1} | options)


def rows(folder: dict[str, bytes]) -> dict[str, bytes]:
    """Without the manifest, which names the inputs, and the memo, which names the manifest."""
    return {name: data for name, data in folder.items() if name not in ("manifest.json", NAME)}


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("on_disk")
    (folder / "raw.jsonl").write_bytes(RAW)
    make_shards(folder / "raw.jsonl", folder / "out")
    return files(folder / "out")


@pytest.fixture(scope="module")
def trajectories(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("on_disk")
    (folder / "a.jsonl").write_bytes(BATTLES)
    convert(folder / "a.jsonl", folder / "raw.jsonl")
    return (folder / "raw.jsonl").read_bytes()


@pytest.fixture
def memory() -> Iterator[fsspec.AbstractFileSystem]:
    system = fsspec.filesystem("memory")
    yield system
    system.rm("/", recursive=True)


def stored(system: fsspec.AbstractFileSystem, folder: str) -> dict[str, bytes]:
    """The files of a folder, by their path from there."""
    start = system._strip_protocol(folder) + "/"
    return {path.removeprefix(start): system.cat_file(path) for path in system.find(folder)}


def test_what_is_read_and_written_in_memory_is_what_is_on_disk(
    memory: fsspec.AbstractFileSystem, shards: dict[str, bytes], trajectories: bytes, tmp_path: Path,
) -> None:
    memory.pipe({"/in/a.jsonl": BATTLES, "/in/.b.jsonl": b"x", "/in/c.txt.swp": b"x", "/raw/raw.jsonl": RAW})
    convert("memory://in", "memory://out/raw.jsonl", work=tmp_path)
    assert memory.cat("/out/raw.jsonl") == trajectories
    for workers in (1, 2):
        make_shards("memory://raw/*.jsonl", "memory://out/shards", work=tmp_path, workers=workers)
        assert rows(stored(memory, "/out/shards")) == rows(shards)
    assert files(tmp_path) == {}


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.parquet", "a.log"])
def test_every_form_of_battles_is_read_from_a_url(name: str, memory: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    data = {"a.jsonl.gz": gzip.compress(BATTLES, mtime=0), "a.log": replay(7)["log"].encode(),
            "a.parquet": parquet([replay(number) for number in range(3)], tmp_path / "made.parquet")}[name]
    memory.pipe(f"/in/{name}", data)
    (tmp_path / name).write_bytes(data)
    convert(tmp_path / name, tmp_path / "one.jsonl")
    convert(f"memory://in/{name}", tmp_path / "two.jsonl")
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "two.jsonl").read_bytes() != b""


def test_file_urls_are_paths(shards: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / "raw.jsonl").write_bytes(RAW)
    make_shards(f"file://{tmp_path}/raw.jsonl", f"file://{tmp_path}/out")
    assert rows(files(tmp_path / "out")) == rows(shards)


def test_a_new_data_set_replaces_the_one_under_the_url(memory: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    """Its manifest comes last, and then the files of the earlier one go; those of others stay."""
    memory.pipe({"/raw.jsonl": RAW + b"bad\n", "/few.jsonl": to_text(make_trajectories(20)), "/set/notes.txt": b"mine"})
    make_shards("memory://raw.jsonl", "memory://set", work=tmp_path, max_bad=0.5)
    before = stored(memory, "/set")
    assert "quarantine.jsonl" in before
    written: list[str] = []
    put = type(memory).put_file
    with mock.patch.object(type(memory), "put_file", autospec=True,
                           side_effect=lambda self, *paths: written.append(paths[1]) or put(self, *paths)):
        make_shards("memory://few.jsonl", "memory://set", work=tmp_path)
    assert len(written) > 1
    assert written[-1].endswith("/manifest.json")
    after = stored(memory, "/set")
    assert {*after} == {*(path.rpartition("/")[2] for path in written), "notes.txt"}


def test_after_a_failed_upload_the_earlier_data_set_stays_and_the_new_one_is_not_lost(
    memory: fsspec.AbstractFileSystem, tmp_path: Path,
) -> None:
    memory.pipe({"/raw.jsonl": RAW, "/few.jsonl": to_text(make_trajectories(20))})
    make_shards("memory://few.jsonl", "memory://set", work=tmp_path)
    before = stored(memory, "/set")
    with mock.patch.object(type(memory), "put_file", side_effect=PermissionError("read-only bucket")), \
            pytest.raises(InputError, match=r"memory://set: cannot be written \(read-only bucket\)") as failed:
        make_shards("memory://raw.jsonl", "memory://set", work=tmp_path)
    assert stored(memory, "/set") == before
    (manifest,) = tmp_path.rglob("manifest.json")
    assert str(manifest.parent) in failed.value.hint
    make_shards("memory://raw.jsonl", "memory://set", work=tmp_path)
    assert stored(memory, "/set") != before
    assert files(tmp_path) == {}


def test_what_cannot_be_read_or_meant_is_told(memory: fsspec.AbstractFileSystem, tmp_path: Path) -> None:
    memory.pipe({"/in/a.jsonl": BATTLES, "/else/manifest.json": b"{}", "/in/notes.md": b"x"})
    for given, words in (("memory://nothing.jsonl", "memory://nothing.jsonl: no such file"),
                         ("memory://in/*.parquet", r"memory://in/\*.parquet: no battle file there"),
                         ("spam://in/a.jsonl", "spam://in/a.jsonl: Protocol not known")):
        with pytest.raises(UsageError, match=words):
            convert(given, tmp_path / "raw.jsonl")
    with pytest.raises(UsageError, match=r"memory://in/a.jsonl: is both input and output"):
        convert("memory://in/a.jsonl", "memory://in/a.jsonl", work=tmp_path)
    with pytest.raises(UsageError, match=r"manifest.json: not a manifest that poke-bc wrote"):
        make_shards("memory://in/a.jsonl", "memory://else", work=tmp_path)
    done = run_cli("preprocess", "spam://in", "--out", tmp_path / "out")
    assert_told_in_two_lines(done, "spam://in", code=2)


def test_a_server_that_stops_answering_ends_the_run_and_is_not_a_damaged_file(
    memory: fsspec.AbstractFileSystem, tmp_path: Path,
) -> None:
    memory.pipe("/in/a.jsonl", BATTLES)
    with mock.patch.object(urls, "_AHEAD", 1 << 10), mock.patch.object(
            fsspec.implementations.memory.MemoryFile, "read", side_effect=TimeoutError("no answer")), \
            pytest.raises(InputError, match=r"memory://in/a.jsonl: cannot be read \(no answer\)"):
        convert("memory://in/a.jsonl", tmp_path / "raw.jsonl")
    assert not (tmp_path / "raw.jsonl").exists()


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a bucket, `bucket`, on a server of this machine."""
    why = "no S3 is tested: pip install 'moto[server]' s3fs"
    pytest.importorskip("moto", reason=why)
    pytest.importorskip("s3fs", reason=why)
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as file:
        command = [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
        server = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        until, address = time.monotonic() + 60, ""
        while not address:
            assert time.monotonic() < until, log.read_text()
            address = next((word for word in log.read_text().split() if word.startswith("http://127.0.0.1:")), "")
            time.sleep(0.05)
        urllib.request.urlopen(address).close()
        env = {"AWS_ENDPOINT_URL": address, "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x",
               "AWS_DEFAULT_REGION": "us-east-1"}
        with mock.patch.dict(os.environ, env):
            fsspec.filesystem("s3").mkdir("bucket")
            yield env
    finally:
        server.kill()
        server.wait()


@pytest.mark.filterwarnings("default")  # those of botocore are its own
def test_s3_gives_and_takes_the_bytes_of_files_on_disk(
    s3: dict[str, str], shards: dict[str, bytes], trajectories: bytes, tmp_path: Path,
) -> None:
    system = fsspec.filesystem("s3")
    system.pipe({"bucket/in/a.jsonl": BATTLES, "bucket/raw/raw.jsonl": RAW,
                 "bucket/raw/raw.jsonl.gz": gzip.compress(RAW)})
    convert("s3://bucket/in", "s3://bucket/out/raw.jsonl", work=tmp_path)
    assert system.cat("bucket/out/raw.jsonl") == trajectories
    for name in ("raw.jsonl", "raw.jsonl.gz"):  # read in ranges of bytes by two processes; as a stream
        make_shards(f"s3://bucket/raw/{name}", "s3://bucket/set", work=tmp_path, workers=2)
        system.invalidate_cache()
        assert rows(stored(system, "bucket/set")) == rows(shards)
    assert files(tmp_path) == {}
