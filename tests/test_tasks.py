"""Tasks of several blocks: what they cover depends on the input alone, and the bytes do not depend on them."""

from __future__ import annotations

import gzip
import json
from itertools import accumulate
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from bad_lines import BAD
from file_trees import files
from hypothesis import given
from hypothesis import strategies as st
from tables import write_parquet
from trajectories import make_trajectories, to_text

from pipelines.jobs.store import PartStore
from pipelines.jobs.task_size import units_per_task
from pipelines.preprocess import preprocess
from pipelines.preprocess.earlier import NAME
from pipelines.preprocess.parts import DecodeJob, PreprocessReceipt
from pipelines.preprocess.preprocess_job import STORE
from pipelines.preprocess.tasks import tasks_of
from poke_bc.contract.manifest import Manifest

RAWS = make_trajectories(140, most_steps=1)
GOOD = to_text(RAWS)
LINES = GOOD.splitlines(keepends=True)
TEXT = b"".join(line + (BAD["garbage"].line + b"\n") * (number % 7 == 3) for number, line in enumerate(LINES))
BLOCK = max(map(len, LINES))
OPTIONS: dict[str, Any] = {"block_bytes": BLOCK, "shard_bytes": 20_000, "workers": 1, "max_bad": 0.5}


def write(folder: Path, kind: str) -> Path:
    path = folder / f"raw.{kind}"
    if kind == "parquet":
        return write_parquet(path, RAWS, row_group_size=3)
    if kind == "one group.parquet":
        return write_parquet(path, RAWS)
    packed = {"jsonl": bytes, "jsonl.gz": gzip.compress,
              "jsonl.zst": lambda text: bytes(pa.compress(text, codec="zstd", asbytes=True))}[kind]
    path.write_bytes(packed(TEXT))
    return path


@given(st.integers(0, 10**7), st.integers(0, 6))
def test_tasks_grow_with_their_place_up_to_a_limit(unit: int, exponent: int) -> None:
    here, most = units_per_task(unit, 1 << exponent), 1 << exponent
    assert 1 <= here <= most
    assert here <= units_per_task(unit + 1, most)
    assert units_per_task(unit, 1) == 1


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.zst", "parquet"])
def test_tasks_hold_all_blocks_in_order_and_do_not_change_when_the_input_grows(kind: str, tmp_path: Path) -> None:
    path = str(write(tmp_path, kind))
    tasks = list(tasks_of([path], BLOCK))
    sizes = [len(task.blocks) for task in tasks]
    assert [block.index for task in tasks for block in task.blocks] == list(range(sum(sizes)))
    assert sizes[0] == 1
    assert sizes[:-1] == [units_per_task(first, 16) for first in accumulate(sizes[:-2], initial=0)]
    assert max(sizes) > 1
    assert str(tasks[-1]).startswith(f"{path}, {'row groups' if kind == 'parquet' else 'bytes'} ")
    if kind == "jsonl":
        Path(path).write_bytes(TEXT + GOOD[:5000])
        grown = list(tasks_of([path], BLOCK))
        assert [len(task.blocks) for task in grown][: len(sizes) - 1] == sizes[:-1]


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet", "one group.parquet"])
def test_the_bytes_do_not_depend_on_what_is_in_a_task_or_on_the_workers(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path, kind)
    with mock.patch("pipelines.preprocess.tasks.BLOCKS_PER_TASK", 1):
        preprocess([path], tmp_path / "single", **OPTIONS)
    single = files(tmp_path / "single")
    memo = single.pop(NAME)  # which lists the tasks
    for workers in (1, 2):
        preprocess([path], tmp_path / str(workers), **OPTIONS | {"workers": workers})
        found = files(tmp_path / str(workers))
        assert found.pop(NAME) != memo
        assert found == single


@pytest.mark.parametrize("limit", [100, 201, 202, 279])
def test_a_limit_inside_of_a_task_is_that_of_its_blocks(limit: int, tmp_path: Path) -> None:
    path = write(tmp_path, "jsonl.zst")
    with mock.patch("pipelines.preprocess.tasks.BLOCKS_PER_TASK", 1):
        preprocess([path], tmp_path / "single", **OPTIONS | {"limit": limit})
    for workers in (1, 2):
        preprocess([path], tmp_path / str(workers), **OPTIONS | {"limit": limit, "workers": workers})
        assert files(tmp_path / str(workers)) == files(tmp_path / "single")
    assert Manifest.read(tmp_path / "1").counts.trajectories == limit


def test_quarantined_lines_of_every_block_are_found_in_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "jsonl")
    preprocess([path], tmp_path / "out", **OPTIONS)
    lines = TEXT.splitlines()
    entries = [json.loads(line) for line in (tmp_path / "out" / "quarantine.jsonl").read_text().splitlines()]
    assert len(entries) == TEXT.count(BAD["garbage"].line)
    for entry in entries:
        assert lines[entry["line"] - 1] == BAD["garbage"].line
        assert TEXT[entry["byte"]:].startswith(BAD["garbage"].line)


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.zst", "parquet"])
def test_of_a_task_with_a_changed_block_nothing_is_kept_and_of_the_others_everything(kind: str, tmp_path: Path) -> None:
    path, out = write(tmp_path, kind), tmp_path / "out"
    stop = mock.patch("pipelines.preprocess.preprocess_job._quarantine", side_effect=KeyboardInterrupt)
    with stop, pytest.raises(KeyboardInterrupt, match="finished tasks are kept"):
        preprocess([path], out, **OPTIONS)
    receipts = list(PartStore(out / STORE, PreprocessReceipt).finished())
    assert max(len(receipt.blocks) for receipt in receipts) > 1
    with mock.patch.object(DecodeJob, "make", autospec=True, side_effect=DecodeJob.make) as make:
        with stop, pytest.raises(KeyboardInterrupt):
            preprocess([path], out, **OPTIONS)
        assert make.call_count == 0
        if kind == "jsonl":
            path.write_bytes(TEXT[:200_000] + TEXT[200_000:].replace(b'"turn": 1', b'"turn": 2', 1))
            preprocess([path], out, **OPTIONS)
            assert make.call_count == 1
            preprocess([path], tmp_path / "fresh", **OPTIONS)
            assert files(out) == files(tmp_path / "fresh")
