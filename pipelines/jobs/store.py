"""The store of a job: a folder with the part of each finished task.

    lock            held by the run that uses the store
    plan.json       what the parts depend on other than their input: parts of any other plan are discarded
    000042.part     a finished task: its output (the body), its receipt as JSON, and a footer
    000042-*        other files of a task, useful only to the run that made them
    *.job           files of the job as a whole, useful only to the run that made them

A part is written under a temporary name and renamed: a task may run twice at the same time, when a cluster has given up
a worker that is still at work, and then whoever is last replaces the part by the same bytes. A run first removes the
temporary files of earlier ones, so what still runs for them can commit nothing. The receipt is at the end of the same
file because creating another file would take a tenth of the time that a block takes. A part is reused only if its task,
body and receipt match their recorded digests, so nothing here needs fsync: after a crash of the machine, some parts are
made again.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Generic, Protocol, TypeVar

import msgspec
import xxhash

from poke_bc.contract.errors import PokeBCError, ShardError, UsageError
from poke_bc.contract.files import TEMPORARY, digest, digest_file, exclusively, temporary_name, write_json

STORE_SUFFIX = ".parts"
_LOCK, _PLAN, _PART = "lock", "plan.json", ".part"
_OURS = re.compile(rf"\d{{6,}}(-[0-9a-f]+)?\.[a-z]+|[a-z]+\.job|{_LOCK}|{_PLAN}|{re.escape(TEMPORARY)}.*")
"""Names of the files that a run writes to its store; others are never touched."""
_SIGNS = (_LOCK, _PLAN)
"""Files by which a folder is known as a store."""
_FOOTER = struct.Struct("<QQQQ")  # size and xxh3 of the body, size and xxh3 of the receipt


class Receipt(Protocol):
    """A msgspec.Struct that records what a part was made from and what is in it."""

    @property
    def trajectories(self) -> int:
        """Number of trajectories in the part; a part without any is not worth keeping."""


R = TypeVar("R", bound=Receipt)


class PartWriter:
    """Writes one part, which counts as missing until `commit`."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._xxh3 = file, xxhash.xxh3_64()
        self.size = 0
        """Bytes of the body so far."""

    def write(self, data: Any) -> None:
        """Append to the body: any buffer of bytes."""
        self._file.write(data)
        self._xxh3.update(data)
        self.size += memoryview(data).nbytes

    def commit(self, receipt: Receipt) -> None:
        """Finish the part by appending its receipt."""
        text = msgspec.json.encode(receipt)
        self._file.write(text)
        self._file.write(_FOOTER.pack(self.size, self._xxh3.intdigest(), len(text), xxhash.xxh3_64_intdigest(text)))


