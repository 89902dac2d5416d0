"""Killed at any call that changes files, a command leaves old or new results, and a rerun those of an undisturbed run.

No test here names a function inside the jobs: see killing.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from bad_lines import BAD
from battle_shapes import jsonl, make_log
from battle_shapes import replay as replay_record
from command_line import run_python
from file_trees import files
from killing import WITH_SCANNER, Ran, places_to_kill, run, spread
from trajectories import make_trajectories, make_trajectory, to_text, write_raw

from pipelines.convert import convert_battles
from pipelines.jobs.memo import MEMO
from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.errors import UsageError
from poke_bc.contract.manifest import Manifest
from poke_bc.contract.split import read_split

GROUPS = 6
"""The kills of one job are spread over so many tests, which run side by side."""
PREPROCESS = """
import sys
from pipelines.preprocess import preprocess
if __name__ == "__main__":
    done = preprocess([sys.argv[1]], sys.argv[2], workers=int(sys.argv[3]), block_bytes=5000, shard_bytes=3000,
                      max_bad=0.5)
"""
CONVERT = """
import sys
from pipelines.convert import convert_battles
from pipelines.jobs.memo import MEMO
if __name__ == "__main__":
    convert_battles([sys.argv[1]], sys.argv[2] + "/raw.jsonl.zst", workers=int(sys.argv[3]), salt="s")
"""
SPLIT = """
import sys
from pipelines.split import split
if __name__ == "__main__":
    split(sys.argv[2] + "/{}", val_ratio=0.4, seed=5)
"""


@dataclass
class Job:
    """A script that reads one file and writes into a folder."""

    folder: Path
    script: str
    """Its arguments: the input, the folder, the number of workers."""
    rerun: Callable[[Path], Any]
    """What the script does, in this process, into the folder given."""
    raw: Path
    old: Path
    """A folder with an earlier result, which is there before the script runs."""
    counted: dict[int, list[str]] = field(default_factory=dict)
    read: Callable[[Path], Any] | None = None
    """What readers see of a result; None: its files."""

    @cached_property
    def reference(self) -> dict[str, bytes]:
        """Files of an undisturbed run."""
        out = self.fresh("reference")
        self.rerun(out)
        return files(out)

    def fresh(self, name: str) -> Path:
        """A folder with the earlier result."""
        out = self.folder / name / "out"
        shutil.rmtree(out.parent, ignore_errors=True)
        shutil.copytree(self.old, out)
        return out

    def run(self, out: Path, workers: int, **how: Any) -> Ran:
        script = out.parent.with_suffix(".py")
        script.write_text(self.script)
        return run([str(script), str(self.raw), str(out), str(workers)], out.parent, **how)

    def calls(self, workers: int) -> list[str]:
        """Of an undisturbed run."""
        if workers not in self.counted:
            out = self.fresh(f"counted-{workers}")
            done = self.run(out, workers)
            assert done.code == 0, done.stderr
            assert files(out) == self.reference
            self.counted[workers] = done.calls
        return self.counted[workers]

    def check_what_is_left(self, out: Path, where: str) -> None:
        """The earlier result is there and whole, or the new one is; whatever else there is."""
        if self.read is not None:
            assert self.read(out) in (self.read(self.old), self.read(self.folder / "reference" / "out")), where
            return
        now = files(out)
        whole = [all(now.get(name) == data for name, data in result.items()
                     if name != "quarantine.jsonl" and not name.endswith(MEMO))
                 for result in (files(self.old), self.reference)]
        assert any(whole), where

    def check_rerun(self, out: Path, where: str) -> None:
        """Run again: every file is as after an undisturbed run, and there is no other, temporary ones included."""
        self.rerun(out)
        assert files(out.parent) == {f"out/{name}": data for name, data in self.reference.items()}, where


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
def preprocessing(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Five blocks, two shards, a bad line, and an earlier data set of the first two blocks and other battles."""
    folder = tmp_path_factory.mktemp("preprocessing")
    raw = folder / "raw.jsonl"
    raw.write_bytes(to_text(make_trajectories(4)) + BAD["garbage"].line + b"\n" + to_text(make_trajectories(6)[8:]))
    options: dict[str, Any] = {"workers": 1, "block_bytes": 5000, "shard_bytes": 3000, "max_bad": 0.5}
    old = folder / "old.jsonl"
    old.write_bytes(raw.read_bytes()[:11_000].rpartition(b"\n")[0] + b"\n" + to_text([make_trajectory(70)]))
    preprocess([old], folder / "old", **options)
    return Job(folder, PREPROCESS, lambda out: preprocess([raw], out, **options), raw, folder / "old")


@pytest.fixture(scope="module")
def converting(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """66 battles of one turn, five tasks, and an earlier output of some of them, the first not among them."""
    folder = tmp_path_factory.mktemp("converting")
    raw = folder / "battles.jsonl"
    raw.write_bytes(jsonl(replay_record(number, log="\n".join(make_log(number, turns=1))) for number in range(66)))
    (folder / "old").mkdir()
    old = folder / "old.jsonl"
    old.write_bytes(b"".join(raw.read_bytes().splitlines(keepends=True)[3:40]))
    convert_battles([old], folder / "old" / "raw.jsonl.zst", workers=1, salt="s")
    return Job(folder, CONVERT, lambda out: convert_battles([raw], out / "raw.jsonl.zst", workers=1, salt="s"), raw,
               folder / "old")


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
    kill_at_each(preprocessing, group, most=60)


@pytest.mark.parametrize("group", range(GROUPS))
def test_convert_killed_at_any_call(group: int, converting: Job) -> None:
    kill_at_each(converting, group, most=60)


def test_a_split_of_shards_killed_at_any_call_is_the_old_one_or_the_new_one(splitting_shards: Job) -> None:
    kill_at_each(splitting_shards, 0, most=60, groups=1)


def test_a_split_of_lines_killed_at_any_call_never_leaves_parts_of_two(splitting_lines: Job) -> None:
    """While they are exchanged some are missing, and the next split of the file finishes that first."""
    job = splitting_lines
    places = places_to_kill(job.calls(1))
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
