"""BatchFeeder: batches without waiting, in an order that a resumed run takes up exactly.

One thread gathers rows into a ring of reused buffers while the policy works on the batch before. One thread,
not worker processes: numpy's take frees the interpreter lock, and handing a batch over costs nothing.

With a GPU the buffers are pinned and copied on a stream of their own; a buffer is filled again only after its
copy, and a device buffer only after the work on it. Data that fits into the device's memory lives there whole
(resident), and not even row numbers cross the bus.
"""

from __future__ import annotations

import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType

import torch
from torch import Tensor

from poke_bc.data import windows
from poke_bc.data.batch import Batch
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.device import Accelerator, accelerator_of
from poke_bc.data.ring import Packing, Slot
from poke_bc.data.sources import Feed, Resident, Source, Streamed, Windowed

_RING = 3  # one in use, one ready, one being filled
_RESIDENT_SHARE = 0.5  # of the device's free memory


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A batch as it travels: one tensor, and how to make the batch of it on the device.

    A captured step copies the tensor to where the graph expects it, and does the rest inside the graph.
    """

    raw: Tensor
    """On the device; holds until the next delivery. Always of the same shape."""
    count: int
    """Rows of the batch: of all that `raw` can hold, the first ones."""
    position: int
    """Samples handed out up to and including this batch."""
    unpack: Callable[[Tensor], Mapping[str, Tensor]]
    """`raw` -> tensors of a batch, by name; queues work on the device, and waits for nothing."""
    tensors: Mapping[str, Tensor] | None = None
    """`raw` unpacked, where that is done already."""

    def __len__(self) -> int:
        return self.count

    def batch(self) -> Batch:
        """What a policy is given."""
        tensors = self.unpack(self.raw) if self.tensors is None else self.tensors
        if self.count < len(tensors["action"]):
            tensors = {name: tensor[: self.count] for name, tensor in tensors.items()}
        return Batch.of(tensors, self.position)


class BatchFeeder:
    """Iterator of batches over a dataset, epoch after epoch.

    Batches have `batch_size` rows and run on over epoch borders, so that shapes never change; only the last
    one before `stop` may be shorter. What comes at position p depends on (seed, window, p) and the data alone.
    Close it, or use it in a `with` statement: one that is only dropped ends its threads too, but not at once.

    Args:
        dataset: what to feed.
        batch_size: rows of a batch.
        seed: of the order.
        start: samples already used; a resumed run gives `Batch.position` of its last batch.
        stop: samples after which it ends; None: never (with shuffle=False: after one pass).
        device: where batches are wanted.
        shuffle: False gives the rows in their order.
        window: shuffle within windows of about so many rows, read in large pieces (see windows.py).
        resident: keep all selected rows on the device; None: on a GPU, when they fit.
        accelerator: how to work with the device; None: as its type wants it.
    """

    def __init__(self, dataset: ShardDataset, batch_size: int, *, seed: int = 0, start: int = 0,
                 stop: int | None = None, device: str | torch.device = "cpu", shuffle: bool = True,
                 window: int | None = None, resident: bool | None = None,
                 accelerator: Accelerator | None = None) -> None:
        if not len(dataset):
            raise ValueError("the dataset has no rows")
        if batch_size < 1:
            raise ValueError("batch_size must be at least 1")
        if start < 0:
            raise ValueError("start must be at least 0")
        if window is not None and window < windows.CHUNK_ROWS:
            raise ValueError(f"window must be at least a chunk, {windows.CHUNK_ROWS} rows")
        self.dataset = dataset
        self.batch_size = batch_size
        self.device = torch.device(device)
        self.wait_seconds = 0.0
        """Time that `next()` spent waiting for input."""
        feed = Feed(dataset=dataset, batch_size=batch_size, seed=seed, start=start,
                    stop=stop if stop is not None or shuffle else len(dataset), shuffle=shuffle,
                    window=window if shuffle else None, device=self.device,
                    accelerator=accelerator or accelerator_of(self.device))
        if resident is None:
            resident = self.device.type == "cuda" and _fits(dataset, self.device)
        self._position = start
        self._source: Source = Resident(feed) if resident else Windowed(feed) if feed.window else Streamed(feed)
        self._free: queue.SimpleQueue[Slot | None] = queue.SimpleQueue()
        self._ready: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        try:
            self._slots = [self._source.slot() for _ in range(_RING)]
        except BaseException:
            self._source.close()
            raise
        for slot in self._slots:
            self._free.put(slot)
        self._in_use: Slot | None = None
        self._ended = False
        closing = threading.Event()
        # The thread must not hold the feeder, or nobody could ever drop it; and what runs when it is dropped may run
        # in any thread, so it waits for none.
        self._end_soon = weakref.finalize(self, _end_soon, closing, self._free)
        self._end_soon.atexit = False
        self._thread = threading.Thread(target=_gather, args=(self._source, self._free, self._ready, closing),
                                        name="poke-bc-feed", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Batch]:
        return self

    def __next__(self) -> Batch:
        return self.deliver().batch()

    def deliver(self) -> Delivery:
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
        self._position += count
        return Delivery(raw=self._in_use.receive(), count=count, position=self._position, unpack=self._source.unpack,
                        tensors=self._in_use.tensors)

    def close(self) -> None:
        """End the threads; safe to call twice."""
        self._ended = True
        self._end_soon()
        self._source.close()
        self._thread.join()
        for slot in self._slots:  # copies under way must not meet what gets the slots' memory next
            slot.receive()

    def __enter__(self) -> BatchFeeder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()


_Item = tuple[Slot, int] | BaseException | None


def _gather(source: Source, free: queue.SimpleQueue[Slot | None], ready: queue.SimpleQueue[_Item],
            closing: threading.Event) -> None:
    """The gather thread: fill free slots until the end, or until told to end."""
    try:
        for rows in source.batches():
            slot = free.get()
            if slot is None or closing.is_set():
                return
            source.fill(slot, rows)
            ready.put((slot, len(rows)))
        ready.put(None)
    except BaseException as error:  # handed over to the consumer, who raises it
        ready.put(error)
    finally:
        source.close()


def _end_soon(closing: threading.Event, free: queue.SimpleQueue[Slot | None]) -> None:
    """Tell the gather thread to end."""
    closing.set()
    free.put(None)


def _fits(dataset: ShardDataset, device: torch.device) -> bool:
    return Packing(dataset.layout, len(dataset)).nbytes < _RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
