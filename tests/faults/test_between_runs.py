"""Two runs on one output, input or schema changed before a killed run goes on, any number of workers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fault_jobs import Job
from file_trees import files, finished_parts
from killing import with_hook

from pipelines.preprocess import preprocess
from poke_bc.contract.errors import UsageError
from poke_bc.contract.manifest import Manifest

SCHEMA = """
name = "turns"
version = 1
[[field]]
name = "turn"
kind = "number"
high = 1000
"""


@pytest.fixture(params=["preprocessing", "converting"])
def job(request: pytest.FixtureRequest) -> Job:
    found: Job = request.getfixturevalue(request.param)
    return found


def killed_late(job: Job, name: str) -> Path:
    """An output whose run was killed after two thirds of its calls."""
    out = job.fresh(name)
    assert job.run(out, 1, kill_at=2 * len(job.calls(1)) // 3).killed
    return out


def test_a_second_run_on_an_output_is_refused_until_the_first_has_died(job: Job, tmp_path: Path) -> None:
    """A stopped one lives; the lock of a killed one is stale."""
    out = job.fresh("two")
    env = with_hook(out.parent, tmp_path / "counted", len(job.calls(1)) // 2, alone=True, by="SIGSTOP")
    with subprocess.Popen([sys.executable, *job.arguments(out, 1)], env=env) as first:
        try:
            assert os.WIFSTOPPED(os.waitpid(first.pid, os.WUNTRACED)[1])
            before = files(out)
            with pytest.raises(UsageError, match="another run is writing it"):
                job.rerun(out)
            assert files(out) == before
        finally:
            first.kill()
    job.check_rerun(out, "after the first was killed")


def test_an_input_that_was_changed_before_a_killed_run_goes_on(job: Job) -> None:
    """In the middle, and at its end: every byte is that of a run over the new input."""
    before, out = job.raw.read_bytes(), killed_late(job, "changed")
    lines = before.splitlines(keepends=True)
    try:
        job.raw.write_bytes(b"".join([*lines[:2], *lines[4:], lines[2]]))
        job.rerun(out)
        fresh = job.fresh("changed-fresh")
        job.rerun(fresh)
        assert files(out.parent) == files(fresh.parent) != {}
        assert files(out) != job.reference
    finally:
        job.raw.write_bytes(before)


def test_a_schema_that_was_changed_before_a_killed_run_goes_on(preprocessing: Job, tmp_path: Path) -> None:
    """And one changed after a whole run: the data set is made anew."""
    (tmp_path / "turns.toml").write_text(SCHEMA)
    options: dict[str, Any] = {"schema": tmp_path / "turns.toml", "workers": 1, "max_bad": 0.5, "block_bytes": 5000,
                               "shard_bytes": 3000}
    out, whole = killed_late(preprocessing, "schema"), preprocessing.fresh("schema-whole")
    assert finished_parts(out)
    preprocessing.rerun(whole)
    for folder in (out, whole, tmp_path / "fresh"):
        preprocess([preprocessing.raw], folder, **options)
        assert Manifest.read(folder).schema.name == "turns"
        assert files(folder) == files(out)
    preprocessing.check_rerun(out, "back to the first schema")


def test_the_bytes_are_the_same_with_any_number_of_workers(job: Job) -> None:
    """The reference is that of one."""
    for workers in (2, 4):
        out = job.fresh(f"workers-{workers}")
        done = job.run(out, workers)
        assert done.code == 0, done.stderr
        assert files(out) == job.reference
