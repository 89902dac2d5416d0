"""Structure: imports go downward only, no circle of files, short modules, and what must not be loaded is not."""

from __future__ import annotations

import ast
from collections.abc import Container, Iterator
from graphlib import CycleError, TopologicalSorter

import pytest
from command_line import REPOSITORY, run_python

FLOORS = {
    "poke_bc.version": 0,
    "poke_bc.callable_module": 0,
    "poke_bc.contract": 0,
    "poke_bc.dex": 0,
    "poke_bc.data": 1,
    "poke_bc.showdown": 1,
    "pipelines.decode": 1,
    "pipelines.jobs": 1,
    "pipelines.jobs.interrupts": 0,
    "poke_bc.policy": 2,
    "pipelines.convert": 2,
    "pipelines.preprocess": 2,
    "pipelines.split": 3,
    "poke_bc.metrics": 3,
    "poke_bc.decisions": 4,
    "poke_bc.offline_rl": 3,
    "poke_bc.play": 5,
    "poke_bc.tables": 3,
    "poke_bc.train": 5,
    "poke_bc.evaluate": 6,
    "poke_bc.info": 6,
    "poke_bc.inspect": 6,
    "poke_bc.leaks": 5,
    "poke_bc.verify": 6,
    "poke_bc.report": 7,
    "poke_bc.cli": 8,
    "poke_bc.__main__": 9,
}
"""A module or package, with all below it, and its floor. It may import from lower floors and from itself."""
TOP = {"poke_bc": 8, "pipelines": 4}
"""The `__init__` of the two top packages: these offer names from below, and nothing below may import them."""
LONGEST = 310
LONGER: dict[str, str] = {}
"""Module -> why it may have more lines than LONGEST."""
FILES = {".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__"): path
         for package in ("poke_bc", "pipelines") for path in sorted((REPOSITORY / package).rglob("*.py"))}


def home(module: str) -> str:
    """The entry of TOP or FLOORS with the longest name that holds the module."""
    if module in TOP:
        return module
    homes = [name for name in FLOORS if module == name or module.startswith(f"{name}.")]
    assert homes, f"{module} has no floor: give it, or its package, one in FLOORS of tests/test_floors.py"
    return max(homes, key=len)


def floor(module: str) -> int:
    return (TOP | FLOORS)[home(module)]


def packages_of(module: str) -> set[str]:
    """Every package whose `__init__` runs before the module does."""
    parts = module.split(".")
    return {".".join(parts[:length]) for length in range(1, len(parts))}


def imports(source: str, known: Container[object] = frozenset(FILES), *, when_loaded: bool = False) -> Iterator[str]:
    """Modules that a file imports; where it calls `import_module`, also the known ones that its strings name.

    Args:
        source: text of the file.
        known: modules; what else is imported from a package is not one.
        when_loaded: leave out what only a call or a type checker imports.
    """
    waiting: list[ast.AST] = [ast.parse(source)]
    by_name = not when_loaded and "import_module(" in source
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in known else node.module or ""
        elif when_loaded and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        elif when_loaded and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            waiting += node.orelse
        elif by_name and isinstance(node, ast.Constant) and node.value in known:
            yield str(node.value)
        else:
            waiting += ast.iter_child_nodes(node)


def import_graph(sources: dict[str, str]) -> dict[str, set[str]]:
    """Module -> what it leads to.

    An import of a module also runs the packages around it, unless they surround the importer as well and so run
    already. Those count as "PACKAGE when loaded", with what their own loading imports.
    """
    graph: dict[str, set[str]] = {}
    for module, source in sources.items():
        for node, when_loaded in ((module, False), (f"{module} when loaded", True)):
            named = {name for name in imports(source, sources, when_loaded=when_loaded) if name in sources} - {module}
            around = {package for name in named for package in packages_of(name)} - packages_of(module) - {module}
            graph[node] = (named if node == module else {f"{name} when loaded" for name in named}) | {
                f"{package} when loaded" for package in around if package in sources}
    return graph


def circle(sources: dict[str, str]) -> list[str]:
    """Modules that lead back to the first of them; none: there is no circle."""
    try:
        TopologicalSorter(import_graph(sources)).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def every_source() -> dict[str, str]:
    return {module: path.read_text("utf-8") for module, path in FILES.items()}


def test_every_module_has_a_floor() -> None:
    assert len(FILES) > 40
    for module in FILES:
        home(module)


def test_every_floor_has_a_module() -> None:
    assert {home(module) for module in FILES} == {*TOP, *FLOORS}


@pytest.mark.parametrize("module", FILES)
def test_imports_go_downward_only(module: str) -> None:
    upward = [name for name in imports(FILES[module].read_text("utf-8"))
              if name in FILES and home(name) != home(module) and floor(name) >= floor(module)]
    assert upward == []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert " -> ".join(circle(every_source())) == ""


