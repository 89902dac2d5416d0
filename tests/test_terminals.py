"""Standard output and error of every kind: no command fails because of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import environment
from trajectories import make_trajectories, write_raw

from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.manifest import Manifest


def run_with(settings: dict[str, str], *command: str | Path, redirect: str = "") -> subprocess.CompletedProcess[bytes]:
    """A command with settings of the environment, its streams redirected as a shell does."""
    given = {name: value for name, value in environment().items() if name != "PYTHONUTF8"}
    shell = ["sh", "-c", f'exec "$@" {redirect}', "sh"]
    return subprocess.run([*shell, sys.executable, "-m", "poke_bc", *map(str, command)], env=given | settings,
                          capture_output=True, timeout=120, check=False)


ASCII = {"PYTHONIOENCODING": "ascii"}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw(tmp_path_factory.mktemp("terminals") / "raw.jsonl", make_trajectories(30))


@pytest.fixture(scope="module")
def shards(raw: Path) -> Path:
    preprocess([raw], raw.parent / "shards", workers=1)
    split(raw.parent / "shards", val_ratio=0.3)
    return raw.parent / "shards"


def test_no_command_fails_because_the_terminal_knows_only_ascii(raw: Path, shards: Path, tmp_path: Path) -> None:
    for command in [
        ["--help"], ["preprocess", raw, "--out", tmp_path / "out"], ["inspect", shards],
        ["train", "--shards", shards, "--run", tmp_path / "run", "--steps", "2", "--batch-size", "16"],
        ["evaluate", tmp_path / "run"],
    ]:
        done = run_with(ASCII, *command)
        assert done.returncode == 0, done.stderr
        assert done.stdout.isascii()
    assert b"Pokemon Showdown" in run_with(ASCII, "--help").stdout
    old = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    assert b" - labelled " in run_with(old, "preprocess", raw, "--out", tmp_path / "out").stdout


def test_json_for_an_ascii_terminal_says_the_same(tmp_path: Path) -> None:
    for settings in (ASCII, {}):
        done = run_with(settings, "inspect", tmp_path / "Flabébé·", "--json")
        assert "Flabébé·" in json.loads(done.stdout)["error"]["what"]
        assert done.stdout.isascii() == (settings == ASCII)


def test_a_file_name_that_is_not_utf_8_can_be_told() -> None:
    done = run_with({}, "verify", os.fsdecode(b"nowhere-\xff"), "--json")
    assert (done.returncode, done.stderr.splitlines()[0].split(b":")[0]) == (2, b"error")
    assert "nowhere-\udcff" in json.loads(done.stdout)["error"]["what"]


@pytest.mark.parametrize("redirect", [">&-", "2>&-", "<&- >&- 2>&-", "| true", "2>&1 | true"])
def test_closed_streams_and_readers_that_go_away_change_nothing(redirect: str, raw: Path, tmp_path: Path) -> None:
    """A closed descriptor is the number that the next file would get, and what is printed would end in that file."""
    script = f'"$@" {redirect}; echo "${{PIPESTATUS[0]}}" > {tmp_path / "code"}'
    subprocess.run(["bash", "-c", script, "bash", sys.executable, "-m", "poke_bc", "preprocess", raw, "--out",
                    tmp_path / "out"], env=environment(), capture_output=True, timeout=120, check=False)
    assert (tmp_path / "code").read_text() == "0\n"
    assert Manifest.read(tmp_path / "out").counts.trajectories == 60
    assert not (tmp_path / "out").with_name("out.parts").exists()


def test_a_full_disk_behind_standard_output_is_told() -> None:
    done = run_with({}, "info", redirect="> /dev/full")
    assert (done.returncode, done.stderr.splitlines()[0]) == (3, b"error: standard output: No space left on device")
