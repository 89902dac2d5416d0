"""Runs a command to its end or until a signal at any call with which it changes files; see kill_hook/sitecustomize.py.

Nothing here knows a function of the project: a command killed at each of its calls is killed in every state in which
its files can be.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from command_line import environment

HOOK = Path(__file__).resolve().parent / "kill_hook"
WITH_SCANNER = 'import os\nos.environ["POKE_BC_DECODER"] = "scanner"\n'
"""Python text that makes preprocess read even the smallest input with the scanner. The only place that knows how."""
WRITES = ("write", "writev", "pwrite", "pwritev", "file.write", "file.flush", "file.close")


@dataclass(frozen=True)
class Ran:
    """What became of a command."""

    code: int
    stderr: str
    calls: list[str]
    """Every call that changed files: "rename out/.tmp-1"."""

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


def run(arguments: list[str], folder: Path, *, kill_at: int = 0, alone: bool = False, by: str = "SIGKILL") -> Ran:
    """Run `python ARGUMENTS` to its end; afterwards no process of it is left.

    Args:
        arguments: of the interpreter.
        folder: whose changes are counted.
        kill_at: kill before this call, 1: the first; 0: never.
        alone: kill the process that makes the call; else that and all others of the command.
        by: the signal, or "ENOSPC" for a disk that is full from this call on.
    """
    with tempfile.TemporaryDirectory() as place:
        counted, errors = Path(place, "counted"), Path(place, "stderr")
        counted.touch()
        env = with_hook(folder, counted, kill_at, alone=alone, by=by)
        with errors.open("wb") as stderr:
            process = subprocess.Popen([sys.executable, *arguments], env=env, stdin=subprocess.DEVNULL,
                                       stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True)
            try:
                process.wait(timeout=120)
                wait_for_the_others(process.pid)
            finally:
                if group_of(process.pid):
                    os.killpg(process.pid, signal.SIGKILL)
        calls = [line.split(maxsplit=1)[1].strip() for line in counted.read_text("utf-8", "replace").splitlines()]
        return Ran(process.returncode, errors.read_text("utf-8", "replace"), calls)


def with_hook(folder: Path, counted: Path, kill_at: int, *, alone: bool, by: str) -> dict[str, str]:
    """The environment of a command that is run so; `counted`: the file for its calls."""
    env = environment()
    return env | {"PYTHONPATH": os.pathsep.join([str(HOOK), env["PYTHONPATH"]]), "WATCHED": str(folder.resolve()),
                  "COUNTED": str(counted), "KILL_AT": str(kill_at), "KILL_ALONE": "1" if alone else "",
                  "KILL_WITH": by}


def wait_for_the_others(group: int, seconds: float = 30) -> None:
    """Until no process of a group is left. Raises AssertionError when one stays."""
    until = time.monotonic() + seconds
    while left := group_of(group):
        assert time.monotonic() < until, f"processes that outlive the command: {left}"
        time.sleep(0.01)


def group_of(group: int) -> list[str]:
    """Command lines of the processes of a group that still run."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            state, _, of_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(of_group) == group and state not in "ZX":
                found.append((folder / "cmdline").read_text().replace("\0", " ")[:200])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def places_to_kill(calls: list[str]) -> list[int]:
    """Numbers of the calls, 1: the first. Of writes to one file in a row the first, the middle and the last."""
    places = []
    rows = groupby(enumerate(calls, start=1), key=lambda call: (call[1].split()[0] in WRITES, call[1].split()[-1]))
    for (writes, _), row in rows:
        numbers = [number for number, _ in row]
        places += sorted({numbers[0], numbers[len(numbers) // 2], numbers[-1]}) if writes else numbers
    return places


def spread(places: list[int], most: int) -> list[int]:
    """At most so many of them, from the first to the last, evenly spread."""
    if len(places) <= most:
        return places
    return [places[at * (len(places) - 1) // (most - 1)] for at in range(most)]
