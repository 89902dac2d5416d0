"""The executor for one machine: tasks spread over processes, with bounded memory.

Processes are spawned: forking after Arrow or Polars started their threads deadlocks.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, Self, TypeVar

import pyarrow as pa

from pipelines.jobs.interrupts import interrupts_blocked, unblock_interrupts
from poke_bc.contract.errors import InputError, UsageError

T = TypeVar("T")
R = TypeVar("R")

ATTEMPTS = 3
"""A task whose process dies this many times is an error."""
PATIENCE = 30.0
"""Seconds without a result after which a process that was stopped is told of."""
_GRACE = 0.5  # seconds that tasks may go on once nobody wants their results: Ctrl-C is answered soon
_DELAY = 1.0
_UNDERWAY = 2  # tasks per process: one running, one queued; with more, one process may finish long after the others
_MOST_PROCESSES = 16  # for each processor
_MOST_RESULTS = 4  # per worker, waiting for the result of an earlier task


def nothing() -> None:
    """The default `load`."""


class _Attempt(Generic[R]):
    """A task on its way to a result."""

    def __init__(self, number: int, task: Any, process: _Process | None = None) -> None:
        self.number, self.task, self.process, self.failures = number, task, process, 0
        self.future: Future[R] = Future()

    @property
    def lost(self) -> bool:
        """Whether its process died before it was done."""
        return self.future.done() and not self.future.cancelled() and isinstance(
            self.future.exception(), BrokenProcessPool)


class _Process:
    """One worker process, in a separate pool because a pool breaks as a whole when one of its processes dies."""

    def __init__(self, load: Callable[[], object]) -> None:
        self._load = load
        self._underway: deque[tuple[_Attempt[Any], Callable[[int, Any], Any]]] = deque()
        self._told = False
        self._start()

    def _start(self) -> None:
        """Start the process with interrupts blocked from the first moment: its parent handles Ctrl-C."""
        resource_tracker.ensure_running()  # starting it later would unblock the signals
        with interrupts_blocked(), without_main():
            before_it = multiprocessing.active_children()
            self._pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _begin, (self._load,))
            self.started = self._pool.submit(nothing)
            self._children = [child for child in multiprocessing.active_children() if child not in before_it]

    def has_room(self) -> bool:
        """Whether it should be given another task."""
        while self._underway and self._underway[0][0].future.done():
            if self._underway[0][0].lost:
                self.restart()
            else:
                self._underway.popleft()[0].task = None  # frees the data that it may carry
        return len(self._underway) < _UNDERWAY

    def submit(self, job: Callable[[int, T], R], attempt: _Attempt[R]) -> None:
        """Queue a task. Tasks run one after the other, in the order in which they are submitted."""
        try:
            attempt.future = self._pool.submit(job, attempt.number, attempt.task)
        except BrokenProcessPool:
            self.restart()
            attempt.future = self._pool.submit(job, attempt.number, attempt.task)
        attempt.process = self
        self._underway.append((attempt, job))

    def restart(self) -> None:
        """Replace a process that died, and submit its unfinished tasks again. The first of them was running."""
        self._pool.shutdown()  # returns once all of its futures are done
        lost = [(attempt, job) for attempt, job in self._underway if attempt.lost]
        self._underway.clear()
        self._start()
        for place, (attempt, job) in enumerate(lost):
            attempt.failures += place == 0
            if attempt.failures < ATTEMPTS:
                self.submit(job, attempt)
                continue
            attempt.future = Future()
            attempt.future.set_exception(InputError(
                f"{attempt.task}: its worker process died {ATTEMPTS} times (killed, or out of memory)",
                hint="run the same command again, with fewer --workers if memory is short: finished tasks are kept"))

    def say_if_stopped(self) -> None:
        """Say on stderr if the process was stopped (SIGSTOP): everything waits for it then, without end."""
        task = next((attempt.task for attempt, _ in self._underway if not attempt.future.done()), None)
        for child in self._children:
            if task is not None and not self._told and _is_stopped(child.pid):
                self._told = True
                print(f"waiting for process {child.pid}, which was stopped while it works on {task}: "
                      f"`kill -CONT {child.pid}` lets it go on", file=sys.stderr, flush=True)

    def abandon(self, until: float) -> None:
        """Drop the tasks of a run that is over; kill the process if it still works on one at that time."""
        running = [attempt.future for attempt, _ in self._underway if not attempt.future.cancel()]
        self._underway.clear()
        if wait(running, max(0.0, until - time.monotonic())).not_done:
            self._kill()
            wait(running)

    def stop(self, *, at_once: bool) -> None:
        """End the process; at once also if it is still starting, which takes a second."""
        if at_once or not self.started.done():
            self._kill()
        self._pool.shutdown(cancel_futures=True)

    def _kill(self) -> None:
        """Kill the process: a part without its receipt does not count, and the next task starts another process."""
        for child in self._children:
            child.kill()


class LocalProcesses:
    """An executor that uses processes on this machine. This process is one of them, and starts first.

    Args:
        count: number of processes, which start immediately. None: one for each processor, the others starting after a
            second of work: a small input is done before another process is ready.
        load: called by each other process before its first task.

    Raises UsageError for many more processes than processors: each takes a second to start, and memory.
    """

    def __init__(self, count: int | None, load: Callable[[], object] = nothing) -> None:
        if count is not None and count > _MOST_PROCESSES * processors():
            raise UsageError(f"--workers {count}: this machine has {processors()} processors",
                             hint=f"at most {_MOST_PROCESSES} for each; by default one")
        _use_one_thread()
        self.count = count or processors()
        self._load, self._delay = load, 0.0 if count else _DELAY
        self._others: list[_Process] = []
        self._first_task: float | None = None

    def __enter__(self) -> Self:
        if not self._delay:
            self._start_others()
        return self

    def __exit__(self, error: type[BaseException] | None = None, *_: object) -> None:
        for process in self._others:
            process.stop(at_once=error is not None)

    def _start_others(self) -> None:
        try:
            while len(self._others) < self.count - 1:
                self._others.append(_Process(self._load))
        except BaseException:
            self.__exit__()
            raise

    def run_in_order(self, job: Callable[[int, T], R], tasks: Iterable[T]) -> Generator[R]:
        """See Executor. Whenever every other process has a task queued, this one runs the next itself.

        So at most two tasks per worker are in memory, which matters where they carry their data.
        """
        attempts: deque[_Attempt[R]] = deque()
        try:
            for number, task in enumerate(_until_one_fails(tasks, attempts)):
                attempt: _Attempt[R] = _Attempt(number, task)
                attempts.append(attempt)
                process = next((each for each in self._available() if each.has_room()), None)
                if process is not None:
                    process.submit(job, attempt)
                else:
                    _run(job, attempt)
                while attempts and (_is_done(attempts[0]) or self._must_wait(len(attempts))):
                    yield _result(attempts.popleft())
            while attempts:
                yield _result(attempts.popleft())
        finally:
            until = time.monotonic() + _GRACE
            for process in self._others:
                process.abandon(until)

    def _available(self) -> list[_Process]:
        """The further processes, if it is time for them."""
        self._first_task = self._first_task or time.monotonic()
        if time.monotonic() - self._first_task >= self._delay:
            self._start_others()
        return self._others

    def _must_wait(self, results: int) -> bool:
        """Whether too many results wait for an earlier one; never while other processes start, which takes a second."""
        return results > _MOST_RESULTS * self.count and any(process.started.done() for process in self._others)


def _is_done(attempt: _Attempt[R]) -> bool:
    if attempt.lost and attempt.process is not None:
        attempt.process.restart()
    return attempt.future.done()


def _result(attempt: _Attempt[R]) -> R:
    _wait(attempt)
    while not _is_done(attempt):
        _wait(attempt)
    return attempt.future.result()


def _wait(attempt: _Attempt[R]) -> None:
    while not wait([attempt.future], PATIENCE).done:
        if attempt.process is not None:
            attempt.process.say_if_stopped()


def _is_stopped(process: int | None) -> bool:
    """Whether a process is stopped; False where the system does not tell (no /proc)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "tT"
    except OSError:
        return False


