"""What runs the tasks of a job: processes of this machine, or those of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from types import TracebackType
from typing import Protocol, Self, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Runs tasks on any number of workers and returns the results in the order of the tasks.

    A job and its tasks are picklable, and every worker sees the job's store and its input files under the same names.
    If a worker dies, its task runs again: it then finds its own finished part, or makes it again with the same bytes.
    `str(task)` names the task in errors. Workers start when the context is entered, and are let go at its end.
    """

    count: int
    """Number of processes that this machine has for the job."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None, /) -> None: ...

    def run_in_order(self, job: Callable[[int, T], R], tasks: Iterable[T]) -> Generator[R]:
        """Results of `job(number, task)` in order. Errors, of tasks and of the iterable, are raised in order too.

        Tasks are taken as they are needed. Closing the generator leaves no task running.
        """
