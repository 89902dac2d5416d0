"""Files under URLs, through fsspec: s3://, gs://, https://, memory:// and whatever else it has a package for.

Inputs are read where they are: as a stream, or in ranges of bytes. Outputs are built in a local folder and uploaded.
Credentials and addresses of servers come from fsspec's own configuration and the environment.
"""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

from poke_bc.contract.errors import InputError, PokeBCError, UsageError
from poke_bc.contract.files import digest, user_cache

_URL = re.compile(r"(?P<protocol>[a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_ON_DISK = ("file", "local")
_AHEAD = 8 << 20
_BUFFER = 1 << 20


def is_url(name: object) -> bool:
    """Whether this names a file that is not on disk.

    >>> is_url("s3://bucket/raw.jsonl"), is_url("raw.jsonl"), is_url("file:///data/raw.jsonl")
    (True, False, False)
    """
    found = _URL.match(str(name))
    return found is not None and found["protocol"].lower() not in _ON_DISK


def as_path(name: str | Path) -> str:
    """A name as it was given, but for file:// the path.

    >>> as_path("file:///data/raw.jsonl"), as_path("s3://bucket/raw.jsonl")
    ('/data/raw.jsonl', 's3://bucket/raw.jsonl')
    """
    found = _URL.match(str(name))
    return str(name)[found.end():] if found and not is_url(name) else str(name)


def is_private(name: str) -> bool:
    """Whether other processes cannot see it."""
    return name.startswith("memory://")


@contextlib.contextmanager
def _told(url: str, what: str = "cannot be read") -> Iterator[None]:
    """Context in which errors name the URL: each file system has its own ones."""
    try:
        yield
    except PokeBCError:
        raise
    except Exception as error:
        raise InputError(f"{url}: {what} ({str(error) or type(error).__name__})",
                         hint="check the address and the credentials; finished tasks are kept, the same command "
                              "continues") from None


def _file_system(url: str) -> tuple[Any, str]:
    """The file system of a URL, and the path in it. Raises UsageError where there is none for it."""
    from fsspec.core import url_to_fs  # 0.1 s that local files do not need

    try:
        system, path = url_to_fs(url)
    except (ImportError, ValueError) as error:  # which names the package that is missing
        raise UsageError(f"{url}: {error}", hint="install the package of this file system; for s3://: "
                                                 "pip install 'poke-bc[s3]'") from None
    return system, path


class _UrlFile(io.RawIOBase):
    """A file under a URL."""

    def __init__(self, url: str, *, ahead: bool) -> None:
        self._url = url
        with _told(url):
            system, path = _file_system(url)
            options = {"cache_type": "readahead", "block_size": _AHEAD} if ahead else {"cache_type": "none"}
            self._file = system.open(path, "rb", **options)

    def readable(self) -> bool:
        """For io.BufferedReader."""
        return True

    def seekable(self) -> bool:
        """For io.BufferedReader."""
        return bool(self._file.seekable())

    def readinto(self, buffer: Any) -> int:
        """For io.BufferedReader."""
        with _told(self._url):
            data = self._file.read(len(buffer))
        buffer[:len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """For io.BufferedReader."""
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        """For io.BufferedReader."""
        return int(self._file.tell())

    def close(self) -> None:
        """Close it."""
        if not self.closed:
            self._file.close()
        super().close()


def open_input(name: str, *, ahead: bool = False) -> IO[bytes]:
    """An input file, on disk or under a URL. Raises InputError where a URL cannot be read.

    Args:
        name: path or URL.
        ahead: whether it is read from beginning to end.
    """
    if not is_url(name):
        return open(name, "rb", buffering=0) if ahead else open(name, "rb")
    return io.BufferedReader(_UrlFile(name, ahead=ahead), _BUFFER)


def url_bytes(url: str) -> int | None:
    """Size of the file; None where the server does not tell."""
    with _told(url):
        system, path = _file_system(url)
        size = system.info(path).get("size")
        return None if size is None else int(size)


def find_urls(url: str, *, recursive: bool) -> tuple[str, list[str]]:
    """The files that a URL names: ("file", itself), or ("folder" or "glob", those below it or that match, sorted).

    Raises UsageError where there is nothing.
    """
    with _told(url):
        system, path = _file_system(url)
        system.invalidate_cache()
        if system.isfile(path):
            return "file", [url]
        kind = "folder" if system.isdir(path) else "glob" if re.search(r"[*?\[]", path) else ""
        if not kind:
            raise UsageError(f"{url}: no such file", hint="check the address")
        found = system.find(path, maxdepth=None if recursive else 1) if kind == "folder" else [
            each for each in system.glob(path) if system.isfile(each)]
        return kind, sorted(system.unstrip_protocol(each) for each in found)


@contextlib.contextmanager
def built_locally(url: str, work: Path | None) -> Iterator[Path]:
    """A path, in a folder for this URL, where the output can be built: the same one for every run.

    The block ends with an upload; if it ends without an error, the folder is removed.

    Args:
        url: what it is built for.
        work: folder for such folders; None: in the user's cache.
    """
    base = work or (user_cache() or Path(".poke-bc")) / "work"
    name = PurePosixPath(url.rstrip("/")).name
    folder = base / f"{digest(url.encode())[:8]}-{name}"
    is_new = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder / name
    except BaseException:
        if is_new and not any(folder.iterdir()):
            folder.rmdir()
        raise
    shutil.rmtree(folder, ignore_errors=True)


def upload(folder: Path, names: Sequence[str], url: str) -> None:
    """Upload files one after the other, under the same names.

    Raises InputError, and tells where the files are.
    """
    system, path = _file_system(url)
    try:
        with _told(url, "cannot be written"):
            system.invalidate_cache()
            system.makedirs(path, exist_ok=True)
            for name in names:
                system.put_file(str(folder / name), f"{path}/{name}")
    except InputError as error:
        raise InputError(error.what, hint=f"the result is complete in {folder}; copy it from there, or run the same "
                                          "command again") from None


def fetch(url: str, target: Path) -> None:
    """Copy a file from a URL to a path, if it is there. Raises InputError."""
    with _told(url):
        system, path = _file_system(url)
        system.invalidate_cache()
        if system.exists(path):
            system.get_file(path, str(target))


def remove(url: str, names: Sequence[str]) -> None:
    """Remove files of a folder, where they are there."""
    with _told(url, "cannot be changed"):
        system, path = _file_system(url)
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                system.rm_file(f"{path}/{name}")
