"""Tasks over processes: results and errors in the order of the tasks, whoever runs them, whoever dies."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar
from unittest import mock

import pytest
from command_line import REPOSITORY, environment
from trajectories import make_trajectories, write_raw

from pipelines.jobs.interrupts import interrupts_deferred
from pipelines.jobs.processes import ATTEMPTS, LocalProcesses
from pipelines.preprocess import preprocess
from poke_bc.contract.errors import InputError, UsageError

R = TypeVar("R")
T = TypeVar("T")


def run_in_order(job: Callable[[int, T], R], tasks: Iterable[T], workers: int,
                 load: Callable[[], object] = int) -> Generator[R]:
    with LocalProcesses(workers, load) as processes, contextlib.closing(processes.run_in_order(job, tasks)) as results:
        yield from results


def squared(number: int, task: int) -> tuple[int, int, int]:
    time.sleep(0.01 if task % 3 else 0.05)
    return number, task * task, os.getpid()


def quickly(number: int, task: int) -> int:
    time.sleep(0.005)
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


def killed_at(folder: Path, deaths: dict[int, int], number: int, task: int) -> int:
    """Notes every start of a task; at some, kills a further process so many times."""
    with (folder / str(int(task))).open("ab") as file:
        file.write(b"x")
    if multiprocessing.parent_process() is not None:
        if (folder / str(int(task))).stat().st_size <= deaths.get(task, 0):
            os.kill(os.getpid(), signal.SIGKILL)
    else:
        time.sleep(0.02)  # so that the others get most tasks
    return task


class Named(int):
    def __str__(self) -> str:
        return f"raw.jsonl, bytes {int(self)} to {int(self) + 1}"


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_order_and_this_process_is_one_of_the_workers(workers: int, tmp_path: Path) -> None:
    processes: set[int] = set()
    for at, (number, square, process) in enumerate(
            run_in_order(squared, itertools.count(), workers, partial(note_process, tmp_path))):
        assert (number, square) == (at, at * at)
        processes.add(process)
        if len(processes) == workers and at >= 60:
            break
    assert os.getpid() in processes
    assert {int(path.name) for path in tmp_path.iterdir()} == processes - {os.getpid()}, "who loaded"


def test_this_process_goes_on_while_the_others_still_start() -> None:
    """Though the first results, which the others owe, hold up all later ones."""
    taken = []

    def tasks() -> Iterator[int]:
        for task in itertools.count():
            taken.append(task)
            yield task

    results = run_in_order(quickly, tasks(), 2, partial(time.sleep, 1))
    assert next(results) != os.getpid()
    assert len(taken) > 40
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
    with LocalProcesses(3) as processes:
        results = processes.run_in_order(partial(write_late, tmp_path), itertools.count())
        while len({next(results) for _ in range(20)}) < 2:
            pass
        results.close()
        written = set(tmp_path.iterdir())
        time.sleep(0.3)
        assert set(tmp_path.iterdir()) == written
        assert list(processes.run_in_order(failing, range(7))) == list(range(7)), "the processes serve again"


def interrupted_beside_a_long_one(folder: Path, number: int, task: int) -> None:
    """Without end in another process; then Ctrl-C comes in this one."""
    if multiprocessing.parent_process() is not None:
        (folder / "begun").touch()
        time.sleep(10_000)
    while not (folder / "begun").exists():
        time.sleep(0.01)
    raise KeyboardInterrupt


def test_what_nobody_waits_for_any_more_is_ended_and_its_process_replaced(tmp_path: Path) -> None:
    """So Ctrl-C is answered, however long the tasks are."""
    with LocalProcesses(2) as processes:
        with pytest.raises(KeyboardInterrupt):
            list(processes.run_in_order(partial(interrupted_beside_a_long_one, tmp_path), itertools.count()))
        results, seen = processes.run_in_order(quickly, itertools.count()), {os.getpid()}
        while len(seen) < 2:
            seen.add(next(results))
        results.close()
    assert multiprocessing.active_children() == []


ORPHANS = """
import os, signal, sys
from pipelines.jobs.processes import LocalProcesses
sys.path += PATHS
from test_processes import quickly

