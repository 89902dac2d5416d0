"""convert into an output that is there: only what is new is done, and the bytes are those of a run over everything."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from battle_shapes import FAKE, jsonl, make_log, packed, replay
from hypothesis import given, settings
from hypothesis import strategies as st
from random_players import random_battles

from pipelines.convert import ConvertSummary, convert_battles, passes
from pipelines.convert.earlier import memo_path

OLD, NEW = 40, 5
ENDINGS = ("", ".zst", ".gz")


def other(number: int, **changes: Any) -> dict[str, Any]:
    """A battle without a Pikachu: it changes nothing that the stand-in's conversion asks the corpus."""
    return replay(number, log="\n".join(make_log(number)).replace("Pikachu", "Eevee"), **changes)


def convert(inputs: Path | Sequence[Path], out: Path, **options: Any) -> ConvertSummary:
    names = [inputs] if isinstance(inputs, Path) else list(inputs)
    return convert_battles(names, out, **{"conversion": FAKE, "salt": "s", "workers": 1} | options)


def counted(inputs: Path, out: Path, **options: Any) -> tuple[ConvertSummary, int]:
    """Also how many battles were read in earnest."""
    with mock.patch.object(passes, "read_battle", side_effect=passes.read_battle) as read:
        return convert(inputs, out, **options), read.call_count


def counts(done: ConvertSummary) -> dict[str, Any]:
    """Everything that a run over everything must count alike."""
    own = {"kept", "refilled", "all_again", "seconds", "battles_per_s"}
    return {name: value for name, value in done.to_dict().items() if name not in own}


