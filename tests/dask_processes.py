"""A Dask cluster as people start it, from shells; and steps of convert that kill the worker they run on."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from battle_shapes import FAKE, FakeConsultation, FakeFirstPass, fake_convert
from command_line import REPOSITORY, environment
from distributed import Client

from poke_bc.showdown.record import BattleRecord

FATAL = "FATAL"
"""Environment variable of the workers: a file that is there as long as a worker shall die."""


@dataclass
class Cluster:
    """A scheduler and its workers."""

    address: str
    fatal: Path
    scheduler: subprocess.Popen[bytes]

    def workers(self) -> set[int]:
        """Their process ids, once there are two."""
        with Client(self.address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            return set(client.run(os.getpid).values())


@contextlib.contextmanager
def started(folder: Path) -> Iterator[Cluster]:
    """A cluster of two worker processes, whose current folder is another one than the tests'."""
    file, fatal = folder / "scheduler.json", folder / "fatal"
    path = os.pathsep.join([str(REPOSITORY), str(Path(__file__).parent)])
    env = environment() | {FATAL: str(fatal), "PYTHONPATH": path}

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        with (folder / "log").open("ab") as log:
            command = [sys.executable, "-m", "dask", *arguments, "--scheduler-file", str(file)]
            return subprocess.Popen(command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    start_new_session=True)

    scheduler = start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    workers = start("worker", "--nworkers", "2", "--nthreads", "1", "--no-dashboard")
    try:
        until = time.monotonic() + 60
        while not (file.exists() and file.stat().st_size):
            assert time.monotonic() < until, (folder / "log").read_text()
            time.sleep(0.05)
        with Client(scheduler_file=str(file), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
            address = str(client.scheduler_info()["address"])
        yield Cluster(address, fatal, scheduler)
    finally:
        for process in (workers, scheduler):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def convert_or_die(record: BattleRecord, corpus: FakeConsultation, first: FakeFirstPass) -> list[dict[str, Any]]:
    """Like fake_convert; but the first to find the fatal file removes it, and kills its process."""
    if record.id.endswith("7"):
        with contextlib.suppress(FileNotFoundError):
            Path(os.environ[FATAL]).unlink()
            os.kill(os.getpid(), signal.SIGKILL)
    return fake_convert(record, corpus, first)


DYING = replace(FAKE, convert=convert_or_die)
