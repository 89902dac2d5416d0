"""Tasks over processes, results in the order of the tasks, memory bounded.

Processes are spawned: forking after Arrow or Polars started their threads deadlocks.
"""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import resource_tracker
from typing import Self, TypeVar

import pyarrow as pa

from poke_bc.contract.errors import InputError

T = TypeVar("T")
R = TypeVar("R")


def nothing() -> None:
    """What a process can do as soon as it is ready."""


class Workers:
    """Processes, this one among them: it begins while the others still start.

    Args:
        count: how many.
        load: done by each of the others before its first task.
    """

    def __init__(self, count: int, load: Callable[[], object] = nothing) -> None:
        _calm_threads()
        self.count = count
        self._load = load
        self._pool: ProcessPoolExecutor | None = None
        self._starting: list[Future[None]] = []

    def __enter__(self) -> Self:
        if self.count > 1:
            self._pool = ProcessPoolExecutor(self.count - 1, multiprocessing.get_context("spawn"), _begin,
                                             (self._load,))
            try:
                self._starting = _start(self._pool, self.count - 1)
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def run_in_order(self, job: Callable[[int, T], R], tasks: Iterable[T]) -> Generator[R]:
        """`job(number, task)` for each task; results come in order.

        Whenever each of the others has tasks waiting, this process does the next one itself. So a long list of tasks
        that carry their data costs no memory: at most two tasks a worker are under way.
        """
        if self._pool is None:
            for number, task in enumerate(tasks):
                yield job(number, task)
            return
        results: deque[Future[R]] = deque()
        try:
            for number, task in enumerate(_until_one_fails(tasks, results)):
                if self._is_waiting(results):
                    results.append(self._pool.submit(job, number, task))
                else:
                    results.append(_done(job, number, task))
                while results and (results[0].done() or self._must_wait(len(results))):
                    yield results.popleft().result()
            while results:
                yield results.popleft().result()
        except BrokenProcessPool:
            raise InputError("a worker process died (killed, or out of memory)",
                             hint="run the same command again with fewer --workers: finished blocks are kept") from None
        finally:
            wait([result for result in results if not result.cancel()])

    def _is_waiting(self, results: Iterable[Future[R]]) -> bool:
        """Whether one of the others may have nothing to do soon."""
        return sum(not result.done() for result in results) < _UNDERWAY * (self.count - 1)

    def _must_wait(self, results: int) -> bool:
        """Whether too many results wait for one before them; never while the others start, which takes a second."""
        return results > _MOST_RESULTS * self.count and any(process.done() for process in self._starting)


def _start(pool: ProcessPoolExecutor, others: int) -> list[Future[None]]:
    """Start its processes; one of these is done as soon as a process is ready.

    Ctrl-C is this process's to handle: the others do not see it, not even while they start.
    """
    resource_tracker.ensure_running()  # or starting it would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return [pool.submit(nothing) for _ in range(others)]
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(load: Callable[[], object]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    atexit.register(os._exit, 0)  # nothing is left to do, and tidying up what Numba loaded takes a quarter of a second
    _calm_threads()
    load()


def _end_with_the_parent() -> None:
    """Or a process whose parent was killed would wait for tasks for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def interrupted_later() -> Iterator[None]:
    """Ctrl-C inside of this comes behind it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # which alone is interrupted
        return
    noted: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: noted.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if noted:
        signal.raise_signal(signal.SIGINT)


def _done(job: Callable[[int, T], R], number: int, task: T) -> Future[R]:
    """A task done here; what it raises is raised in its turn, as with any number of workers."""
    future: Future[R] = Future()
    try:
        future.set_result(job(number, task))
    except Exception as error:
        future.set_exception(error)
    return future


def _until_one_fails(tasks: Iterable[T], results: deque[Future[R]]) -> Iterator[T]:
    """The tasks; what making one raises comes behind the results of those before it."""
    try:
        yield from tasks
    except Exception as error:
        results.append(Future())
        results[-1].set_exception(error)


_UNDERWAY = 2  # one that is done, one that waits; with more, the last ones are waited for where a task takes long
_MOST_RESULTS = 4  # a worker's, that wait for the result of a task before them


def default_workers() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _calm_threads() -> None:
    """One thread a process: parallel is what the processes are."""
    pa.set_cpu_count(1)