@pytest.mark.parametrize("text", [
    "from pipelines.split import b",
    "import pipelines.split",
    "def f():\n    from pipelines.split import b",
    "class A:\n    async def f(self):\n        import pipelines.split as b",
    "if TYPE_CHECKING:\n    from pipelines.split import b",
    "if typing.TYPE_CHECKING:\n    from pipelines import split",
    "try:\n    pass\nfinally:\n    from pipelines.split import b",
    "HOMES = {'b': 'pipelines.split'}\nimport_module(HOMES['b'])",
])
def test_a_circle_is_seen_wherever_the_import_stands(text: str) -> None:
    back = "from poke_bc.info import a"
    assert circle({"poke_bc.info": text, "pipelines.split": back})
    assert not circle({"poke_bc.info": text, "pipelines.split": ""})
    assert not circle({"poke_bc.info": "resources.files('pipelines.split')", "pipelines.split": back})


def test_a_circle_through_the_package_around_a_module_is_seen() -> None:
    package = {"pipelines.decode": "from pipelines.decode import text", "pipelines.jobs": ""}
    assert not circle(package | {"pipelines.decode.text": "import os"})
    assert circle(package | {"pipelines.decode.text": "from pipelines.decode import nothing"})
    assert circle(package | {"pipelines.decode.text": "", "pipelines.jobs": "from pipelines.decode.text import Text",
                             "pipelines.decode": "from pipelines.jobs import store"})
    lazy = {"pipelines.decode": "def f():\n    from pipelines.jobs import store"}
    assert not circle(lazy | {"pipelines.decode.text": "", "pipelines.jobs": "from pipelines.decode.text import Text"})


def test_modules_are_short() -> None:
    lines = {module: path.read_text("utf-8").count("\n") for module, path in FILES.items()}
    assert {module: count for module, count in lines.items() if count > LONGEST and module not in LONGER} == {}
    assert [module for module in LONGER if lines.get(module, 0) <= LONGEST] == [], "no longer needed in LONGER"


@pytest.mark.parametrize(("package", "never"), [
    ("poke_bc.contract", {"torch", "polars", "pipelines", "typer", "rich"}),
    ("poke_bc.dex", {"torch", "polars", "pyarrow", "numpy", "poke_env", "pipelines", "typer", "rich"}),
    ("poke_bc.showdown", {"torch", "polars", "poke_env", "pipelines", "typer", "rich"}),
    ("poke_bc.data", {"polars", "pipelines", "typer", "rich"}), ("poke_bc.policy", {"polars", "pipelines", "typer"}),
    ("poke_bc.train", {"polars", "pipelines", "typer"}), ("poke_bc.evaluate", {"polars", "pipelines", "typer"}),
    ("poke_bc.report", {"polars", "pipelines", "typer"}), ("poke_bc.play", {"polars", "pipelines", "typer", "rich"}),
    ("pipelines", {"torch", "typer", "rich", "safetensors"}),
])
def test_a_package_never_names_what_it_must_not_load(package: str, never: set[str]) -> None:
    modules = [module for module in FILES if module == package or module.startswith(f"{package}.")]
    assert modules
    for module in modules:
        assert {name.split(".")[0] for name in imports(FILES[module].read_text("utf-8"))} & never == set(), module


@pytest.mark.parametrize(("packages", "never"), [
    ("poke_bc", ["torch", "polars", "pipelines", "numpy", "pyarrow"]),
    ("poke_bc.contract", ["torch", "polars", "pipelines", "poke_bc.dex"]),
    ("poke_bc.dex", ["torch", "polars", "pyarrow", "numpy", "poke_env", "poke_bc.contract"]),
    ("poke_bc.showdown", ["torch", "polars", "poke_env", "pipelines"]),
    ("poke_bc.data poke_bc.policy poke_bc.train poke_bc.evaluate poke_bc.report poke_bc.play",
     ["polars", "pipelines", "typer", "poke_env"]),
    ("pipelines", ["torch", "typer"]),
    ("poke_bc.cli", ["torch", "polars", "pipelines", "numpy", "pyarrow", "rich.progress"]),
])
def test_what_must_not_be_loaded_is_not(packages: str, never: list[str]) -> None:
    wanted = [module for module in FILES for name in packages.split()
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


def test_the_package_offers_the_names_in_all_and_loads_each_on_first_use() -> None:
    done = run_python("import poke_bc\nfor name in poke_bc.__all__: getattr(poke_bc, name)\n"
                      "try: poke_bc.nothing\nexcept AttributeError as error: print(error)\n"
                      "print({*poke_bc.__all__} - {*dir(poke_bc)}, {*dir(poke_bc)} & {'Any', 'import_module'})\n"
                      "print({*poke_bc.__all__} ^ {*poke_bc._HOMES, '__version__'})")
    assert done.stdout == "module 'poke_bc' has no attribute 'nothing'\nset() set()\nset()\n", done.stderr
