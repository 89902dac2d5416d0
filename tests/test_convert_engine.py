"""convert: the same bytes whatever the workers, nothing half-written, and every battle accounted for."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import polars as pl
import pyarrow as pa
import pytest
from battle_shapes import FAKE, NAMES, jsonl, make_log, packed, replay
from battles_at import BATTLES as HARD_CASES
from command_line import REPOSITORY, Finished, assert_told_in_two_lines, environment, run_cli

from pipelines.convert import ConvertSummary, convert_battles
from pipelines.convert.passes import ConvertJob, ConvertReceipt
from pipelines.jobs.store import PartStore
from pipelines.jobs.streams import open_stream
from pipelines.preprocess import preprocess
from poke_bc.contract.errors import InputError, ShardError, UsageError

BATTLES = 150
TASKS = 10  # of 16 battles, the last of six


def finished_parts(out: Path) -> int:
    """How many tasks an unfinished run has finished."""
    folder = out.with_name(f"{out.name}.parts")
    return len(list(PartStore(folder, ConvertReceipt).finished())) if folder.exists() else 0


def convert(inputs: Path | list[Any], out: Path, **options: Any) -> ConvertSummary:
    paths = inputs if isinstance(inputs, list) else [inputs]
    return convert_battles(paths, out, **{"conversion": FAKE, "salt": "s", "workers": 1} | options)


def unpacked(path: Path) -> bytes:
    codec = {".zst": "zstd", ".gz": "gzip"}.get(path.suffix)
    if codec is None:
        return path.read_bytes()
    with pa.CompressedInputStream(pa.OSFile(str(path), "rb"), codec) as stream:
        return bytes(stream.read())


def trajectories(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in unpacked(path).splitlines()]


def ids(path: Path) -> list[str]:
    return [each["replay_id"] for each in trajectories(path)][::2]


@pytest.fixture(scope="module")
def battles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("battles") / "a.jsonl.zst"
    path.write_bytes(packed(jsonl(replay(number) for number in range(BATTLES)), ".zst"))
    return path


@pytest.fixture(scope="module")
def reference(battles: Path) -> bytes:
    convert(battles, battles.parent / "reference.jsonl")
    return (battles.parent / "reference.jsonl").read_bytes()


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A battle of each fate."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "a.jsonl").write_bytes(
        jsonl(
            [
                replay(1),
                replay(1),
                replay(2, formatid="gen8ou"),
                replay(3, log="|start\n|switch|p1a: M|Missingno|100/100"),
                replay(4, log="|start\n|switch|p1a: G|Glitch|1/1"),
                replay(5, log="|start\n|move|p1a: G|Late|p2a: X"),
                {"id": "x"},
                replay(6, log="\n".join(line for line in make_log(6) if "|player|" not in line), rating=None),
                replay(7),
            ]
        )
    )
    (folder / "b.log").write_bytes(b"|player|p1|Ros\xe9||\n")
    (folder / "c.json").write_bytes(b"")
    return folder


def test_both_views_of_every_battle_come_in_the_order_of_the_input(
    battles: Path, reference: bytes, tmp_path: Path
) -> None:
    done = convert(battles, tmp_path / "raw.jsonl")
    assert (tmp_path / "raw.jsonl").read_bytes() == reference
    assert ids(tmp_path / "raw.jsonl") == [f"gen9ou-{100000 + number}" for number in range(BATTLES)]
    assert [each["player"] for each in trajectories(tmp_path / "raw.jsonl")] == ["p1", "p2"] * BATTLES
    assert trajectories(tmp_path / "raw.jsonl")[0]["steps"][0]["observation"]["corpus"] == BATTLES
    result = done.to_dict()
    assert {
        key: result[key]
        for key in (
            "battles",
            "converted",
            "trajectories",
            "decisions",
            "labelled",
            "censored",
            "unlabelled",
            "exact_views",
            "skipped",
            "left_out",
        )
    } == {
        "battles": BATTLES,
        "converted": BATTLES,
        "trajectories": 2 * BATTLES,
        "decisions": 6 * BATTLES,
        "labelled": 2 * BATTLES,
        "censored": 2 * BATTLES,
        "unlabelled": 2 * BATTLES,
        "exact_views": 0,
        "skipped": {},
        "left_out": {},
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw.jsonl", "raw.jsonl.memo"]


@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_the_bytes_do_not_depend_on_the_workers(ending: str, battles: Path, reference: bytes, tmp_path: Path) -> None:
    for workers in (1, 2):
        convert(battles, tmp_path / f"{workers}.jsonl{ending}", workers=workers)
    assert (tmp_path / f"1.jsonl{ending}").read_bytes() == (tmp_path / f"2.jsonl{ending}").read_bytes()
    assert unpacked(tmp_path / f"1.jsonl{ending}") == reference


def test_every_battle_is_accounted_for(mixed: Path, tmp_path: Path) -> None:
    done = convert(mixed, tmp_path / "raw.jsonl", formats=["[Gen 9] OU"])
    assert ids(tmp_path / "raw.jsonl") == ["gen9ou-100001", "gen9ou-100006", "gen9ou-100007"]
    assert (done.battles, done.converted, done.left_out) == (11, 3, {"other format": 1})
    assert done.skipped == dict.fromkeys(
        (
            "duplicate battle",
            "empty file",
            "internal error: KeyError",
            "internal error: ZeroDivisionError",
            "not UTF-8",
            "not a battle",
            "unknown Pokémon",
        ),
        1,
    )
    assert done.examples["internal error: ZeroDivisionError"][0].startswith(f"{mixed / 'a.jsonl'}:5: battle_shapes.py:")
    assert done.examples["internal error: KeyError"][0].startswith(f"{mixed / 'a.jsonl'}:6: battle_shapes.py:")
    assert done.examples["duplicate battle"] == [f"{mixed / 'a.jsonl'}:2"]
    assert done.battles == done.converted + sum(done.skipped.values()) + sum(done.left_out.values())


@pytest.mark.parametrize(("least", "found", "left_out"), [(1400, [1, 7], {"rating unknown": 1}), (1401, None, {})])
def test_the_lower_rating_counts(
    least: int, found: list[int] | None, left_out: dict[str, int], mixed: Path, tmp_path: Path
) -> None:
    if found is None:
        with pytest.raises(InputError, match="none of"):
            convert(mixed, tmp_path / "raw.jsonl", min_rating=least, formats=["gen9ou"])
        return
    done = convert(mixed, tmp_path / "raw.jsonl", min_rating=least, formats=["gen9ou"])
    assert ids(tmp_path / "raw.jsonl") == [f"gen9ou-10000{number}" for number in found]
    assert done.left_out == {"other format": 1} | left_out


def test_the_rating_of_the_record_counts_where_the_log_has_none(tmp_path: Path) -> None:
    log = "\n".join(line for line in make_log() if "|player|" not in line)
    (tmp_path / "a.jsonl").write_bytes(jsonl([replay(1, log=log, rating=1600), replay(2, log=log, rating="1200")]))
    done = convert(tmp_path / "a.jsonl", tmp_path / "raw.jsonl", min_rating=1500)
    assert (ids(tmp_path / "raw.jsonl"), done.left_out) == (["gen9ou-100001"], {"rating below": 1})


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("limit", [1, 70])
def test_a_limit_takes_the_first_battles_asked_for(limit: int, workers: int, battles: Path, tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_bytes(jsonl(replay(number, formatid="gen8ou") for number in range(3)))
    done = convert(
        [tmp_path / "other.jsonl", battles], tmp_path / "raw.jsonl", limit=limit, formats=["gen9ou"], workers=workers
    )
    assert done.converted == limit
    assert ids(tmp_path / "raw.jsonl") == [f"gen9ou-{100000 + number}" for number in range(limit)]
    assert trajectories(tmp_path / "raw.jsonl")[0]["steps"][0]["observation"]["corpus"] == limit
    assert done.battles == limit + 3


def test_no_user_name_reaches_the_output_unless_asked(battles: Path, reference: bytes, tmp_path: Path) -> None:
    for name in NAMES:
        for spelling in (name, name.lower(), name.replace(" ", "").replace(".", "").lower()):
            assert f"|{spelling}".encode() not in reference
            assert f": {spelling}|Sp".encode() not in reference
    convert(battles, tmp_path / "raw.jsonl", keep_names=True)
    assert f"|win|{NAMES[0]}".encode() in (tmp_path / "raw.jsonl").read_bytes()
    convert(battles, tmp_path / "other.jsonl", salt="other")
    assert (tmp_path / "other.jsonl").read_bytes() != reference


PARTS_MADE = """
import sys
from unittest import mock
sys.path.insert(0, {tests!r})
from battle_shapes import FAKE
from pipelines.convert import convert_battles, convert_job
from pipelines.convert.passes import ConvertJob