@contextlib.contextmanager
def without_main() -> Iterator[None]:
    """Context in which a process that is started does not run the main script again.

    A script without `if __name__ == "__main__":` would start processes of its own in each of them. Tasks therefore come
    from modules that can be imported.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _run(job: Callable[[int, T], R], attempt: _Attempt[R]) -> None:
    """Run a task in this process; its error is raised in the order of the tasks, as with any number of workers."""
    try:
        attempt.future.set_result(job(attempt.number, attempt.task))
    except Exception as error:
        attempt.future.set_exception(error)
    attempt.task = None


def _until_one_fails(tasks: Iterable[T], attempts: deque[_Attempt[R]]) -> Iterator[T]:
    """The tasks; an error from `tasks` is raised after the results of the tasks before it."""
    try:
        yield from tasks
    except Exception as error:
        attempts.append(_Attempt(0, None))
        attempts[-1].future.set_exception(error)


def _begin(load: Callable[[], object]) -> None:
    """Initialize a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    unblock_interrupts()
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    atexit.register(os._exit, 0)  # nothing is left to do, and tearing down what Numba loaded takes 0.25 s
    _use_one_thread()
    load()


def _end_with_the_parent() -> None:
    """Exit when the parent dies: otherwise a process whose parent was killed would wait for tasks forever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def processors() -> int:
    """Number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _use_one_thread() -> None:
    """Limit Arrow to one thread per process: parallelism comes from the processes."""
    pa.set_cpu_count(1)
