"""The scanner's compiled code on disk: compiled by a process of its own, published whole, loaded by any process.

    ~/.cache/poke-bc/scan-0123456789ab/    complete, or not there

Compiling takes ten seconds, loading a half. The folder's name is a digest of everything the code depends on, because
Numba itself looks only at the file of the function that is called, and would go on using code whose callees changed.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
from functools import cache
from importlib.metadata import version
from pathlib import Path

import xxhash

from poke_bc.contract import actions, nesting, rows, trajectory
from poke_bc.contract.schema import load_schema


@cache
def compiled_folder() -> Path:
    """Where compiled code for this machine belongs, below NUMBA_CACHE_DIR or the user's cache.

    Raises ImportError without Numba.
    """
    from llvmlite import binding

    package = Path(__file__).parent
    state = xxhash.xxh3_64()
    for path in [*sorted(package.glob("*.py")), *(Path(str(each.__file__)) for each in (actions, nesting, rows,
                                                                                        trajectory))]:
        state.update(path.read_bytes())
    processor = binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
    state.update(repr((str(package), sys.implementation.cache_tag, version("numba"), version("llvmlite"),
                       processor)).encode())
    given = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    return (Path(given) if given else Path.home() / ".cache") / "poke-bc" / f"scan-{state.hexdigest()[:12]}"


def load(folder: Path) -> None:
    """Make the scanner ready in this process with the code in `folder`.

    Raises NotCompiledError where some of it is missing, and anything at all where it is damaged or Numba does not work.
    """
    from pipelines.decode.scan.compiling import nothing_compiled

    with nothing_compiled():
        _scan_nothing(folder)


def compile_into(temporary: Path, folder: Path) -> None:
    """Compile the scanner in `temporary`, then make that `folder`, unless another process was faster.

    For a process of its own, which ends as soon as its standard input is closed, as it is when its parent dies.
    """
    threading.Thread(target=_end_with_the_parent, args=(temporary,), daemon=True).start()
    _scan_nothing(temporary)
    try:
        temporary.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def _end_with_the_parent(temporary: Path) -> None:
    sys.stdin.buffer.read()
    shutil.rmtree(temporary, ignore_errors=True)
    os._exit(1)


def _scan_nothing(folder: Path) -> None:
    from pipelines.decode.scan.compiling import keep_in
    from pipelines.decode.scan.scanner import scan

    keep_in(folder)
    scan(b"\n", 0, 0, load_schema("basic"))