def stop(*_):
    raise KeyboardInterrupt

mode, raw, out = sys.argv[1:]
if mode == "stop":
    convert_job._publish = stop
with mock.patch.object(ConvertJob, "_convert", autospec=True, side_effect=ConvertJob._convert) as make:
    try:
        convert_battles([raw], out, conversion=FAKE, salt="s", workers=1)
    except KeyboardInterrupt:
        pass
print(make.call_count)
"""

def run_counting(battles: Path, out: Path) -> int:
    """Run to the end; how many parts had to be made."""
    with mock.patch.object(ConvertJob, "_convert", autospec=True, side_effect=ConvertJob._convert) as make:
        convert(battles, out)
    return make.call_count


def interrupted(battles: Path, out: Path, **options: Any) -> Path:
    """Parts of a run that was stopped when all were made."""
    with (
        mock.patch("pipelines.convert.convert_job._publish", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt, match="interrupted; finished tasks are kept, the same command continues"),
    ):
        convert(battles, out, **options)
    return out.with_name(f"{out.name}.parts")


@pytest.mark.parametrize("place", [0.1, 0.9, 1.0])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "remove"])
def test_a_damaged_part_is_noticed_and_made_again(
    damage: str, place: float, battles: Path, reference: bytes, tmp_path: Path
) -> None:
    part = interrupted(battles, tmp_path / "raw.jsonl") / "000001.part"
    content = bytearray(part.read_bytes())
    content[int((len(content) - 1) * place)] ^= 1
    if damage == "remove":
        part.unlink()
    else:
        part.write_bytes({"flip": content, "cut": content[:-9], "empty": b""}[damage])
    assert run_counting(battles, tmp_path / "raw.jsonl") == 1
    assert (tmp_path / "raw.jsonl").read_bytes() == reference


@pytest.mark.parametrize("changed", [{"salt": "t"}, {"keep_names": True}, {"limit": 149}, {"min_rating": 1}])
def test_parts_of_another_plan_are_not_used(changed: dict[str, Any], battles: Path, tmp_path: Path) -> None:
    interrupted(battles, tmp_path / "raw.jsonl")
    convert(battles, tmp_path / "raw.jsonl", **changed)
    convert(battles, tmp_path / "fresh.jsonl", **changed)
    assert (tmp_path / "raw.jsonl").read_bytes() == (tmp_path / "fresh.jsonl").read_bytes()


def test_what_is_not_ours_in_the_folder_of_parts_stays(battles: Path, tmp_path: Path) -> None:
    parts = interrupted(battles, tmp_path / "raw.jsonl")
    (parts / "notes.txt").write_text("mine")
    convert(battles, tmp_path / "raw.jsonl")
    assert [path.name for path in parts.iterdir()] == ["notes.txt"]


def test_the_input_is_read_once(tmp_path: Path) -> None:
    """The second pass takes what the first kept: an input that changes in between makes no mixture."""
    raw = tmp_path / "a.jsonl"
    raw.write_bytes(jsonl([replay(1)]))
    convert(raw, tmp_path / "raw.jsonl", progress=lambda *_: raw.write_bytes(jsonl([replay(2)])) and None)
    assert ids(tmp_path / "raw.jsonl") == ["gen9ou-100001"]


@pytest.mark.parametrize("damage", ["flip", "cut"])
def test_what_the_first_pass_kept_is_not_read_once_it_is_damaged(damage: str, battles: Path, tmp_path: Path) -> None:
    """It is pickled, so nobody may put anything else in its place."""
    spoilt = []

    def spoil(stage: str, *_: object) -> None:
        if stage == "converting" and not spoilt:
            (path,) = (tmp_path / "raw.jsonl.parts").glob("000009-*.battles")
            spoilt.append(path)
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.write_bytes(content if damage == "flip" else content[:-1])

    with pytest.raises(ShardError, match=r"000009-[0-9a-f]+.battles: damaged during this run"):
        convert(battles, tmp_path / "raw.jsonl", progress=spoil)
    assert not (tmp_path / "raw.jsonl").exists()


def test_parts_depend_on_the_code_that_makes_them_and_on_no_other(
    battles: Path, reference: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a copy of the code, in which a file changes between two runs."""
    shutil.copytree(REPOSITORY, tmp_path / "code", ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache"))
    monkeypatch.setattr("command_line.REPOSITORY", tmp_path / "code")
    out = tmp_path / "raw.jsonl"
    script = tmp_path / "script.py"
    script.write_text(PARTS_MADE.format(tests=str(Path(__file__).parent)))

    def run(mode: str) -> int:
        done = subprocess.run([sys.executable, str(script), mode, str(battles), str(out)], env=environment(),
                              capture_output=True, text=True, check=True)
        return int(done.stdout)

    assert run("stop") == TASKS
    for changed in ("poke_bc/train/loop.py", "poke_bc/cli.py", "pipelines/preprocess/totals.py", "README.md"):
        with (tmp_path / "code" / changed).open("a") as file:
            file.write("\n# changed\n")
    assert run("stop") == 0
    for changed in ("poke_bc/showdown/lines/moves.py", "poke_bc/dex/load.py", "poke_bc/contract/actions.py",
                    "pipelines/convert/records.py"):
        with (tmp_path / "code" / changed).open("a") as file:
            file.write("\n# changed\n")
        assert run("stop") == TASKS, changed
    gz = tmp_path / "code" / "poke_bc" / "dex" / "tables" / "gen1.json.gz"
    gz.write_bytes(gz.read_bytes() + gzip.compress(b" "))
    assert run("finish") == TASKS
    assert out.read_bytes() == reference


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "none of 1 battles could be converted; most often (1): empty file"),
        (b'{"id": 1}\n' * 3, "none of 3 battles could be converted; most often (3): not a battle"),
        (jsonl([replay(1, formatid="gen1ou")]), "none of 1 battles is of format gen9ou"),
    ],
)
def test_where_nothing_can_be_converted_it_is_an_error_and_nothing_is_left(
    content: bytes, said: str, tmp_path: Path
) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(InputError) as error:
        convert(tmp_path / "a.json", tmp_path / "raw.jsonl", formats=["gen9ou"])
    assert said in error.value.what
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("a.jsonl", "is both input and output"),
        (".", "a folder"),
        ("raw.csv", "unknown ending"),
        ("raw.parquet", "unknown ending"),
    ],
)
def test_outputs_that_cannot_be_meant_are_errors(out: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl([replay()]))
    with pytest.raises(UsageError, match=said):
        convert(tmp_path / "a.jsonl", tmp_path / out)


