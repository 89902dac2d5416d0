"""BatchFeeder: batches without waiting, in an order that a resumed run continues exactly.

One thread gathers rows into three reused buffers while the policy works on the previous batch. A thread is enough:
numpy's take releases the interpreter lock, and passing a batch between threads costs nothing.

With a GPU the buffers are pinned and copied on a separate stream; a buffer is refilled only after its copy, and a
device buffer only after the work on it. Data that fits into the device's memory is kept there (resident), and then not
even row numbers cross the bus.
"""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from poke_bc.contract.closing import Closing
from poke_bc.data.batch import Batch
from poke_bc.data.buffers import Packing, Slot
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.device import Accelerator, accelerator_of
from poke_bc.data.modes import Mode, Resident, Streaming, Windowed
from poke_bc.data.order import SampleOrder

_SLOTS = 3  # one in use, one ready, one being filled
_RESIDENT_FRACTION = 0.5  # of the device's free memory


@dataclass(frozen=True, kw_only=True)
class PackedBatch:
    """A batch as it travels: one tensor, and the mode that knows how to unpack it on the device.

    A captured step copies the tensor to where its graph expects it, and unpacks it inside the graph.
    """

    raw: Tensor
    """On the device; valid until the next batch. Always of the same shape."""
    count: int
    """Samples in it; `raw` may have room for more."""
    is_full: bool
    position: int
    """As in Batch."""
    mode: Mode
    steps: range | None
    tensors: Mapping[str, Tensor] | None = None
    """`raw` unpacked, where that is already done."""

    def unpack(self) -> Batch:
        """The batch, unpacked on the device."""
        tensors = self.mode.unpack(self.raw) if self.tensors is None else self.tensors
        if not self.is_full:
            tensors = {name: tensor[: self.count] for name, tensor in tensors.items()}
        return Batch(tensors, position=self.position, steps=self.steps)


class BatchFeeder(Closing):
    """Iterator of batches over a dataset, epoch after epoch.

    Batches have `batch_size` samples and continue across epochs, so that shapes never change; only the last one before
    `stop` may be shorter. Which samples come at a position depends on (seed, window, position) and the data alone.
    Close it, or use it in a `with` statement; one that is garbage-collected ends its threads too, but not immediately.

    Args:
        dataset: what to feed.
        batch_size: samples per batch, over all ranks.
        seed: seed of the order.
        start: samples already used; a resumed run passes `Batch.position` of its last batch.
        stop: position to stop at; None: never (with shuffle=False: after one pass).
        device: the device of the batches.
        shuffle: False: the rows in ascending order.
        window: shuffle within windows of about this many rows, read a chunk at a time (see order.py).
        rank, ranks: yield this rank's slice of every batch; all ranks get equally many batches.
        resident: keep all rows on the device; None: on a GPU, when they fit.
        accelerator: used for the device; None: `accelerator_of(device)`.

    Raises ValueError for arguments out of range, and for a dataset without rows.
    """

    def __init__(self, dataset: ShardDataset, batch_size: int, *, seed: int = 0, start: int = 0,
                 stop: int | None = None, device: str | torch.device = "cpu", shuffle: bool = True,
                 window: int | None = None, rank: int = 0, ranks: int = 1, resident: bool | None = None,
                 accelerator: Accelerator | None = None) -> None:
        self.dataset = dataset
        self.device = torch.device(device)
        self.wait_seconds = 0.0
        """Time that `next()` spent waiting for input."""
        self.order = SampleOrder(
            rows=len(dataset), batch_size=batch_size, seed=seed, start=start, shuffle=shuffle, window=window,
            stop=stop if stop is not None or shuffle else len(dataset), rank=rank, ranks=ranks)
        accelerator = accelerator or accelerator_of(self.device)
        if resident is None:
            resident = self.device.type == "cuda" and _fits(dataset, self.device)
        kind = Resident if resident else Windowed if shuffle and window else Streaming
        self._position = start
        self._mode: Mode = kind(dataset, self.order, self.device, accelerator)
        self._free: queue.SimpleQueue[Slot | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        try:
            self._slots = [self._mode.slot() for _ in range(_SLOTS)]
        except BaseException:
            self._mode.close()
            raise
        for slot in self._slots:
            self._free.put(slot)
        self._in_use: Slot | None = None
        self._ended = False
        closing = threading.Event()
        # The thread must not refer to the feeder, which could then never be garbage-collected. The finalizer may run in
        # any thread, so it waits for none.
        self._end_soon = weakref.finalize(self, _end_soon, closing, self._free)
        self._end_soon.atexit = False
        self._thread = threading.Thread(target=_gather, args=(self._mode, self._free, self._ready, closing),
                                        name="poke-bc-feed", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return self.next_packed().unpack()

    def next_packed(self) -> PackedBatch:
        """The next batch, not unpacked yet. Raises StopIteration at the end."""
        if self._ended:
            raise StopIteration
        if self._in_use is not None:
            self._in_use.release()
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
        self._in_use, count = item
        self._position = self.order.after(self._position)
        return PackedBatch(raw=self._in_use.receive(), count=count, is_full=count == len(self.order.places),
                           position=self._position, mode=self._mode, steps=self.dataset.steps,
                           tensors=self._in_use.tensors)

    def close(self) -> None:
        """End the threads; safe to call twice."""
        self._ended = True
        self._end_soon()
        self._mode.close()
        self._thread.join()
        for slot in self._slots:  # their memory may be reused only after copies that are still under way
            slot.receive()


_Item = tuple[Slot, int] | BaseException | None


def _gather(mode: Mode, free: queue.SimpleQueue[Slot | None], ready: queue.SimpleQueue[_Item],
            closing: threading.Event) -> None:
    """The gather thread: fill free slots until the order ends or the feeder is closed."""
    try:
        for batch in mode.batches():
            slot = free.get()
            if slot is None or closing.is_set():
                return
            mode.fill(slot, batch)
            ready.put((slot, len(batch)))
        ready.put(None)
    except BaseException as error:  # the consumer raises it
        ready.put(error)
    finally:
        mode.close()


def _end_soon(closing: threading.Event, free: queue.SimpleQueue[Slot | None]) -> None:
    closing.set()
    free.put(None)


def _fits(dataset: ShardDataset, device: torch.device) -> bool:
    rows = len(dataset) if dataset.steps is None else len(dataset.shards)  # sequences reach unselected rows too
    return Packing(dataset.row_layout, rows).nbytes < _RESIDENT_FRACTION * torch.cuda.mem_get_info(device)[0]
