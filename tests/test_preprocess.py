"""preprocess: shards equal a plain reading, row for row, whatever the files, blocks and workers."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from bad_lines import BAD
from command_line import run_cli
from degenerate import degenerate_file
from file_trees import files
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_reading import read_plainly, read_shards_with_polars
from trajectories import Raw, make_trajectories, make_trajectory, to_line, to_text, write_raw

from pipelines.preprocess import preprocess
from poke_bc.contract.errors import SchemaError
from poke_bc.contract.manifest import Manifest

RAWS = make_trajectories(30)
SMALL = {"block_bytes": 6000, "shard_bytes": 4000, "workers": 1}
"""Some ten blocks and five shards."""


def shard_files(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(folder).items() if name.startswith("shard-")}


def assert_equal_rows(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    assert list(found) == list(expected)
    for name, column in expected.items():
        assert found[name].dtype == column.dtype, name
        assert found[name].shape == column.shape, name
        np.testing.assert_array_equal(found[name], column, err_msg=name)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw(tmp_path_factory.mktemp("raw") / "raw.jsonl", RAWS)


@pytest.fixture(scope="module")
def reference(raw: Path) -> Path:
    """Shards of `raw` in small pieces, made by one process."""
    preprocess([raw], raw.parent / "reference", **SMALL)
    return raw.parent / "reference"


# --- the rows -----------------------------------------------------------------------------------------------


def test_shards_equal_a_plain_reading_row_for_row(raw: Path, reference: Path) -> None:
    assert len(Manifest.read(reference).shards) > 3
    assert_equal_rows(read_shards_with_polars(reference), read_plainly(raw.read_bytes()))


@pytest.mark.parametrize("which", ["made", "recorded"])
def test_shards_of_somebody_else_s_file_equal_a_plain_reading_row_for_row(
    which: str, shared_data: Callable[[str], Path], tmp_path: Path
) -> None:
    given_ = degenerate_file(which, shared_data, tmp_path)
    done = preprocess([given_.path], tmp_path / "out", workers=1)
    assert_equal_rows(read_shards_with_polars(tmp_path / "out"), read_plainly(given_.path.read_bytes()))
    counts = done.manifest.counts
    assert (counts.trajectories, counts.battles, counts.duplicates) == (given_.trajectories, given_.battles, 2)
    assert counts.decisions == counts.observed == given_.decisions
    assert (done.manifest.legal_masks, counts.quarantined) == ("none", {})


@settings(max_examples=20)
@given(
    battles=st.lists(st.integers(0, 8), min_size=1, max_size=12),
    shard=st.integers(1, 6000),
    block=st.integers(3000, 9000),
)
def test_any_order_of_battles_in_any_pieces_equals_a_plain_reading(
    tmp_path_factory: pytest.TempPathFactory, battles: list[int], shard: int, block: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    raws = [make_trajectory(battle, "p1" if battle % 2 else "p2", 1 + battle % 4) for battle in battles]
    path = write_raw(folder / "raw.jsonl", raws)
    done = preprocess([path], folder / "out", shard_bytes=shard, block_bytes=block, workers=1)
    assert_equal_rows(read_shards_with_polars(folder / "out"), read_plainly(path.read_bytes()))
    assert done.manifest.counts.duplicates == len(battles) - len(set(battles))
    assert done.manifest.counts.battles == len(set(battles))


def test_shards_are_cut_only_between_battles(raw: Path, tmp_path: Path) -> None:
    for shard_bytes in (1, 700, 2500):
        out = tmp_path / str(shard_bytes)
        manifest = preprocess([raw], out, block_bytes=5000, shard_bytes=shard_bytes, workers=1).manifest
        battles = [set(pl.read_ipc(out / shard.rows.name)["battle"]) for shard in manifest.shards]
        assert len(battles) > 1
        assert sum(map(len, battles)) == len(set.union(*battles)) == 30


def test_a_shard_knows_the_trajectories_of_its_rows_and_where_they_were_read(raw: Path, reference: Path) -> None:
    tables = pl.concat([pl.read_ipc(reference / shard.trajectories.name) for shard in Manifest.read(reference).shards])
    lines = raw.read_bytes().splitlines()
    assert tables["line"].to_list() == list(range(1, len(RAWS) + 1))
    for row in tables.to_dicts():
        source = json.loads(lines[row["line"] - 1])
        assert row["rows"] == len(source["steps"])
        assert row["source"] == 0
        for key in ("replay_id", "player", "rating", "winner", "date", "player_id", "gen"):
            assert row[key] == source.get(key)


def test_a_shard_is_one_record_batch_without_nulls(reference: Path) -> None:
    for path in reference.glob("shard-?????-????????.arrow"):
        with pa.memory_map(str(path)) as mapped:
            file = pa.ipc.open_file(mapped)
            assert file.num_record_batches == 1
            batch = file.get_batch(0)
            batch.validate(full=True)
            assert all(column.null_count == 0 for column in batch.columns)


# --- the same bytes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [2, 3])
def test_bytes_do_not_depend_on_the_number_of_workers(raw: Path, reference: Path, workers: int, tmp_path: Path) -> None:
    preprocess([raw], tmp_path, **SMALL | {"workers": workers})
    assert files(tmp_path) == files(reference)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_compressed_files_give_the_same_shards(raw: Path, reference: Path, ending: str, tmp_path: Path) -> None:
    text = raw.read_bytes()
    packed = tmp_path / f"raw.jsonl{ending}"
    packed.write_bytes(gzip.compress(text) if ending == ".gz" else pa.compress(text, codec="zstd", asbytes=True))
    for workers in (1, 2):
        done = preprocess([packed], tmp_path / f"out{workers}", **SMALL | {"workers": workers})
        assert shard_files(tmp_path / f"out{workers}") == shard_files(reference)
        source, expected = done.manifest.sources[0], Manifest.read(reference).sources[0]
        assert (source.bytes, source.lines, source.xxh3) == (expected.bytes, expected.lines, expected.xxh3)


def test_standard_input_gives_the_same_shards(raw: Path, reference: Path, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(raw.read_bytes())))
    preprocess(["-"], tmp_path, **SMALL)
    assert shard_files(tmp_path) == shard_files(reference)


def test_standard_input_works_from_the_command_line(raw: Path, tmp_path: Path) -> None:
    done = run_cli("preprocess", "-", "--out", tmp_path / "out", "--json", stdin=raw.read_bytes())
    assert done.code == 0, done.stderr
    preprocess([raw], tmp_path / "plain", workers=1)
    assert shard_files(tmp_path / "out") == shard_files(tmp_path / "plain")


def test_several_files_globs_and_folders_are_one_input(reference: Path, tmp_path: Path) -> None:
    parts = {"a.jsonl": RAWS[:20], "b.jsonl": RAWS[20:33], "c.jsonl": RAWS[33:]}
    for name, raws in parts.items():
        write_raw(tmp_path / name, raws)
    (tmp_path / "notes.txt").write_text("not for us")
    expected = read_shards_with_polars(reference)
    for number, inputs in enumerate([[tmp_path / name for name in parts], [tmp_path / "*.jsonl"], [tmp_path],
                                     [tmp_path / "a.jsonl", tmp_path / "[bc].jsonl"]]):
        manifest = preprocess(inputs, tmp_path / f"out{number}", **SMALL).manifest
        assert_equal_rows(read_shards_with_polars(tmp_path / f"out{number}"), expected)
        assert [(Path(source.name).name, source.lines) for source in manifest.sources] == [
            (name, len(raws)) for name, raws in parts.items()]


def test_the_same_input_gives_the_same_manifest(raw: Path, reference: Path, tmp_path: Path) -> None:
    preprocess([raw], tmp_path, **SMALL)
    assert (tmp_path / "manifest.json").read_bytes() == (reference / "manifest.json").read_bytes()


# --- limit, schema, counts ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("limit", [1, 17, 60, 1000])
def test_a_limit_takes_the_first_trajectories(raw: Path, limit: int, workers: int, tmp_path: Path) -> None:
    manifest = preprocess([raw], tmp_path, limit=limit, **SMALL | {"workers": workers}).manifest
    assert manifest.counts.trajectories == min(limit, len(RAWS))
    assert manifest.limit == limit
    assert_equal_rows(read_shards_with_polars(tmp_path), read_plainly(to_text(RAWS[:limit])))


def test_a_limit_leaves_out_what_is_wrong_later(tmp_path: Path) -> None:
    lines = [to_line(RAWS[0]), BAD["garbage"].line, to_line(RAWS[1]), BAD["garbage"].line, BAD["garbage"].line]
    (tmp_path / "raw.jsonl").write_bytes(b"\n".join(lines))
    manifest = preprocess([tmp_path / "raw.jsonl"], tmp_path / "out", limit=2, max_bad=0.5, workers=1).manifest
    assert sum(manifest.counts.quarantined.values()) == 1


@pytest.mark.parametrize("masks", ["all", "none", "some"])
def test_the_manifest_says_which_decisions_have_legal_masks(masks: str, tmp_path: Path) -> None:
    raws = make_trajectories(5, masks=masks)
    done = preprocess([write_raw(tmp_path / "raw.jsonl", raws)], tmp_path / "out", workers=1)
    assert done.to_dict()["legal_masks"] == done.manifest.legal_masks == masks
    with_mask = sum("legal" in step for raw in raws for step in raw["steps"])
    assert done.manifest.counts.with_legal == with_mask
    assert int((read_shards_with_polars(tmp_path / "out")["legal"] != 0).sum()) == with_mask


def test_trajectories_that_are_there_twice_are_kept_and_counted(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "raw.jsonl", [*RAWS[:4], RAWS[1], RAWS[1]])
    counts = preprocess([path], tmp_path / "out", workers=1).manifest.counts
    assert (counts.trajectories, counts.battles, counts.duplicates) == (6, 2, 2)


def test_labels_of_all_three_kinds_are_counted(reference: Path) -> None:
    labels = [step.get("label") or "observed" for raw in RAWS for step in raw["steps"]]
    counts = Manifest.read(reference).counts
    assert (counts.observed, counts.censored, counts.unlabelled) == tuple(
        map(labels.count, ("observed", "censored", "none")))
    assert counts.decisions == len(labels)


def test_unknown_keys_and_the_share_of_known_ones_are_counted(reference: Path) -> None:
    counts = Manifest.read(reference).counts
    observations = [step["observation"] for raw in RAWS for step in raw["steps"]]
    assert counts.unknown_keys == {
        "$.source": sum("source" in raw for raw in RAWS),
        "$.steps[].comment": sum("comment" in step for raw in RAWS for step in raw["steps"]),
        "$.steps[].observation.mood": sum(each.get("mood") is not None for each in observations)}
    assert counts.present["turn"] == sum(each.get("turn") is not None for each in observations)


def test_unknown_keys_without_end_stay_few_in_the_manifest(tmp_path: Path) -> None:
    plain = make_trajectories(150, most_steps=1)
    raws: list[Raw] = [raw | {f"key {number}": 1, "\ud800" * (number % 2): 1, "often": 1, "x" * 1000: 1}
                       for number, raw in enumerate(plain)]
    (tmp_path / "raw.jsonl").write_text("\n".join(map(json.dumps, raws)))
    unknown = preprocess(
        [tmp_path / "raw.jsonl"], tmp_path / "out", workers=1, block_bytes=40_000
    ).manifest.counts.unknown_keys
    assert len(unknown) <= 101
    assert (unknown["$.often"], unknown["$." + "x" * 198], unknown["$.\\ud800"]) == (300, 300, 150)
    before = preprocess(
        [write_raw(tmp_path / "raw.jsonl", plain)], tmp_path / "out", workers=1
    ).manifest.counts.unknown_keys
    assert sum(unknown.values()) == sum(before.values()) + 4 * 300


def test_vocabularies_are_as_large_as_the_data_needs(reference: Path) -> None:
    ids = read_shards_with_polars(reference)["category"]
    sizes = {name: vocabulary.size for name, vocabulary in Manifest.read(reference).schema.vocabularies.items()}
    assert sizes["team"] == ids[:, 17].max() + 1
    assert sizes["species"] == ids[:, [0, 8, *range(9, 15)]].max() + 1


def test_a_schema_of_ones_own_is_used(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\nversion = 1\n[[field]]\nname = "mood"\nkind = "number"\nhigh = 9\n'
    )
    path = write_raw(tmp_path / "raw.jsonl", RAWS)
    manifest = preprocess([path], tmp_path / "out", schema=tmp_path / "mine.toml", workers=1).manifest
    moods = [step["observation"].get("mood") or 0.0 for raw in RAWS for step in raw["steps"]]
    rows = read_shards_with_polars(tmp_path / "out")
    assert "category" not in rows
    assert rows["number"].ravel().tolist() == moods
    assert manifest.schema.name == "mine"


def test_a_schema_that_does_not_describe_the_data_is_refused(tmp_path: Path) -> None:
    raw = make_trajectory(1)
    for step in raw["steps"]:
        step["observation"] = {"hp": 1, "foe": 2}
    with pytest.raises(SchemaError, match=r"observations hold foe, hp"):
        preprocess([write_raw(tmp_path / "raw.jsonl", [raw])], tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("first", [{"mood": 1}, {}, "turn", None, ["turn"]])
def test_an_odd_first_observation_does_not_decide_over_the_file(first: object, tmp_path: Path) -> None:
    odd = make_trajectory(99)
    odd["steps"][0]["observation"] = first
    path = write_raw(tmp_path / "raw.jsonl", [odd, *RAWS])
    assert preprocess([path], tmp_path / "out", workers=1, max_bad=0.1).manifest.counts.trajectories >= len(RAWS)