def test_an_output_among_its_inputs_folder_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl([replay()]))
    first = convert(tmp_path, tmp_path / "raw.jsonl")
    again = convert(tmp_path, tmp_path / "raw.jsonl")
    assert first.battles == again.battles == 1


def test_the_command_says_in_two_lines_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_bytes(b"")
    for arguments in (["missing"], [tmp_path / "empty.json"], [tmp_path / "empty.json", "--limit", "0"]):
        done = run_cli("convert", *map(str, arguments), "--out", tmp_path / "raw.jsonl", "--salt", "s")
        assert_told_in_two_lines(done, code=3 if arguments == [tmp_path / "empty.json"] else 2)


SCRIPT = """
import sys
from unittest import mock
sys.path.insert(0, {tests!r})
from battle_shapes import FAKE
from poke_bc.cli import main
if __name__ == "__main__":
    with mock.patch("pipelines.convert.convert_job.SHOWDOWN", FAKE):
        main()
"""


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """The command line, with the fake conversion."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(tests=str(Path(__file__).parent)))
    return [sys.executable, str(script)]


def test_the_command_shows_what_became_of_every_battle(command: list[str], mixed: Path, tmp_path: Path) -> None:
    run = [*command, "convert", str(mixed), "-o", str(tmp_path / "raw.jsonl"), "--salt", "s", "--format", "gen9ou"]
    told = subprocess.run(run, env=environment(), capture_output=True, text=True, check=True).stdout
    assert "3 of 11 battles" in told
    assert "left out: 1 other format" in told
    for reason in ("duplicate battle", "internal error: KeyError", "unknown Pokémon", "please report"):
        assert reason in told
    assert told.splitlines()[-1] == f"next: poke-bc preprocess {tmp_path / 'raw.jsonl'}"
    result = json.loads(subprocess.run([*run, "--json"], env=environment(), capture_output=True, check=True).stdout)
    assert (result["converted"], result["skipped"]["not UTF-8"]) == (3, 1)


def test_stdin_and_stdout_work_as_files(command: list[str], battles: Path, reference: bytes) -> None:
    done = subprocess.run(
        [*command, "convert", "-", "-o", "-", "--salt", "s"],
        input=battles.read_bytes(),
        env=environment(),
        capture_output=True,
        check=True,
    )
    assert done.stdout == reference
    assert b"150 of 150 battles" in done.stderr


def test_ctrl_c_keeps_what_is_finished_and_exits_with_130(
    command: list[str], battles: Path, reference: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "raw.jsonl"
    run = [*command, "convert", str(battles), "-o", str(out), "--salt", "s", "--workers", "2"]
    process = subprocess.Popen(run, env=environment() | {"FAKE_PAUSE": "0.05"}, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not finished_parts(out) and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert "interrupted; finished tasks are kept, the same command continues" in told
    assert not out.exists()
    convert(battles, out)
    assert out.read_bytes() == reference


def test_the_battles_of_the_hard_cases_are_converted(tmp_path: Path) -> None:
    paths: list[str | Path] = [*sorted(HARD_CASES.glob("*.zst")), *sorted((HARD_CASES / "by_hand").glob("*.log"))]
    for workers in (1, 2):
        done = convert_battles(paths, tmp_path / f"{workers}.jsonl", salt="s", workers=workers)
        assert (done.skipped, done.left_out) == ({"not singles": 2}, {})
        assert done.converted == done.battles - 2 > 60
        assert done.exact_views > 100
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()
    preprocess([tmp_path / "1.jsonl"], tmp_path / "shards", workers=1, max_bad=0)


@pytest.mark.parametrize("stage", ["reading battles", "converting"])
def test_killed_workers_are_replaced_and_the_bytes_are_the_same(
    stage: str, battles: Path, reference: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_PAUSE", "0.02")
    killed: set[int] = set()

    def kill(now: str, *_: object) -> None:
        for child in multiprocessing.active_children() if now == stage and len(killed) < 2 else ():
            time.sleep(0.05)
            if child.pid is not None:
                child.kill()
                killed.add(child.pid)

    convert(battles, tmp_path / "raw.jsonl", workers=2, progress=kill)
    assert killed
    assert (tmp_path / "raw.jsonl").read_bytes() == reference


def test_battles_that_kill_every_worker_are_named_and_finished_tasks_are_kept(
    command: list[str], battles: Path, reference: bytes, tmp_path: Path
) -> None:
    out = tmp_path / "raw.jsonl"
    run = [*command, "convert", str(battles), "-o", str(out), "--salt", "s", "--workers", "2"]
    done = subprocess.run(run, env=environment() | {"FAKE_PAUSE": "0.02", "FAKE_FATAL": "40"}, capture_output=True,
                          text=True, check=False, timeout=120)
    assert_told_in_two_lines(Finished(done.returncode, done.stdout, done.stderr), f"battles {battles}:", "died 3 times")
    assert finished_parts(out)
    assert not out.exists()
    convert(battles, out)
    assert out.read_bytes() == reference


@pytest.mark.parametrize("ending", [".gz", ".zst"])
def test_everybody_reads_the_output_though_it_has_many_frames(
    ending: str, battles: Path, reference: bytes, tmp_path: Path
) -> None:
    out = tmp_path / f"raw.jsonl{ending}"
    convert(battles, out)
    content = out.read_bytes()
    magic = {".gz": b"\x1f\x8b\x08", ".zst": b"\x28\xb5\x2f\xfd"}[ending]
    assert content.count(magic) >= TASKS
    assert unpacked(out) == reference
    with open_stream(str(out)) as (stream, source):
        assert stream.read() == reference
        assert source.consumed == len(content)
    tool = shutil.which({".gz": "gzip", ".zst": "zstd"}[ending])
    if tool is not None:
        assert subprocess.run([tool, "-dc", out], capture_output=True, check=True).stdout == reference
    if ending == ".gz":
        assert gzip.decompress(content) == reference
    else:
        assert all(frame[0] & 0b100 for frame in content.split(magic)[1:]), "each with a checksum of its content"
    assert pl.scan_ndjson(out).select(pl.len()).collect().item() == 2 * BATTLES


def test_real_battles_are_converted(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    paths: list[str | Path] = [shared_data("replays/gen9ou.jsonl.zst"), shared_data("sim/gen4randombattle.jsonl.zst")]
    for workers in (1, 2):
        done = convert_battles(paths, tmp_path / f"{workers}.jsonl", salt="s", workers=workers, limit=20)
        assert done.converted >= 19, done.to_dict()
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()
