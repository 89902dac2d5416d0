"""Modules that can be called like the function they are named after: `poke_bc.train(config)`.

`poke_bc.train` is the package with all that belongs to training, and must be the function as well, since importing
anything from the package makes it an attribute of `poke_bc`.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any


def callable_as(function: Callable[..., Any], module: str) -> None:
    """Let calls of the imported `module` call `function`."""
    called = sys.modules[module]
    called.__class__ = type("CallableModule", (ModuleType,), {"__call__": staticmethod(function)})
    called.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]  # for help() and editors
