"""Prefetching of shuffle windows: a thread reads the next one from disk, in ascending order, into the page cache.

Rows are then gathered from the memory map as always, from pages that are already in memory. If the system drops pages
because memory is short, gathering becomes slower and nothing else changes. Two windows should fit into memory.
"""

from __future__ import annotations

import threading

from poke_bc.data.dataset import ShardDataset
from poke_bc.data.order import SampleOrder, window_at


class WindowPrefetcher:
    """Prefetches up to one window beyond the position that the feeder needs; `order` must have a window."""

    def __init__(self, dataset: ShardDataset, order: SampleOrder) -> None:
        self._dataset, self._order = dataset, order
        self._changed = threading.Condition()
        self._needed = self._loaded = order.start
        self._closing = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="poke-bc-prefetch", daemon=True)
        self._thread.start()

    def wait_for(self, position: int) -> None:
        """Wait until the rows of all positions before this one have been read. Raises the error if reading failed."""
        with self._changed:
            self._needed = position
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._loaded >= position or self._closing or self._error)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        order, window_rows = self._order, self._order.window or 0
        try:
            while order.stop is None or self._loaded < order.stop:
                with self._changed:
                    self._changed.wait_for(lambda: self._closing or self._loaded < self._needed + window_rows)
                epoch, place = divmod(self._loaded, order.rows)
                window = window_at(place, order.rows, window_rows)
                for chunk in window.chunks(seed=order.seed, epoch=epoch).tolist():
                    if self._closing:
                        return
                    self._dataset.read_through(chunk * window.chunk, min((chunk + 1) * window.chunk, order.rows))
                self._advance(self._loaded - place + window.stop)
        except BaseException as error:  # wait_for raises it
            self._error = error
            self._advance(self._loaded)

    def _advance(self, position: int) -> None:
        with self._changed:
            self._loaded = position
            self._changed.notify_all()

    def close(self) -> None:
        """End the thread; safe to call twice."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()
