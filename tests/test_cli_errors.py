"""A user's mistake through the real command line: two lines, exit code 2, nothing half-written."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_lines import BAD
from command_line import assert_told_in_two_lines, run_cli
from trajectories import make_trajectories, make_trajectory, to_text, write_raw

from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.errors import InputError, UsageError
from poke_bc.contract.files import checksummed
from poke_bc.contract.manifest import MANIFEST, Manifest

SCHEMA = 'name = "mine"\nversion = 1\n[[field]]\nname = "turn"\nkind = "number"\nhigh = 1000\n'


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw(tmp_path_factory.mktemp("errors") / "raw.jsonl", make_trajectories(200))


@pytest.fixture(scope="module")
def shards(raw: Path) -> Path:
    preprocess([raw], raw.parent / "shards", workers=1)
    split(raw.parent / "shards", val_ratio=0.3)
    return raw.parent / "shards"


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


# --- raw input ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"), [("raw.jsonl", b""), ("raw.jsonl", b"\n\r\n"), ("raw.jsonl.gz", gzip.compress(b"", mtime=0))]
)
def test_empty_input(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert_told_in_two_lines(run_cli("preprocess", tmp_path / name, "--out", tmp_path / "out"), name, "empty")
    assert everything(tmp_path) == [name]


def test_empty_standard_input(tmp_path: Path) -> None:
    assert_told_in_two_lines(run_cli("preprocess", "-", "--out", tmp_path / "out"), "empty")
    assert everything(tmp_path) == []


@pytest.mark.parametrize("given", ["nowhere.jsonl", "*.jsonl", "nowhere/raw.jsonl", "a\nb.jsonl", ""])
def test_a_missing_file(given: str, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert_told_in_two_lines(run_cli("preprocess", given, "--out", "out", cwd=tmp_path / "folder"))
    assert everything(tmp_path) == ["folder"]


@pytest.mark.parametrize("command", [["split", "nowhere"], ["inspect", "nowhere"], ["verify", "nowhere"],
                                     ["train", "--shards", "nowhere"], ["evaluate", "nowhere"]])
def test_a_missing_folder(command: list[str], tmp_path: Path) -> None:
    assert_told_in_two_lines(run_cli(*command, cwd=tmp_path), "nowhere")
    assert everything(tmp_path) == []


def test_a_folder_without_anything_to_read(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "notes.txt").write_text("nothing")
    assert_told_in_two_lines(run_cli("preprocess", tmp_path / "raw", "--out", tmp_path / "out"), "no JSONL or Parquet")
    for command in ("split", "inspect", "verify"):
        assert_told_in_two_lines(run_cli(command, tmp_path / "raw"), str(tmp_path / "raw"))
    assert everything(tmp_path) == ["raw", "raw/notes.txt"]


def test_input_that_cannot_be_opened(tmp_path: Path) -> None:
    (tmp_path / "loop.jsonl").symlink_to("loop.jsonl")
    (tmp_path / "file").write_text("")
    for given in (tmp_path / "loop.jsonl", tmp_path / "file" / "raw.jsonl"):
        assert_told_in_two_lines(run_cli("preprocess", given, "--out", tmp_path / "out"), str(given))
    assert everything(tmp_path) == ["file", "loop.jsonl"]


def test_compressed_input_that_is_cut_off(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "raw.jsonl.gz").write_bytes(gzip.compress(raw.read_bytes())[:-20])
    assert_told_in_two_lines(
        run_cli("preprocess", tmp_path / "raw.jsonl.gz", "--out", tmp_path / "out"), "raw.jsonl.gz"
    )
    assert everything(tmp_path) == ["raw.jsonl.gz"]
    assert_told_in_two_lines(run_cli("split", tmp_path / "raw.jsonl.gz"), "raw.jsonl.gz")
    assert everything(tmp_path) == ["raw.jsonl.gz"]


def test_too_many_bad_lines(tmp_path: Path) -> None:
    (tmp_path / "raw.jsonl").write_bytes(to_text(make_trajectories(3)) + BAD["garbage"].line)
    done = run_cli("preprocess", tmp_path / "raw.jsonl", "--out", tmp_path / "out")
    assert_told_in_two_lines(done, "1 of 7 lines are not trajectories", "--max-bad 0.001")
    assert str(tmp_path / "out" / "quarantine.jsonl") in done.stderr
    assert not list((tmp_path / "out").glob("shard-*"))
    assert not (tmp_path / "out" / MANIFEST).exists()


# --- schemas ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("bsic", "bsic"),
        ("missing.toml", "missing.toml"),
        ("broken.toml", "broken.toml"),
        ("odd.toml", "'turn'"),
        (".", "."),
        ("other.toml", "observations hold"),
    ],
)
def test_a_wrong_schema(schema: str, words: str, raw: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("name = [\n\n")
    (tmp_path / "odd.toml").write_text(SCHEMA.replace("number", "nubmer"))
    (tmp_path / "other.toml").write_text(SCHEMA.replace("turn", "turm"))
    assert_told_in_two_lines(run_cli("preprocess", raw, "--schema", schema, "--out", "out", cwd=tmp_path), words)
    assert everything(tmp_path) == ["broken.toml", "odd.toml", "other.toml"]


# --- where to write -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("out", ["file", "file/below", "/proc/nowhere", "/dev/null/shards"])
def test_a_folder_that_cannot_be_written(out: str, raw: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    assert_told_in_two_lines(run_cli("preprocess", raw, "--out", out, cwd=tmp_path), out)
    assert (tmp_path / "file").read_text() == "mine"
    assert everything(tmp_path) == ["file"]


# --- shards and runs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def of_another_format(raw: Path) -> Path:
    folder = raw.parent / "format-1"
    preprocess([raw], folder, workers=1, limit=20)
    value = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(checksummed(value | {"format": 1})))
    return folder


@pytest.mark.parametrize("command", ["split", "inspect", "verify", "train"])
def test_shards_of_another_format_version(command: str, of_another_format: Path, tmp_path: Path) -> None:
    before = everything(of_another_format)
    options = ["--shards", of_another_format, "--run", tmp_path / "run"] if command == "train" else [of_another_format]
    assert_told_in_two_lines(run_cli(command, *options), MANIFEST, "format 1, this poke-bc reads format 2")
    assert everything(of_another_format) == before
    assert everything(tmp_path) == []


def test_shards_of_another_format_version_are_replaced_by_the_command_that_the_hint_names(
    raw: Path, of_another_format: Path
) -> None:
    assert run_cli("preprocess", raw, "--out", of_another_format).code == 0
    assert run_cli("verify", of_another_format).code == 0


@pytest.fixture(scope="module")
def run(shards: Path) -> Path:
    """A policy for the basic schema, trained for two steps."""
    done = run_cli(
        "train",
        "--shards",
        shards,
        "--run",
        shards.parent / "run",
        "--steps",
        "2",
        "--batch-size",
        "32",
        "--device",
        "cpu",
        "--json",
    )
    assert done.code == 0, done.stderr
    return shards.parent / "run"


def test_a_run_whose_policy_does_not_fit_the_shards(run: Path, raw: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(SCHEMA)
    preprocess([raw], tmp_path / "mine", schema=tmp_path / "mine.toml", workers=1, max_bad=1)
    split(tmp_path / "mine", val_ratio=0.3)
    before, run_before = everything(tmp_path), everything(run)
    assert_told_in_two_lines(run_cli("evaluate", run, "--shards", tmp_path / "mine"), "schema basic", "schema mine")
    assert (everything(tmp_path), everything(run)) == (before, run_before)


def test_a_run_that_fits_is_evaluated(run: Path) -> None:
    done = run_cli("evaluate", run, "--json")
    assert (done.code, done.stderr) == (0, "")
    assert {"nll", "top1", "top3", "ece", "decisions", "slices", "baselines"} <= set(done.json)


def test_shards_that_are_not_split(raw: Path, tmp_path: Path) -> None:
    preprocess([raw], tmp_path / "shards", workers=1, limit=4)
    assert_told_in_two_lines(run_cli("train", "--shards", tmp_path / "shards", "--run", tmp_path / "run"), "not split")
    assert everything(tmp_path / "shards") == sorted(path.name for path in (tmp_path / "shards").iterdir())
    assert not (tmp_path / "run").exists()


def test_a_damaged_shard(raw: Path, tmp_path: Path) -> None:
    preprocess([raw], tmp_path / "shards", workers=1, limit=4)
    path = next((tmp_path / "shards").glob("shard-?????-????????.arrow"))
    path.write_bytes(path.read_bytes()[:100])
    assert_told_in_two_lines(run_cli("inspect", tmp_path / "shards"), path.name, "100 bytes")


@pytest.mark.parametrize(
    "command",
    [
        ["split", "--val-ratio", "1.5"],
        ["split", "--by", "rating"],
        ["split", "--val-ratio", "nan"],
        ["split", "--val-ratio", "0.0000001"],
    ],
)
def test_a_split_that_cannot_be_meant(command: list[str], shards: Path) -> None:
    before = everything(shards)
    assert_told_in_two_lines(run_cli(command[0], shards, *command[1:]))
    assert everything(shards) == before


def test_a_trajectory_that_fits_no_schema(tmp_path: Path) -> None:
    raw = make_trajectory(1)
    for step in raw["steps"]:
        step["observation"] = {"hp": 1}
    assert_told_in_two_lines(
        run_cli("preprocess", write_raw(tmp_path / "raw.jsonl", [raw]), "--out", tmp_path / "out"), "hp"
    )
    assert everything(tmp_path) == ["raw.jsonl"]


def test_a_device_without_lines_is_empty_input(tmp_path: Path) -> None:
    assert_told_in_two_lines(run_cli("preprocess", "/dev/null", "--out", tmp_path / "out"), "/dev/null", "empty")


def test_the_commonest_reason_says_which_key(tmp_path: Path) -> None:
    raw = tmp_path / "other.jsonl"
    raw.write_text('{"id": "gen8ou-1", "moves": "tackle"}\n' * 3)
    assert_told_in_two_lines(run_cli("preprocess", raw, "--out", tmp_path / "out"), "3 of 3", "$.replay_id: missing")


LOG = "|j|☆ann\n|player|p1|ann\n|start\n|turn|1\n"
PAGE = f'<!DOCTYPE html>\n<script type="text/plain" class="battle-log-data">{LOG}</script>'


@pytest.mark.parametrize(("name", "content"), [
    ("replay.json", json.dumps({"id": "gen9ou-1", "log": LOG})),
    ("pretty.json", json.dumps({"id": "gen9ou-1", "log": LOG}, indent=1)),
    ("record.jsonl", json.dumps({"id": "gen9ou-1", "spectator": LOG.split("\n"), "p1": []})),
    ("list.json", json.dumps([{"id": "gen9ou-1", "log": LOG}])), ("battle.log", LOG), ("page.html", PAGE),
    ("rows.jsonl", json.dumps({"battle_id": "1", "text": LOG, "month_year": "2024-05"})),
])
def test_battles_are_for_convert_first(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / "replays").mkdir()
    path = tmp_path / "replays" / name
    path.write_text(content)
    for given in (path, path.parent):
        with pytest.raises((InputError, UsageError), match=r"these are battles|in this folder") as caught:
            preprocess([given], tmp_path / "out", workers=1)
        named = given if "in this folder" in str(caught.value) else path
        assert caught.value.hint.startswith(f"poke-bc convert {named} -o raw")
    (path.parent / f"again-{name}").write_text(content)
    with pytest.raises((InputError, UsageError)) as caught:
        preprocess(path.parent, tmp_path / "out", workers=1)
    assert caught.value.hint.startswith(f"poke-bc convert {path.parent} -o raw")  # all of it, as it was given
    (path.parent / f"again-{name}").unlink()
    assert everything(tmp_path) == ["replays", f"replays/{name}"]


def test_inspect_and_preprocess_say_that_battles_are_for_convert_first(tmp_path: Path) -> None:
    (tmp_path / "replays").mkdir()
    (tmp_path / "replays" / "a.json").write_text(json.dumps({"id": "gen9ou-1", "log": LOG}))
    for command in (["preprocess", "replays", "--out", "out"], ["inspect", "replays/a.json"]):
        done = run_cli(*command, cwd=tmp_path)
        assert_told_in_two_lines(done, "replays/a.json: these are battles", code=3)
        assert "hint: poke-bc convert replays/a.json -o raw" in done.stderr


def test_split_and_train_say_what_they_were_given_instead(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "battle.log").write_text(LOG)
    with pytest.raises(InputError, match="these are battles"):
        split(tmp_path / "battle.log")
    with pytest.raises(UsageError, match="a file, and no folder of shards") as caught:
        Manifest.read(raw)
    assert f"poke-bc preprocess {raw}" in caught.value.hint


def test_battles_in_parquet_are_for_convert_first(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["gen9ou-1"], "log": [LOG]}), tmp_path / "replays.parquet")
    with pytest.raises(InputError, match="no column `steps`") as caught:
        preprocess([tmp_path / "replays.parquet"], tmp_path / "out", workers=1)
    assert f"poke-bc convert {tmp_path / 'replays.parquet'} " in caught.value.hint


def test_a_hint_names_only_files_that_are_there(raw: Path, tmp_path: Path) -> None:
    """Without a good line the store is removed, and quarantine.jsonl with it where a data set is there already."""
    (tmp_path / "bad.jsonl").write_bytes(BAD["garbage"].line)
    for _ in range(2):
        done = run_cli("preprocess", tmp_path / "bad.jsonl", "--out", tmp_path / "out")
        assert_told_in_two_lines(done, "1 of 1 lines are not trajectories", code=3)
        for word in done.stderr.splitlines()[1].split():
            assert not word.startswith(str(tmp_path)) or Path(word.strip(";,()")).exists(), done.stderr
        preprocess([raw], tmp_path / "out", workers=1, limit=4)