@dataclass(frozen=True)
class PartStore(Generic[R]):
    """The parts of one plan, by task number. Picklable, for tasks in other processes."""

    folder: Path
    receipt_type: type[R]

    def path(self, number: int, suffix: str = _PART) -> Path:
        """A file of a task; by default its part."""
        return self.folder / f"{number:06d}{suffix}"

    def job_file(self, name: str) -> Path:
        """A file of the job as a whole."""
        return self.folder / f"{name}.job"

    @contextlib.contextmanager
    def create(self, number: int) -> Iterator[PartWriter]:
        """A new part, which at the end of the block replaces an earlier one."""
        with self.replaced(self.path(number)) as file:
            yield PartWriter(file)

    @contextlib.contextmanager
    def replaced(self, path: Path) -> Iterator[BinaryIO]:
        """A file that appears at `path` at the end of the block, unless another run has taken the store meanwhile."""
        temporary = temporary_name(path)
        try:
            with open(temporary, "xb") as file:
                yield file
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def find(self, number: int) -> R | None:
        """The receipt of a part; None if it is missing or damaged. The body is not checked."""
        found = self._receipt(self.path(number))
        return found[0] if found else None

    def reuse(self, number: int, same: Callable[[R], bool]) -> R | None:
        """The receipt of a part, if `same` accepts it and the body matches its digest; else None."""
        path = self.path(number)
        found = self._receipt(path)
        if found is None or not same(found[0]):
            return None
        receipt, size, xxh3 = found
        return receipt if int(digest_file(path, size), 16) == xxh3 else None

    def body(self, number: int) -> bytes:
        """The body of a finished part. Raises ShardError if it has been damaged since."""
        path = self.path(number)
        found = self._receipt(path)
        if found is not None:
            with open(path, "rb") as file:
                body = file.read(found[1])
            if xxhash.xxh3_64_intdigest(body) == found[2]:
                return body
        raise ShardError(f"{path}: damaged during this run", hint="run the same command again")

    def finished(self) -> Iterator[R]:
        """Receipts of all finished parts."""
        for path in self.folder.glob(f"[0-9]*{_PART}"):
            if found := self._receipt(path):
                yield found[0]

    def _receipt(self, path: Path) -> tuple[R, int, int] | None:
        """The receipt, and the size and digest of the body."""
        try:
            with open(path, "rb") as file:
                end = file.seek(-_FOOTER.size, 2)
                size, body_xxh3, length, xxh3 = _FOOTER.unpack(file.read(_FOOTER.size))
                if size + length != end:
                    return None
                file.seek(size)
                text = file.read(length)
            if xxhash.xxh3_64_intdigest(text) != xxh3:
                return None
            return msgspec.json.decode(text, type=self.receipt_type), size, body_xxh3
        except (OSError, msgspec.DecodeError):
            return None

    def follow(self, plan: dict[str, Any]) -> None:
        """Discard the parts of any other plan, and the other files that a killed run left."""
        path = self.folder / _PLAN
        try:
            same = json.loads(path.read_bytes()) == plan
        except (FileNotFoundError, ValueError):
            same = False
        self._clear(keep=lambda name: name == _LOCK or (same and (name == _PLAN or name.endswith(_PART))))
        if not same:
            write_json(path, plan)

    def remove(self) -> None:
        """Remove the folder, unless it contains files that no job wrote."""
        self._clear(keep=lambda _: False)
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def _clear(self, keep: Callable[[str], bool]) -> None:
        for entry in sorted(self.folder.iterdir(), key=lambda each: each.name in _SIGNS):  # these last
            if _OURS.fullmatch(entry.name) and entry.is_file() and not keep(entry.name):
                with contextlib.suppress(*[PermissionError] * (entry.name == _LOCK)):  # on Windows it is in use
                    entry.unlink(missing_ok=True)


@contextlib.contextmanager
def open_store(folder: Path, receipt_type: type[R], output: Path, failed: type[PokeBCError]) -> Iterator[PartStore[R]]:
    """The store in `folder`, which only one run may use at a time; removed at the end.

    If the run ends early, finished parts are kept, unless they hold no trajectory at all.

    Args:
        folder: created if it is missing, with its parents.
        receipt_type: type of the parts' receipts.
        output: what the job writes, for messages.
        failed: raised for errors of the file system, such as a full disk.

    Raises UsageError while another run uses it.
    """
    store = PartStore(folder, receipt_type)
    try:
        is_new = not folder.parent.exists()
        if folder.is_dir() and not any(entry.name in _SIGNS for entry in folder.iterdir()) and any(folder.iterdir()):
            raise UsageError(f"{folder}: needed for finished tasks, but holds files of something else",
                             hint="move it away, or choose another output")
        folder.mkdir(parents=True, exist_ok=True)
        busy = UsageError(f"{output}: another run is writing it", hint="wait for it, or choose another --out")
        with exclusively(folder / _LOCK, busy):
            try:
                yield store
            except PokeBCError:
                if not any(receipt.trajectories for receipt in store.finished()):
                    store.remove()
                    if is_new and not any(folder.parent.iterdir()):
                        folder.parent.rmdir()
                raise
            except KeyboardInterrupt:
                if not any(receipt.trajectories for receipt in store.finished()):
                    raise
                raise KeyboardInterrupt("interrupted; finished tasks are kept, the same command continues") from None
            store.remove()
    except OSError as error:
        raise failed(f"{error.filename or output}: {error.strerror or error}",
                     hint=f"free space or fix permissions at {output}, or choose another --out; "
                          "finished tasks are kept, the same command continues") from None


def code_digest(*modules: str) -> str:
    """Digest of the files of packages and modules: parts made by other code are not reused."""
    files: list[tuple[str, Path]] = []
    for module in modules:
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(module)
        root = Path(spec.origin)
        inside = root.parent.rglob("*") if spec.submodule_search_locations else [root]
        files += ((f"{module}/{path.relative_to(root.parent)}", path) for path in inside
                  if "__pycache__" not in path.parts and path.is_file())
    return digest("".join(f"{name}:{digest_file(path)};" for name, path in sorted(files)).encode())
