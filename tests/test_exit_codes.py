"""How commands end: an exit code for each kind of error, JSON where it is asked for, SIGTERM like Ctrl-C."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bad_lines import BAD
from command_line import REPOSITORY, assert_told_in_two_lines, environment, run_cli, run_python
from trajectories import make_trajectories, to_text, write_raw

from pipelines.preprocess import preprocess
from pipelines.split import split
from poke_bc.cli.errors import EXIT_CODES
from poke_bc.contract import errors
from poke_bc.contract.errors import PokeBCError


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exit")
    preprocess([write_raw(folder / "raw.jsonl", make_trajectories(60))], folder / "shards", workers=1)
    split(folder / "shards", val_ratio=0.3)
    return folder / "shards"


def test_every_error_has_an_exit_code_that_the_documentation_explains() -> None:
    kinds = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, PokeBCError)]
    assert {kind.exit_code for kind in kinds} | {0, 1, 130, 143} == set(EXIT_CODES)
    page = (REPOSITORY / "docs" / "cli.md").read_text("utf-8")
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning} |" in page


@pytest.mark.parametrize("command", [
    ["trian"], ["train", "--bogus"], ["train", "--steps", "many"], ["preprocess"], ["preprocess", "nowhere.jsonl"],
    ["convert", "nowhere", "--out", "raw.jsonl"], ["split", "--by", "rating"], ["verify", "nowhere"],
    ["evaluate", "nowhere"], ["train", "--resume"], ["train", "--set", "epochz=3"],
])
def test_wrong_use_ends_with_2(command: list[str], tmp_path: Path) -> None:
    done = run_cli(*command, "--json", cwd=tmp_path)
    assert_told_in_two_lines(done, code=2)
    told = done.json["error"]
    assert (told["kind"], told["exit_code"]) == ("UsageError", 2)
    assert done.stderr == f"error: {told['what']}\nhint: {told['hint']}\n"


def test_bad_data_ends_with_3(shards: Path, tmp_path: Path) -> None:
    raw = tmp_path / "raw.jsonl"
    raw.write_bytes(to_text(make_trajectories(3)) + BAD["garbage"].line)
    (tmp_path / "other.toml").write_text('name = "other"\nversion = 1\n[[field]]\nname = "hp"\nkind = "number"\n')
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "manifest.json").write_text("{")
    for kind, command in [
        ("InputError", ["preprocess", raw, "--out", "out"]), ("InputError", ["convert", raw, "--out", "other.jsonl"]),
        ("SchemaError", ["preprocess", raw, "--schema", "other.toml", "--out", "out"]),
        ("ShardError", ["split", "damaged"]),
    ]:
        done = run_cli(*command, "--json", cwd=tmp_path)
        assert_told_in_two_lines(done, code=3)
        assert (done.json["error"]["kind"], done.json["error"]["exit_code"]) == (kind, 3)


def test_a_failed_training_ends_with_4(shards: Path, tmp_path: Path) -> None:
    done = run_cli("train", "--shards", shards, "--run", tmp_path / "run", "--lr", "1e8", "--steps", "6",
                   "--batch-size", "32", "--set", "grad_clip=1e8", "--set", "warmup=0", "--json", "--quiet")
    assert done.code == 4, done
    assert (done.json["error"]["kind"], done.json["error"]["exit_code"]) == ("TrainingError", 4)


def test_a_bug_ends_with_1_a_traceback_and_json() -> None:
    done = run_python("import sys, poke_bc.cli as cli, poke_bc.info as info\n"
                      "info.info = lambda: 1 / 0\nsys.argv = ['poke-bc', 'info', '--json']\ncli.main()")
    assert done.code == 1
    assert "ZeroDivisionError" in done.stderr.splitlines()[-1]
    assert done.json["error"]["kind"] == "ZeroDivisionError"


WAITING = """
import signal, sys, time, poke_bc.cli as cli, poke_bc.info as info
signal.signal(signal.SIGINT, getattr(signal, sys.argv[1]))
info.info = lambda: print("ready", file=sys.stderr) or time.sleep(60)
sys.argv = ["poke-bc", "info", "--json"]
cli.main()
"""


@pytest.mark.parametrize("ctrl_c", ["default_int_handler", "SIG_IGN"])
def test_sigterm_ends_like_ctrl_c_with_143_even_where_that_is_ignored(ctrl_c: str) -> None:
    """A shell without job control starts what runs in the background with SIGINT ignored."""
    with subprocess.Popen([sys.executable, "-c", WAITING, ctrl_c], env=environment(), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE) as command:
        assert command.stderr is not None
        assert command.stderr.readline() == b"ready\n"
        command.send_signal(signal.SIGTERM)
        stdout, stderr = command.communicate(timeout=60)
    assert (command.returncode, stderr) == (143, b"interrupted\n")
    assert json.loads(stdout)["error"]["kind"] == "Interrupted"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_the_command_is_still_being_loaded_is_no_traceback(number: signal.Signals) -> None:
    load = ("import os, signal, sys\nclass Loading:\n    def find_spec(self, name, *_):\n"
            f"        if name == 'poke_bc.cli': signal.raise_signal({int(number)})\n"
            "sys.meta_path.insert(0, Loading())\nfrom poke_bc.__main__ import main\nmain()")
    done = run_python(load)
    assert (done.code, done.stderr) == (128 + number, "interrupted\n")
