"""Windows of the data, read ahead by a thread: each from the disk in ascending order, while the one before is used.

Two windows lie in memory, so 256 Ki rows of 1,000 bytes take half a gigabyte.

    W rows of a window
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.data.dataset import ShardDataset
from poke_bc.data.order import permute_window, window_chunks
from poke_bc.data.windows import Window, window_at

_PIECE = 1 << 13  # rows read at once: what they need besides the window stays small
Arrays = Mapping[str, NDArray[Any]]


@dataclass
class _Loaded:
    """A window in memory."""

    columns: Arrays
    """Its rows, ascending."""
    order: NDArray[np.int64]
    """Which of them come next; what is used is taken off."""


class WindowReader:
    """Rows in the order of `rows_at(..., window=window)`, as often as asked.

    Args:
        dataset: what to read.
        window: rows of a window.
        seed: of the order.
        start: position of the first row.
        stop: position after the last row; None: never.
    """

    def __init__(self, dataset: ShardDataset, window: int, *, seed: int, start: int, stop: int | None) -> None:
        self._dataset, self._window, self._seed = dataset, window, seed
        self._start, self._stop = start, stop
        self._free: queue.SimpleQueue[Arrays | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[_Loaded | BaseException] = queue.SimpleQueue()
        chunk = window_at(0, len(dataset), window).chunk
        largest = min(len(dataset), max(window, chunk) + chunk)  # the last window has the tail too
        for _ in range(2):
            self._free.put({name: tensor.numpy() for name, tensor in dataset.empty(largest).items()})
        self._loaded: _Loaded | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poke-bc-read", daemon=True)
        self._thread.start()

    def read(self, out: Arrays) -> None:
        """The next rows into arrays by tensor name, as many as they hold."""
        filled, wanted = 0, len(next(iter(out.values())))
        while filled < wanted:
            if self._loaded is None:
                item = self._ready.get()
                if isinstance(item, BaseException):
                    raise item
                self._loaded = item
            place_B = self._loaded.order[: wanted - filled]
            for name, array in out.items():
                self._loaded.columns[name].take(place_B, axis=0, out=array[filled : filled + len(place_B)], mode="clip")
            filled += len(place_B)
            self._loaded.order = self._loaded.order[len(place_B) :]
            if not len(self._loaded.order):
                self._free.put(self._loaded.columns)
                self._loaded = None

    def _run(self) -> None:
        position, rows = self._start, len(self._dataset)
        try:
            while self._stop is None or position < self._stop:
                epoch, place = divmod(position, rows)
                window = window_at(place, rows, self._window)
                buffer = self._free.get()
                if buffer is None or not self._load(window, epoch, buffer):
                    break
                order = permute_window(np.arange(place - window.start, len(window)), window,
                                       seed=self._seed, epoch=epoch)
                self._ready.put(_Loaded(buffer, order))
                position += len(order)
        except BaseException as error:  # handed over to the reader, who raises it
            self._ready.put(error)
        else:
            self._ready.put(EOFError("no rows left"))

    def _load(self, window: Window, epoch: int, buffer: Arrays) -> bool:
        """Read a window's rows, ascending; False when closed meanwhile."""
        chunk_starts = window_chunks(window, seed=self._seed, epoch=epoch) * window.chunk
        place_W = (chunk_starts[:, None] + np.arange(window.chunk)).reshape(-1)[: len(window)]
        for first in range(0, len(window), _PIECE):
            if self._closing.is_set():
                return False
            rows = self._dataset.rows[place_W[first : first + _PIECE]]
            self._dataset.gather(rows, {name: array[first : first + len(rows)] for name, array in buffer.items()})
        return True

    def close(self) -> None:
        """End the thread; safe to call twice."""
        self._closing.set()
        self._free.put(None)
        self._thread.join()
