"""Documents say what the code does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def load_generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["schema.md", "cli.md", "settings.md"])
def test_generated_pages_are_up_to_date(name: str) -> None:
    generated = load_generator().PAGES[name]()
    assert (ROOT / "docs" / name).read_text("utf-8") == generated, "run `just docs`"


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for command in re.findall(r"^## poke-bc (\w+)$", (ROOT / "docs" / "cli.md").read_text("utf-8"), re.MULTILINE):
        assert f"poke-bc {command}" in readme


def test_links_in_documents_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"


def test_every_promise_names_tests_that_exist() -> None:
    page = (ROOT / "docs" / "promises.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if re.match(r"\| (?!promise)[^-]", line)]
    assert len(rows) > 30
    for row in rows:
        named = re.findall(r"`([\w/]+\.py)::(\w+)`", row)
        assert named, row
        for file, name in named:
            assert f"def {name}(" in (ROOT / "tests" / file).read_text("utf-8"), f"{file}::{name}"


def test_defaults_in_the_help_of_train_are_those_of_the_configuration() -> None:
    from poke_bc.train import TrainConfig

    page = (ROOT / "docs" / "cli.md").read_text("utf-8")
    train = page[page.index("## poke-bc train"):page.index("## poke-bc evaluate")]
    said = re.findall(r"`--([a-z-]+)`.*\[default: ([^]]+)\]", train)
    assert len(said) >= 8
    for name, default in said:
        assert str(getattr(TrainConfig(), name.replace("-", "_"))) in (default, f"{default}.0"), name
