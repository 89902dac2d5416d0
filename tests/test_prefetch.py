"""Prefetching: the same items and the same error, never too many at once, and no thread left behind."""

from __future__ import annotations

import gzip
import os
import threading
from collections.abc import Generator
from pathlib import Path
from unittest import mock

import pyarrow as pa
import pytest
from file_trees import files, finished_parts
from tables import write_parquet
from trajectories import make_trajectories, to_text, write_raw

from pipelines.decode import Text
from pipelines.jobs.prefetch import prefetch
from pipelines.preprocess import preprocess
from pipelines.preprocess.tasks import tasks_of
from pipelines.preprocess.text_blocks import text_blocks
from poke_bc.contract.errors import InputError

RAWS = make_trajectories(40)
TEXT = to_text(RAWS)
SMALL = {"block_bytes": 6000, "shard_bytes": 4000}


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "prefetch"]


@pytest.fixture(autouse=True)
def _no_thread_stays_behind() -> Generator[None]:
    yield
    assert threads() == []


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    path = tmp_path / "raw.jsonl.zst"
    path.write_bytes(pa.compress(TEXT, codec="zstd", asbytes=True))
    return path


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_items_come_in_order_and_at_most_so_many_are_made_before_they_are_asked_for(depth: int) -> None:
    made: list[int] = []
    waiting = threading.Event()

    def items() -> Generator[int]:
        for number in range(50):
            made.append(number)
            if len(made) == depth:
                waiting.set()
            yield number

    ahead = prefetch(items(), depth)
    for number in range(50):
        assert next(ahead) == number
        assert len(made) <= number + 1 + depth
        if number == 0:
            assert waiting.wait(10)
    assert list(ahead) == []
    assert made == list(range(50))


def test_items_are_made_while_the_one_before_is_worked_on() -> None:
    asked = threading.Event()

    def items() -> Generator[int]:
        yield 1
        asked.set()
        yield 2

    ahead = prefetch(items())
    assert next(ahead) == 1
    assert asked.wait(10)  # nobody has asked for the second
    assert list(ahead) == [2]


@pytest.mark.parametrize("error", [InputError("no", hint="none"), KeyboardInterrupt(), ValueError()])
def test_an_error_is_raised_after_the_items_before_it(error: BaseException) -> None:
    def items() -> Generator[int]:
        yield 1
        yield 2
        raise error

    ahead = prefetch(items(), 5)
    assert (next(ahead), next(ahead)) == (1, 2)
    with pytest.raises(type(error)) as caught:
        next(ahead)
    assert caught.value is error


def test_closing_early_closes_the_items_and_ends_the_thread() -> None:
    closed: list[bool] = []

    def items() -> Generator[int]:
        try:
            yield from range(1000)
        finally:
            closed.append(True)

    for taken in (0, 1, 5):
        ahead = prefetch(items())
        for _ in range(taken):
            next(ahead)
        ahead.close()
        assert threads() == []
    assert closed == [True, True]  # nothing was opened for the one that nobody began


@pytest.mark.parametrize("size", [700, 6000, 1 << 20])
def test_prefetched_text_is_that_of_the_file(size: int, packed: Path, tmp_path: Path) -> None:
    plain = write_raw(tmp_path / "raw.jsonl", RAWS)
    found = [block.read() for task in tasks_of([str(packed)], size) for block in task.blocks]
    assert found == [block.read() for block in text_blocks(str(plain), size)]
    assert all(isinstance(each, Text) for each in found)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_damaged_compression_is_the_same_error_as_without_a_thread(ending: str, workers: int, tmp_path: Path) -> None:
    whole = gzip.compress(TEXT) if ending == "gz" else pa.compress(TEXT, codec="zstd", asbytes=True)
    path = tmp_path / f"raw.jsonl.{ending}"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError) as without:
        list(text_blocks(str(path), 6000))
    with pytest.raises(InputError, match=r"raw.jsonl.*cannot be read") as caught:
        preprocess([path], tmp_path / "out", workers=workers, **SMALL)
    assert caught.value.what == without.value.what


@pytest.mark.parametrize("workers", [1, 2])
def test_a_limit_ends_the_thread(packed: Path, workers: int, tmp_path: Path) -> None:
    table = write_parquet(tmp_path / "raw.parquet", RAWS, row_group_size=1)
    for path in (packed, table):
        done = preprocess([path], tmp_path / "out", workers=workers, limit=3, **SMALL)
        assert done.manifest.counts.trajectories == 3
        assert threads() == []


def test_a_run_that_is_stopped_ends_the_thread_and_keeps_what_is_done(packed: Path, tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preprocess([packed], tmp_path / "out", workers=1, progress=stop, **SMALL)
    assert threads() == []
    assert len(finished_parts(tmp_path / "out")) == 1
    preprocess([packed], tmp_path / "out", workers=1, **SMALL)
    preprocess([packed], tmp_path / "fresh", workers=1, **SMALL)
    assert files(tmp_path / "out") == files(tmp_path / "fresh")


def test_a_pipe_is_not_prefetched(tmp_path: Path) -> None:
    """Nothing could wake a thread that waits for one."""
    with mock.patch("pipelines.preprocess.tasks.prefetch", side_effect=AssertionError):
        preprocess([write_raw(tmp_path / "raw.jsonl", RAWS)], tmp_path / "plain", workers=1)
        read, write = os.pipe()
        with open(write, "wb") as end:
            end.write(to_text(RAWS[:4]))
        done = preprocess([f"/dev/fd/{read}"], tmp_path / "pipe", workers=1)
    assert done.manifest.counts.trajectories == 4
