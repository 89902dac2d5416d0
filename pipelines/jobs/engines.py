"""The engines that a user can choose from."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

from pipelines.jobs.executor import Executor
from pipelines.jobs.processes import LocalProcesses, nothing
from poke_bc.contract.errors import UsageError

LOCAL, DASK = "local", "dask"


def check_engine(engine: str, scheduler: str | None, workers: int | None) -> None:
    """Raises UsageError for an engine that there is not, or options that do not go together."""
    if engine not in (LOCAL, DASK):
        raise UsageError(f"--engine {engine}: unknown", hint=f"--engine {LOCAL}, or --engine {DASK}")
    if scheduler is not None and engine != DASK:
        raise UsageError(f"--scheduler {scheduler}: only Dask has one", hint=f"add --engine {DASK}")
    if scheduler is not None and workers is not None:
        raise UsageError(f"--workers {workers}: the cluster of {scheduler} has its own workers",
                         hint="leave out --workers, or leave out --scheduler for a cluster on this machine")
    if engine == DASK and importlib.util.find_spec("distributed") is None:
        raise UsageError(f"--engine {DASK}: the package distributed is not installed",
                         hint="pip install 'poke-bc[dask]'")


def make_executor(engine: str, scheduler: str | None, workers: int | None, store: Path,
                  load: Callable[[], object] = nothing) -> Executor:
    """The executor of a job.

    Args:
        engine: LOCAL, or DASK.
        scheduler: address of a Dask scheduler; None: Dask starts a cluster on this machine.
        workers: number of processes on this machine; None: one for each processor.
        store: folder of the job's store.
        load: called by each other process before its first task.
    """
    if engine == LOCAL:
        return LocalProcesses(workers, load)
    from pipelines.jobs.dask_cluster import DaskCluster  # half a second

    return DaskCluster(scheduler, workers, store, load)
