"""Parquet files through preprocess: the same shards whatever row groups, blocks and workers; what is wrong with one."""

from __future__ import annotations

import contextlib
import gzip
import os
import re
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import assert_told_in_two_lines, run_cli
from file_trees import files
from tables import retyped, table_of, write_parquet
from trajectories import make_trajectories, write_raw

from pipelines.preprocess import preprocess
from pipelines.preprocess.parquet_blocks import TableRows, parquet_blocks
from pipelines.preprocess.parquet_footers import is_deadly
from pipelines.preprocess.parts import DecodeJob
from pipelines.split import split
from poke_bc.cli.checks import inspect_any
from poke_bc.contract.errors import InputError, SchemaError, UsageError
from poke_bc.contract.manifest import Manifest
from poke_bc.verify import verify

RAWS = make_trajectories(30)
SMALL: dict[str, Any] = {"block_bytes": 6000, "shard_bytes": 4000, "workers": 1}
LAYOUTS = {"one group": {}, "groups of one": {"row_group_size": 1}, "groups of seven": {"row_group_size": 7}}


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Shards of the same trajectories as JSONL."""
    folder = tmp_path_factory.mktemp("reference")
    preprocess([write_raw(folder / "raw.jsonl", RAWS)], folder / "out", **SMALL)
    return shards(folder / "out")


def shards(folder: Path) -> dict[str, Any]:
    """Rows byte for byte, and the tables of trajectories, whose record batches are those of the blocks."""
    return {path.name if "trajectories" not in path.name else path.name[:11]:
            pl.read_ipc(path).to_dicts() if "trajectories" in path.name else path.read_bytes()
            for path in sorted(folder.glob("shard-*"))}


def rows_of(path: Path, size: int) -> list[TableRows]:
    return [block.read() for block in parquet_blocks(str(path), size)]


# --- the same bytes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("block_bytes", [500, 6000, 60_000, 8 << 20])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_shards_do_not_depend_on_row_groups_or_blocks(layout: str, block_bytes: int, reference: dict[str, Any],
                                                      tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "raw.parquet", RAWS, **LAYOUTS[layout])
    preprocess([path], tmp_path / "out", **SMALL | {"block_bytes": block_bytes})
    assert shards(tmp_path / "out") == reference


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_data_set_does_not_depend_on_the_number_of_workers(layout: str, reference: dict[str, Any],
                                                              tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "raw.parquet", RAWS, **LAYOUTS[layout])
    for workers in (1, 2):
        preprocess([path], tmp_path / str(workers), **SMALL | {"workers": workers, "block_bytes": 1000})
    assert files(tmp_path / "1") == files(tmp_path / "2")
    assert shards(tmp_path / "2") == reference


def test_small_row_groups_make_a_block_together_and_large_ones_are_cut(tmp_path: Path) -> None:
    small = write_parquet(tmp_path / "small.parquet", RAWS, row_group_size=2)
    large = write_parquet(tmp_path / "large.parquet", RAWS)
    assert [len(block.groups) for block in rows_of(small, 1 << 20)] == [30]
    assert 1 < len(rows_of(small, 20_000)) < 30
    assert len(rows_of(large, 500)) > 30 > len(rows_of(large, 5000)) == 1
    for path in (small, large):
        for size in (1, 500, 20_000, 1 << 20):
            blocks = rows_of(path, size)
            assert sum(block.lines for block in blocks) == len(RAWS)
            assert len({block.digest for block in blocks}) == len(blocks)
            footer = pq.read_metadata(path).serialized_size
            assert sum(block.size for block in blocks) == path.stat().st_size - footer - 12


def test_the_manifest_names_the_file_with_rows_and_digest(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "raw.parquet", RAWS, row_group_size=7)
    sources = [preprocess([path], tmp_path / name, **SMALL).manifest.sources[0] for name in ("a", "b")]
    assert sources[0] == sources[1]
    assert (sources[0].name, sources[0].lines) == (str(path), len(RAWS))
    assert 0 < sources[0].bytes < path.stat().st_size
    assert re.fullmatch(r"[0-9a-f]{16}", sources[0].xxh3)


def test_text_and_tables_are_one_input_in_the_order_given(reference: dict[str, Any], tmp_path: Path) -> None:
    write_raw(tmp_path / "a.jsonl", RAWS[:20])
    write_parquet(tmp_path / "b.parquet", RAWS[20:40], row_group_size=3)
    write_raw(tmp_path / "c.jsonl", RAWS[40:])
    preprocess([write_raw(tmp_path / "all", RAWS)], tmp_path / "out", **SMALL)
    rows = {name: content for name, content in shards(tmp_path / "out").items() if isinstance(content, bytes)}
    for number, inputs in enumerate([[tmp_path], [tmp_path / "[abc].*"], sorted(tmp_path.glob("[abc].*"))]):
        done = preprocess(inputs, tmp_path / f"out{number}", **SMALL)
        assert [Path(source.name).name for source in done.manifest.sources] == ["a.jsonl", "b.parquet", "c.jsonl"]
        assert [source.lines for source in done.manifest.sources] == [20, 20, 20]
        found = shards(tmp_path / f"out{number}")
        assert {name: content for name, content in found.items() if isinstance(content, bytes)} == rows


def test_a_file_is_parquet_by_what_it_holds_not_by_its_name(reference: dict[str, Any], tmp_path: Path) -> None:
    preprocess([write_parquet(tmp_path / "raw.data", RAWS)], tmp_path / "out", **SMALL)
    assert shards(tmp_path / "out") == reference


@pytest.mark.parametrize(("limit", "workers"), [(1, 1), (17, 1), (17, 2), (60, 1), (1000, 1)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_limit_takes_the_first_rows(layout: str, limit: int, workers: int, tmp_path: Path) -> None:
    options = SMALL | {"workers": workers, "block_bytes": 5000, "limit": limit}
    path = write_parquet(tmp_path / "raw.parquet", RAWS, **LAYOUTS[layout])
    manifest = preprocess([path], tmp_path / "out", **options).manifest
    assert (manifest.counts.trajectories, manifest.limit) == (min(limit, len(RAWS)), limit)
    preprocess([write_raw(tmp_path / "raw.jsonl", RAWS)], tmp_path / "lines", **options | {"workers": 1})
    assert shards(tmp_path / "out") == shards(tmp_path / "lines")


def test_progress_ends_with_the_file(tmp_path: Path) -> None:
    for layout in LAYOUTS.values():
        path = write_parquet(tmp_path / "raw.parquet", RAWS, **layout)
        told = [block.progress for block in parquet_blocks(str(path), 700)]
        assert told == sorted(told)
        assert 0 < told[0] < told[-1] <= path.stat().st_size


def test_the_schema_is_told_by_the_observations(tmp_path: Path) -> None:
    table = retyped(table_of(RAWS), np.random)  # type: ignore[arg-type]
    assert preprocess([write_parquet(tmp_path / "raw.parquet", table)], tmp_path / "out",
                      workers=1).manifest.schema.name == "basic"
    steps = [{"observation": {"hp": 1, "foe": 2, "turn": None}, "action_type": 0, "action_target": 0}]
    other = write_parquet(tmp_path / "other.parquet", [{"replay_id": "a", "player": "p1", "steps": steps}])
    with pytest.raises(SchemaError, match=r"observations hold foe, hp"):
        preprocess([other], tmp_path / "other", workers=1)


def test_a_table_can_be_inspected(tmp_path: Path) -> None:
    found = inspect_any(write_parquet(tmp_path / "raw.parquet", RAWS))
    assert found.facts["trajectories"] == len(RAWS)


# --- stopped, and run again ---------------------------------------------------------------------------------------


def stop_before_assembly(path: Path, out: Path) -> None:
    stopped = mock.patch("pipelines.preprocess.preprocess_job._quarantine", side_effect=KeyboardInterrupt)
    with stopped, pytest.raises(KeyboardInterrupt):
        preprocess([path], out, **SMALL)


def run_counting(path: Path, out: Path) -> int:
    with mock.patch.object(DecodeJob, "make", autospec=True, side_effect=DecodeJob.make) as make:
        preprocess([path], out, **SMALL)
    return make.call_count


@pytest.mark.parametrize("layout", LAYOUTS)
def test_finished_blocks_are_kept_and_only_while_the_file_is_the_same(layout: str, reference: dict[str, Any],
                                                                     tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "raw.parquet", RAWS, **LAYOUTS[layout])
    stop_before_assembly(path, tmp_path / "out")
    damaged = sorted((tmp_path / "out" / ".parts").glob("*.part"))[-1]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert run_counting(path, tmp_path / "out") == 1
    assert shards(tmp_path / "out") == reference
    stop_before_assembly(path, tmp_path / "changed")
    table = table_of(RAWS)
    renamed = table.rename_columns({"winner": "loser"})  # every page stays as it was
    write_parquet(path, renamed, **LAYOUTS[layout])
    assert run_counting(path, tmp_path / "changed") == len(rows_of(path, SMALL["block_bytes"]))
    assert Manifest.read(tmp_path / "changed").counts.unknown_keys["$.loser"] > 0
    assert verify(tmp_path / "changed").differences == []


# --- files that cannot be read ------------------------------------------------------------------------------------


def test_a_file_without_steps_is_refused_with_the_columns_it_has(tmp_path: Path) -> None:
    write_parquet(tmp_path / "replays.parquet", pa.table({"id": ["a"], "log": ["|turn|1"]}))
    write_parquet(tmp_path / "flat.parquet", pa.table({f"column {n}": [n] for n in range(20)}))
    done = run_cli("preprocess", tmp_path / "replays.parquet", "--out", tmp_path / "out")
    assert_told_in_two_lines(done, "replays.parquet", "no column `steps`", "(columns: id, log)")
    assert "poke-bc convert" in done.stderr
    done = run_cli("preprocess", tmp_path / "flat.parquet", "--out", tmp_path / "out")
    assert_told_in_two_lines(done, "column 7, ...)")
    assert not (tmp_path / "out").exists()


def damaged(path: Path, how: str) -> Path:
    content = bytearray(write_parquet(path, RAWS, write_page_checksum=True).read_bytes())
    if how == "a flipped bit":
        content[len(content) // 4] ^= 4
    path.write_bytes({"empty": b"", "cut off": content[: len(content) // 2], "no Parquet": b"{}\n" * 99,
                      "a flipped bit": content, "only its ends": b"PAR1PAR1", "no footer": content[:-8]}[how])
    return path


@pytest.mark.parametrize("how", ["empty", "cut off", "no Parquet", "a flipped bit", "only its ends", "no footer"])
def test_a_damaged_file_is_named_and_no_data_set_is_made(how: str, tmp_path: Path) -> None:
    path = damaged(tmp_path / "raw.parquet", how)
    for block_bytes in (500, 8 << 20):
        with pytest.raises(InputError, match=r"raw.parquet: cannot be read as Parquet") as caught:
            preprocess([path], tmp_path / "out", **SMALL | {"block_bytes": block_bytes})
        assert "\n" not in caught.value.what
        assert not (tmp_path / "out" / "manifest.json").exists()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_damage_is_told_in_two_lines_by_whichever_process_meets_it(workers: str, tmp_path: Path) -> None:
    path = damaged(tmp_path / "raw.parquet", "a flipped bit")
    done = run_cli("preprocess", path, "--out", tmp_path / "out", "--schema", "basic", "--workers", workers)
    assert_told_in_two_lines(done, "raw.parquet: cannot be read as Parquet")


def test_damage_in_a_later_file_is_told_before_the_first_is_read(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", RAWS)
    damaged(tmp_path / "b.parquet", "cut off")
    with (mock.patch("pipelines.preprocess.preprocess_job.tasks_of", side_effect=AssertionError),
          pytest.raises(InputError, match=r"b.parquet: cannot be read")):
        preprocess([tmp_path], tmp_path / "out", workers=1)


def test_a_footer_that_would_end_the_process_is_refused_by_name(tmp_path: Path) -> None:
    """Arrow aborts on some of them, with no error that Python could catch: seen in 16 of 1,468 flips."""
    path = tmp_path / "raw.parquet"
    content = write_parquet(path, [raw | {"steps": raw["steps"][:1]} for raw in RAWS[:2]]).read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    found = 0
    for place in range(start, len(content) - 8):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        if is_deadly(str(path)):
            found += 1
            with pytest.raises(InputError, match=r"raw\.parquet: .*its footer is damaged"):
                preprocess([path], tmp_path / "out", workers=1)
        if found == 2:
            break
    path.write_bytes(content)
    assert found == 2
    assert not is_deadly(str(path))


@pytest.mark.parametrize("values", [
    pa.array([1], pa.duration("ns")), pa.array([2**60], pa.duration("ms")), pa.array([1], pa.duration("us")),
    pa.array([2**62], pa.timestamp("us")), pa.array([1], pa.timestamp("us", "Foo/Bar")), pa.array([2**30], pa.date32()),
    pa.array([1], pa.time64("ns")), pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8())), pa.array([b"\xff"]),
], ids=lambda values: str(values.type))
@pytest.mark.parametrize("name", ["extra", "rating", "date", "replay_id"])
def test_a_column_of_an_odd_type_is_an_error_or_ignored(name: str, values: pa.Array, tmp_path: Path) -> None:
    table = table_of(RAWS[:4])
    table = table.drop_columns([name]) if name in table.column_names else table
    column = values.take(pa.array([0] * len(table)))
    write_parquet(tmp_path / "raw.parquet", table.append_column(name, column))
    may_be_read = name == "extra" or (name == "date" and str(values.type).startswith(("date", "timestamp")))
    with contextlib.nullcontext() if may_be_read else pytest.raises(InputError, match=rf"\$\.{name}: "):
        preprocess([tmp_path / "raw.parquet"], tmp_path / "out", workers=1, max_bad=1)


def test_a_table_whose_name_is_not_utf_8_is_read(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "raw.parquet", RAWS).rename(tmp_path / os.fsdecode(b"\xff.parquet"))
    assert preprocess([path], tmp_path / "out", workers=1).manifest.counts.trajectories == len(RAWS)


def test_an_encrypted_file_is_refused(tmp_path: Path) -> None:
    content = bytearray(write_parquet(tmp_path / "raw.parquet", RAWS).read_bytes())
    content[:4] = content[-4:] = b"PARE"
    (tmp_path / "raw.data").write_bytes(content)
    assert_told_in_two_lines(run_cli("preprocess", tmp_path / "raw.data", "--out", tmp_path / "out"),
                             "raw.data: cannot be read as Parquet")


@pytest.mark.parametrize("ending", ["gz", "zst"])
def test_compressed_parquet_is_refused(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"raw.parquet.{ending}"
    content = write_parquet(tmp_path / "raw.parquet", RAWS).read_bytes()
    path.write_bytes(gzip.compress(content) if ending == "gz" else pa.compress(content, codec="zstd", asbytes=True))
    with pytest.raises(InputError, match="compressed Parquet") as caught:
        preprocess([path], tmp_path / "out", workers=1)
    assert "decompress it" in caught.value.hint


def test_a_file_without_rows_is_empty(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "raw.parquet", table_of(RAWS).slice(0, 0))
    with pytest.raises(InputError, match="empty, not one trajectory"):
        preprocess([path], tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = table_of(RAWS)
    twice = table.append_column("player", table.column("player"))
    step = pa.array([{"observation": {"turn": 1}, "action_type": 0}])
    doubled = pa.StructArray.from_arrays([step.field(0), step.field(1), step.field(1)],
                                         ["observation", "action_type", "action_type"])
    nested = pa.table({"replay_id": ["a"], "player": ["p1"], "steps": pa.ListArray.from_arrays([0, 1], doubled)})
    for other, path in ((twice, r"\$.player"), (nested, r"\$.steps.action_type")):
        with pytest.raises(InputError, match=f"two columns are named {path}"):
            preprocess([write_parquet(tmp_path / "raw.parquet", other)], tmp_path / "out", workers=1)


def test_a_table_is_not_split_but_its_shards_are(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "raw.parquet", RAWS)
    with pytest.raises(UsageError, match="Parquet") as caught:
        split(path)
    assert caught.value.hint.startswith(f"poke-bc preprocess {path}")
