"""The folder beside an output in the making, OUT.parts: finished blocks, what made them, and the output so far.

    lock               held by the run that works here
    plan.json          options, salt (by fingerprint) and digest of the code: parts of another plan are made anew
    corpus             what the first pass gathered
    000042.*           finished blocks, see blocks.py
    input0             standard input or a pipe, which is read twice
    .tmp-*-output      the output, renamed to OUT when it is whole
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import pyarrow as pa

from pipelines.battles.blocks import Workshop
from pipelines.battles.files import PARTS
from pipelines.sources import STDIN
from poke_bc.contract.errors import InputError, PokeBCError, UsageError
from poke_bc.contract.files import TEMPORARY, atomic_write, digest, digest_file, exclusively, fsync_folder, write_json
from poke_bc.version import __version__

_WHOLE = "output"
_OURS = re.compile(rf"\d{{6,}}\.(json|jsonl\.zst)|input\d+|corpus|plan\.json|lock|{_WHOLE}|{re.escape(TEMPORARY)}.*")
"""What a run puts into its folder of parts; nothing else there is touched."""
_PACKED = {".zst": "zstd", ".gz": "gzip"}
OUTPUT_ENDINGS = tuple(f"{plain}{packed}" for plain in (".jsonl", ".ndjson") for packed in ("", *_PACKED))


@contextlib.contextmanager
def open_parts(target: Path | None) -> Iterator[Path]:
    """The folder of finished blocks, which only one run may use; kept when the run ends early and has some."""
    if target is None:
        with tempfile.TemporaryDirectory(prefix="poke-bc-") as folder:
            yield Path(folder)
        return
    parts = target.with_name(target.name + PARTS)
    try:
        parts.mkdir(parents=True, exist_ok=True)
        busy = UsageError(f"{target}: another convert is writing it", hint="wait for it, or choose another --out")
        with exclusively(parts / "lock", busy):
            try:
                yield parts
            except PokeBCError:
                if not any(part.stat().st_size for part in parts.glob("[0-9]*.jsonl.zst")):
                    _remove(parts)
                raise
            except KeyboardInterrupt:
                raise KeyboardInterrupt(f"interrupted; finished blocks are kept in {parts}, "
                                        "the same command goes on from there") from None
            _remove(parts)
    except OSError as error:
        raise InputError(f"{error.filename or target}: {error.strerror or error}",
                         hint="make room or rights there and run it again: finished blocks are kept") from None


def _remove(parts: Path) -> None:
    """Remove the folder, if nothing is in it that is not ours."""
    _clear(parts, keep=lambda name: False)
    with contextlib.suppress(OSError):
        parts.rmdir()


def _clear(parts: Path, keep: Callable[[str], bool]) -> None:
    """Remove what runs left in the folder."""
    for entry in parts.iterdir():
        if _OURS.fullmatch(entry.name) and entry.is_file() and not keep(entry.name):
            entry.unlink(missing_ok=True)


def keep_only_this_plan(workshop: Workshop) -> None:
    """Empty the folder of parts of anything that other options or another version made, and of leavings."""
    plan = {"version": __version__, "code": _code_digest(), "formats": sorted(workshop.formats),
            "min_rating": workshop.min_rating, "names": workshop.hiding.fingerprint,
            "steps": [f"{step.__module__}.{step.__qualname__}" for step in (
                workshop.conversion.first_pass, workshop.conversion.convert, workshop.conversion.corpus)]}
    path = workshop.parts / "plan.json"
    try:
        same = json.loads(path.read_bytes()) == plan
    except (FileNotFoundError, ValueError):
        same = False
    _clear(workshop.parts, lambda name: name == "lock" or (same and (name[0].isdigit() or name == path.name)))
    if not same:
        write_json(path, plan)


def _code_digest() -> str:
    """Of everything that decides what a battle becomes: parts of other code are made anew."""
    import pipelines
    import poke_bc

    folders = [Path(poke_bc.__file__).parent, Path(pipelines.__file__).parent]
    files = sorted(path for folder in folders for path in folder.rglob("*")
                   if path.suffix != ".pyc" and path.is_file())
    return digest("".join(f"{path.name}:{digest_file(path)};" for path in files).encode())


def spool(sources: Sequence[str], parts: Path) -> list[str]:
    """Standard input and pipes are read twice, so they are put into files first."""
    found = []
    for number, name in enumerate(sources):
        if name != STDIN and Path(name).is_file():
            found.append(name)
            continue
        copy = parts / f"input{number}"
        with open(copy, "wb") as file:
            if name == STDIN:
                shutil.copyfileobj(sys.stdin.buffer, file)
            else:
                with open(name, "rb") as pipe:
                    shutil.copyfileobj(pipe, file)
        found.append(str(copy))
    return found


@contextlib.contextmanager
def writing(parts: Path, target: Path | None) -> Iterator[Callable[[bytes], object]]:
    """What takes the lines of the output in order: one stream, compressed as its name says."""
    if target is None:
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    with atomic_write(parts / _WHOLE) as file:
        if packed := _PACKED.get(target.suffix):
            with pa.CompressedOutputStream(pa.PythonFile(_Open(file), "w"), packed) as stream:
                yield stream.write
        else:
            yield file.write


def publish(parts: Path, target: Path) -> None:
    """Give the whole output its name."""
    (parts / _WHOLE).replace(target)
    fsync_folder(target.parent)


class _Open:
    """A file that Arrow may not close: it has to be synced first."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self.write, self.flush = file.write, file.flush

    def close(self) -> None:
        """Left to whoever opened it."""
