"""How functions are compiled; where compiled code is kept is the business of `cache`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from numba import config as _config
from numba import njit
from numba.core.event import Event, Listener, install_listener

# Without reference counting (_nrt), which took half of the time: nothing here allocates. Without the interpreter's
# lock, so that a thread can read the next block meanwhile.
_njit: Any = njit  # its annotations do not know these options
_numba: Any = _config  # nor its settings
_OPTIONS = {"_nrt": False, "nogil": True, "no_cfunc_wrapper": True}

compiled = _njit(no_cpython_wrapper=True, **_OPTIONS)
"""Compile a function that only compiled ones call."""

merged = _njit(inline="always", **_OPTIONS)
"""Compile a function as a part of the one place that calls it."""

_entries: list[Any] = []


def entry(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, together with all that it calls."""
    _entries.append(_njit(**_OPTIONS)(function))
    return _entries[-1]


def keep_in(folder: Path) -> None:
    """From now on load entries from `folder` where they are kept there, and keep there what had to be compiled."""
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
    """Raises NotCompiledError inside, instead of compiling for seconds."""
    with install_listener("numba:compile", _Refuse()):
        yield
