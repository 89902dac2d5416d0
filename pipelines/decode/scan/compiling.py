"""How functions are compiled; `cache` decides where compiled code is kept."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numba import config as _config
from numba import njit
from numba.core.event import Event, Listener, install_listener

# Without reference counting (_nrt), which took half of the time: nothing here allocates. Without the interpreter's
# lock, so that a thread can read the next block in parallel.
_njit: Any = njit  # its annotations lack these options
_numba: Any = _config  # its annotations lack the settings
_OPTIONS = {"_nrt": False, "nogil": True, "no_cfunc_wrapper": True}

compiled = _njit(no_cpython_wrapper=True, **_OPTIONS)
"""Compile a function that only compiled ones call."""

merged = _njit(inline="always", **_OPTIONS)
"""Compile a function inline, into its only caller."""

_entries: list[Any] = []


def entry(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, and everything that it calls."""
    _entries.append(_njit(**_OPTIONS)(function))
    return _entries[-1]


def keep_in(folder: Path) -> None:
    """From now on load entries from `folder` if they are there, and store there what had to be compiled."""
    before = _numba.CACHE_DIR
    _numba.CACHE_DIR = str(folder)
    try:
        for each in _entries:
            each.enable_caching()
    finally:
        _numba.CACHE_DIR = before


class NotCompiledError(Exception):
    """A function would have to be compiled."""


class _Refuse(Listener):
    def on_start(self, event: Event) -> None:
        raise NotCompiledError

    def on_end(self, event: Event) -> None:
        pass


@contextlib.contextmanager
def nothing_compiled() -> Iterator[None]:
    """Context in which compiling, which takes seconds, raises NotCompiledError instead."""
    with install_listener("numba:compile", _Refuse()):
        yield
