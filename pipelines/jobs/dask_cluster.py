"""The executor for a cluster: tasks go to the workers of a Dask scheduler, which starts those again whose worker died.

Workers use the folders of this machine under the same names: inputs that are files, and the job's store. The very same
tasks run as on one machine, so the bytes are the same.
"""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import signal
import sys
import threading
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from functools import cache
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

import dask
import pyarrow as pa
from distributed import Client, Future, KilledWorker, LocalCluster, wait
from distributed.utils import silence_logging_cmgr

from pipelines.jobs.interrupts import interrupts_deferred
from pipelines.jobs.processes import ATTEMPTS, PATIENCE, processors, without_main
from pipelines.jobs.store import code_digest
from poke_bc.contract.errors import ClusterError, InputError, UsageError

T = TypeVar("T")
R = TypeVar("R")

_CODE = ("pipelines", "poke_bc.contract", "poke_bc.showdown", "poke_bc.dex")
_UNDERWAY = 3
"""Tasks per worker: one running, one on its way, one that is done before an earlier one."""
_LAST_WAIT = 0.5
"""Seconds for tasks that still run when nobody wants their results any more."""
_LOST = (CancelledError, OSError)
"""What a client raises when the connection to the scheduler is lost."""
_AT_ONCE = getattr(signal, "SIGKILL", signal.SIGTERM)  # the same on Windows
_one_at_a_time = threading.Lock()


@dataclass(frozen=True)
class _Remote(Generic[T, R]):
    """A job, as workers run it: one task at a time in a process, whatever its number of threads."""

    job: Callable[[int, T], R]
    load: Callable[[], object]
    host: str
    folder: Path
    """The current folder of the process that has the tasks."""
    token: Path
    """A file of the store that is there as long as the results are wanted."""
    code: str

    def __call__(self, number: int, task: T) -> R:
        """Run a task. Raises UsageError where this worker cannot."""
        with _one_at_a_time, _inside(self.folder):
            here = platform.node()
            if not self.token.exists():
                raise UsageError(f"worker on {here}: {self.token.parent.absolute()} of {self.host} is not there",
                                 hint="all workers need the folder of the output under the same name: docs/cluster.md")
            if _code() != self.code:
                raise UsageError(f"worker on {here}: its poke-bc is another one than that on {self.host}",
                                 hint="install the same version everywhere, and start the workers again")
            pa.set_cpu_count(1)
            _load(self.load)
            return self.job(number, task)


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Context with another current folder, where that exists."""
    before = Path.cwd()
    with contextlib.suppress(OSError):
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@cache
def _code() -> str:
    return code_digest(*_CODE)


@cache
def _load(load: Callable[[], object]) -> None:
    load()


@dataclass(frozen=True)
class _Sent(Generic[R]):
    """A task on its way to a result."""

    name: str
    future: Future[R]


class DaskCluster:
    """An executor that uses the workers of a Dask scheduler.

    Args:
        scheduler: address of the scheduler; None: start a cluster of processes on this machine.
        workers: number of these processes; None: one for each processor.
        store: folder of the job's store, which all workers must see.
        load: called in each worker process before its first task.
    """

    def __init__(self, scheduler: str | None, workers: int | None, store: Path, load: Callable[[], object]) -> None:
        self.count = processors() if scheduler or workers is None else workers
        self._scheduler, self._store, self._load = scheduler, store, load
        self._stack = contextlib.ExitStack()
        self._client: Client
        self._workers, self._counted_at, self._told = 0, 0.0, False

    def __enter__(self) -> Self:
        """Connect. Raises ClusterError where no scheduler answers."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(silence_logging_cmgr(logging.CRITICAL))
            address = self._scheduler or stack.enter_context(_local_cluster(self.count))
            try:
                self._client = stack.enter_context(_connected(address))
            except (OSError, ValueError) as error:
                raise ClusterError(f"{address}: no Dask scheduler answers ({error or 'timeout'})",
                                   hint="start one with `dask scheduler`, which prints its address") from None
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with interrupts_deferred():
            self._stack.close()

    def run_in_order(self, job: Callable[[int, T], R], tasks: Iterable[T]) -> Generator[R]:
        """See Executor. Raises ClusterError when the scheduler is lost."""
        token = self._store / f"{''.join(chr(ord('a') + int(each, 16)) for each in uuid.uuid4().hex)}.job"
        token.touch()
        remote = _Remote(job, self._load, platform.node(), Path.cwd(), token, _code())
        sent: deque[_Sent[R] | Exception] = deque()
        try:
            for each in self._send(remote, tasks):
                sent.append(each)
                while sent and (_is_done(sent[0]) or len(sent) >= _UNDERWAY * self._count_workers()):
                    yield self._result(sent.popleft())
            while sent:
                yield self._result(sent.popleft())
        finally:
            with interrupts_deferred():
                token.unlink(missing_ok=True)
                self._let_go([each.future for each in sent if not isinstance(each, Exception)])

    def _send(self, remote: _Remote[T, R], tasks: Iterable[T]) -> Iterator[_Sent[R] | Exception]:
        """Submit the tasks; an error is raised after the results of the tasks before it."""
        try:
            for number, task in enumerate(tasks):
                if self._client.status != "running":
                    raise self._lost()
                with warnings.catch_warnings(action="ignore"):  # about tasks that carry their data
                    future = self._client.submit(remote, number, task, key=f"{remote.token.stem}-{number}")
                yield _Sent(str(task), future)
        except Exception as error:
            yield error

    def _count_workers(self) -> int:
        """Number of workers, at least 1; asked for once a second, as they come and go."""
        if time.monotonic() - self._counted_at > 1:
            with contextlib.suppress(*_LOST):
                self._workers = len(self._client.nthreads())
            self._counted_at = time.monotonic()
        return max(1, self._workers)

    def _result(self, sent: _Sent[R] | Exception) -> R:
        if isinstance(sent, Exception):
            raise sent
        try:
            while not sent.future.done():
                if not self._wait([sent.future], PATIENCE):
                    self._say_if_nobody_works()
            result: R = sent.future.result()
            return result
        except KilledWorker as error:
            raise InputError(
                f"{sent.name}: its worker process died {error.allowed_failures + 1} times (killed, or out of memory)",
                hint="run the same command again, with more memory for each worker: finished tasks are kept") from None
        except _LOST:
            if sent.future.status == "error":  # of the task itself
                raise
            raise self._lost() from None

    def _lost(self) -> ClusterError:
        return ClusterError(f"{self._scheduler or 'Dask'}: the connection to the scheduler is lost",
                            hint="finished tasks are kept: the same command continues, on a cluster or without one")

    def _wait(self, futures: list[Future[Any]], seconds: float) -> bool:
        """Whether all are done in time, with or without an error."""
        try:
            with self._client.as_current():
                wait(futures, timeout=seconds)
        except TimeoutError:
            return False
        return True

    def _say_if_nobody_works(self) -> None:
        if not self._told and not self._client.nthreads():
            self._told = True
            print("waiting for workers: none has joined the scheduler; `dask worker ADDRESS --nthreads 1` starts one",
                  file=sys.stderr, flush=True)

    def _let_go(self, futures: list[Future[Any]]) -> None:
        """Drop tasks that nobody wants. Those that run have a moment to end, but what they write later does no harm."""
        if futures:
            with contextlib.suppress(*_LOST):
                self._wait(futures, _LAST_WAIT if self._scheduler else 0)
                self._client.cancel(futures)


