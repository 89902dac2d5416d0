"""The order of the house: imports only downward, no circles, and what must never be loaded is not."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from command_line import REPOSITORY, run_python

FLOORS = {
    "poke_bc.version": 0,
    "poke_bc.contract": 0,
    "poke_bc.dex": 0,
    "poke_bc.tables": 0,
    "poke_bc.data": 1,
    "poke_bc.policy": 1,
    "poke_bc.showdown": 1,
    "pipelines": 1,
    "poke_bc.train": 2,
    "poke_bc.evaluate": 2,
    "poke_bc.inspect": 2,
    "poke_bc.leaks": 2,
    "poke_bc.verify": 2,
    "poke_bc.info": 2,
    "poke_bc.metrics": 2,
    "poke_bc.cli": 3,
    "poke_bc.__main__": 4,
}
FILES = {".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path
         for package in ("poke_bc", "pipelines") for path in (REPOSITORY / package).rglob("*.py")}


def floor(module: str) -> int:
    """Of a module; the package poke_bc itself, which imports nothing when it is loaded, is the ground."""
    if module == "poke_bc":
        return 0
    return next(level for name, level in FLOORS.items() if module == name or module.startswith(f"{name}."))


def imports(path: Path, *, lazy: bool = True) -> Iterator[str]:
    """Modules that a file imports; with `lazy` also inside functions, never those for type checkers alone."""
    waiting: list[ast.AST] = [ast.parse(path.read_text("utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            module = node.module or ""
            names = [f"{module}.{alias.name}" for alias in node.names]
            yield from (name if name in FILES else module for name in names)
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif lazy or not isinstance(node, ast.FunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def test_every_module_has_a_floor() -> None:
    assert len(FILES) > 40
    for module in FILES:
        floor(module)


@pytest.mark.parametrize("module", FILES)
def test_imports_go_downward_only(module: str) -> None:
    upward = [name for name in imports(FILES[module]) if name in FILES and floor(name) > floor(module)]
    assert upward == []


def test_there_are_no_circles_not_even_by_imports_inside_functions() -> None:
    graph = {module: {name for name in imports(path) if name in FILES and name != module and
                      not module.startswith(f"{name}.") and not name.startswith(f"{module}.")}
             for module, path in FILES.items()}
    assert any(graph.values())
    tuple(TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


@pytest.mark.parametrize(("part", "never"), [
    ("poke_bc.contract", {"torch", "polars", "pipelines", "typer", "rich"}),
    ("poke_bc.dex", {"torch", "polars", "pyarrow", "numpy", "poke_env", "pipelines", "typer", "rich"}),
    ("poke_bc.showdown", {"torch", "polars", "poke_env", "pipelines", "typer", "rich"}),
    ("poke_bc.data", {"polars", "pipelines", "typer", "rich"}), ("poke_bc.policy", {"polars", "pipelines", "typer"}),
    ("poke_bc.train", {"polars", "pipelines", "typer"}), ("poke_bc.evaluate", {"polars", "pipelines", "typer"}),
    ("pipelines", {"torch", "typer", "rich", "safetensors"}),
])
def test_a_part_never_names_what_it_must_not_load(part: str, never: set[str]) -> None:
    modules = [module for module in FILES if module == part or module.startswith(f"{part}.")]
    assert modules
    for module in modules:
        assert {name.split(".")[0] for name in imports(FILES[module])} & never == set(), module


@pytest.mark.parametrize(("part", "never"), [
    ("poke_bc", ["torch", "polars", "pipelines", "numpy", "pyarrow"]),
    ("poke_bc.contract", ["torch", "polars", "pipelines", "poke_bc.dex"]),
    ("poke_bc.dex", ["torch", "polars", "pyarrow", "numpy", "poke_env", "poke_bc.contract"]),
    ("poke_bc.showdown", ["torch", "polars", "poke_env", "pipelines"]),
    ("poke_bc.data poke_bc.policy poke_bc.train poke_bc.evaluate", ["polars", "pipelines", "typer"]),
    ("pipelines", ["torch", "typer"]),
    ("poke_bc.cli", ["torch", "polars", "pipelines", "numpy", "pyarrow", "rich.progress"]),
])
def test_what_must_not_be_loaded_is_not(part: str, never: list[str]) -> None:
    wanted = [module for module in FILES for name in part.split()
              if module == name or (module.startswith(f"{name}.") and name != "poke_bc")]
    done = run_python(
        "import importlib, sys\n"
        "for name in sys.argv[1].split(): importlib.import_module(name)\n"
        "print([name for name in sys.argv[2].split() if name in sys.modules])",
        " ".join(wanted),
        " ".join(never),
    )
    assert done.code == 0, done.stderr
    assert done.stdout == "[]\n"


def test_the_package_offers_what_it_says_and_loads_it_when_asked() -> None:
    done = run_python("import poke_bc\nfor name in poke_bc.__all__: getattr(poke_bc, name)\n"
                      "try: poke_bc.nothing\nexcept AttributeError as error: print(error)")
    assert done.stdout == "module 'poke_bc' has no attribute 'nothing'\n", done.stderr
