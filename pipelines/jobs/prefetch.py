"""Prefetch: a thread makes the next items while the current one is being used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def prefetch(items: Generator[T], depth: int = 2) -> Generator[T]:
    """The same items in the same order, up to `depth` of them made before they are needed.

    An error from `items` is raised after the items before it. Closing the generator closes `items` and waits for the
    item being made, so it must not be used for sources that may block, such as pipes.
    """
    made: queue.SimpleQueue[tuple[T] | BaseException | None] = queue.SimpleQueue()
    room, closed = threading.Semaphore(depth - 1), threading.Event()

    def make() -> None:
        end: BaseException | None = None
        try:
            for item in items:
                made.put((item,))
                room.acquire()
                if closed.is_set():
                    break
            items.close()
        except BaseException as error:  # raised in the thread that reads
            end = error
        made.put(end)

    thread = threading.Thread(target=make, name="prefetch", daemon=True)
    thread.start()
    try:
        while isinstance(item := made.get(), tuple):
            room.release()
            yield item[0]
    finally:
        closed.set()
        room.release()
        thread.join()
    if item is not None:
        raise item