def _is_done(sent: _Sent[R] | Exception) -> bool:
    return not isinstance(sent, Exception) and bool(sent.future.done())


@contextlib.contextmanager
def _connected(address: Any) -> Iterator[Client]:
    client = Client(address, set_as_default=False)
    try:
        yield client
    finally:
        with contextlib.suppress(*_LOST):
            client.close(timeout=_LAST_WAIT)


@contextlib.contextmanager
def _local_cluster(workers: int) -> Iterator[LocalCluster]:
    """A cluster of processes, which do not see Ctrl-C: their parent handles it."""
    resource_tracker.ensure_running()  # starting it later would unblock the signal
    settings = {"distributed.scheduler.allowed-failures": ATTEMPTS - 1}
    with dask.config.set(settings), _ctrl_c_blocked(), without_main():
        cluster = LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, memory_limit=None,
                               dashboard_address="127.0.0.1:0", silence_logs=logging.CRITICAL)
    try:
        yield cluster
    finally:
        for nanny in cluster.workers.values():  # who would wait for the task that its worker is at
            nanny.auto_restart = False
            with contextlib.suppress(ProcessLookupError, TypeError):  # None: it is just being started again
                os.kill(nanny.pid, _AT_ONCE)
        cluster.close(timeout=10)


@contextlib.contextmanager
def _ctrl_c_blocked() -> Iterator[None]:
    """Context in which threads and processes begin with Ctrl-C blocked; not on Windows."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
