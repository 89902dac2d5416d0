"""preprocess goes on from what an earlier run finished, makes anew what does not fit, and never harms old data."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import re
import subprocess
import sys
import time
from itertools import accumulate
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from bad_lines import BAD
from command_line import Finished, assert_told_in_two_lines, environment
from file_trees import files, finished_parts
from trajectories import make_trajectories, make_trajectory, to_line, to_text, write_raw

from pipelines.jobs.store import PartStore
from pipelines.preprocess import preprocess
from pipelines.preprocess.parts import DecodeJob, PreprocessReceipt
from pipelines.preprocess.preprocess_job import STORE
from poke_bc.contract.errors import InputError, ShardError, UsageError
from poke_bc.contract.files import TEMPORARY, checksummed
from poke_bc.contract.manifest import MANIFEST, Manifest
from poke_bc.contract.rows import row_bytes
from poke_bc.contract.schema import load_schema
from poke_bc.verify import verify

OPTIONS: dict[str, Any] = {"block_bytes": 6000, "shard_bytes": 4000, "max_bad": 0.5}
TEXT = to_text(make_trajectories(15)) + BAD["garbage"].line + b"\n" + to_text(make_trajectories(15)[20:])


def run_counting(raw: Path, out: Path, **options: Any) -> int:
    """Run to the end; how many blocks had to be made."""
    with mock.patch.object(DecodeJob, "make", autospec=True, side_effect=DecodeJob.make) as make:
        preprocess([raw], out, **OPTIONS | {"workers": 1} | options)
    return make.call_count


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("killed") / "raw.jsonl"
    path.write_bytes(TEXT)
    return path


@pytest.fixture(scope="module")
def reference(raw: Path) -> dict[str, bytes]:
    preprocess([raw], raw.parent / "reference", workers=1, **OPTIONS)
    return files(raw.parent / "reference")


@pytest.fixture(scope="module")
def blocks(raw: Path, reference: dict[str, bytes]) -> int:
    """How many blocks there are to make."""
    assert reference
    return run_counting(raw, raw.parent / "counted")


def with_old_data(folder: Path) -> str:
    """A committed data set of other battles; its identity."""
    old = write_raw(folder.parent / "old.jsonl", [make_trajectory(battle) for battle in range(70, 90)])
    return preprocess([old], folder, workers=1, **OPTIONS).manifest.identity


@pytest.fixture
def stopped_before_assembly(raw: Path, tmp_path: Path) -> Path:
    """All blocks are made, and nothing is committed."""
    with (
        mock.patch("pipelines.preprocess.preprocess_job._quarantine", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        preprocess([raw], tmp_path / "out", workers=1, **OPTIONS)
    return tmp_path / "out"


def test_finished_blocks_are_kept_when_the_file_has_grown(raw: Path, blocks: int, tmp_path: Path) -> None:
    grown = tmp_path / "raw.jsonl"
    grown.write_bytes(TEXT)
    with (
        mock.patch("pipelines.preprocess.preprocess_job._quarantine", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        preprocess([grown], tmp_path / "out", workers=1, **OPTIONS)
    grown.write_bytes(TEXT + to_line(make_trajectory(99)))
    assert 1 <= run_counting(grown, tmp_path / "out") <= 2
    preprocess([grown], tmp_path / "fresh", workers=1, **OPTIONS)
    assert files(tmp_path / "out") == files(tmp_path / "fresh")


@pytest.mark.parametrize("piece", ["rows", "table", "bad", "receipt", "footer"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "remove"])
def test_a_damaged_part_is_noticed_and_made_again(piece: str, damage: str, raw: Path, reference: dict[str, bytes],
                                                  stopped_before_assembly: Path) -> None:
    out = stopped_before_assembly
    store, row = PartStore(out / STORE, PreprocessReceipt), row_bytes(load_schema("basic"))
    receipts = {path: store.find(int(path.stem)) for path in sorted(store.folder.glob("*.part"))}
    part, sizes = next((path, sizes) for path, receipt in receipts.items() if receipt for block in receipt.blocks
                       if all(sizes := (block.rows * row, block.table_bytes, block.bad_bytes)))
    content = bytearray(part.read_bytes())
    borders = [0, *accumulate(sizes), len(content) - 32, len(content)]
    place = ["rows", "table", "bad", "receipt", "footer"].index(piece)
    middle = (borders[place] + borders[place + 1]) // 2
    flipped = bytearray(content)
    flipped[middle] ^= 1
    if damage == "remove":
        part.unlink()
    else:
        part.write_bytes({"flip": flipped, "cut": content[:middle] + content[middle + 1:], "empty": b""}[damage])
    assert run_counting(raw, out) == 1
    assert files(out) == reference


def test_changed_text_is_noticed_and_its_block_made_again(
    stopped_before_assembly: Path, raw: Path, tmp_path: Path
) -> None:
    changed = TEXT.replace(b'"turn": 2', b'"turn": 9', 1)
    raw_before = raw.read_bytes()
    try:
        raw.write_bytes(changed)
        assert run_counting(raw, stopped_before_assembly) == 1
        preprocess([raw], tmp_path / "fresh", workers=1, **OPTIONS)
        assert files(stopped_before_assembly) == files(tmp_path / "fresh")
    finally:
        raw.write_bytes(raw_before)


def test_a_block_that_moved_is_made_again(raw: Path, blocks: int, tmp_path: Path) -> None:
    """Its quarantined lines are told from where it begins."""
    out, moved = tmp_path / "out", tmp_path / "raw.jsonl"
    good, bad = to_line(make_trajectory(1)) + b"\n", BAD["garbage"].line + b"\n"
    options = OPTIONS | {"block_bytes": 2 * len(good), "workers": 1}
    text = good * 5 + bad + good * 5
    moved.write_bytes(text)
    with (
        mock.patch("pipelines.preprocess.preprocess_job._quarantine", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        preprocess([moved], out, **options)
    moved.write_bytes(b" " + text)
    preprocess([moved], out, **options)
    preprocess([moved], tmp_path / "fresh", **options)
    assert files(out) == files(tmp_path / "fresh")


def test_parts_of_another_plan_are_not_used(stopped_before_assembly: Path, raw: Path, blocks: int) -> None:
    assert run_counting(raw, stopped_before_assembly, block_bytes=6001) > blocks // 2
    assert verify(stopped_before_assembly).differences == []


@pytest.mark.parametrize("limit", [1, 20])
def test_finished_blocks_serve_a_run_with_a_limit_and_one_without(limit: int, raw: Path, reference: dict[str, bytes],
                                                                 stopped_before_assembly: Path, tmp_path: Path) -> None:
    preprocess([raw], stopped_before_assembly, workers=1, limit=limit, **OPTIONS)
    preprocess([raw], tmp_path / "fresh", workers=1, limit=limit, **OPTIONS)
    assert files(stopped_before_assembly) == files(tmp_path / "fresh")
    preprocess([raw], stopped_before_assembly, workers=1, **OPTIONS)
    assert files(stopped_before_assembly) == reference


def test_new_data_replaces_old_data_and_leaves_nothing_of_it(
    raw: Path, reference: dict[str, bytes], tmp_path: Path
) -> None:
    with_old_data(tmp_path / "out")
    preprocess([raw], tmp_path / "out", workers=1, **OPTIONS)
    assert files(tmp_path / "out") == reference


def test_a_run_that_fails_leaves_the_old_data_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "out"
    old = with_old_data(out)
    before = {name: content for name, content in files(out).items() if name != "quarantine.jsonl"}
    (tmp_path / "bad.jsonl").write_bytes(BAD["garbage"].line * 3)
    with pytest.raises(InputError):
        preprocess([tmp_path / "bad.jsonl"], out, workers=1)
    assert {name: content for name, content in files(out).items() if name != "quarantine.jsonl"} == before
    assert Manifest.read(out).identity == old


def test_leftovers_of_killed_runs_are_swept_away(raw: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in (
        f"{TEMPORARY}01234567-shard-00000.arrow",
        f"{TEMPORARY}01234567-manifest.json",
        f"{STORE}/lock",
        f"{STORE}/shards.job",
        "shard-00009-deadbeef.arrow",
        "shard-00009-deadbeef.trajectories.arrow",
    ):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_bytes(b"half")
    (out / STORE / "shards.job").write_text(
        "shard-00009-deadbeef.arrow\nshard-00009-deadbeef.trajectories.arrow\n../raw.jsonl\nshard-000")
    (out / "notes.txt").write_text("mine")
    preprocess([raw], out, workers=1, **OPTIONS)
    assert files(out) == reference | {"notes.txt": b"mine"}


def test_files_that_no_run_recorded_are_left_alone(raw: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    foreign = {"shard-00000-01234567.arrow": b"mine", "shard-best.arrow": b"mine", ".tmp-notes": b"mine",
               ".tmp-01234567-split.json": b"of a split at work"}
    for name, content in foreign.items():
        (tmp_path / name).write_bytes(content)
    preprocess([raw], tmp_path, workers=1, limit=3, **OPTIONS)
    preprocess([raw], tmp_path, workers=1, **OPTIONS)
    assert files(tmp_path) == reference | foreign


@pytest.mark.parametrize("name", [MANIFEST, "quarantine.jsonl", "a shard", f"{STORE}/notes"])
def test_files_that_no_run_recorded_are_never_overwritten(
        name: str, raw: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    name = next(name for name in reference if name.startswith("shard-")) if name == "a shard" else name
    path = tmp_path / "out" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b'{"format": "of something else"}')
    before = files(tmp_path)
    with pytest.raises(UsageError, match=re.escape(str(tmp_path / "out"))) as caught:
        preprocess([raw], tmp_path / "out", workers=1, **OPTIONS)
    assert "move it away" in caught.value.hint
    assert {each: data for each, data in files(tmp_path).items() if data == before.get(each)} == before


def test_a_data_set_of_another_version_is_replaced_as_one_of_this(raw: Path, reference: dict[str, bytes],
                                                                  tmp_path: Path) -> None:
    with_old_data(tmp_path)
    value = json.loads((tmp_path / MANIFEST).read_bytes())
    (tmp_path / MANIFEST).write_text(json.dumps(checksummed(value | {"format": 99})))
    preprocess([raw], tmp_path, workers=1, **OPTIONS)
    assert files(tmp_path) == reference


def test_two_runs_never_write_to_one_folder(raw: Path, tmp_path: Path) -> None:
    (tmp_path / STORE).mkdir()
    with (tmp_path / STORE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UsageError, match="another run is writing it"):
            preprocess([raw], tmp_path, workers=1, **OPTIONS)
    preprocess([raw], tmp_path, workers=1, **OPTIONS)


def test_killed_workers_are_replaced_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw.jsonl", make_trajectories(200))
    killed: set[int] = set()

    def kill_the_workers(*_: object) -> None:
        time.sleep(0.05)  # or this process does everything before another one has started
        for child in multiprocessing.active_children() if len(killed) < 2 else ():
            if child.pid is not None:
                child.kill()
                killed.add(child.pid)

    preprocess([raw], tmp_path / "out", workers=2, block_bytes=6000, progress=kill_the_workers)
    preprocess([raw], tmp_path / "fresh", workers=1, block_bytes=6000)
    assert len(killed) == 2
    assert files(tmp_path / "out") == files(tmp_path / "fresh")


DYING = """
import multiprocessing, os, signal, time
from pipelines.decode import Decoder