def assert_as_a_whole(inputs: Path, out: Path, done: ConvertSummary, **options: Any) -> None:
    """The output is what one run over everything writes, and so is its memo."""
    fresh = out.with_name(f"fresh-{out.name}")
    whole = convert(inputs, fresh, **options)
    assert out.read_bytes() == fresh.read_bytes()
    assert memo_path(out).read_bytes() == memo_path(fresh).read_bytes()
    assert counts(done) == counts(whole)
    assert whole.kept == 0
    for path in (fresh, memo_path(fresh)):
        path.unlink()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Battles in files of several kinds."""
    path = tmp_path / "battles"
    path.mkdir()
    (path / "b.jsonl").write_bytes(jsonl(replay(number) for number in range(OLD - 2)))
    (path / "c.jsonl.zst").write_bytes(packed(jsonl([replay(OLD - 2), {"id": "no battle"}]), ".zst"))
    (path / f"gen9ou-{100000 + OLD - 1}.log").write_text("\n".join(make_log(OLD - 1)))
    return path


def in_a_new_file(folder: Path) -> int:
    (folder / "d.jsonl").write_bytes(jsonl(other(number) for number in range(OLD, OLD + NEW)))
    return OLD


def in_a_file_that_comes_first(folder: Path) -> int:
    (folder / "a.jsonl").write_bytes(jsonl(other(number) for number in range(OLD, OLD + NEW)))
    return OLD


def at_the_end_of_a_file(folder: Path) -> int:
    with (folder / "b.jsonl").open("ab") as file:
        file.write(jsonl(other(number) for number in range(OLD, OLD + NEW)))
    return OLD


def in_files_with_other_names(folder: Path) -> int:
    (folder / "b.jsonl").rename(folder / "z.jsonl")
    (folder / "c.jsonl.zst").rename(folder / "a.ndjson.zst")
    (folder / "d.jsonl").write_bytes(jsonl([other(OLD)]))
    return OLD


def with_copies_of_old_ones(folder: Path) -> int:
    (folder / "d.jsonl").write_bytes(jsonl([replay(3), other(OLD), replay(3, uploadtime=1)]))
    return OLD - 1  # of the third battle there are other records now


def with_one_of_the_same_name(folder: Path) -> int:
    (folder / "d.jsonl").write_bytes(jsonl([other(OLD, id=replay(7)["id"])]))
    return OLD


def nothing(folder: Path) -> int:
    return OLD


ADDED = (in_a_new_file, in_a_file_that_comes_first, at_the_end_of_a_file, in_files_with_other_names,
         with_copies_of_old_ones, with_one_of_the_same_name, nothing)


@pytest.mark.parametrize("add", ADDED, ids=lambda add: add.__name__)
def test_battles_added_are_all_that_is_converted(add: Callable[[Path], int], folder: Path, tmp_path: Path) -> None:
    for ending in ENDINGS if add is in_a_file_that_comes_first else ENDINGS[1:2]:
        out = tmp_path / f"raw.jsonl{ending}"
        convert(folder, out)
    expected = add(folder)
    for ending in ENDINGS if add is in_a_file_that_comes_first else ENDINGS[1:2]:
        out = tmp_path / f"raw.jsonl{ending}"
        done, read = counted(folder, out)
        assert (done.kept, done.refilled, done.all_again) == (expected, 0, "")
        assert read <= done.battles - OLD - 1
        assert_as_a_whole(folder, out, done)
        again, read = counted(folder, out)
        assert (again.kept, read) == (again.converted, 0)
        assert counts(again) == counts(done)


def test_where_a_new_battle_changes_what_fills_gaps_the_others_are_converted_again(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "raw.jsonl"
    convert(folder, out)
    (folder / "d.jsonl").write_bytes(jsonl([replay(OLD)]))  # another Pikachu
    done = convert(folder, out)
    assert (done.kept, done.refilled) == (0, OLD)
    assert_as_a_whole(folder, out, done)


def test_what_was_removed_or_changed_is_gone_and_the_rest_is_kept(folder: Path, tmp_path: Path) -> None:
    (folder / "d.jsonl").write_bytes(jsonl(other(number) for number in range(OLD, OLD + NEW)))
    (folder / "e.jsonl").write_bytes(jsonl([other(OLD + NEW)]))
    out = tmp_path / "raw.jsonl.zst"
    convert(folder, out)
    (folder / "d.jsonl").unlink()
    (folder / "e.jsonl").write_bytes(jsonl([other(OLD + NEW, rating=2000)]))
    done = convert(folder, out)
    assert (done.converted, done.kept) == (OLD + 1, OLD)
    assert_as_a_whole(folder, out, done)


@pytest.mark.parametrize("options", [{"min_rating": 1}, {"keep_names": True}, {"salt": "another"}], ids=str)
def test_with_other_options_everything_is_done_again_and_that_is_said(
    options: dict[str, Any], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "raw.jsonl"
    convert(folder, out)
    done = convert(folder, out, **options)
    assert done.kept == 0
    assert "other options" in done.all_again
    assert_as_a_whole(folder, out, done, **options)


@pytest.mark.parametrize("what", ["a bit of the output", "a bit of the memo", "the output is another", "cut off"])
def test_what_does_not_fit_is_not_trusted(what: str, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "raw.jsonl.zst"
    convert(folder, out)
    if what == "the output is another":
        convert(folder, tmp_path / "other.jsonl.zst", keep_names=True)
        (tmp_path / "other.jsonl.zst").replace(out)
    else:
        damaged = memo_path(out) if what != "a bit of the output" else out
        data = bytearray(damaged.read_bytes())
        data[len(data) // 2] ^= 1
        damaged.write_bytes(data[:-7] if what == "cut off" else data)
    done = convert(folder, out)
    assert (done.kept < OLD if what == "a bit of the output" else done.kept == 0)
    assert ("damaged" in done.all_again) == (what in ("a bit of the memo", "cut off"))
    assert_as_a_whole(folder, out, done)


def test_an_interrupted_run_leaves_the_output_and_the_next_one_goes_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "raw.jsonl.zst"
    convert(folder, out)
    before = out.read_bytes(), memo_path(out).read_bytes()
    in_a_file_that_comes_first(folder)
    convert_task, finished = passes.ConvertJob._convert, []

    def interrupted(job: passes.ConvertJob, task: passes.ConvertTask) -> passes.ConvertReceipt:
        if len(finished) == 2:
            raise KeyboardInterrupt
        finished.append(task.number)
        return convert_task(job, task)

    with mock.patch.object(passes.ConvertJob, "_convert", interrupted), pytest.raises(KeyboardInterrupt):
        convert(folder, out)
    assert (out.read_bytes(), memo_path(out).read_bytes()) == before
    done = convert(folder, out)
    assert done.kept == OLD
    assert_as_a_whole(folder, out, done)


def test_what_fills_gaps_is_asked_for_battle_by_battle(tmp_path: Path) -> None:
    """The game's own conversion: battles of other formats, and of other Pokémon, are kept."""
    battles = [{key: value for key, value in json.loads(line).items() if key not in ("p1", "p2")}
               for line in random_battles()[::2]]
    source, out = tmp_path / "battles.jsonl", tmp_path / "raw.jsonl.zst"
    found = []
    for count in (12, 14, len(battles)):
        source.write_bytes(jsonl(battles[:count]))
        done = convert(source, out, conversion=None)
        assert_as_a_whole(source, out, done, conversion=None)
        found.append((done.kept, done.refilled))
    assert found[0] == (0, 0)
    assert sum(found[1]) == 12
    assert sum(found[2]) == 14
    assert all(number > 0 for number, _ in found[1:])
    assert found[2][1] > 0


BATTLES = [*(replay(number) for number in range(3)), *(other(number) for number in range(3, 8)),
           replay(0, uploadtime=5), other(9, id=replay(1)["id"]), {"id": "no battle"},
           replay(10, log="|start\n|switch|p1a: M|Missingno|100/100"),
           replay(11, log="|start\n|move|p1a: G|Late|p2a: X")]


@settings(max_examples=20)
@given(data=st.data())
def test_any_successive_runs_give_the_bytes_of_one(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "in").mkdir()
    out = folder / "raw.jsonl.zst"
    for _ in range(data.draw(st.integers(2, 4), "runs")):
        name = data.draw(st.sampled_from("abc"), "file")
        numbers = data.draw(st.lists(st.integers(0, len(BATTLES) - 1), min_size=1, max_size=6), "battles")
        with (folder / "in" / f"{name}.jsonl").open("ab") as file:
            file.write(jsonl(BATTLES[number] for number in [3, *numbers]))
        done = convert(folder / "in", out)
    assert_as_a_whole(folder / "in", out, done)
