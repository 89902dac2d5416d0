"""What only Unix has is hidden, as on Windows: every command still runs; and locks lock."""

from __future__ import annotations

from pathlib import Path

import pytest
from battle_shapes import jsonl, replay
from command_line import run_python
from trajectories import make_trajectories, write_raw

from poke_bc.contract.errors import UsageError
from poke_bc.contract.files import exclusively

HIDE = """
import os, signal, sys
for name in ("fcntl", "resource", "pwd", "grp", "termios", "tty"):
    sys.modules[name] = None
for name in ("pthread_sigmask", "pthread_kill", "sigtimedwait", "SIGKILL", "SIGHUP", "SIGUSR1", "alarm", "setitimer"):
    delattr(signal, name)
for name in ("fork", "pread", "sysconf", "sched_getaffinity", "getuid", "geteuid", "killpg", "setsid", "statvfs"):
    delattr(os, name)
import warnings
warnings.simplefilter("ignore")  # of filelock, which has better means on Windows
from poke_bc.cli import main
sys.argv = ["poke-bc", *sys.argv[1:]]
main()
"""


def test_every_command_runs_without_what_only_unix_has(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw.jsonl", make_trajectories(30))
    (tmp_path / "replay.json").write_bytes(jsonl([replay()]))
    shards, run = tmp_path / "shards", tmp_path / "run"
    for command in [
        ["convert", tmp_path / "replay.json", "--out", tmp_path / "converted.jsonl", "--workers", "1", "--keep-names"],
        ["preprocess", raw, "--out", shards, "--workers", "1"], ["split", shards, "--val-ratio", "0.3"],
        ["train", "--shards", shards, "--run", run, "--steps", "2", "--batch-size", "16", "--quiet"],
        ["evaluate", run], ["inspect", run], ["verify", run], ["info"],
    ]:
        done = run_python(HIDE, *command)
        assert done.code == 0, (command, done.stderr)
        assert all(line.startswith("warning: ") for line in done.stderr.splitlines()), (command, done.stderr)
    assert not (tmp_path / "shards.parts").exists()


def test_a_lock_is_held_by_one_at_a_time_and_free_afterwards(tmp_path: Path) -> None:
    busy = UsageError("busy", hint="wait")
    for _ in range(2):
        with exclusively(tmp_path / "lock", busy):
            done = run_python("import sys\nfrom pathlib import Path\nfrom poke_bc.contract.files import exclusively\n"
                              "with exclusively(Path(sys.argv[1]), RuntimeError('busy')): pass", tmp_path / "lock")
            assert "RuntimeError: busy" in done.stderr
            with pytest.raises(UsageError), exclusively(tmp_path / "lock", busy):
                pass
