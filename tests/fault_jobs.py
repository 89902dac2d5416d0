"""Jobs that tests disturb: what is left then must be the old result or the new one, and a rerun gives the new one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bad_lines import BAD
from battle_shapes import jsonl, make_log
from battle_shapes import replay as replay_record
from file_trees import files
from killing import Ran, run
from trajectories import make_trajectories, make_trajectory, to_text

from pipelines.convert import convert_battles
from pipelines.jobs.memo import MEMO
from pipelines.preprocess import preprocess

PREPROCESS = """
import sys
from pipelines.preprocess import preprocess
if __name__ == "__main__":
    done = preprocess([sys.argv[1]], sys.argv[2], workers=int(sys.argv[3]), block_bytes=5000, shard_bytes=3000,
                      max_bad=0.5)
"""
CONVERT = """
import sys
from pipelines.convert import convert_battles
if __name__ == "__main__":
    convert_battles([sys.argv[1]], sys.argv[2] + "/raw.jsonl.zst", workers=int(sys.argv[3]), salt="s")
"""
PREPROCESS_COMMAND = """
import signal
import sys

import pipelines.preprocess
from poke_bc.__main__ import main

preprocess = pipelines.preprocess.preprocess
pipelines.preprocess.preprocess = lambda *inputs, **options: preprocess(
    *inputs, **options | {"block_bytes": 5000, "shard_bytes": 3000})
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a script left in the background
raw, out, workers = sys.argv[1:]
sys.argv = ["poke-bc", "preprocess", raw, "--out", out, "--workers", workers, "--max-bad", "0.5", "--quiet"]
main()
"""
CONVERT_COMMAND = """
import signal
import sys

from poke_bc.__main__ import main

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a script left in the background
raw, out, workers = sys.argv[1:]
sys.argv = ["poke-bc", "convert", raw, "--out", out + "/raw.jsonl.zst", "--workers", workers, "--salt", "s", "--quiet"]
main()
"""
"""The same as users run them: these handle signals and tell errors."""


@dataclass
class Job:
    """A script that reads one file and writes into a folder."""

    folder: Path
    script: str
    """Its arguments: the input, the folder, the number of workers."""
    rerun: Callable[[Path], Any]
    """What the script does, in this process, into the folder given."""
    raw: Path
    old: Path
    """A folder with an earlier result, which is there before the script runs."""
    counted: dict[int, list[str]] = field(default_factory=dict)
    read: Callable[[Path], Any] | None = None
    """What readers see of a result; None: its files."""

    @cached_property
    def reference(self) -> dict[str, bytes]:
        """Files of an undisturbed run."""
        out = self.fresh("reference")
        self.rerun(out)
        return files(out)

    def fresh(self, name: str) -> Path:
        """A folder with the earlier result."""
        out = self.folder / name / "out"
        shutil.rmtree(out.parent, ignore_errors=True)
        shutil.copytree(self.old, out)
        return out

    def arguments(self, out: Path, workers: int) -> list[str]:
        """Of the interpreter."""
        script = out.parent.with_suffix(".py")
        script.write_text(self.script)
        return [str(script), str(self.raw), str(out), str(workers)]

    def run(self, out: Path, workers: int, **how: Any) -> Ran:
        return run(self.arguments(out, workers), out.parent, **how)

    def calls(self, workers: int) -> list[str]:
        """Of an undisturbed run."""
        if workers not in self.counted:
            out = self.fresh(f"counted-{workers}")
            done = self.run(out, workers)
            assert done.code == 0, done.stderr
            assert files(out) == self.reference
            self.counted[workers] = done.calls
        return self.counted[workers]

    def check_what_is_left(self, out: Path, where: str) -> None:
        """The earlier result is there and whole, or the new one is; whatever else there is."""
        if self.read is not None:
            assert self.read(out) in (self.read(self.old), self.read(self.folder / "reference" / "out")), where
            return
        now = files(out)
        whole = [all(now.get(name) == data for name, data in result.items()
                     if name != "quarantine.jsonl" and not name.endswith(MEMO))
                 for result in (files(self.old), self.reference)]
        assert any(whole), where

    def check_rerun(self, out: Path, where: str) -> None:
        """Run again: every file is as after an undisturbed run, and there is no other, temporary ones included."""
        self.rerun(out)
        assert files(out.parent) == {f"out/{name}": data for name, data in self.reference.items()}, where


def preprocessing_job(folder: Path, script: str, trajectories: int = 4) -> Job:
    """By default five blocks, two shards; a bad line, and an earlier data set of the first two blocks and others."""
    raw = folder / "raw.jsonl"
    more = make_trajectories(trajectories + 2)[2 * trajectories:]
    raw.write_bytes(to_text(make_trajectories(trajectories)) + BAD["garbage"].line + b"\n" + to_text(more))
    options: dict[str, Any] = {"workers": 1, "block_bytes": 5000, "shard_bytes": 3000, "max_bad": 0.5}
    old = folder / "old.jsonl"
    old.write_bytes(raw.read_bytes()[:11_000].rpartition(b"\n")[0] + b"\n" + to_text([make_trajectory(70_000)]))
    preprocess([old], folder / "old", **options)
    return Job(folder, script, lambda out: preprocess([raw], out, **options), raw, folder / "old")


def converting_job(folder: Path, script: str, battles: int = 66) -> Job:
    """Battles of one turn, and an earlier output of some of them, the first not among them."""
    raw = folder / "battles.jsonl"
    raw.write_bytes(jsonl(replay_record(number, log="\n".join(make_log(number, turns=1))) for number in range(battles)))
    (folder / "old").mkdir()
    old = folder / "old.jsonl"
    old.write_bytes(b"".join(raw.read_bytes().splitlines(keepends=True)[3:40]))
    convert_battles([old], folder / "old" / "raw.jsonl.zst", workers=1, salt="s")
    return Job(folder, script, lambda out: convert_battles([raw], out / "raw.jsonl.zst", workers=1, salt="s"), raw,
               folder / "old")
