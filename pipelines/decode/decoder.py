"""Text -> rows: by a fast reader where its result is certain, by the exact reader for the rest.

There are two fast readers: the scanner (scan/, compiled by Numba), which knows the schema and reads the bytes once, and
Arrow's JSON reader. The exact reader (poke_bc.contract.trajectory) defines what both must return: lines that they
cannot vouch for go to it, and it accepts each or reports what is wrong. Every reader returns the same rows, so a job
may begin with Arrow and switch when the scanner has been compiled.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Self

from pipelines.decode.arrow_json import decode_with_arrow
from pipelines.decode.columns import NotSure
from pipelines.decode.decoded import Bad, Decoded, concat
from pipelines.decode.exact import decode_exact
from pipelines.decode.scan.cache import compiled_folder, load
from pipelines.decode.text import Text
from pipelines.jobs.interrupts import interrupts_deferred
from poke_bc.contract.schema import Schema

WORTH_LOADING = 64 << 20
"""Bytes of text from which loading the scanner pays off: it takes half a second."""
WORTH_COMPILING = 1 << 30
"""Bytes of text per process from which compiling pays off: Arrow reads about this much in the time."""

_WORTH_ADVICE = 256 << 20
_EXACT_BYTES = 64 << 10  # a doubtful text of at most this size is not halved again
_COMPILE = """
import sys
from pathlib import Path
sys.path[:] = sys.argv[3:]
from pipelines.decode.scan.cache import compile_into
compile_into(Path(sys.argv[1]), Path(sys.argv[2]))
"""

Scan = Callable[[bytes, int, int, Schema], tuple[Decoded, list[Bad]] | None]


class Decoder:
    """Uses Arrow until the scanner's compiled code is available. Nothing waits for the compiler.

    The process that owns a decoder calls `update` between tasks, and sends copies of it along with tasks. A copy uses
    the reader that its owner had switched to; it loads compiled code, and never compiles.

    Args:
        expected: bytes of text to decode; None if unknown.
        processes: number of processes that decode.

    The environment variable POKE_BC_DECODER forces a reader: "arrow", or "scanner", for which the first update waits.
    """

    def __init__(self, expected: int | None = 0, processes: int = 1) -> None:
        self.scanning = False
        self.advice: str | None = None
        """What the user can do if the scanner does not work, or is not compiled yet."""
        self._expected, self._processes = expected, processes
        self._size = 0
        self._folder = Path()
        self._compiler: subprocess.Popen[bytes] | None = None
        self._temporary: list[Path] = []
        self._loaded_at = 0

    @property
    def name(self) -> str:
        """The reader that decoded the text so far: "arrow", "scanner", or "arrow, then scanner"."""
        return "arrow" if not self.scanning else "arrow, then scanner" if self._loaded_at else "scanner"

    def decode(self, text: Text, schema: Schema) -> tuple[Decoded, Iterator[Bad]]:
        """Like the function `decode`, with the current reader."""
        return decode(text, schema, scan=_scanner(self._folder) if self.scanning else None)

    def update(self, read: int = 0) -> None:
        """Load the scanner, or start compiling it, if that pays off; `read` is the bytes of text decoded so far."""
        self._update(read)
        if self._compiler is not None and os.environ.get("POKE_BC_DECODER") == "scanner":
            self._compiler.wait()
            self._update(read)

    @interrupts_deferred()  # LLVM's callbacks would swallow Ctrl-C, and Numba's classes make a RuntimeError of it
    def _update(self, read: int) -> None:
        size = read if self._expected is None else self._expected
        self._size = size = sys.maxsize if os.environ.get("POKE_BC_DECODER") == "scanner" else size
        if self.scanning or self.advice or size < WORTH_LOADING or not is_wanted():
            return
        try:
            if self._compiler is None:
                self._folder = compiled_folder()
                if not self._load(read) and size >= WORTH_COMPILING * self._processes:
                    self._compiler = self._start_compiler()
            elif self._compiler.poll() is not None:
                _, messages = self._compiler.communicate()
                if not self._load(read):
                    self._give_up((messages.decode(errors="replace").splitlines() or ["the compiler was killed"])[-1])
        except (ImportError, OSError, RuntimeError) as error:  # RuntimeError: no home folder
            self._give_up(str(error))

    def _load(self, read: int) -> bool:
        """Load compiled code if it exists, and remove it if it is damaged. Raises ImportError without Numba."""
        if not self._folder.exists():
            return False
        try:
            load(self._folder)
        except ImportError:
            raise
        except Exception:
            shutil.rmtree(self._folder, ignore_errors=True)
            return False
        self.scanning, self._loaded_at = True, read
        return True

    def _start_compiler(self) -> subprocess.Popen[bytes]:
        """Start compiling in another process, which ends with this one. Raises OSError."""
        try:
            self._folder.parent.mkdir(parents=True, exist_ok=True)
            temporary = tempfile.mkdtemp(prefix="compiling-", dir=self._folder.parent)
        except OSError:  # the cache is not writable: compile for this run only
            temporary = tempfile.mkdtemp(prefix="poke-bc-")
            self._folder = Path(f"{temporary}-scan")
            self._temporary.append(self._folder)
        self._temporary.append(Path(temporary))
        # Not multiprocessing, which would run the caller's main module again. A new session, so that Ctrl-C reaches
        # only this process, whose `close` ends the other.
        return subprocess.Popen([sys.executable, "-c", _COMPILE, temporary, str(self._folder), *sys.path],
                                stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                start_new_session=True)

    def _give_up(self, reason: str) -> None:
        self.advice = ("text was read with Arrow, because the scanner, which is several times faster, does not work "
                       f"here ({reason}); pip install --upgrade numba may help")

    def close(self) -> None:
        """End the compiler if it is still running, since no process may outlive the command."""
        if not self.scanning and not self.advice and self._size >= _WORTH_ADVICE and is_wanted():
            self.advice = ("text was read with Arrow, since the scanner is not compiled yet; POKE_BC_DECODER=scanner "
                           "compiles it first, in ten seconds, which makes this and later runs several times faster")
        if self._compiler is not None:
            with self._compiler:
                self._compiler.kill()
        for folder in self._temporary:
            shutil.rmtree(folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        """The state of copies in other processes."""
        return {"scanning": self.scanning, "_folder": self._folder}


def is_wanted() -> bool:
    """Whether the environment allows the scanner."""
    return os.environ.get("POKE_BC_DECODER") != "arrow" and os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0")


def is_compiled() -> bool:
    """Whether the scanner may be used and is already compiled."""
    try:
        return is_wanted() and compiled_folder().exists()
    except (ImportError, RuntimeError):
        return False


def describe() -> str:
    """The reader that a large text would get on this machine, for `poke-bc info`."""
    if not is_wanted():
        return "arrow: selected by POKE_BC_DECODER or NUMBA_DISABLE_JIT"
    try:
        import numba  # noqa: F401 - does it work?

        return "scanner" if compiled_folder().exists() else "scanner, once it is compiled: arrow until then"
    except (ImportError, RuntimeError) as error:
        return f"arrow, several times slower than the scanner: {error} (pip install --upgrade numba)"


@cache
def _scanner(folder: Path) -> Scan | None:
    """The scanner, with the compiled code in a folder; None if that does not work."""
    try:
        load(folder)
        from pipelines.decode.scan.scanner import scan
    except Exception:  # removed or damaged in the meantime: Arrow gives the same rows
        return None
    return scan


def decode(text: Text, schema: Schema, *, scan: Scan | None = None) -> tuple[Decoded, Iterator[Bad]]:
    """All good lines as rows, and the bad ones in order.

    Args:
        text: whole lines.
        schema: what the observations hold.
        scan: the scanner; None: use Arrow.
    """
    scanned = scan(text.data, 0, text.byte, schema) if scan is not None else None
    if scanned is None:
        parsed, bad = _decode_halving(text.data, 0, text.byte, schema)
        scanned = concat(parsed, schema), bad
    decoded, bad = scanned
    if text.long_line is not None:
        bad.append(Bad(text.lines - 1, text.long_line, "$", "longer than a block of 8 MiB"))
    return decoded, iter(bad)


def _decode_halving(data: bytes, line: int, byte: int, schema: Schema) -> tuple[list[Decoded], list[Bad]]:
    """Decode with Arrow; a doubtful text is halved until it is small enough for the exact reader."""
    with contextlib.suppress(NotSure):
        return [decode_with_arrow(data, line, schema)], []
    middle = data.find(b"\n", len(data) // 2) + 1
    if len(data) <= _EXACT_BYTES or middle in (0, len(data)):
        decoded, bad = decode_exact(data, line, byte, schema)
        return [decoded], bad
    first, second = data[:middle], data[middle:]
    left, bad_left = _decode_halving(first, line, byte, schema)
    right, bad_right = _decode_halving(second, line + first.count(b"\n"), byte + middle, schema)
    return left + right, bad_left + bad_right
