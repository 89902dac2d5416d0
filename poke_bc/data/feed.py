"""BatchFeeder: batches without waiting, in an order that a resumed run takes up exactly.

One thread gathers rows into a ring of reused buffers while the policy works on the batch before. One thread,
not worker processes: numpy's take frees the interpreter lock, and handing a batch over costs nothing.

With a GPU the buffers are pinned and copied on a stream of their own; a buffer is filled again only after its
copy, and a device buffer only after the work on it. Data that fits into the device's memory lives there whole
(resident), and only row numbers cross the bus.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poke_bc.data.batch import TENSORS, Batch
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.order import rows_at

_RING = 3  # one in use, one ready, one being filled
_ORDER_CHUNK = 1 << 16  # positions whose rows are worked out at once; small batches share the cost
_RESIDENT_SHARE = 0.5  # of the device's free memory


class BatchFeeder:
    """Iterator of batches over a dataset, epoch after epoch.

    Batches have `batch_size` rows and run on over epoch borders, so that shapes never change; only the last
    one before `stop` may be shorter. What comes at position p depends on (seed, p) and the data alone.

    Args:
        dataset: what to feed.
        batch_size: rows of a batch.
        seed: of the order.
        start: samples already used; a resumed run gives `Batch.position` of its last batch.
        stop: samples after which it ends; None: never (with shuffle=False: after one pass).
        device: where batches are wanted.
        shuffle: False gives the rows in their order.
        resident: keep all selected rows on the device; None: on a GPU, when they fit.
    """

    def __init__(self, dataset: ShardDataset, batch_size: int, *, seed: int = 0, start: int = 0,
                 stop: int | None = None, device: str | torch.device = "cpu", shuffle: bool = True,
                 resident: bool | None = None) -> None:
        if not len(dataset):
            raise ValueError("the dataset has no rows")
        if batch_size < 1:
            raise ValueError("batch_size must be at least 1")
        self.dataset = dataset
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.wait_seconds = 0.0
        """Time that `next()` spent waiting for input."""
        self._seed, self._shuffle, self._start = seed, shuffle, start
        self._stop = stop if stop is not None or shuffle else len(dataset)
        if resident is None:
            resident = self.device.type == "cuda" and _fits(dataset, self.device)
        self._store = _ResidentStore(dataset, self.device) if resident else None
        slots = [_Slot(dataset, batch_size, self.device, gathers=self._store is None) for _ in range(_RING)]
        self._free: queue.SimpleQueue[_Slot | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[tuple[_Slot, int, int] | BaseException | None] = queue.SimpleQueue()
        for slot in slots:
            self._free.put(slot)
        self._in_use: _Slot | None = None
        self._ended = False
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="poke-bc-feed", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        if self._ended:
            raise StopIteration
        if self._in_use is not None:
            self._in_use.mark_used()
            self._free.put(self._in_use)
            self._in_use = None
        started = time.perf_counter()
        item = self._ready.get()
        self.wait_seconds += time.perf_counter() - started
        if not isinstance(item, tuple):
            self._ended = True
            if item is None:
                raise StopIteration
            raise item
        self._in_use, count, position = item
        tensors = self._in_use.take(count)
        if self._store is not None:
            tensors = self._store.take(tensors["rows"])
        return Batch.of(tensors, position)

    def _run(self) -> None:
        """The gather thread: fill free slots until the end or `close`."""
        try:
            for rows, position in self._schedule():
                slot = self._free.get()
                if slot is None or self._closing.is_set():
                    return
                slot.fill(self.dataset, rows if self._store is not None else self.dataset.rows[rows])
                self._ready.put((slot, len(rows), position))
            self._ready.put(None)
        except BaseException as error:  # handed over to the consumer, who raises it
            self._ready.put(error)

    def _schedule(self) -> Iterator[tuple[NDArray[np.int64], int]]:
        """Places [B] of each batch and the position after it."""
        position, ahead = self._start, np.empty(0, np.int64)
        while self._stop is None or position < self._stop:
            count = self.batch_size if self._stop is None else min(self.batch_size, self._stop - position)
            if len(ahead) < count:
                left = _ORDER_CHUNK if self._stop is None else self._stop - position
                more = max(count, min(_ORDER_CHUNK, left))
                ahead = np.concatenate([ahead, rows_at(position + len(ahead), more, len(self.dataset),
                                                       seed=self._seed, shuffle=self._shuffle)])
            position += count
            yield ahead[:count], position
            ahead = ahead[count:]

    def close(self) -> None:
        """End the thread; safe to call twice."""
        self._closing.set()
        self._ended = True
        self._free.put(None)
        self._thread.join()

    def __enter__(self) -> BatchFeeder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


class _Slot:
    """One buffer of the ring; on a GPU a pinned half, a device half, and the events that guard their reuse."""

    def __init__(self, dataset: ShardDataset, size: int, device: torch.device, *, gathers: bool) -> None:
        on_gpu = device.type == "cuda"
        self._gathers = gathers
        self._host = dataset.empty(size, pin=on_gpu) if gathers else {"rows": torch.empty(size, dtype=torch.int64,
                                                                                          pin_memory=on_gpu)}
        self._arrays = {name: tensor.numpy() for name, tensor in self._host.items()}
        self._device = {name: torch.empty_like(tensor, device=device) for name, tensor in self._host.items()} \
            if on_gpu else self._host
        # torch does not type the constructors of streams and events
        self._stream = torch.cuda.Stream(device) if on_gpu else None  # type: ignore[no-untyped-call]
        self._copied = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]
        self._used = torch.cuda.Event() if on_gpu else None  # type: ignore[no-untyped-call]

    def fill(self, dataset: ShardDataset, rows_B: NDArray[np.int64]) -> None:
        """Gather, and send on its way to the device. Runs in the gather thread."""
        if self._copied is not None:
            self._copied.synchronize()  # the pinned half may still be read by the copy before
        arrays = {name: array[: len(rows_B)] for name, array in self._arrays.items()}
        if self._gathers:
            dataset.gather(rows_B, arrays)
        else:
            arrays["rows"][:] = rows_B
        if self._stream is not None and self._copied is not None and self._used is not None:
            with torch.cuda.stream(self._stream):
                self._stream.wait_event(self._used)
                for name, tensor in self._host.items():
                    self._device[name][: len(rows_B)].copy_(tensor[: len(rows_B)], non_blocking=True)
                self._copied.record(self._stream)

    def take(self, count: int) -> dict[str, Tensor]:
        """The first `count` rows, safe to use on the current stream."""
        if self._copied is not None:
            torch.cuda.current_stream().wait_event(self._copied)
        return {name: tensor[:count] for name, tensor in self._device.items()}

    def mark_used(self) -> None:
        """All work on this slot has been queued: its device half may be overwritten after that work."""
        if self._used is not None:
            self._used.record(torch.cuda.current_stream())


class _ResidentStore:
    """All selected rows on the device; batches are gathered there."""

    def __init__(self, dataset: ShardDataset, device: torch.device) -> None:
        columns: dict[str, Any] = dataset.empty(len(dataset))
        dataset.gather(dataset.rows, {name: tensor.numpy() for name, tensor in columns.items()})
        self._columns: dict[str, Tensor] = {name: columns[name].to(device) for name in TENSORS}

    def take(self, rows_B: Tensor) -> dict[str, Tensor]:
        # index_select knows no uint16: gather the same bits as int16
        return {name: (column.view(torch.int16).index_select(0, rows_B).view(torch.uint16)
                       if column.dtype == torch.uint16 else column.index_select(0, rows_B))
                for name, column in self._columns.items()}


def _fits(dataset: ShardDataset, device: torch.device) -> bool:
    size = sum(tensor.nbytes for tensor in dataset.empty(1).values()) * len(dataset)
    return size < _RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
