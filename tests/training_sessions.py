"""Sessions of one training in processes of their own, each stopped where it is told to.

The processes are forked from one that has imported everything: a session is the real command, its SIGKILL a real one,
and it costs a tenth of what a fresh interpreter would.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

if __name__ != "__main__":  # the sessions need none of it
    from command_line import environment
    from safetensors.numpy import load_file

TIMED = ("seconds", "samples_per_s", "input_wait_fraction")


@dataclass(frozen=True, kw_only=True)
class Session:
    """How a session is disturbed."""

    before: int = 0
    """Send the signals before this step, when all that was due after the step before is done; 0: never."""
    after: int = 0
    """Send them after this step, before anything is reported or saved."""
    signals: tuple[int, ...] = (signal.SIGKILL,)
    largest_file: int = 0
    """Let every write beyond so many bytes of a file fail, as it does on a full disk; 0: none."""
    feeder_fails: int = 0
    """Let the feeder's thread fail at this batch."""


@dataclass(frozen=True)
class Ended:
    """How a session ended."""

    code: int
    stderr: str


def run_sessions(shards: Path, run: Path, *sessions: Session, options: tuple[str, ...] = ()) -> list[Ended]:
    """Train on `shards` in these sessions, one after the other; all but the first resume where there is a run."""
    plan = {"run": str(run), "sessions": [asdict(session) for session in sessions],
            "arguments": ["train", "--shards", str(shards), "--run", str(run), "--device", "cpu", "--quiet", *options]}
    server = _server()
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(json.dumps(plan).encode() + b"\n")
    server.stdin.flush()
    return [Ended(**each) for each in json.loads(server.stdout.readline())]


@cache
def _server() -> subprocess.Popen[bytes]:
    """The process that forks; it ends with this one, which closes its standard input."""
    server = subprocess.Popen([sys.executable, __file__], env=environment(), stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    atexit.register(_end, server)
    return server


def _end(server: subprocess.Popen[bytes]) -> None:
    server.communicate(timeout=60)


def samples(run: Path) -> dict[int, list[str]]:
    """Step -> the samples that it learned from; asserts that each time a step was made it had the same ones."""
    taken: dict[int, list[str]] = {}
    for line in run.with_suffix(".samples").read_text().splitlines():
        step, ids = json.loads(line)
        assert taken.setdefault(step, ids) == ids, f"step {step} learned from other samples when it was repeated"
    return dict(sorted(taken.items()))


def outcome(run: Path) -> tuple[list[str], dict[str, bytes], list[dict[str, Any]]]:
    """Paths below a run's folder, the weights of its last and best checkpoint, and its figures but for times."""
    names = sorted(str(path.relative_to(run)) for path in run.rglob("*"))
    weights = {f"{link} {name}": values.tobytes() for link in ("last", "best") if (run / link).exists()
               for name, values in load_file(run / link / "policy" / "policy.safetensors").items()}
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return names, weights, [{name: line[name] for name in line if name not in TIMED} for line in lines]


def _serve(plan: dict[str, Any]) -> list[dict[str, Any]]:
    ended = []
    for each in plan["sessions"]:
        resume = ["--resume"] if (Path(plan["run"]) / "config.toml").exists() else []
        with tempfile.TemporaryFile() as stderr:
            if not (child := os.fork()):
                os.dup2(stderr.fileno(), 2)
                os.dup2(stderr.fileno(), 1)
                os._exit(_session(Session(**each), Path(plan["run"]), [*plan["arguments"], *resume]))
            code = os.waitstatus_to_exitcode(_wait(child))
            stderr.seek(0)
            ended.append({"code": code, "stderr": stderr.read().decode()})
    return ended


def _wait(child: int, seconds: float = 120) -> int:
    """The status of a child that has ended; one that hangs is killed."""
    until = time.monotonic() + seconds
    while (found := os.waitpid(child, os.WNOHANG)) == (0, 0):
        time.sleep(0.02)
        if time.monotonic() > until:
            os.kill(child, signal.SIGABRT)
            return os.waitpid(child, 0)[1]
    return found[1]


def _session(session: Session, run: Path, arguments: list[str]) -> int:
    """The command, disturbed; returns its exit code."""
    from poke_bc.__main__ import main

    if session.largest_file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (session.largest_file, resource.RLIM_INFINITY))
    _watch(session, run.with_suffix(".samples"))
    sys.argv = ["poke-bc", *arguments]
    try:
        main()
    except SystemExit as error:
        sys.stderr.flush()
        return int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    return 99


def _watch(session: Session, log: Path) -> None:
    """Note the samples of each step in `log`, and send the signals."""
    from poke_bc.contract.files import digest
    from poke_bc.data.modes import Streaming
    from poke_bc.train.loop import Trainer

    step, fill, filled = Trainer.step, Streaming.fill, []

    def watched(trainer: Trainer, packed: Any) -> None:
        number = trainer.progress.step + 1
        if number == session.before:
            _send(session.signals)
        batch = packed.unpack()
        ids = [digest(ids.tobytes() + numbers.tobytes())
               for ids, numbers in zip(batch.category.numpy(), batch.number.numpy(), strict=True)]
        with contextlib.suppress(OSError), open(log, "a") as file:  # where files may not be large
            file.write(json.dumps([number, ids]) + "\n")
        step(trainer, packed)
        if number == session.after:
            _send(session.signals)

    def failing(*arguments: Any) -> None:
        filled.append(1)
        if len(filled) == session.feeder_fails:
            raise ArithmeticError("the feeder fails")
        fill(*arguments)

    Trainer.step, Streaming.fill = watched, failing  # type: ignore[method-assign]


def _send(signals: tuple[int, ...]) -> None:
    for number in signals:
        os.kill(os.getpid(), number)


if __name__ == "__main__":
    import torch._dynamo

    import poke_bc.cli.runs
    import poke_bc.train  # noqa: F401 - before the sessions are forked

    torch.set_num_threads(1)
    for line in sys.stdin:
        print(json.dumps(_serve(json.loads(line))), flush=True)
