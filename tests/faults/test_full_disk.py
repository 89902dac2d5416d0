"""Disks without room and folders that cannot be written: told in two lines, nothing half-written, and a rerun goes on.

File systems are mounted in a mount namespace of their own, which takes a system that allows that.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from shlex import quote

import pytest
from command_line import REPOSITORY, Finished, assert_told_in_two_lines, run_cli
from file_trees import files
from trajectories import make_trajectories, write_raw

from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.manifest import MANIFEST

UNSHARE = ("unshare", "--mount", "--map-root-user")
WITH_SMALL_FILES = (
    sys.executable,
    "-c",
    "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000)); "
    "os.execv(sys.argv[1], sys.argv[1:])",
)
"""Every write beyond 20,000 bytes of a file fails, as it does on a full disk."""


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw(tmp_path_factory.mktemp("full") / "raw.jsonl", make_trajectories(200))


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def no_result(names: list[str]) -> bool:
    return not any(name.startswith(("shard-", ".tmp-")) or name in (MANIFEST, "raw.jsonl.zst") for name in names)


def test_a_disk_without_room_by_file_size(raw: Path, tmp_path: Path) -> None:
    done = run_cli("preprocess", raw, "--out", tmp_path / "out", "--workers", "1", prefix=WITH_SMALL_FILES)
    assert_told_in_two_lines(done, "File too large")
    assert no_result(names_in(tmp_path))
    done = run_cli("preprocess", raw, "--out", tmp_path / "out")
    assert done.code == 0, done.stderr


def test_a_disk_without_room_for_a_split_file(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "raw.jsonl").write_bytes(raw.read_bytes())
    assert_told_in_two_lines(run_cli("split", tmp_path / "raw.jsonl", prefix=WITH_SMALL_FILES), "File too large")
    assert names_in(tmp_path) == ["raw.jsonl"]


def run_mounted(script: str, *command: object) -> Finished:
    """A command within a shell script, where it is "$@", with mounts that nobody else sees."""
    can = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True,
                         check=False)
    if can.returncode != 0:
        pytest.skip(f"DISKS ARE NOT TESTED HERE: nothing can be mounted ({can.stderr.strip()})")
    return run_cli(*map(str, command), prefix=(*UNSHARE, "sh", "-c", script, "sh"))


@pytest.mark.parametrize(("command", "size", "workers"), [
    ("preprocess", "4k", 1), ("preprocess", "100k", 2), ("preprocess", "180k", 1), ("convert", "16k", 1)])
def test_a_full_disk_and_the_same_command_once_there_is_room(command: str, size: str, workers: int, raw: Path,
                                                             tmp_path: Path) -> None:
    def arguments(folder: Path) -> list[object]:
        return {"preprocess": [command, raw, "--out", folder / "out", "--workers", workers],
                "convert": [command, REPOSITORY / "data" / "sample" / "battles.jsonl.zst", "--limit", 8, "--salt", "s",
                            "--out", folder / "raw.jsonl.zst", "--workers", workers]}[command]

    disk, left, copy = tmp_path / "disk", tmp_path / "left", tmp_path / "copy"
    disk.mkdir()
    done = run_mounted(f"""
        mount -t tmpfs -o size={size} tmpfs {quote(str(disk))} || exit 99
        "$@"; code=$?
        find {quote(str(disk))} -type f -printf '%f\\n' > {quote(str(left))}
        mount -o remount,size=64m {quote(str(disk))}
        "$@" > /dev/null 2>&1 && cp -r {quote(str(disk))} {quote(str(copy))}
        exit $code""", *arguments(disk))
    assert_told_in_two_lines(done, "No space left on device")
    assert no_result(left.read_text().splitlines())
    (tmp_path / "undisturbed").mkdir()
    assert run_cli(*arguments(tmp_path / "undisturbed")).code == 0
    assert files(copy) == files(tmp_path / "undisturbed")


def test_a_folder_that_is_read_only(raw: Path, tmp_path: Path) -> None:
    """Nothing can be written into it, and everything read from it, though nothing can be remembered either."""
    disk, out = tmp_path / "disk", tmp_path / "run"
    preprocess([raw], disk / "shards", workers=1)
    split(disk / "shards", val_ratio=0.3)
    before = files(disk)
    read_only = f"""
        mount --bind {quote(str(disk))} {quote(str(disk))} && mount -o remount,bind,ro {quote(str(disk))} || exit 99
        XDG_CACHE_HOME={quote(str(disk))} "$@" """
    for command in (["preprocess", raw, "--out", disk / "out"], ["preprocess", raw, "--out", disk / "shards"],
                    ["convert", REPOSITORY / "data" / "sample" / "battles.jsonl.zst", "-o", disk / "raw.jsonl"],
                    ["split", disk / "shards"]):
        assert_told_in_two_lines(run_mounted(read_only, *command), "Read-only file system", code=3)
    for command in (["verify", disk / "shards"],
                    ["train", "--shards", disk / "shards", "--run", out, "--steps", 2, "--device", "cpu", "--quiet"]):
        done = run_mounted(read_only, *command)
        assert done.code == 0, done
    assert files(disk) == before
