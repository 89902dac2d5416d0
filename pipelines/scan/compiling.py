"""How functions are compiled, and where what comes of it is kept."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import xxhash
from numba import config as _config
from numba import njit

from poke_bc.contract import actions, nesting, rows, trajectory

# Without reference counting (_nrt), which took half of the time: nothing here allocates. Without the interpreter's
# lock, so that a thread can read the next block meanwhile.
_njit: Any = njit  # its annotations do not know these options
config: Any = _config  # nor its settings
_OPTIONS = {"_nrt": False, "nogil": True, "no_cfunc_wrapper": True}

compiled = _njit(no_cpython_wrapper=True, **_OPTIONS)
"""Compile a function that only compiled ones call."""

merged = _njit(inline="always", **_OPTIONS)
"""Compile a function as a part of the one place that calls it."""


def entry(function: Callable[..., Any]) -> Any:
    """Compile a function that Python calls, with all that it calls, and keep that for the next process."""
    with _kept_in(folder()) as possible:
        return _njit(cache=possible, **_OPTIONS)(function)


@cache
def folder() -> Path:
    """Where compiled code is kept: of its own for each state of the sources, NUMBA_CACHE_DIR or the user's cache.

    Numba itself looks at the file of the function that is called, and would go on using code whose callees changed.
    """
    sources = [*sorted(Path(__file__).parent.glob("*.py")),
               *(Path(str(module.__file__)) for module in (actions, nesting, rows, trajectory))]
    digest = xxhash.xxh3_64_hexdigest(b"".join(path.read_bytes() for path in sources))
    given = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path.home() / ".cache") / "poke-bc" / f"scan-{digest[:12]}"


@contextlib.contextmanager
def _kept_in(path: Path) -> Iterator[bool]:
    """Numba keeps what is decorated here in `path`; False where nothing can be written there."""
    before = config.CACHE_DIR
    try:
        path.mkdir(parents=True, exist_ok=True)
        possible = os.access(path, os.W_OK)
    except OSError:
        possible = False
    config.CACHE_DIR = str(path)
    try:
        yield possible
    finally:
        config.CACHE_DIR = before
