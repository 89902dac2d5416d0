"""Killed at any call that changes files, a command leaves old or new results, and a rerun those of an undisturbed run.

No test here names a function inside the jobs: see killing.py.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command_line import run_python
from fault_jobs import PREPROCESS, Job
from file_trees import files
from killing import WITH_SCANNER, places_to_kill, run, spread
from trajectories import make_trajectories, write_raw

from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.errors import UsageError
from poke_bc.contract.manifest import Manifest
from poke_bc.contract.split import read_split

GROUPS = 6
"""The kills of one job are spread over so many tests, which run side by side."""
SPLIT = """
import sys
from pipelines.split import split
if __name__ == "__main__":
    split(sys.argv[2] + "/{}", val_ratio=0.4, seed=5)
"""


EVERY_WAY = """
import os, pathlib, shutil, subprocess, sys
from os import replace
folder = pathlib.Path(sys.argv[1])
(folder / "a").mkdir()
(folder / "a" / "text").write_text("one")
with open(folder / "a" / "bytes", "xb") as file:
    file.write(b"12")
    file.flush()
    os.fsync(file.fileno())
descriptor = os.open(folder / "b", os.O_RDWR | os.O_CREAT)
os.write(descriptor, b"12")
os.pwrite(descriptor, b"34", 2)
os.ftruncate(descriptor, 3)
os.close(descriptor)
replace(folder / "b", folder / "c")
os.symlink("c", folder / "d")
os.link(folder / "c", folder / "e")
subprocess.run([sys.executable, "-c", "import pathlib, sys; pathlib.Path(sys.argv[1]).unlink()", folder / "e"])
shutil.rmtree(folder / "a")
(folder.parent / "elsewhere").write_text("not counted")
assert (folder / "c").read_bytes() == b"123"
print("not counted")
"""


def test_every_call_that_changes_a_file_is_counted_and_can_be_the_last(tmp_path: Path) -> None:
    arguments = ["-c", EVERY_WAY, str(tmp_path / "watched")]
    (tmp_path / "watched").mkdir()
    done = run(arguments, tmp_path / "watched")
    assert done.code == 0, done.stderr
    assert done.calls[:-3] == [
        "mkdir a", "open a/text", "file.write a/text", "file.close a/text",
        "open a/bytes", "file.write a/bytes", "file.flush a/bytes", "fsync a/bytes", "file.close a/bytes",
        "open b", "write b", "pwrite b", "truncate b", "rename b", "symlink d", "link c", "remove e"]
    assert sorted(done.calls[-3:]) == ["remove a/bytes", "remove a/text", "rmdir a"]
    for place in range(1, len(done.calls) + 1):
        shutil.rmtree(tmp_path / "watched")
        (tmp_path / "watched").mkdir()
        killed = run(arguments, tmp_path / "watched", kill_at=place)
        assert killed.killed
        assert len(killed.calls) == place
    assert sorted(path.name for path in (tmp_path / "watched").iterdir()) == ["a", "c", "d"], "all but the last call"


@pytest.fixture(scope="module")
def splitting_shards(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Shards with an earlier split."""
    folder = tmp_path_factory.mktemp("splitting shards")
    preprocess([write_raw(folder / "raw.jsonl", make_trajectories(12))], folder / "old", workers=1, shard_bytes=3000)
    split(folder / "old", val_ratio=0.3, test_ratio=0.3, seed=1)

    def read(out: Path) -> bytes:
        return read_split(out, Manifest.read(out).identity)[1].tobytes()

    return Job(folder, SPLIT.format(""), lambda out: split(out, val_ratio=0.4, seed=5), folder, folder / "old",
               read=read)


