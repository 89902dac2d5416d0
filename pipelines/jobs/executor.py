"""What runs the tasks of a job: this machine's processes today, many machines later."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from typing import Protocol, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Executor(Protocol):
    """Runs tasks wherever it likes; the results come back in the order of the tasks.

    A job and its tasks are picklable, and whoever runs a task sees the job's store and its input files under the same
    names. A task may run more than once (its worker died): it then finds its own finished part, or makes it again with
    the same bytes. `str(task)` names it in errors.
    """

    def run_in_order(self, job: Callable[[int, T], R], tasks: Iterable[T]) -> Generator[R]:
        """`job(number, task)` for each task, in order; so are errors, of tasks and of the iterable alike.

        Tasks are taken as they are needed. Closing the generator leaves no task running.
        """