decode = Decoder.decode

def dying(decoder, text, *arguments, **keywords):
    if text.byte >= 60000 and multiprocessing.parent_process() is not None:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return decode(decoder, text, *arguments, **keywords)

Decoder.decode = dying
"""
"""Run by every process at its start, as its sitecustomize."""
SMALL_BLOCKS = """
from functools import partial
from unittest import mock

import pipelines.preprocess
from poke_bc.cli import main

small = partial(pipelines.preprocess.preprocess, block_bytes=6000)
with mock.patch("pipelines.preprocess.preprocess", small):
    main()
"""


def test_a_block_that_kills_every_worker_is_named_and_finished_tasks_are_kept(tmp_path: Path) -> None:
    raw, script = write_raw(tmp_path / "raw.jsonl", make_trajectories(200)), tmp_path / "script.py"
    script.write_text(SMALL_BLOCKS)
    (tmp_path / "sitecustomize.py").write_text(DYING)
    env = environment()
    env["PYTHONPATH"] = os.pathsep.join([str(tmp_path), env["PYTHONPATH"]])
    command = [sys.executable, str(script), "preprocess", str(raw), "--out", str(tmp_path / "out"), "--workers", "2"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert_told_in_two_lines(Finished(done.returncode, done.stdout, done.stderr), f"{raw}, bytes ", "died 3 times")
    assert finished_parts(tmp_path / "out")
    assert not (tmp_path / "out" / MANIFEST).exists()
    preprocess([raw], tmp_path / "out", workers=1, block_bytes=6000)
    preprocess([raw], tmp_path / "fresh", workers=1, block_bytes=6000)
    assert files(tmp_path / "out") == files(tmp_path / "fresh")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_leaves_no_data_set_and_the_finished_blocks(
    workers: int, raw: Path, reference: dict[str, bytes], blocks: int, tmp_path: Path
) -> None:
    full = OSError(28, "No space left on device", "somewhere")
    with (
        mock.patch("pipelines.preprocess.shard_writer._HashedFile.write", side_effect=full),
        pytest.raises(ShardError, match="No space left on device"),
    ):
        preprocess([raw], tmp_path, **OPTIONS | {"workers": workers})
    assert {name.split("/")[0] for name in files(tmp_path)} <= {STORE, "quarantine.jsonl"}
    finished = len(finished_parts(tmp_path))
    assert finished
    assert run_counting(raw, tmp_path) == blocks - finished
    assert files(tmp_path) == reference


def test_a_full_disk_is_told_before_everything_is_read(raw: Path, blocks: int, tmp_path: Path) -> None:
    with (
        mock.patch("pipelines.preprocess.shard_writer._HashedFile.write",
                   side_effect=OSError(28, "No space left on device", "somewhere")),
        pytest.raises(ShardError, match="No space left on device"),
    ):
        preprocess([raw], tmp_path, workers=1, **OPTIONS)
    assert len(finished_parts(tmp_path)) < blocks // 2


@pytest.mark.parametrize("workers", [1, 2])
def test_shards_are_written_while_blocks_are_read(workers: int, raw: Path, reference: dict[str, bytes],
                                                  tmp_path: Path) -> None:
    seen = []

    def look(stage: str, *_: object) -> None:
        if stage == "reading":
            time.sleep(0.05)  # the other thread's turn
            seen.append(len(list(tmp_path.glob("shard-*.trajectories.arrow"))))

    preprocess([raw], tmp_path, progress=look, **OPTIONS | {"workers": workers})
    shards = sum(name.endswith(".trajectories.arrow") for name in reference)
    assert shards - 2 <= seen[-1] < shards
    assert seen == sorted(seen)
    assert files(tmp_path) == reference


def test_a_shard_is_what_arrow_writes_of_its_rows(raw: Path, reference: dict[str, bytes], tmp_path: Path) -> None:
    """Though Arrow is only given columns of zeros, and the rows come from the parts."""
    for name, content in reference.items():
        if name.startswith("shard-") and "trajectories" not in name:
            table = pa.ipc.open_file(content).read_all()
            with pa.OSFile(str(tmp_path / name), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
                writer.write_table(table)
            assert (tmp_path / name).read_bytes() == content
