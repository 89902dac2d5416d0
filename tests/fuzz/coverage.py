"""The scanner's kernel with a counter in every branch, compiled as it is in earnest.

An import hook adds `hit(number)` to the beginning of every function, branch and loop of the kernel's modules, before
Numba sees them. It must be installed before the first of them is imported.
"""

from __future__ import annotations

import ast
import itertools
import sys
from importlib.machinery import PathFinder, SourceFileLoader
from typing import Any

import numpy as np

INSTRUMENTED = {f"pipelines.decode.scan.{name}" for name in (
    "numbers", "grammar", "arrays", "keys", "values", "kernel")}
HITS = np.zeros(4096, np.uint8)
"""How often each place was come by, modulo 256."""

_numbers = itertools.count()


def install() -> None:
    """From now on the kernel's modules are imported with counters."""
    if INSTRUMENTED & sys.modules.keys():
        raise RuntimeError("the scanner is imported already")
    sys.meta_path.insert(0, _Finder())


def places() -> int:
    """How many places have a counter."""
    return int(repr(_numbers).removeprefix("count(").removesuffix(")"))


class _Finder:
    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in INSTRUMENTED:
            return None
        spec = PathFinder.find_spec(name, path)
        spec.loader = _Loader(name, spec.origin)
        return spec


class _Loader(SourceFileLoader):
    def get_code(self, fullname: str) -> Any:
        tree = ast.parse(self.get_data(self.path), self.path)
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.decorator_list:
                _Counted().visit(node)
        at = next(place for place, node in enumerate(tree.body)
                  if isinstance(node, ast.ImportFrom) and node.module == "__future__") + 1
        tree.body.insert(at, ast.parse("from tests.fuzz.hit import hit").body[0])
        return compile(ast.fix_missing_locations(tree), self.path, "exec")


class _Counted(ast.NodeTransformer):
    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.FunctionDef | ast.If | ast.While | ast.For):
            node.body.insert(0, _hit())
            if isinstance(node, ast.If):
                node.orelse.insert(0, _hit())
        return node


def _hit() -> ast.stmt:
    return ast.parse(f"hit({next(_numbers)})").body[0]