with LocalProcesses(3) as processes:
    seen = set()
    for process in processes.run_in_order(quickly, range(10**9)):
        seen.add(process)
        if len(seen) == 3:
            print(*(seen - {os.getpid()}), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
"""


WITHOUT_A_GUARD = """
import sys
from pipelines.convert import convert_battles
from pipelines.preprocess import preprocess
print("once")
battles, out = sys.argv[1:]
done = convert_battles([battles], out + "/raw.jsonl", workers=2, salt="s", limit=30)
preprocess([out + "/raw.jsonl"], out + "/shards", workers=2)
print(done.converted)
"""


def test_a_plain_script_needs_no_guard_around_what_takes_processes(tmp_path: Path) -> None:
    """Which would otherwise start processes of its own in each of them, and so on."""
    script = tmp_path / "script.py"
    script.write_text(WITHOUT_A_GUARD)
    battles = REPOSITORY / "data" / "sample" / "battles.jsonl.zst"
    done = subprocess.run([sys.executable, script, battles, tmp_path], env=environment(), capture_output=True,
                          text=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["once", "30"]


class Resuming(io.StringIO):
    """A stderr that lets a process go on once it is told to be stopped."""

    def write(self, text: str) -> int:
        for child in multiprocessing.active_children():
            if child.pid is not None and f"process {child.pid}," in text:
                os.kill(child.pid, signal.SIGCONT)
        return super().write(text)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
def test_a_stopped_process_is_told_with_what_it_works_on() -> None:
    with (mock.patch("pipelines.jobs.processes.PATIENCE", 0.05), mock.patch("sys.stderr", Resuming()) as told,
          LocalProcesses(2) as processes):
        assert list(processes.run_in_order(failing, range(7))) == list(range(7))
        (child,) = multiprocessing.active_children()
        assert child.pid is not None
        os.kill(child.pid, signal.SIGSTOP)
        assert list(processes.run_in_order(quickly, map(Named, range(8, 20))))
        assert re.fullmatch(rf"waiting for process {child.pid}, which was stopped while it works on raw.jsonl, bytes 8 "
                            rf"to 9: `kill -CONT {child.pid}` lets it go on\n", told.getvalue())


def is_there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
def test_processes_end_when_the_one_that_started_them_was_killed(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(ORPHANS.replace("PATHS", repr([str(Path(__file__).parent), str(REPOSITORY / "tests")])))
    done = subprocess.run([sys.executable, script], env=environment(), stdout=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    others = [int(process) for process in done.stdout.split()]
    assert len(others) == 2
    for _ in range(200):
        if not any(map(is_there, others)):
            return
        time.sleep(0.05)
    raise AssertionError("they are still there")


def test_ctrl_c_inside_of_what_must_not_see_it_comes_behind_it() -> None:
    done: list[str] = []

    def interrupted() -> None:
        with interrupts_deferred():
            signal.raise_signal(signal.SIGINT)
            done.append("inside")
        done.append("behind")

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == ["inside"]
    with interrupts_deferred():
        done.append("nothing to tell")


@pytest.mark.parametrize("workers", [2, 3])
def test_tasks_whose_process_was_killed_run_again_and_no_other_is_lost_or_returned_twice(workers: int,
                                                                                         tmp_path: Path) -> None:
    deaths = dict.fromkeys(range(3, 10_000, 8), ATTEMPTS - 1)
    killed = 0
    with contextlib.closing(run_in_order(partial(killed_at, tmp_path, deaths), itertools.count(), workers)) as results:
        for number, result in enumerate(results):
            assert result == number
            starts = (tmp_path / str(number)).stat().st_size
            assert starts in ((1, ATTEMPTS) if number in deaths else (1, 2))
            killed += starts == ATTEMPTS
            if killed == 3:
                break


def test_a_task_that_kills_every_process_is_named_in_an_error_after_the_results_before_it(tmp_path: Path) -> None:
    found: list[int] = []
    deaths = dict.fromkeys(range(5, 1000), 10**6)
    with pytest.raises(InputError, match=rf"^raw.jsonl, bytes \d+ to \d+: .*died {ATTEMPTS} times") as caught:
        found.extend(run_in_order(partial(killed_at, tmp_path, deaths), map(Named, range(1000)), 2))
    fatal = int(caught.value.what.split()[2])
    assert found == list(range(fatal))
    assert (tmp_path / str(fatal)).stat().st_size == ATTEMPTS


def test_a_process_that_was_killed_while_it_had_nothing_to_do_is_replaced() -> None:
    with LocalProcesses(2) as processes:
        assert list(processes.run_in_order(failing, range(7))) == list(range(7))
        for child in multiprocessing.active_children():
            child.kill()
            child.join()
        results, seen = processes.run_in_order(quickly, itertools.count()), {os.getpid()}
        while len(seen) < 2:
            seen.add(next(results))
        results.close()


def test_a_process_that_is_not_needed_is_not_waited_for() -> None:
    with LocalProcesses(3) as processes:
        assert multiprocessing.active_children()
        assert list(processes.run_in_order(failing, range(0))) == []
    assert multiprocessing.active_children() == []


def test_unless_their_number_is_given_further_processes_start_after_some_work() -> None:
    with (mock.patch("pipelines.jobs.processes.processors", return_value=2),
          mock.patch("pipelines.jobs.processes._DELAY", 0.5), LocalProcesses(None) as processes):
        assert next(processes.run_in_order(quickly, range(1))) == os.getpid()
        results, seen = processes.run_in_order(quickly, itertools.count()), {os.getpid()}
        while len(seen) < 2:
            seen.add(next(results))
        results.close()


def test_tasks_are_taken_as_they_are_needed() -> None:
    taken = []

    def tasks() -> Iterator[int]:
        for task in range(2000):
            taken.append(task)
            yield task

    results = run_in_order(squared, tasks(), 2)
    next(results)
    assert len(taken) < 1000
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


@pytest.mark.parametrize("count", [10_000, 10**30])
def test_a_number_of_workers_that_no_machine_can_start_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"--workers {count}: this machine has"):
        LocalProcesses(count)
