"""Loaded by every Python process that has this folder on PYTHONPATH: counts calls that change files, and kills at one.

Inert unless WATCHED is set. Then every call to the operating system that changes something below that folder, of this
process and of all that it starts, is a line of the file COUNTED; and before the KILL_AT-th is made (of a write: when
half of it is made) SIGKILL ends all of them, or with KILL_ALONE the one that calls. KILL_WITH names another signal, or
ENOSPC: the disk is full then, from that call on, for all that makes files or writes into them.

Paths are watched by audit events, which no Python code gets around, whichever function it calls; what works on open
files is wrapped. Libraries that open files without Python (Arrow, Polars, safetensors) are not seen, but what is
done with their files afterwards is.
"""

from __future__ import annotations

import _io
import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

WATCHED, COUNTED = os.environ.get("WATCHED", ""), os.environ.get("COUNTED", "")
KILL_AT, KILL_ALONE = int(os.environ.get("KILL_AT", "0")), bool(os.environ.get("KILL_ALONE"))
KILL_WITH = os.environ.get("KILL_WITH", "SIGKILL")
WIDTH = 128
"""Bytes of a line of COUNTED."""
PATHS = {"os.rename": (0, 1), "os.remove": (0,), "os.rmdir": (0,), "os.mkdir": (0,), "os.link": (0, 1),
         "os.symlink": (1,), "os.truncate": (0,), "os.chmod": (0,), "os.utime": (0,)}
"""Audit event -> which of its arguments are the paths it changes."""
FOLDERS = {"os.rename": (2, 3), "os.remove": (1,), "os.rmdir": (1,), "os.mkdir": (2,), "os.link": (2, 3),
           "os.symlink": (2,), "os.chmod": (2,), "os.utime": (3,)}
"""Audit event -> which of its arguments are the folders that those paths are relative to, -1: none."""
WRITES = ("write", "writev", "pwrite", "pwritev")
NEEDS_ROOM = (*WRITES, "open", "mkdir", "symlink", "file.write", "fsync", "posix_fallocate", "copy_file_range")
OTHERS = ("fsync", "fdatasync", "posix_fallocate", "copy_file_range", "sendfile")
_write, _readlink, _open = os.write, os.readlink, os.open  # as they were
counted = -1
inside = False
"""Whether the hook itself is at work."""


def path_of(file: Any) -> str:
    """Of a name or of an open file; "" for what is neither, such as a pipe."""
    if isinstance(file, int):
        try:
            return _readlink(f"/proc/self/fd/{file}").removesuffix(" (deleted)")
        except OSError:
            return ""
    try:
        return os.path.abspath(os.fsdecode(file))  # noqa: PTH100 - must not follow links
    except TypeError:
        return ""


def is_watched(path: str) -> bool:
    return path == WATCHED or path.startswith(f"{WATCHED}{os.sep}")


def count(name: str, path: str, half: Callable[[], Any] = lambda: None) -> None:
    """Note a call that is about to be made; `half` makes a part of it before a kill."""
    global inside
    if inside or not is_watched(path):
        return
    inside = True
    try:
        line = f"{os.getpid()} {name} {path[len(WATCHED) + 1:]}".encode()[:WIDTH - 1]
        _write(counted, line.ljust(WIDTH - 1) + b"\n")
        if 0 < KILL_AT * WIDTH <= (place := os.lseek(counted, 0, os.SEEK_CUR)):
            strike(name, path, half, is_first=place == KILL_AT * WIDTH)
    finally:
        inside = False


def strike(name: str, path: str, half: Callable[[], Any], *, is_first: bool) -> None:
    """Do the harm that was asked for to a call that is about to be made."""
    if KILL_WITH == "ENOSPC":
        if name in NEEDS_ROOM:
            half() if is_first else None
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
    elif is_first:
        half() if KILL_WITH == "SIGKILL" else None  # a call goes on or fails after any other
        number = signal.Signals[KILL_WITH]
        os.kill(os.getpid(), number) if KILL_ALONE else os.killpg(0, number)


def audited(event: str, arguments: tuple[Any, ...]) -> None:
    """Count what changes paths, and files opened for writing."""
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) and not isinstance(path, int):
            count("open", path_of(path))
    elif event in PATHS:
        for place, path in enumerate(PATHS[event]):
            folder = arguments[FOLDERS[event][place]] if event in FOLDERS else -1
            name = path_of(arguments[path])
            if isinstance(folder, int) and folder >= 0:
                name = f"{path_of(folder)}/{os.fsdecode(arguments[path])}"
            if is_watched(name):
                count(event.removeprefix("os."), name)
                break


def wrapped(function: Callable[..., Any], *, writes: bool) -> Callable[..., Any]:
    """A function of `os` on an open file, counted."""
    def call(descriptor: int, *arguments: Any, **keywords: Any) -> Any:
        def half() -> None:
            data = memoryview(arguments[0]).cast("B")
            function(descriptor, data[:len(data) // 2], *arguments[1:], **keywords)

        vectored = function.__name__.endswith("v")
        count(function.__name__, path_of(descriptor), half if writes and not vectored else lambda: None)
        return function(descriptor, *arguments, **keywords)

    return call


def opened(file: Any, *arguments: Any, **keywords: Any) -> Any:
    """`open`, its file's methods counted when it writes below WATCHED."""
    stream = _io_open(file, *arguments, **keywords)
    if not stream.writable() or not is_watched(path_of(stream.fileno())):
        return stream
    write, flush, close = stream.write, stream.flush, stream.close
    path, closing = path_of(stream.fileno()), False

    def counted_write(data: Any) -> Any:
        def half() -> None:
            write(data[:len(data) // 2])
            flush()

        count("file.write", path, half)
        return write(data)

    def counted_flush() -> Any:
        if not (stream.closed or closing):
            count("file.flush", path)
        return flush()

    def counted_close() -> Any:
        nonlocal closing
        if not stream.closed:
            count("file.close", path)
        closing = True  # which flushes
        return close()

    stream.write, stream.flush, stream.close = counted_write, counted_flush, counted_close
    return stream


if WATCHED:
    counted = _open(COUNTED, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    _io_open = io.open
    for name in (*WRITES, *OTHERS):
        setattr(os, name, wrapped(getattr(os, name), writes=name in WRITES))
    import builtins

    builtins.open = io.open = _io.open = opened
    sys.addaudithook(audited)
