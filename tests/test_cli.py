"""The real command line when all is well: help, JSON, tables, Ctrl-C. (What goes wrong: test_cli_errors.py.)"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from bad_lines import BAD
from command_line import environment, run_cli, run_python
from degenerate import DegenerateFile, degenerate_file
from file_trees import finished_parts
from trajectories import make_trajectories, to_text, write_raw

from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.contract.manifest import MANIFEST, Manifest
from poke_bc.verify import verify
from poke_bc.version import __version__

COMMANDS = ("convert", "preprocess", "split", "train", "evaluate", "inspect", "verify", "info")


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw(tmp_path_factory.mktemp("cli") / "raw.jsonl", make_trajectories(30))


@pytest.fixture(scope="module")
def shards(raw: Path) -> Path:
    preprocess([raw], raw.parent / "shards", workers=1)
    split(raw.parent / "shards", val_ratio=0.3)
    return raw.parent / "shards"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    done = run_cli(command, "--help")
    assert (done.code, done.stderr) == (0, "")
    assert f"poke-bc {command}" in done.stdout or f"poke_bc {command}" in done.stdout
    assert "--json" in done.stdout


def test_the_front_page_names_every_command() -> None:
    done = run_cli("--help")
    assert done.code == 0
    for command in COMMANDS:
        assert re.search(rf"^[│ ]+{command} ", done.stdout, re.MULTILINE), command
    assert run_cli("--version").stdout == f"poke-bc {__version__}\n"


@pytest.mark.parametrize(("typed", "offered"), [("poke-bc tr", "train"), ("poke-bc split --whe", "--where")])
def test_the_shell_completes_commands_and_options(typed: str, offered: str) -> None:
    done = run_python("import os, sys\nos.environ |= {'_POKE_BC_COMPLETE': 'complete_bash', 'COMP_WORDS': sys.argv[1], "
                      "'COMP_CWORD': str(sys.argv[1].count(' '))}\nsys.argv = ['poke-bc']\n"
                      "from poke_bc.cli import main\nmain()", typed)
    assert (done.code, done.stdout.split()) == (0, [offered]), done.stderr


def test_preprocess_tells_its_result_as_json(raw: Path, tmp_path: Path) -> None:
    (tmp_path / "raw.jsonl").write_bytes(raw.read_bytes() + BAD["garbage"].line)
    done = run_cli(
        "preprocess", tmp_path / "raw.jsonl", "--out", tmp_path / "out", "--max-bad", "0.5", "--workers", "1", "--json"
    )
    assert (done.code, done.stderr) == (0, "")
    assert list(done.json) == [
        "trajectories",
        "decisions",
        "labelled",
        "duplicates",
        "quarantined",
        "seconds",
        "decisions_per_s",
        "shards",
        "bytes",
        "bytes_per_decision",
        "decoder",
        "schema",
        "legal_masks",
        "kept",
        "shards_untouched",
        "all_again",
    ]
    counts = Manifest.read(tmp_path / "out").counts
    assert done.json["trajectories"] == counts.trajectories == 60
    assert (done.json["decisions"], done.json["labelled"]) == (counts.decisions, counts.observed)
    assert (done.json["duplicates"], done.json["quarantined"], done.json["shards"]) == (0, 1, 1)
    assert (done.json["schema"], done.json["legal_masks"]) == ("basic", "some")
    assert done.json["bytes"] == sum(
        path.stat().st_size for path in (tmp_path / "out").glob("shard-?????-????????.arrow")
    )


def test_split_tells_its_result_as_json(raw: Path, shards: Path, tmp_path: Path) -> None:
    write_raw(tmp_path / "raw.jsonl", make_trajectories(30))
    for path in (shards, tmp_path / "raw.jsonl"):
        done = run_cli("split", path, "--val-ratio", "0.3", "--test-ratio", "0.2", "--seed", "1", "--json")
        assert (done.code, done.stderr) == (0, "")
        assert list(done.json) == ["train", "val", "test"]
        assert all(list(part) == ["battles", "trajectories", "decisions"] for part in done.json.values())
        assert sum(part["battles"] for part in done.json.values()) == 30
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "raw.jsonl",
        "raw.split.json",
        "raw.test.jsonl",
        "raw.train.jsonl",
        "raw.val.jsonl",
    ]


def test_inspect_tells_the_same_of_a_raw_file_and_of_its_shards(raw: Path, shards: Path) -> None:
    of_raw, of_shards = run_cli("inspect", raw, "--json"), run_cli("inspect", shards, "--json")
    for done in (of_raw, of_shards):
        assert (done.code, done.stderr) == (0, "")
        assert {"path", "kind", "facts", "fields", "labels", "legal_actions", "remarks"} <= set(done.json)
        assert len(done.json["fields"]) == 21
        assert {"name", "low", "high", "distinct", "present", "note"} <= set(done.json["fields"][0])
    assert (of_raw.json["kind"], of_shards.json["kind"]) == ("raw", "shards")
    for key in ("fields", "labels", "legal_actions"):
        assert of_raw.json[key] == of_shards.json[key]


@pytest.fixture(params=["made", "recorded"])
def degenerate(request: pytest.FixtureRequest, shared_data: Callable[[str], Path], tmp_path: Path) -> DegenerateFile:
    return degenerate_file(request.param, shared_data, tmp_path)


def test_inspect_says_what_is_wrong_with_labels_and_fields(degenerate: DegenerateFile) -> None:
    found = run_cli("inspect", degenerate.path, "--json").json
    remarks = "\n".join(found["remarks"])
    constant = [field["name"] for field in found["fields"] if field["note"] == "constant"]
    assert len(constant) == 15
    assert all(name in remarks for name in constant)
    assert "the labels are degenerate: every move is move 0 and every switch is switch 0" in remarks
    assert "no legal masks" in remarks
    assert f"2 of {degenerate.trajectories} trajectories are duplicates" in remarks
    assert found["labels"]["move 0"] + found["labels"]["switch 0"] == degenerate.decisions
    assert found["legal_actions"] == {"0": degenerate.decisions}


def test_verify_tells_its_result_as_json_and_fails_when_something_differs(raw: Path, tmp_path: Path) -> None:
    preprocess([raw], tmp_path / "out", workers=1)
    done = run_cli("verify", tmp_path / "out", "--json")
    assert (done.code, done.stderr) == (0, "")
    assert {"path", "files", "bytes", "differences", "leftovers", "ok"} <= set(done.json)
    assert (done.json["ok"], done.json["files"], done.json["differences"]) == (True, 3, [])
    path = next((tmp_path / "out").glob("shard-*.trajectories.arrow"))
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    done = run_cli("verify", tmp_path / "out", "--json")
    assert done.code == 3
    assert not done.json["ok"]
    assert str(path) in done.json["differences"][0]


def test_info_tells_versions_as_json() -> None:
    done = run_cli("info", "--json")
    assert (done.code, done.stderr) == (0, "")
    assert {"poke-bc", "format", "split", "schemas", "python", "system", "processors", "decoder", "packages",
            "devices"} == set(done.json)
    assert done.json["poke-bc"] == __version__
    assert done.json["packages"]["torch"]
    expected = "scanner" if done.json["packages"]["numba"] else "arrow"
    assert done.json["decoder"].startswith(expected)


def test_results_for_people_say_what_to_do_next(raw: Path, tmp_path: Path) -> None:
    done = run_cli("preprocess", raw, "--out", tmp_path / "out")
    assert (done.code, done.stderr) == (0, "")
    assert f"next: poke-bc split {tmp_path / 'out'}" in done.stdout
    done = run_cli("split", tmp_path / "out", "--val-ratio", "0.3")
    assert (done.code, done.stderr) == (0, "")
    assert re.search(r"^\s*train +\d+ +\d+ +\d+", done.stdout, re.MULTILINE)
    for command in (["inspect", tmp_path / "out"], ["verify", tmp_path / "out"], ["info"]):
        done = run_cli(*command)
        assert (done.code, done.stderr) == (0, "")
        assert done.stdout


@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_ends_with_130_and_a_rerun_keeps_the_finished_blocks(workers: str, tmp_path: Path) -> None:
    raw, out = tmp_path / "raw.jsonl.zst", tmp_path / "out"
    text = to_text(make_trajectories(1000))
    raw.write_bytes(pa.compress(text * (160_000_000 // len(text)), codec="zstd", asbytes=True))
    command = [sys.executable, "-m", "poke_bc", "preprocess", raw, "--out", out, "--workers", workers]
    process = subprocess.Popen(command, env=environment(), stderr=subprocess.PIPE, start_new_session=True)
    while process.poll() is None and not finished_parts(out):
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert stderr.decode().splitlines() == ["interrupted; finished tasks are kept, the same command continues"]
    assert not (out / MANIFEST).exists()
    kept = finished_parts(out)
    assert kept
    seen: dict[str, int] = {}

    def remember(*_: object) -> None:
        seen.update(finished_parts(out))

    preprocess([raw], out, workers=1, progress=remember)
    assert {name: seen[name] for name in kept} == kept
    assert verify(out).differences == []


def test_output_that_nobody_reads_is_no_error(shards: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-m", "poke_bc", "inspect", shards, "--json"],
        env=environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 0


def test_somebody_else_s_file_goes_through_all_commands(degenerate: DegenerateFile, tmp_path: Path) -> None:
    raw = degenerate.path
    shards, run = tmp_path / "shards", tmp_path / "run"
    done = run_cli("preprocess", raw, "--out", shards, "--json").json
    assert (done["trajectories"], done["decisions"]) == (degenerate.trajectories, degenerate.decisions)
    assert (done["duplicates"], done["legal_masks"]) == (2, "none")
    parts = run_cli("split", shards, "--json").json
    assert parts["train"]["battles"] + parts["val"]["battles"] == degenerate.battles
    result = run_cli("train", "--shards", shards, "--run", run, "--steps", 5, "--batch-size", 64, "--json").json
    assert result["samples"] == 320
    judged = run_cli("evaluate", run, "--json").json
    assert judged["decisions"] == parts["val"]["decisions"]
    remarks = " ".join(run_cli("inspect", raw, "--json").json["remarks"])
    assert "15 of 21 fields never vary" in remarks
    assert "labels are degenerate: every move is move 0 and every switch is switch 0" in remarks
    assert "no legal masks" in remarks
    assert f"2 of {degenerate.trajectories} trajectories are duplicates" in remarks
    for path in (shards, run):
        assert run_cli("verify", path, "--json").json["ok"]
        assert run_cli("inspect", path).code == 0


def test_a_pipe_can_be_read_like_a_file(raw: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.jsonl"
    os.mkfifo(pipe)
    with subprocess.Popen(["cp", raw, "/dev/stdout"], stdout=subprocess.PIPE) as source, \
            subprocess.Popen(["tee", pipe], stdin=source.stdout, stdout=subprocess.DEVNULL):
        piped = run_cli("preprocess", pipe, "--out", tmp_path / "piped", "--json").json
    plain = run_cli("preprocess", raw, "--out", tmp_path / "plain", "--json").json
    assert piped["decisions"] == plain["decisions"] > 0
    shards = [[shard.rows.xxh3 for shard in Manifest.read(tmp_path / name).shards] for name in ("piped", "plain")]
    assert shards[0] == shards[1]


def test_a_killed_run_can_be_inspected(shards: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_cli("train", "--shards", shards, "--run", run, "--steps", "3", "--batch-size", "16", "--json")
    with open(run / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 4, "lo')
    assert run_cli("inspect", run, "--json").json["facts"]["last"]["step"] == 3
    assert run_cli("verify", run / "last", "--json").json["ok"]
