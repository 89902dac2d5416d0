"""The scanner's compiled code on disk: compiled by a separate process, published atomically, loaded by any process.

    ~/.cache/poke-bc/scan-0123456789ab/    complete, or absent

Compiling takes ten seconds, loading half a second. The folder's name is a digest of everything the code depends on,
because Numba checks only the file of the called function, and would keep using code whose callees have changed.
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
    """The folder for code compiled for this machine, below NUMBA_CACHE_DIR or the user's cache.

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
    """Load the scanner into this process from the code in `folder`.

    Raises NotCompiledError if some of it is missing, and any exception if it is damaged or Numba does not work.
    """
    from pipelines.decode.scan.compiling import nothing_compiled

    with nothing_compiled():
        _scan_nothing(folder)


def compile_into(temporary: Path, folder: Path) -> None:
    """Compile the scanner in `temporary`, then rename that to `folder`, unless another process was faster.

    Runs in a separate process, which exits as soon as its standard input is closed: that happens when its parent dies.
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
