"""A wheel, installed without extras and far from the checkout, has all that its commands need.

The environment is a fresh virtual one that holds the wheel. Its dependencies are links to the packages that pip would
install for the wheel, the requirements without extras and theirs, and to nothing else of this environment: neither the
checkout nor a package of an extra can be imported there, and the first test says so.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
from command_line import REPOSITORY
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

SAMPLE = REPOSITORY / "data" / "sample" / "battles.jsonl.zst"
PACKAGES = ("poke_bc", "pipelines")


def run(command: list[str | Path], cwd: Path, *, code: int = 0) -> str:
    """Run to the end, in an environment that does not know the checkout."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env |= {"OMP_NUM_THREADS": "1", "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200", "PYTHONUTF8": "1"}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=env, capture_output=True, text=True, timeout=300,
                          check=False)
    assert done.returncode == code, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by pip; without a network where the build backend is installed."""
    folder = tmp_path_factory.mktemp("wheel")
    isolation = ["--no-build-isolation"] if importlib.util.find_spec("hatchling") else []
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    run([*pip, "wheel", "--no-deps", *isolation, "--wheel-dir", folder, REPOSITORY], folder)
    (built,) = folder.glob("*.whl")
    return built


def requirements(wheel: Path) -> dict[str, importlib.metadata.Distribution]:
    """What pip installs for the wheel: its requirements without extras, and theirs."""
    with zipfile.ZipFile(wheel) as file:
        name = next(name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = importlib.metadata.PathDistribution(zipfile.Path(file, name).parent)  # type: ignore[arg-type]
        waiting = [Requirement(text) for text in metadata.requires or ()]
    found: dict[str, importlib.metadata.Distribution] = {}
    while waiting:
        requirement = waiting.pop()
        if requirement.marker and not any(
                requirement.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)):
            continue
        name = canonicalize_name(requirement.name)
        if name in found:
            continue
        found[name] = importlib.metadata.distribution(name)
        assert requirement.specifier.contains(found[name].version, prereleases=True), requirement
        for text in found[name].requires or ():
            inner = Requirement(text)
            if inner.marker is None or any(
                    inner.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)):
                inner.marker = None
                waiting.append(inner)
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of an environment with the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    links = folder / "requirements"
    links.mkdir()
    for distribution in requirements(wheel).values():
        for name in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
            if not (links / name).exists():
                (links / name).symlink_to(Path(str(distribution.locate_file(name))).resolve())
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    (site / "requirements.pth").write_text(f"{links}\n")
    before = "import importlib.util; print(importlib.util.find_spec('poke_bc'), importlib.util.find_spec('pipelines'))"
    assert run([python, "-c", before], folder) == "None None\n"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--python", python]
    run([*pip, "install", "--no-deps", "--no-index", wheel], folder)
    return python.parent


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        held = {name for name in file.namelist() if name.split("/")[0] in PACKAGES}
    here = {str(path.relative_to(REPOSITORY)) for package in PACKAGES for path in (REPOSITORY / package).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts and path.suffix not in (".nbi", ".nbc")}
    assert held == here
    assert {Path(name).suffix for name in held} >= {".py", ".toml", ".gz", ".typed", ".html", ".css", ".js"}


def test_neither_the_checkout_nor_an_extra_can_be_imported(installed: Path, tmp_path: Path) -> None:
    code = ("import importlib.util, json, sys, pipelines, poke_bc; print(json.dumps([poke_bc.__file__, "
            "pipelines.__file__, sys.path, [name for name in ('wandb', 'tensorboard', 'pytest', 'hypothesis', "
            "'poke_env', 'plotly', 'playwright', 'mypy') if importlib.util.find_spec(name)]]))")
    *files, path, extras = json.loads(run([installed / "python", "-c", code], tmp_path))
    assert all(file.startswith(str(installed.parent)) for file in files)
    assert not any(entry.startswith(str(REPOSITORY)) for entry in path)
    assert extras == []


def test_its_commands_run(installed: Path, tmp_path: Path) -> None:
    def poke_bc(*arguments: str | Path) -> Any:
        return json.loads(run([installed / "poke-bc", *arguments, "--json"], tmp_path))

    (tmp_path / "data").mkdir()
    assert "preprocess" in run([installed / "poke-bc", "--help"], tmp_path)
    assert "poke-bc" in run([installed / "poke-bc", "info"], tmp_path)
    converted = poke_bc("convert", SAMPLE, "-o", "raw.jsonl.zst", "--limit", "60", "--salt", "s", "--workers", "1")
    assert converted["converted"] == 60
    of_every_generation = sorted((REPOSITORY / "tests" / "battles").glob("*.zst"))
    cases = poke_bc("convert", *of_every_generation, "-o", "cases.jsonl", "--salt", "s", "--workers", "1")
    assert set(cases["skipped"]) == {"not singles"}
    preprocessed = poke_bc("preprocess", "raw.jsonl.zst", "--workers", "2")
    assert preprocessed["decisions"] == converted["decisions"]
    split = poke_bc("split", "--val-ratio", "0.2")
    assert split["train"]["battles"] + split["val"]["battles"] == 60
    trained = poke_bc("train", "--shards", "data/shards", "--run", "runs/one", "--steps", "5", "--batch-size", "64",
                      "--device", "cpu")
    assert trained["steps"] == 5
    judged = poke_bc("evaluate", "runs/one")
    assert judged["decisions"] > 0
    for path in ("raw.jsonl.zst", "data/shards", "runs/one"):
        assert poke_bc("inspect", path)["kind"]
    for path in ("data/shards", "runs/one"):
        assert poke_bc("verify", path)["ok"]
