"""preprocess into a folder that holds a data set: only what is new is decoded, and all files are those of one run."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pyarrow as pa
import pytest
from bad_lines import BAD
from file_trees import files
from hypothesis import given, settings
from hypothesis import strategies as st
from tables import write_parquet
from trajectories import Raw, make_trajectories, to_text

from pipelines.preprocess import Preprocessed, preprocess
from pipelines.preprocess.earlier import NAME
from pipelines.preprocess.parts import DecodeJob
from pipelines.split import split
from poke_bc.contract.manifest import Manifest
from poke_bc.contract.split import read_split
from poke_bc.verify import verify

RAWS = make_trajectories(120, most_steps=3)
OPTIONS: dict[str, Any] = {"block_bytes": 9000, "shard_bytes": 9000, "max_bad": 0.5, "workers": 1}
KINDS = ("jsonl", "jsonl.gz", "jsonl.zst", "parquet")


def write(path: Path, raws: list[Raw], *, bad: bool = True) -> Path:
    """Trajectories in the format that the ending says, in text with a bad line among them."""
    text = to_text(raws[:3]) + (BAD["garbage"].line + b"\n" if bad else b"") + to_text(raws[3:])
    if path.suffix == ".parquet":
        write_parquet(path, raws, row_group_size=8)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(text, mtime=0))
    else:
        path.write_bytes(pa.compress(text, "zstd", asbytes=True) if path.suffix == ".zst" else text)
    return path


def run(inputs: Path, out: Path, **options: Any) -> tuple[Preprocessed, int]:
    """Also how many parts were made."""
    with mock.patch.object(DecodeJob, "make", autospec=True, side_effect=DecodeJob.make) as make:
        return preprocess([inputs], out, **OPTIONS | options), make.call_count


def assert_as_a_whole(inputs: Path, out: Path, **options: Any) -> None:
    """Every file is what one run over everything writes."""
    fresh = out.with_name(f"fresh {out.name}")
    whole, _ = run(inputs, fresh, **options)
    assert files(out) == files(fresh)
    assert whole.kept == 0
    for path in fresh.iterdir():
        path.unlink()
    fresh.rmdir()


def shards_there(out: Path) -> dict[str, int]:
    """When each shard was written, in ns."""
    return {path.name: path.stat().st_mtime_ns for path in out.glob("shard-*.arrow")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "raw"
    path.mkdir()
    return path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_comes_last_leaves_the_shards_before_it(
    kind: str, workers: int, folder: Path, tmp_path: Path
) -> None:
    write(folder / f"b.{kind}", RAWS[:100])
    write(folder / f"c.{kind}", RAWS[100:150])
    out = tmp_path / "out"
    before, all_parts = run(folder, out)
    there = shards_there(out)
    write(folder / f"d.{kind}", RAWS[160:200])
    done, made = run(folder, out, workers=workers)
    assert done.kept == before.manifest.counts.decisions < done.manifest.counts.decisions
    if workers == 1:
        assert 0 < made < all_parts / 2, "of the new file alone"
    assert done.shards_untouched == len(before.manifest.shards) - 1 > 2
    kept = [file.name for shard in before.manifest.shards[:-1] for file in (shard.rows, shard.trajectories)]
    assert {name: shards_there(out)[name] for name in kept} == {name: there[name] for name in kept}
    assert_as_a_whole(folder, out)


def first(folder: Path, kind: str) -> None:
    write(folder / f"a.{kind}", RAWS[160:200])


def under_another_name(folder: Path, kind: str) -> None:
    (folder / f"b.{kind}").rename(folder / f"z.{kind}")


def twice(folder: Path, kind: str) -> None:
    (folder / f"d.{kind}").write_bytes((folder / f"b.{kind}").read_bytes())


def one_less(folder: Path, kind: str) -> None:
    (folder / f"b.{kind}").unlink()


def nothing(folder: Path, kind: str) -> None:
    pass


CHANGES = (first, under_another_name, twice, one_less, nothing)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CHANGES, ids=lambda each: each.__name__)
def test_whatever_happens_to_files_their_content_is_decoded_once(
    change: Callable[[Path, str], None], kind: str, folder: Path, tmp_path: Path
) -> None:
    write(folder / f"b.{kind}", RAWS[:100])
    write(folder / f"c.{kind}", RAWS[100:160])
    out = tmp_path / "out"
    before, _ = run(folder, out)
    there = shards_there(out)
    change(folder, kind)
    done, made = run(folder, out)
    assert (made > 0) == (change is first)
    assert done.all_again == ""
    if change is nothing:
        assert done.manifest.identity == before.manifest.identity
        assert (done.kept, done.shards_untouched) == (done.manifest.counts.decisions, len(done.manifest.shards))
        assert shards_there(out) == there
    assert_as_a_whole(folder, out)
    assert verify(out).differences == []


@pytest.mark.parametrize("kind", ["jsonl", "jsonl.gz", "jsonl.zst"])
def test_of_a_file_that_grew_what_was_there_is_kept(kind: str, folder: Path, tmp_path: Path) -> None:
    write(folder / f"b.{kind}", RAWS[:150])
    write(folder / f"c.{kind}", RAWS[150:160])
    out = tmp_path / "out"
    before, all_parts = run(folder, out)
    write(folder / f"b.{kind}", RAWS[:150] + RAWS[160:180])
    done, made = run(folder, out)
    assert 0 < made < all_parts / 2
    assert 0 < done.kept < before.manifest.counts.decisions
    assert done.shards_untouched > 2
    assert_as_a_whole(folder, out)


def test_a_line_that_changed_is_decoded_again_with_its_block_alone(folder: Path, tmp_path: Path) -> None:
    write(folder / "b.jsonl", RAWS)
    out = tmp_path / "out"
    _, all_parts = run(folder, out)
    text = (folder / "b.jsonl").read_bytes()
    (folder / "b.jsonl").write_bytes(text.replace(b'"total_reward": 1.0', b'"total_reward": 1.5', 1))
    _, made = run(folder, out)
    assert (made, all_parts > 10) == (1, True)
    assert_as_a_whole(folder, out)


@pytest.mark.parametrize("what", ["shard", "trajectories", "memo", "no memo", "no shard", "options"])
def test_nothing_is_taken_from_what_is_damaged(what: str, folder: Path, tmp_path: Path) -> None:
    write(folder / "b.jsonl", RAWS)
    out = tmp_path / "out"
    _, all_parts = run(folder, out)
    options: dict[str, Any] = {}
    if what == "options":
        options = {"block_bytes": 8000}
    else:
        damaged = next(out.glob({"trajectories": "*.trajectories.arrow", "memo": NAME, "no memo": NAME}.get(
            what, "shard-00001-????????.arrow")))
        data = bytearray(damaged.read_bytes())
        data[len(data) // 2] ^= 1
        damaged.unlink()
        if not what.startswith("no "):
            damaged.write_bytes(data)
    done, made = run(folder, out, **options)
    assert made == all_parts or what == "options"
    assert (done.kept, bool(done.all_again)) == (0, what != "no memo")
    assert_as_a_whole(folder, out, **options)
    assert verify(out).differences == []


def test_a_run_with_a_limit_keeps_nothing_and_leaves_nothing_to_keep(folder: Path, tmp_path: Path) -> None:
    write(folder / "b.jsonl", RAWS)
    out = tmp_path / "out"
    run(folder, out)
    limited, _ = run(folder, out, limit=20)
    assert (limited.kept, (out / NAME).exists()) == (0, False)
    assert_as_a_whole(folder, out, limit=20)
    assert run(folder, out)[0].kept == 0
    assert_as_a_whole(folder, out)


def test_an_interrupted_run_leaves_the_data_set_and_the_next_one_goes_on(folder: Path, tmp_path: Path) -> None:
    write(folder / "b.jsonl.zst", RAWS[:150])
    out = tmp_path / "out"
    before, _ = run(folder, out)
    write(folder / "a.jsonl.zst", RAWS[150:])
    with (mock.patch("pipelines.preprocess.preprocess_job._quarantine", side_effect=KeyboardInterrupt),
          pytest.raises(KeyboardInterrupt)):
        run(folder, out)
    assert Manifest.read(out).identity == before.manifest.identity
    done, made = run(folder, out)
    assert (made, done.kept) == (0, before.manifest.counts.decisions)
    assert_as_a_whole(folder, out)


def test_a_memo_of_somebody_else_is_not_overwritten(folder: Path, tmp_path: Path) -> None:
    write(folder / "b.jsonl", RAWS)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / NAME).write_text("my own notes")
    with pytest.raises(Exception, match=NAME):
        run(folder, tmp_path / "out")
    assert files(tmp_path / "out") == {NAME: b"my own notes"}


def splits_of(out: Path, **options: Any) -> dict[tuple[str, str], int]:
    """View -> split."""
    split(out, val_ratio=0.3, test_ratio=0.2, seed=7, **options)
    manifest = Manifest.read(out)
    _, split_T = read_split(out, manifest.identity)
    views = pl.concat([pl.read_ipc((out / shard.trajectories.name).read_bytes()) for shard in manifest.shards])
    return dict(zip(views.select("replay_id", "player").iter_rows(), split_T.tolist(), strict=True))


@pytest.mark.parametrize("options", [{}, {"where": "rating >= 1600"}, {"by": "player"}], ids=str)
def test_battles_that_were_there_keep_their_split(options: dict[str, str], folder: Path, tmp_path: Path) -> None:
    write(folder / "b.jsonl", RAWS[:150])
    out = tmp_path / "out"
    run(folder, out)
    before = splits_of(out, **options)
    write(folder / "a.jsonl", RAWS[150:])
    run(folder, out)
    after = splits_of(out, **options)
    assert {view: after[view] for view in before} == before
    assert len({*before.values()}) >= 3
    assert len(after) > len(before)


def test_what_follows_in_memory_is_not_written(folder: Path, tmp_path: Path) -> None:
    """The last trajectory of a shard was the last one of its block in the old shard, and is not in the new one."""
    for name, raws in (("d.parquet", [*RAWS[101:106], *RAWS[:8], *RAWS[:1]]), ("a.jsonl", RAWS[:38])):
        write(folder / name, raws, bad=False)
        done, _ = run(folder, tmp_path / "out")
    assert done.kept > 0
    assert_as_a_whole(folder, tmp_path / "out")


@settings(max_examples=12)
@given(data=st.data())
def test_any_successive_runs_give_the_files_of_one(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place = tmp_path_factory.mktemp("runs")
    folder, out = place / "raw", place / "out"
    folder.mkdir()
    held: dict[str, list[Raw]] = {}
    for _ in range(data.draw(st.integers(2, 4), "runs")):
        name = data.draw(st.sampled_from(["a.jsonl", "b.jsonl.zst", "c.jsonl", "d.parquet"]), "file")
        start = data.draw(st.integers(0, len(RAWS) - 40), "first")
        added = RAWS[start:start + data.draw(st.integers(1, 40), "trajectories")]
        held[name] = added if data.draw(st.booleans(), "replaced") else held.get(name, []) + added
        write(folder / name, held[name], bad=data.draw(st.booleans(), "with a bad line"))
        run(folder, out)
    assert_as_a_whole(folder, out)
