"""Inputs that were once converted wrongly: a user's `convert` gives the right rows, or refuses the file by name."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cases.grade import CASES, Game
from command_line import run_cli

FOLDER = Path(__file__).resolve().parent / "cases"


def converted(path: Path, out: Path) -> Game:
    done = run_cli("convert", path, "-o", out, "--quiet", "--workers", "1", "--salt", "grade")
    if done.code:
        return Game([], refused=f"exit code {done.code}: {' '.join(done.stderr.split())}")
    return Game([json.loads(line) for line in out.read_text("utf-8").splitlines()])


def test_every_input_has_a_check() -> None:
    assert sorted(CASES) == sorted(path.stem for path in FOLDER.glob("C*"))
    assert len(CASES) == 20


@pytest.mark.parametrize("name", CASES)
def test_the_rows_are_right(name: str, tmp_path: Path) -> None:
    path, = FOLDER.glob(f"{name}.*")
    CASES[name](converted(path, tmp_path / "out.jsonl"))  # raises Wrong: expected ..., got ...