@pytest.fixture(scope="module")
def splitting_lines(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A file with the three parts of an earlier split."""
    folder = tmp_path_factory.mktemp("splitting lines")
    (folder / "old").mkdir()
    split(write_raw(folder / "old" / "raw.jsonl", make_trajectories(12)), val_ratio=0.3, test_ratio=0.3, seed=1)
    return Job(folder, SPLIT.format("raw.jsonl"), lambda out: split(out / "raw.jsonl", val_ratio=0.4, seed=5), folder,
               folder / "old")


def kill_at_each(job: Job, group: int, *, workers: int = 1, most: int, groups: int = GROUPS, **how: Any) -> None:
    """Kill at every place of this group, each time from the start, look at what is left, and run again."""
    places = spread(places_to_kill(job.calls(workers)), most)[group::groups]
    assert places
    for place in places:
        out = job.fresh(f"killed-{workers}-{place}")
        done = job.run(out, workers, kill_at=place, **how)
        where = f"killed at call {place}, {done.calls[-1:]}"
        if workers == 1:
            assert done.killed, f"{where}: {done.stderr}"
        job.check_what_is_left(out, where)
        if done.code == 0:  # it did without the worker that was killed, or there were fewer calls this time
            assert files(out) == job.reference, where
        job.check_rerun(out, where)
        shutil.rmtree(out.parent)


@pytest.mark.parametrize("group", range(GROUPS))
def test_preprocess_killed_at_any_call(group: int, preprocessing: Job) -> None:
    kill_at_each(preprocessing, group, most=36)


@pytest.mark.parametrize("group", range(GROUPS))
def test_convert_killed_at_any_call(group: int, converting: Job) -> None:
    kill_at_each(converting, group, most=36)


def test_a_split_of_shards_killed_at_any_call_is_the_old_one_or_the_new_one(splitting_shards: Job) -> None:
    kill_at_each(splitting_shards, 0, most=24, groups=1)


def test_a_split_of_lines_killed_at_any_call_never_leaves_parts_of_two(splitting_lines: Job) -> None:
    """While they are exchanged some are missing, and the next split of the file finishes that first."""
    job = splitting_lines
    places = spread(places_to_kill(job.calls(1)), 20)
    kept = [{name: data for name, data in found.items() if name.startswith("raw.") and "split" not in name}
            for found in (files(job.old), job.reference)]
    for place in places:
        out = job.fresh(f"killed-{place}")
        assert job.run(out, 1, kill_at=place).killed
        parts = {name: data for name, data in files(out).items() if name.startswith("raw.") and "split" not in name}
        assert any(parts.items() <= whole.items() for whole in kept), f"killed at call {place}"
        assert parts in kept or json.loads((out / "raw.split.json").read_bytes())["unfinished"] is not None
        with pytest.raises(UsageError, match="would be empty"):
            split(out / "raw.jsonl", val_ratio=1e-9)
        left = files(out)
        assert {name: left[name] for name in left if name.startswith("raw.") and "split" not in name} in kept
        assert not [name for name in left if name.startswith(".")]
        job.check_rerun(out, f"killed at call {place}")


@pytest.mark.parametrize("alone", [False, True], ids=["all processes", "one process"])
@pytest.mark.parametrize("name", ["preprocessing", "converting"])
def test_killed_with_two_workers(name: str, alone: bool, request: pytest.FixtureRequest) -> None:
    kill_at_each(request.getfixturevalue(name), 0, workers=2, most=5, groups=1, alone=alone)


@pytest.mark.parametrize("workers", [1, 2])
def test_preprocess_with_the_scanner_killed(workers: int, preprocessing: Job) -> None:
    pytest.importorskip("numba")
    compiled = run_python(f"{WITH_SCANNER}from pipelines.decode import Decoder\n"
                          "with Decoder() as decoder:\n    decoder.update()\n    assert decoder.scanning\n")
    assert compiled.code == 0, compiled.stderr  # now, so that the calls counted are those of preprocess
    script = f"{WITH_SCANNER}{PREPROCESS}    assert done.decoder == 'scanner'\n"
    scanning = replace(preprocessing, script=script, counted={})
    kill_at_each(scanning, 0, workers=workers, most=3, groups=1)


@pytest.mark.parametrize("name", ["preprocessing", "converting"])
def test_killed_again_and_again_a_job_still_makes_progress(name: str, request: pytest.FixtureRequest) -> None:
    """A rerun keeps finished work: it opens fewer files for writing than one from the start."""
    job: Job = request.getfixturevalue(name)
    whole = job.calls(1)
    out = job.fresh("again")
    for place in (2 * len(whole) // 3, len(whole) // 3):
        assert job.run(out, 1, kill_at=place).killed
        job.check_what_is_left(out, f"killed at call {place}")
    last = job.run(out, 1)
    assert last.code == 0, last.stderr
    assert files(out.parent) == {f"out/{name}": data for name, data in job.reference.items()}
    assert opened(last.calls) < opened(whole)


def opened(calls: list[str]) -> int:
    return sum(call.startswith("open ") for call in calls)
