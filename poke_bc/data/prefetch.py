"""Prefetched windows: a thread reads the next one from the disk in ascending order while this one is handed out.

Two windows lie in memory: 256 Ki rows of 1,000 bytes take half a gigabyte, sequences of S rows S times that.

    W samples of a window
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
from poke_bc.data.order import SampleOrder, Window, window_at

_AT_ONCE = 1 << 13  # samples read together: what they need besides the window stays small
Arrays = Mapping[str, NDArray[Any]]


@dataclass
class _Loaded:
    """A window in memory."""

    columns: Arrays
    """Its samples, in ascending order of their rows."""
    order: NDArray[np.int64]
    """Which of them come next; those handed out are taken off."""


class WindowPrefetcher:
    """The samples of an order with windows, one after the other. With several ranks each reads whole windows.

    Args:
        dataset: what to read.
        order: with a window.
    """

    def __init__(self, dataset: ShardDataset, order: SampleOrder) -> None:
        assert order.window is not None
        self._dataset, self._order, self._window = dataset, order, order.window
        self._free: queue.SimpleQueue[Arrays | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[_Loaded | BaseException] = queue.SimpleQueue()
        chunk = window_at(0, order.rows, self._window).chunk
        largest = min(order.rows, max(self._window, chunk) + chunk)  # the last window has the tail too
        for _ in range(2):
            self._free.put({name: tensor.numpy() for name, tensor in dataset.empty(largest).items()})
        self._loaded: _Loaded | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poke-bc-prefetch", daemon=True)
        self._thread.start()

    def read(self, out: Arrays, count: int) -> None:
        """The next `count` samples into arrays [count, ...] by column."""
        filled = 0
        while filled < count:
            if self._loaded is None:
                item = self._ready.get()
                if isinstance(item, BaseException):
                    raise item
                self._loaded = item
            place_B = self._loaded.order[: count - filled]
            for name, array in out.items():
                self._loaded.columns[name].take(place_B, axis=0, out=array[filled : filled + len(place_B)], mode="clip")
            filled += len(place_B)
            self._loaded.order = self._loaded.order[len(place_B) :]
            if not len(self._loaded.order):
                self._free.put(self._loaded.columns)
                self._loaded = None

    def _run(self) -> None:
        position, rows, stop = self._order.start, self._order.rows, self._order.stop
        try:
            while stop is None or position < stop:
                epoch, place = divmod(position, rows)
                window = window_at(place, rows, self._window)
                end = position - place + window.stop
                places = self._order.positions(position, end if stop is None else min(end, stop)) - epoch * rows
                position = end
                if not len(places):
                    continue
                buffer = self._free.get()
                if buffer is None or not self._load(window, epoch, buffer):
                    break
                self._ready.put(_Loaded(buffer, window.shuffled(places, seed=self._order.seed, epoch=epoch)))
        except BaseException as error:  # handed over to the reader, who raises it
            self._ready.put(error)
        else:
            self._ready.put(EOFError("no rows left"))

    def _load(self, window: Window, epoch: int, buffer: Arrays) -> bool:
        """Read a window's samples in ascending order; False when closed meanwhile."""
        chunk_starts = window.chunks(seed=self._order.seed, epoch=epoch) * window.chunk
        place_W = (chunk_starts[:, None] + np.arange(window.chunk)).reshape(-1)[: len(window)]
        for first in range(0, len(window), _AT_ONCE):
            if self._closing.is_set():
                return False
            rows = self._dataset.rows_of(place_W[first : first + _AT_ONCE])
            self._dataset.gather(rows, {name: array[first : first + len(rows)] for name, array in buffer.items()})
        return True

    def close(self) -> None:
        """End the thread; safe to call twice."""
        self._closing.set()
        self._free.put(None)
        self._thread.join()
