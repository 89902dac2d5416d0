"""On a Dask cluster: the bytes of a run on one machine, whichever process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from battle_shapes import FAKE, jsonl, packed, replay
from command_line import REPOSITORY, assert_told_in_two_lines, environment, run_cli
from file_trees import files, finished_parts
from killing import wait_for_the_others
from trajectories import make_trajectories, write_raw

from pipelines.convert import convert_battles
from pipelines.jobs.engines import check_engine
from pipelines.preprocess import Preprocessed, preprocess
from pipelines.preprocess.parts import DecodeJob
from poke_bc.contract.errors import ClusterError, UsageError

SAMPLE = REPOSITORY / "data" / "sample" / "battles.jsonl.zst"
pytest.importorskip("distributed", reason="the extra dask is not installed: nothing of --engine dask is tested")
pytestmark = pytest.mark.filterwarnings("default")  # those of Dask are its own
from dask_processes import DYING, Cluster, started  # noqa: E402 - needs distributed


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with started(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def battles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("battles") / "a.jsonl.zst"
    path.write_bytes(packed(jsonl(replay(number) for number in range(150)), ".zst"))
    return path


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw(tmp_path_factory.mktemp("raw") / "raw.jsonl", make_trajectories(60))


def make_shards(raw: Path, out: Path, **options: Any) -> Preprocessed:
    return preprocess(raw, out, **{"block_bytes": 5000, "shard_bytes": 30_000} | options)


@pytest.fixture(scope="module")
def shards(raw: Path) -> dict[str, bytes]:
    """Of an undisturbed run on one machine."""
    make_shards(raw, raw.parent / "shards", workers=1)
    return files(raw.parent / "shards")


@pytest.fixture(scope="module")
def trajectories(battles: Path) -> bytes:
    convert_battles(battles, battles.parent / "raw.jsonl.zst", conversion=FAKE, salt="s", workers=1)
    return (battles.parent / "raw.jsonl.zst").read_bytes()


def test_both_commands_write_the_bytes_of_one_process(
    cluster: Cluster, battles: Path, trajectories: bytes, raw: Path, shards: dict[str, bytes], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # where the workers are not
    convert_battles(battles, "raw.jsonl.zst", conversion=FAKE, salt="s", engine="dask", scheduler=cluster.address)
    assert Path("raw.jsonl.zst").read_bytes() == trajectories
    make_shards(raw, Path("shards"), engine="dask", scheduler=cluster.address)
    assert files(tmp_path / "shards") == shards
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw.jsonl.zst", "raw.jsonl.zst.memo", "shards"]
    convert_battles(battles, "raw.jsonl.zst", conversion=FAKE, salt="s", engine="dask", scheduler=cluster.address)
    done = make_shards(raw, Path("shards"), engine="dask", scheduler=cluster.address)
    assert done.kept == done.manifest.counts.decisions
    assert (Path("raw.jsonl.zst").read_bytes(), files(tmp_path / "shards")) == (trajectories, shards)


def test_a_worker_that_is_killed_in_the_middle_of_a_task_of_convert(
    cluster: Cluster, battles: Path, trajectories: bytes, tmp_path: Path,
) -> None:
    before = cluster.workers()
    cluster.fatal.touch()
    convert_battles(battles, tmp_path / "raw.jsonl.zst", conversion=DYING, salt="s", engine="dask",
                    scheduler=cluster.address)
    assert not cluster.fatal.exists()
    assert cluster.workers() != before
    left = files(tmp_path)
    assert left.keys() == {"raw.jsonl.zst", "raw.jsonl.zst.memo"}
    assert left["raw.jsonl.zst"] == trajectories


def test_all_workers_killed_in_the_middle_of_preprocess(
    cluster: Cluster, raw: Path, shards: dict[str, bytes], tmp_path: Path,
) -> None:
    before, tasks = cluster.workers(), 0

    def kill(stage: str, *_: object) -> None:
        nonlocal tasks
        tasks += stage == "reading"
        if stage == "reading" and tasks == 3:
            for process in before:
                os.kill(process, signal.SIGKILL)

    make_shards(raw, tmp_path, engine="dask", scheduler=cluster.address, progress=kill)
    assert files(tmp_path) == shards
    assert not cluster.workers() & before


def test_without_a_scheduler_finished_tasks_are_kept_and_one_machine_goes_on(
    raw: Path, shards: dict[str, bytes], tmp_path: Path,
) -> None:
    reading = []

    def kill(stage: str, *_: object) -> None:
        reading.append(stage)
        if len(reading) == 3:
            cluster.scheduler.kill()

    with started(tmp_path) as cluster, pytest.raises(ClusterError, match="connection to the scheduler is lost") as lost:
        make_shards(raw, tmp_path / "out", engine="dask", scheduler=cluster.address, progress=kill)
    assert (lost.value.exit_code, "same command continues" in lost.value.hint) == (3, True)
    kept = len(finished_parts(tmp_path / "out"))
    assert kept >= 3
    with mock.patch.object(DecodeJob, "make", autospec=True, side_effect=DecodeJob.make) as made:
        make_shards(raw, tmp_path / "out", workers=1)
    assert made.call_count == -(-raw.stat().st_size // 5000) - kept > 0  # of fewer than 64 blocks, each is a task
    assert files(tmp_path / "out") == shards


def test_ctrl_c_ends_a_cluster_on_this_machine_and_all_its_processes(tmp_path: Path) -> None:
    out = tmp_path / "raw.jsonl"
    command = [sys.executable, "-m", "poke_bc", "convert", SAMPLE, "-o", out, "--engine", "dask", "--workers", "2",
               "--keep-names"]
    process = subprocess.Popen([*map(str, command)], env=environment(), stderr=subprocess.PIPE, start_new_session=True)
    until = time.monotonic() + 60
    while not list(tmp_path.glob("raw.jsonl.parts/*.battles")):  # a worker is at work
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, told = process.communicate(timeout=60)
    assert (process.returncode, told.decode().splitlines()) == (130, ["interrupted"])
    wait_for_the_others(process.pid)
    assert not out.exists()


def test_what_cannot_be_meant_is_told(tmp_path: Path, raw: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="--engine spark: unknown"):
        check_engine("spark", None, None)
    with pytest.raises(UsageError, match="--scheduler a:1: only Dask has one"):
        check_engine("local", "a:1", None)
    with pytest.raises(UsageError, match="--workers 3: the cluster of a:1 has its own workers"):
        check_engine("dask", "a:1", 3)
    monkeypatch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT", "1s")
    done = run_cli("preprocess", raw, "--out", tmp_path / "out", "--engine", "dask", "--scheduler", "127.0.0.1:9")
    assert_told_in_two_lines(done, "127.0.0.1:9: no Dask scheduler answers", code=3)
    assert not (tmp_path / "out").exists()


def test_a_worker_that_does_not_see_the_output_says_so(cluster: Cluster, raw: Path, tmp_path: Path) -> None:
    def gone(self: Path) -> None:
        """A folder that only this machine has."""

    words = r"worker on .*\.parts of .* is not there"
    with mock.patch.object(Path, "touch", gone), pytest.raises(UsageError, match=words):
        make_shards(raw, tmp_path / "out", engine="dask", scheduler=cluster.address)
