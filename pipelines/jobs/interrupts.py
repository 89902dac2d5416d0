"""Ctrl-C and SIGTERM at moments in which they would do harm."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)
_CAN_BLOCK = hasattr(signal, "pthread_sigmask")  # not on Windows


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Context in which Ctrl-C is deferred until the end; SIGTERM too, where it is handled like Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is interrupted
        return
    received: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: received.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if received:
        signal.raise_signal(received[0])


@contextlib.contextmanager
def interrupts_blocked() -> Iterator[None]:
    """Context in which no interrupt arrives; a process that is started in it begins with them blocked."""
    if not _CAN_BLOCK:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def unblock_interrupts() -> None:
    """For a process that began with them blocked, once it handles them."""
    if _CAN_BLOCK:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _INTERRUPTS)
