"""Where a feeder's batches come from: gathered row by row, out of windows read ahead, or on the device itself.

    M rows of the dataset   B of a batch
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from poke_bc.data.batch import TENSORS
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.device import Accelerator
from poke_bc.data.order import rows_at, rows_on
from poke_bc.data.reader import WindowReader
from poke_bc.data.ring import Packing, Slot

_ORDER_CHUNK = 1 << 16  # positions whose rows are worked out at once; small batches share the cost
_PIECE = 1 << 16  # rows that go to the device at once


@dataclass(frozen=True, kw_only=True)
class Feed:
    """What is to be fed."""

    dataset: ShardDataset
    batch_size: int
    seed: int
    start: int
    stop: int | None
    shuffle: bool
    window: int | None
    device: torch.device
    accelerator: Accelerator | None

    def counts(self, step: int) -> Iterator[tuple[int, int]]:
        """(position, count) from `start` to `stop`, `step` at a time."""
        position = self.start
        while self.stop is None or position < self.stop:
            count = step if self.stop is None else min(step, self.stop - position)
            yield position, count
            position += count

    def order(self) -> dict[str, Any]:
        """Keywords of `rows_at`."""
        return {"n": len(self.dataset), "seed": self.seed, "shuffle": self.shuffle, "window": self.window}

    @property
    def chunk(self) -> int:
        """About _ORDER_CHUNK positions, in whole batches."""
        return self.batch_size * max(1, _ORDER_CHUNK // self.batch_size)


class Source(Protocol):
    """A way to fill slots. `fill` runs in the gather thread, for each of `batches` in turn."""

    def slot(self) -> Slot:
        """A new one."""

    def batches(self) -> Iterator[Any]:
        """What `fill` needs for each batch; its length is the batch's."""

    def fill(self, slot: Slot, rows_B: Any) -> None:
        """Put a batch into a slot."""

    def unpack(self, raw: Tensor) -> dict[str, Tensor]:
        """A slot's device buffer -> the tensors of a batch, by name, with nothing but work on the device."""

    def close(self) -> None:
        """End what runs beside; afterwards `batches` may raise."""


class Streamed:
    """Rows gathered from the shards, then sent."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._packing = Packing(feed.dataset.layout, feed.batch_size)
        self._side = None if feed.accelerator is None else feed.accelerator.side_stream()

    def slot(self) -> Slot:
        """See Source."""
        accelerator, size = self._feed.accelerator, self._packing.nbytes
        raw = torch.empty(size, dtype=torch.uint8, device=self._feed.device)
        pinned = None if accelerator is None else accelerator.pinned(size)
        arrays = {name: view.numpy() for name, view in self.unpack(raw if pinned is None else pinned).items()}
        return Slot(raw, self.unpack(raw), arrays, pinned, accelerator, self._side)

    def batches(self) -> Iterator[Any]:
        """See Source: rows of the data set [B]."""
        for position, count in self._feed.counts(self._feed.chunk):
            rows = self._feed.dataset.rows[rows_at(position, count, **self._feed.order())]
            for first in range(0, count, self._feed.batch_size):
                yield rows[first : first + self._feed.batch_size]

    def fill(self, slot: Slot, rows_B: Any) -> None:
        """See Source."""
        slot.wait_until_sent()
        self._feed.dataset.gather(rows_B, {name: array[: len(rows_B)] for name, array in slot.arrays.items()})
        slot.send()

    def unpack(self, raw: Tensor) -> dict[str, Tensor]:
        """See Source."""
        return self._packing.views(raw)

    def close(self) -> None:
        """See Source."""


class Windowed(Streamed):
    """Rows taken out of windows, which a thread of their own reads ahead in large pieces."""

    def __init__(self, feed: Feed) -> None:
        super().__init__(feed)
        assert feed.window is not None
        self._reader = WindowReader(feed.dataset, feed.window, seed=feed.seed, start=feed.start, stop=feed.stop)

    def batches(self) -> Iterator[Any]:
        """See Source: a range, for its length alone."""
        for _, count in self._feed.counts(self._feed.batch_size):
            yield range(count)

    def fill(self, slot: Slot, rows_B: Any) -> None:
        """See Source."""
        slot.wait_until_sent()
        self._reader.read({name: array[: len(rows_B)] for name, array in slot.arrays.items()})
        slot.send()

    def close(self) -> None:
        """See Source."""
        self._reader.close()


class Resident:
    """All rows on the device: the order is worked out there, and nothing but launches leaves the host.

    The order comes in chunks of some 65,536 positions, worked out by the gather thread on the side stream. A
    permutation walks until it lands inside, so its length is known to nobody before: inside a captured step it
    could not be exact. Out here it can, and a step needs no more than its row numbers.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._side = None if feed.accelerator is None else feed.accelerator.side_stream()
        dataset, device = feed.dataset, feed.device
        size = len(dataset)
        self._columns = {name: torch.empty((size, *one.shape[1:]), dtype=one.dtype, device=device)
                         for name, one in dataset.empty(1).items()}
        for first in range(0, size, _PIECE):  # never all of it on the host
            piece = dataset.batch(np.arange(first, min(size, first + _PIECE)))
            for name, tensor in zip(TENSORS, piece.tensors(), strict=True):
                self._columns[name][first : first + len(piece)] = tensor.to(device)

    def slot(self) -> Slot:
        """See Source."""
        raw = torch.zeros(self._feed.batch_size, dtype=torch.int64, device=self._feed.device)
        return Slot(raw, None, {}, None, self._feed.accelerator, self._side)

    def batches(self) -> Iterator[Any]:
        """See Source: places [B] int64 on the device."""
        accelerator, side = self._feed.accelerator, self._side
        for position, count in self._feed.counts(self._feed.chunk):
            # on the side stream, so that its memory is used again in the order of the copies out of it
            with nullcontext() if accelerator is None else accelerator.on(side):
                rows = rows_on(self._feed.device, position, count, **self._feed.order())
            for first in range(0, count, self._feed.batch_size):
                yield rows[first : first + self._feed.batch_size]

    def fill(self, slot: Slot, rows_B: Any) -> None:
        """See Source."""
        slot.send(rows_B)

    def unpack(self, raw: Tensor) -> dict[str, Tensor]:
        """See Source: one gather for each column."""
        # index_select knows no uint16: gather the same bits as int16
        return {name: (column.view(torch.int16).index_select(0, raw).view(torch.uint16)
                       if column.dtype == torch.uint16 else column.index_select(0, raw))
                for name, column in self._columns.items()}

    def close(self) -> None:
        """See Source."""
