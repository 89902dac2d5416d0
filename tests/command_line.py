"""The real command line, as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Finished:
    """What a command left."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


def run_cli(
    *arguments: str | Path, stdin: bytes = b"", cwd: Path | None = None, prefix: tuple[str, ...] = ()
) -> Finished:
    """`poke-bc ARGUMENTS`, to its end. `prefix`: a command that starts it, such as `unshare --mount`."""
    done = subprocess.run([*prefix, sys.executable, "-m", "poke_bc", *map(str, arguments)], input=stdin,
                          cwd=cwd, env=environment(), capture_output=True, timeout=120, check=False)
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


def run_python(code: str, *arguments: str | Path) -> Finished:
    """`python -c CODE ARGUMENTS`, to its end."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, *map(str, arguments)], env=environment(),
                          capture_output=True, timeout=120, check=False)
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


def environment() -> dict[str, str]:
    """This checkout first, one thread, no colours, wide lines."""
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "OMP_NUM_THREADS": "1",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "COLUMNS": "200",
        "PYTHONUTF8": "1",
    }


def assert_told_in_two_lines(done: Finished, *words: str, code: int | None = None) -> None:
    """A user's mistake: `error: ...`, `hint: ...`, the exit code of one, nothing else; the error names `words`."""
    lines = done.stderr.splitlines()
    assert done.code in ((2, 3, 4) if code is None else (code,)), done
    assert len(lines) == 2, done.stderr
    assert lines[0].startswith("error: "), done.stderr
    assert lines[1].startswith("hint: "), done.stderr
    assert lines[1].removeprefix("hint: ").strip(), done.stderr
    for word in words:
        assert word in lines[0], done.stderr
