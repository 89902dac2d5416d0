"""Read ahead: a thread makes the next items while the one before is being worked on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")


def read_ahead(items: Generator[T], depth: int = 2) -> Generator[T]:
    """The same items in the same order, at most `depth` of them made before they are asked for.

    What `items` raises is raised here, after the items before it. Closing this closes `items` and ends the thread
    once the item under way is made: nothing for a source that may keep one waiting, such as a pipe.
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
        except BaseException as error:  # the reader's to raise
            end = error
        made.put(end)

    thread = threading.Thread(target=make, name="read-ahead", daemon=True)
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
