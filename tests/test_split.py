"""Splits: no battle in two parts, for shards and for JSONL files alike."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import tracemalloc
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import polars as pl
import pytest
from file_trees import files
from hypothesis import given
from hypothesis import strategies as st
from trajectories import Raw, make_trajectories, to_line, write_raw

from pipelines.preprocess import preprocess
from pipelines.split import assign, split
from pipelines.split.assign import split_views
from poke_bc.contract.errors import InputError, PokeBCError, ShardError, UsageError
from poke_bc.contract.manifest import Manifest
from poke_bc.contract.split import LEFT_OUT, SPLIT_NAMES, TEST, TRAIN, VAL, place_by_hash, read_split
from poke_bc.inspect import inspect_shards
from poke_bc.verify import verify

WAYS = ("battle", "player", "date")
RATIOS = {"val_ratio": 0.3, "test_ratio": 0.2}


@pytest.fixture(scope="module")
def raws() -> list[Raw]:
    """40 battles, not sorted by date; both views one after the other, but a few come late."""
    raws = make_trajectories(40, most_steps=3)
    return [*raws[3:], *raws[:3]]


@pytest.fixture(scope="module")
def shards(raws: list[Raw], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("split")
    preprocess([write_raw(folder / "raw.jsonl", raws)], folder / "shards", workers=1, shard_bytes=4000)
    return folder / "shards"


views = st.lists(
    st.tuples(st.integers(0, 12), st.sampled_from("abcdefgh"), st.integers(1, 28)), min_size=1, max_size=40
).map(
    lambda rows: pl.DataFrame(
        [(battle, player, f"2024-01-{date:02}", 1) for battle, player, date in rows],
        orient="row",
        schema={"battle": pl.UInt64, "player_id": pl.String, "date": pl.String, "rows": pl.UInt32},
    )
)


@pytest.mark.parametrize("by", WAYS)
@given(views=views, seed=st.integers(0, 99), val=st.floats(0, 0.5), test=st.floats(0, 0.4))
def test_no_battle_is_ever_in_two_parts(by: str, views: pl.DataFrame, seed: int, val: float, test: float) -> None:
    parts = assign(views, "here", val_ratio=val, test_ratio=test, seed=seed, by=by)
    used = parts != LEFT_OUT
    of_battle: dict[int, int] = {}
    for battle, part in zip(views["battle"].to_numpy()[used], parts[used], strict=True):
        assert of_battle.setdefault(int(battle), int(part)) == part
    assert by == "player" or used.all()


@given(views=views, seed=st.integers(0, 99), val=st.floats(0, 0.5), test=st.floats(0, 0.4))
def test_no_player_is_ever_in_two_parts_of_a_split_by_player(
    views: pl.DataFrame, seed: int, val: float, test: float
) -> None:
    parts = assign(views, "here", val_ratio=val, test_ratio=test, seed=seed, by="player")
    used = parts != LEFT_OUT
    of_player: dict[str, int] = {}
    for player, part in zip(views["player_id"].to_numpy()[used], parts[used], strict=True):
        assert of_player.setdefault(player, int(part)) == part


@given(views=views, val=st.floats(0, 0.5), test=st.floats(0, 0.4))
def test_a_split_by_date_trains_on_the_past_and_tests_on_the_future(
    views: pl.DataFrame, val: float, test: float
) -> None:
    parts = assign(views, "here", val_ratio=val, test_ratio=test, seed=0, by="date")
    first = views.select(pl.col("date").min().over("battle")).to_series().to_numpy()
    for earlier, later in ((TRAIN, VAL), (VAL, TEST), (TRAIN, TEST)):
        if (parts == earlier).any() and (parts == later).any():
            assert max(first[parts == earlier]) < min(first[parts == later])


def test_a_split_by_date_has_about_the_shares_that_were_asked_for() -> None:
    views = pl.DataFrame(
        {
            "battle": np.arange(200, dtype=np.uint64),
            "date": [f"2024-01-01 {n // 60:02}:{n % 60:02}" for n in range(200)],
        }
    )
    parts = assign(views, "here", val_ratio=0.2, test_ratio=0.1, seed=0, by="date")
    assert [int((parts == part).sum()) for part in (TRAIN, VAL, TEST)] == [140, 40, 20]


@pytest.mark.parametrize("by", WAYS)
def test_a_jsonl_file_is_split_as_its_shards_are(by: str, raws: list[Raw], shards: Path, tmp_path: Path) -> None:
    of_shards = split(shards, by=by, seed=7, **RATIOS)
    path = write_raw(tmp_path / "raw.jsonl", raws)
    of_file = split(path, by=by, seed=7, **RATIOS)
    assert of_file.counts == of_shards.counts
    _, parts = read_split(shards, Manifest.read(shards).identity)
    for part, name in enumerate(SPLIT_NAMES[:3]):
        expected = [to_line(raw) for raw, place in zip(raws, parts, strict=True) if place == part]
        assert (tmp_path / f"raw.{name}.jsonl").read_bytes() == b"".join(line + b"\n" for line in expected)


@pytest.mark.parametrize("by", WAYS)
def test_records_of_one_battle_share_a_split_whatever_their_ids(by: str, raws: list[Raw], tmp_path: Path) -> None:
    again = [raw | {"replay_id": f"{raw['replay_id']}-2", "original_id": raw["replay_id"]} for raw in raws[::3]]
    path = write_raw(tmp_path / "raw.jsonl", [*raws, *again])
    preprocess([path], tmp_path / "shards", workers=1, shard_bytes=4000)
    of_shards, of_file = (split(each, by=by, seed=7, **RATIOS) for each in (tmp_path / "shards", path))
    assert of_shards.counts == of_file.counts
    assert sum(each["battles"] for each in split(path, by="battle", **RATIOS).counts.values()) == 40
    places: dict[str, set[str]] = {}
    for name in SPLIT_NAMES[:3]:
        for line in (tmp_path / f"raw.{name}.jsonl").read_bytes().splitlines():
            raw = json.loads(line)
            places.setdefault(raw.get("original_id", raw["replay_id"]), set()).add(name)
    assert all(len(names) == 1 for names in places.values())
    assert any("split keeps them together" in remark for remark in inspect_shards(tmp_path / "shards").remarks)


@pytest.mark.parametrize("by", WAYS)
def test_what_a_split_says_is_what_is_in_its_parts(by: str, raws: list[Raw], shards: Path) -> None:
    counts = split(shards, by=by, seed=7, **RATIOS).counts
    _, parts = read_split(shards, Manifest.read(shards).identity)
    for name, said in counts.items():
        inside = [raw for raw, part in zip(raws, parts, strict=True) if SPLIT_NAMES[part] == name]
        assert said == {"battles": len({raw["replay_id"] for raw in inside}), "trajectories": len(inside),
                        "decisions": sum(len(raw["steps"]) for raw in inside)}
    assert set(counts) == set(SPLIT_NAMES if by == "player" else SPLIT_NAMES[:3])


def test_lines_are_copied_byte_for_byte_whatever_their_style(tmp_path: Path) -> None:
    lines = [b'{ "replay_id":"b%d" ,\t"player":"p1", "steps":[1,2] , "x": 1e0}  \r' % battle for battle in range(30)]
    path = tmp_path / "odd.name.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n\n".join(lines)))
    done = split(path, val_ratio=0.3)
    assert [each.name for each in done.files] == ["odd.name.train.jsonl", "odd.name.val.jsonl"]
    parts = [each.read_bytes().split(b"\n")[:-1] for each in done.files]
    assert [line for line in lines if line in parts[0]] + [line for line in lines if line in parts[1]] == parts[
        0
    ] + parts[1]
    assert sorted(parts[0] + parts[1]) == sorted(lines)


def test_splitting_again_gives_the_same_split_and_another_seed_another(shards: Path) -> None:
    def parts(seed: int) -> list[int]:
        split(shards, seed=seed, val_ratio=0.5)
        return read_split(shards, Manifest.read(shards).identity)[1].tolist()

    assert parts(1) == parts(1) != parts(2)


def test_a_split_leaves_the_shards_as_they_were(shards: Path) -> None:
    before = {path.name: path.read_bytes() for path in shards.glob("shard-*")}
    split(shards, val_ratio=0.2)
    assert {path.name: path.read_bytes() for path in shards.glob("shard-*")} == before
    assert verify(shards).differences == []


def test_unreadable_lines_go_into_no_part_and_are_counted(tmp_path: Path) -> None:
    raws = make_trajectories(1400, most_steps=1)
    bad = [b"garbage", to_line(raws[0] | {"player_id": 7}), b'{"replay_id": "\\ud800", "steps": []}']
    path = tmp_path / "raw.jsonl"
    path.write_bytes(b"\n".join([bad[0], *map(to_line, raws), *bad[1:]]) + b"\n")
    with pytest.raises(InputError, match=r"3 of 2,803 lines"):
        split(path)
    path.write_bytes(b"\n".join([bad[0], *map(to_line, raws)]) + b"\n")
    done = split(path)
    assert done.unreadable == 1
    assert done.to_dict()["unreadable_lines"] == 1
    assert sum(len(each.read_bytes().splitlines()) for each in done.files) == 2800


@pytest.mark.parametrize(("changes", "error", "words"), [
    ({"by": "rating"}, UsageError, "--by rating: unknown"),
    ({"val_ratio": 1.0}, UsageError, "nothing to train on"),
    ({"val_ratio": -0.1}, UsageError, "nothing to train on"),
    ({"val_ratio": 0.5, "test_ratio": 0.5}, UsageError, "nothing to train on"),
    ({"val_ratio": float("nan")}, UsageError, "nothing to train on"),
    ({"val_ratio": 1e-9}, UsageError, "val would be empty"),
    ({"test_ratio": 1e-9}, UsageError, "test would be empty"),
])
def test_a_split_that_cannot_be_meant_is_refused(shards: Path, changes: dict[str, object], error: type[PokeBCError],
                                                 words: str) -> None:
    with pytest.raises(error, match=words):
        split(shards, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("by", ["player", "date"])
def test_a_split_by_a_key_that_is_missing_is_refused(by: str, tmp_path: Path) -> None:
    raws = [
        {key: value for key, value in raw.items() if key not in ("player_id", "date")} for raw in make_trajectories(9)
    ]
    with pytest.raises(UsageError, match=r"18 lack it"):
        split(write_raw(tmp_path / "raw.jsonl", raws), by=by)


def test_a_split_by_date_wants_iso_dates(tmp_path: Path) -> None:
    raws = [raw | {"date": "May 1st"} for raw in make_trajectories(9)]
    with pytest.raises(UsageError, match=r"found 'May 1st'"):
        split(write_raw(tmp_path / "raw.jsonl", raws), by="date")


def test_nothing_to_split_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such folder or file"):
        split(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"no shards here"):
        split(tmp_path)
    (tmp_path / "empty.jsonl").write_bytes(b"\n")
    with pytest.raises(InputError, match=r"empty"):
        split(tmp_path / "empty.jsonl")


def test_a_refused_split_writes_nothing(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "raw.jsonl", make_trajectories(3))
    with pytest.raises(UsageError):
        split(path, val_ratio=1e-9)
    assert [each.name for each in tmp_path.iterdir()] == ["raw.jsonl"]


def test_a_split_of_other_shards_is_not_used(raws: list[Raw], tmp_path: Path) -> None:
    out = tmp_path / "shards"
    preprocess([write_raw(tmp_path / "raw.jsonl", raws)], out, workers=1)
    split(out, val_ratio=0.3)
    preprocess([write_raw(tmp_path / "raw.jsonl", raws[:-1])], out, workers=1)
    with pytest.raises(ShardError, match=r"other shards") as caught:
        read_split(out, Manifest.read(out).identity)
    assert caught.value.hint == f"poke-bc split {out}"
    assert json.loads((out / "split.json").read_bytes())["seed"] == 42


@pytest.mark.parametrize("what", ["shards", "raw.jsonl"])
def test_without_options_a_split_is_made_as_the_last_time(what: str, raws: list[Raw], tmp_path: Path) -> None:
    def write(raws: list[Raw]) -> None:
        raw = write_raw(tmp_path / "raw.jsonl", raws)
        preprocess([raw], tmp_path / "shards", workers=1)

    write(raws)
    path = tmp_path / what
    first = split(path, val_ratio=0.3, test_ratio=0.2, seed=5, where="rating >= 1500")
    assert first.as_before is None
    assert split(path).counts == first.counts
    write(raws + make_trajectories(60)[-8:])
    grown = split(path)
    assert str(grown.as_before) == "by battle, val 0.3, test 0.2, seed 5, where rating >= 1500"
    assert grown.counts == split(path, val_ratio=0.3, test_ratio=0.2, seed=5, where="rating >= 1500").counts
    assert grown.counts != first.counts
    assert split(path, val_ratio=0.3).counts == split(path, val_ratio=0.3, test_ratio=0.0, seed=42).counts


def test_a_file_split_anew_leaves_no_part_of_the_old_split(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw.jsonl", make_trajectories(40))
    split(raw, val_ratio=0.2, test_ratio=0.2)
    assert (tmp_path / "raw.test.jsonl").exists()
    split(raw, val_ratio=0.2)
    assert set(files(tmp_path)) == {"raw.jsonl", "raw.split.json", "raw.train.jsonl", "raw.val.jsonl"}


@pytest.mark.parametrize("name", ["raw.val.jsonl", "raw.train.jsonl", "raw.split.json"])
def test_a_file_that_split_did_not_write_is_never_overwritten(name: str, tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw.jsonl", make_trajectories(40))
    (tmp_path / name).write_bytes(b"mine")
    before = files(tmp_path)
    with pytest.raises(UsageError, match=re.escape(f"{tmp_path / name}: ")) as caught:
        split(raw, val_ratio=0.2)
    assert "move it away" in caught.value.hint
    assert files(tmp_path) == before


def test_a_test_part_that_split_did_not_write_is_not_removed(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw.jsonl", make_trajectories(40))
    (tmp_path / "raw.test.jsonl").write_bytes(b"mine")
    split(raw, val_ratio=0.2)
    split(raw, val_ratio=0.2, seed=1)
    assert (tmp_path / "raw.test.jsonl").read_bytes() == b"mine"


def test_a_part_that_was_changed_since_is_not_overwritten(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw.jsonl", make_trajectories(40))
    split(raw, val_ratio=0.2)
    with (tmp_path / "raw.val.jsonl").open("ab") as file:
        file.write(to_line(make_trajectories(41)[-1]) + b"\n")
    before = files(tmp_path)
    with pytest.raises(UsageError, match="changed since"):
        split(raw, val_ratio=0.2)
    assert files(tmp_path) == before


def test_two_files_never_share_parts(tmp_path: Path) -> None:
    split(write_raw(tmp_path / "raw.jsonl", make_trajectories(40)), val_ratio=0.2)
    before = files(tmp_path)
    other = tmp_path / "raw.jsonl.gz"
    other.write_bytes(gzip.compress((tmp_path / "raw.jsonl").read_bytes()))
    with pytest.raises(UsageError, match=r"the parts of raw\.jsonl"):
        split(other, val_ratio=0.2)
    assert {name: data for name, data in files(tmp_path).items() if name != other.name} == before


@pytest.mark.parametrize("name", ["split.json", "split.bin"])
def test_files_beside_shards_that_split_did_not_write_are_never_overwritten(
        name: str, raws: list[Raw], tmp_path: Path) -> None:
    preprocess([write_raw(tmp_path / "raw.jsonl", raws)], tmp_path / "shards", workers=1)
    (tmp_path / "shards" / name).write_bytes(b"mine")
    before = files(tmp_path)
    with pytest.raises(UsageError, match=name):
        split(tmp_path / "shards")
    assert files(tmp_path) == before


@pytest.mark.parametrize("of_shards", [True, False], ids=["shards", "lines"])
def test_two_splits_at_once_are_refused(of_shards: bool, shards: Path, raws: list[Raw], tmp_path: Path) -> None:
    path = shards if of_shards else write_raw(tmp_path / "raw.jsonl", raws)
    inside = "pipelines.split.shards.split_views" if of_shards else "pipelines.split.lines.split_views"

    def another(*arguments: Any) -> Any:
        with pytest.raises(UsageError, match="another poke-bc split"):
            split(path, val_ratio=0.2)
        return split_views(*arguments)

    with mock.patch(inside, another):
        split(path, val_ratio=0.3)
    assert not [name for name in files(path if of_shards else tmp_path) if "lock" in name or ".tmp" in name]


@pytest.mark.parametrize("by_digest", [True, False], ids=["swapped", "zeroed"])
def test_a_split_is_not_made_of_damaged_tables(by_digest: bool, raws: list[Raw], tmp_path: Path) -> None:
    out = tmp_path / "shards"
    preprocess([write_raw(tmp_path / "raw.jsonl", raws)], out, workers=1, shard_bytes=4000)
    split(out, val_ratio=0.3)
    one, other = (out / shard.trajectories.name for shard in Manifest.read(out).shards[:2])
    content = one.read_bytes()
    one.write_bytes(other.read_bytes() if by_digest else bytes(len(content)))
    with pytest.raises(ShardError, match=one.name):
        split(out, val_ratio=0.3)


@pytest.mark.parametrize("name", ["a[1]", "a*", b"\xff\xe9"])
def test_any_name_of_a_folder_or_a_file_does(name: str | bytes, raws: list[Raw], tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(name)
    folder.mkdir()
    raw = write_raw(folder / f"{folder.name}.jsonl", raws)
    preprocess([raw], folder / "shards", workers=1)
    assert split(folder / "shards", val_ratio=0.3).counts == split(raw, val_ratio=0.3).counts
    assert len(inspect_shards(folder / "shards").fields) > 5
    assert verify(folder / "shards").differences == []


def test_a_line_of_any_length_costs_no_more_memory_than_a_block(tmp_path: Path) -> None:
    raw = tmp_path / "raw.jsonl"
    raw.write_bytes(b"".join([*(to_line(raw) + b"\n" for raw in make_trajectories(700, most_steps=1)),
                              to_line(make_trajectories(1)[0]), b" " * (40 << 20), b"\n"]))
    tracemalloc.start()
    done = split(raw, val_ratio=0.3)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (done.unreadable, sum(each["trajectories"] for each in done.counts.values())) == (1, 1400)
    assert peak < 32 << 20


def test_moved_and_linked_data_can_be_split(raws: list[Raw], tmp_path: Path) -> None:
    preprocess([write_raw(tmp_path / "raw.jsonl", raws)], tmp_path / "shards", workers=1)
    shutil.copytree(tmp_path / "shards", tmp_path / "copied")
    (tmp_path / "linked").symlink_to("copied")
    assert split(tmp_path / "linked", val_ratio=0.3).counts == split(tmp_path / "shards", val_ratio=0.3).counts
    (tmp_path / "linked.jsonl").symlink_to("raw.jsonl")
    split(tmp_path / "linked.jsonl", val_ratio=0.3)
    split(tmp_path / "raw.jsonl", val_ratio=0.3)
    assert (tmp_path / "linked.val.jsonl").read_bytes() == (tmp_path / "raw.val.jsonl").read_bytes()


def test_a_test_part_added_later_takes_no_battle_from_val() -> None:
    battles = np.arange(5000, dtype=np.uint64)
    without, later = (place_by_hash(battles, 42, 0.1, ratio) for ratio in (0.0, 0.2))
    assert ((without == VAL) == (later == VAL)).all()
    assert (later == TEST).sum() > 800


# Conditions


@pytest.fixture(scope="module")
def rated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 battles of two formats, of players rated 1400 and 1600, a few of unknown rating; as JSONL and as shards."""
    folder = tmp_path_factory.mktemp("rated")
    raws = make_trajectories(40, most_steps=3)
    for number, raw in enumerate(raws):
        raw |= {"format": "gen9ou" if number // 2 % 4 else "gen8ou", "rating": 1600 if number % 2 else 1400}
        if number > 70:
            del raw["rating"]
    preprocess([write_raw(folder / "raw.jsonl", raws)], folder / "shards", workers=1, shard_bytes=4000)
    return folder


@pytest.mark.parametrize(("where", "left"), [
    ("rating >= 1500 and format == 'gen9ou'", 80 - 26), ("rating >= 1500 AND format = 'gen9ou'", 80 - 26),
    ("rating is null", 71), ("decisions > 0", 0), ("format like 'gen8%'", 60),
])
def test_only_what_meets_the_condition_takes_part(where: str, left: int, rated: Path) -> None:
    plain = split(rated / "shards", val_ratio=0.4)
    identity = Manifest.read(rated / "shards").identity
    before = read_split(rated / "shards", identity)[1]
    for path in (rated / "shards", rated / "raw.jsonl"):
        done = split(path, val_ratio=0.4, where=where)
        assert done.counts["left_out"]["trajectories"] == left
        assert sum(each["trajectories"] for each in done.counts.values()) == 80
    made, after = read_split(rated / "shards", identity)
    assert made.where == where
    assert ((after == before) | (after == LEFT_OUT)).all()  # whoever takes part stays where it was
    assert "left_out" not in plain.counts


@pytest.mark.parametrize("where", [
    "ratng > 3", "rating >", "format", "sum(rating) > 3", "rating > 'a'", "rating > 9000",
])
def test_a_condition_that_cannot_be_meant_is_refused(where: str, rated: Path) -> None:
    split(rated / "shards", val_ratio=0.4)
    before = files(rated / "shards")
    for path in (rated / "shards", rated / "raw.jsonl"):
        with pytest.raises(UsageError) as caught:
            split(path, val_ratio=0.4, where=where)
        assert where in str(caught.value)
    assert files(rated / "shards") == before
