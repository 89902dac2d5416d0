"""Tasks over processes: results and errors in the order of the tasks, whoever did them."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from trajectories import make_trajectories, write_raw

from pipelines.engine import Workers
from pipelines.preprocess import preprocess
from poke_bc.contract.errors import InputError

R = TypeVar("R")
T = TypeVar("T")


def run_in_order(job: Callable[[int, T], R], tasks: Iterable[T], workers: int,
                 load: Callable[[], object] = int) -> Generator[R]:
    with Workers(workers, load) as processes, contextlib.closing(processes.run_in_order(job, tasks)) as results:
        yield from results


def squared(number: int, task: int) -> tuple[int, int, int]:
    time.sleep(0.01 if task % 3 else 0.05)
    return number, task * task, os.getpid()


def instantly(number: int, task: int) -> int:
    return os.getpid()


def write_late(folder: Path, number: int, task: int) -> int:
    time.sleep(0.02)
    (folder / str(task)).touch()
    return os.getpid()


def note_process(folder: Path) -> None:
    (folder / str(os.getpid())).touch()


def failing(number: int, task: int) -> int:
    if task == 7:
        raise InputError(f"task {task}", hint="none")
    return task


def dying(number: int, task: int) -> int:
    if os.environ["PARENT"] != str(os.getpid()):
        os._exit(1)
    time.sleep(0.01)
    return task


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_order_and_this_process_is_one_of_the_workers(workers: int) -> None:
    found = list(run_in_order(squared, range(60), workers))
    assert [(number, square) for number, square, _ in found] == [(each, each * each) for each in range(60)]
    processes = {process for *_, process in found}
    assert os.getpid() in processes
    assert len(processes) == workers


def test_others_load_before_their_first_task(tmp_path: Path) -> None:
    for workers in (1, 3):
        list(run_in_order(squared, range(60), workers, partial(note_process, tmp_path)))
        loaded = {int(path.name) for path in tmp_path.iterdir()}
        assert len(loaded) == workers - 1
        assert os.getpid() not in loaded


def test_results_come_while_the_others_still_start() -> None:
    """A task given to a process that is not there yet would hold up all later ones."""
    results = run_in_order(instantly, itertools.count(), 2, partial(time.sleep, 3))
    started = time.monotonic()
    found = {process for _, process in zip(range(1000), results, strict=False)}
    assert found == {os.getpid()}
    assert time.monotonic() - started < 3, "waited for the other process"
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_after_the_results_before_it(workers: int) -> None:
    found: list[int] = []
    with pytest.raises(InputError, match="task 7"):
        found.extend(run_in_order(failing, range(20), workers))
    # extend keeps what came before the error
    assert found == list(range(7))


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_in_making_the_tasks_comes_after_the_results_before_it(workers: int) -> None:
    def tasks() -> Iterator[int]:
        yield from range(5)
        raise InputError("no more of it", hint="none")

    found: list[int] = []
    with pytest.raises(InputError, match="no more of it"):
        found.extend(each for each in run_in_order(failing, tasks(), workers))
    assert found == list(range(5))


def test_who_has_enough_ends_it_before_a_later_error() -> None:
    for workers in (1, 2):
        results = run_in_order(failing, range(20), workers)
        assert [next(results) for _ in range(7)] == list(range(7))
        results.close()


def test_a_job_that_is_ended_early_leaves_no_task_behind(tmp_path: Path) -> None:
    """Or it would still write into the folder while the next thing is done with it."""
    with Workers(3) as processes:
        results = processes.run_in_order(partial(write_late, tmp_path), itertools.count())
        while len({next(results) for _ in range(20)}) < 2:
            pass
        results.close()
        written = set(tmp_path.iterdir())
        time.sleep(0.3)
        assert set(tmp_path.iterdir()) == written
        assert list(processes.run_in_order(failing, range(7))) == list(range(7)), "the processes serve again"


def test_a_worker_that_dies_is_told_in_two_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PARENT", str(os.getpid()))
    with pytest.raises(InputError, match="a worker process died"):
        for _ in run_in_order(dying, itertools.count(), 2):
            pass


def test_tasks_are_taken_as_they_are_needed() -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for task in range(200):
            taken.append(task)
            yield task

    results = run_in_order(squared, tasks(), 2)
    next(results)
    assert len(taken) < 40
    results.close()


def test_limits_hold_whatever_comes_later(tmp_path: Path) -> None:
    good = write_raw(tmp_path / "a.jsonl", make_trajectories(30))
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(good.read_bytes(), mtime=0)[:-500])
    digests = set()
    for workers in (1, 2, 3):
        done = preprocess([good, tmp_path / "b.jsonl.gz"], tmp_path / f"out{workers}", limit=10, workers=workers,
                          block_bytes=20_000)
        digests.add(tuple(shard.rows.xxh3 for shard in done.manifest.shards))
    assert len(digests) == 1
