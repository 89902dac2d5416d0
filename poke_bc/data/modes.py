"""The three ways to feed: rows streamed from the shards, the same window by window, or resident on the device.

A mode makes slots and lists what is in each batch (`batches`). For each batch, the gather thread calls `fill` with a
free slot. The consumer calls `unpack` with the slot's device buffer, which queues work on the device and never waits.

    M selected rows   R rows resident on the device   B samples of a batch
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poke_bc.data.buffers import Packing, Slot
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.device import Accelerator
from poke_bc.data.order import SampleOrder
from poke_bc.data.prefetch import WindowPrefetcher
from poke_bc.data.sequences import Neighbours


class Streaming:
    """Rows gathered from the shards, then sent to the device in one copy."""

    def __init__(self, dataset: ShardDataset, order: SampleOrder, device: torch.device,
                 accelerator: Accelerator | None) -> None:
        self._dataset, self._order, self._device, self._accelerator = dataset, order, device, accelerator
        self._packing = Packing(dataset.layout, len(order.places))
        self._side = None if accelerator is None else accelerator.side_stream()

    def slot(self) -> Slot:
        """A slot of packed columns, pinned for an accelerator."""
        size, accelerator = self._packing.nbytes, self._accelerator
        raw = torch.empty(size, dtype=torch.uint8, device=self._device)
        pinned = None if accelerator is None else accelerator.pinned(size)
        arrays = {name: view.numpy() for name, view in self.unpack(raw if pinned is None else pinned).items()}
        return Slot(raw, self.unpack(raw), arrays, pinned, accelerator, self._side)

    def batches(self) -> Iterator[Any]:
        """Rows of the data set [B]."""
        return self._order.batches(look_up=self._dataset.rows_of)

    def fill(self, slot: Slot, batch: Any) -> None:
        """Gather the samples and queue their copy."""
        slot.wait_until_sent()
        self._dataset.gather(batch, {name: array[: len(batch)] for name, array in slot.arrays.items()})
        slot.send()

    def unpack(self, raw: Tensor) -> dict[str, Tensor]:
        """Views of the packed columns."""
        return self._packing.views(raw)

    def close(self) -> None:
        """Nothing to end."""


class Windowed(Streaming):
    """Rows gathered from the shards, window by window, after a thread has read the window from disk."""

    def __init__(self, dataset: ShardDataset, order: SampleOrder, device: torch.device,
                 accelerator: Accelerator | None) -> None:
        super().__init__(dataset, order, device, accelerator)
        self._prefetcher = WindowPrefetcher(dataset, order)

    def batches(self) -> Iterator[Any]:
        """Rows of the data set [B], once they have been read."""
        position = self._order.start
        for batch in super().batches():
            position = self._order.after(position)
            self._prefetcher.wait_for(position)
            yield batch

    def close(self) -> None:
        """End the prefetching thread."""
        self._prefetcher.close()


class Resident:
    """All rows on the device, and the order computed there: nothing but kernel launches leaves the host.

    The gather thread computes the order some 65,536 positions at a time, on the side stream. A captured step cannot
    contain the permutation, whose number of iterations depends on the data, so a step receives row numbers instead.
    """

    def __init__(self, dataset: ShardDataset, order: SampleOrder, device: torch.device,
                 accelerator: Accelerator | None) -> None:
        self._order, self._device, self._accelerator = order, device, accelerator
        self._side = None if accelerator is None else accelerator.side_stream()
        rows_R: NDArray[Any] = dataset.rows
        self._around: Neighbours[Tensor] | None = None
        if dataset.steps is not None:
            around = dataset.neighbours(dataset.rows.astype(np.int64))
            rows_R = around.reached(dataset.steps, len(dataset.shards))
            self._around = Neighbours(*(torch.from_numpy(each_M).to(device) for each_M in (
                np.searchsorted(rows_R, dataset.rows), around.before_B, around.after_B)))
            self._steps_S = torch.tensor(dataset.steps, device=device)
        self._columns = {name: torch.empty((len(rows_R), *shape), dtype=torch.from_numpy(np.empty(0, dtype)).dtype,
                                           device=device) for name, (dtype, shape) in dataset.row_layout.items()}
        for name, column in self._columns.items():
            first = 0
            for chunk in dataset.chunks(name, rows_R):  # never the whole column on the host
                column[first : first + len(chunk)] = chunk.to(device)
                first += len(chunk)

    def slot(self) -> Slot:
        """A slot of row numbers."""
        raw = torch.zeros(len(self._order.places), dtype=torch.int64, device=self._device)
        return Slot(raw, None, {}, None, self._accelerator, self._side)

    def batches(self) -> Iterator[Any]:
        """Places of the selection [B] int64, on the device."""
        batches = self._order.batches(self._device)
        while True:
            # on the side stream, so that their memory is reused in the order of the copies out of it
            with nullcontext() if self._accelerator is None or self._side is None else self._accelerator.on(self._side):
                place_B = next(batches, None)
            if place_B is None:
                return
            yield place_B

    def fill(self, slot: Slot, batch: Any) -> None:
        """Queue a copy of the row numbers."""
        slot.send(batch)

    def unpack(self, raw: Tensor) -> dict[str, Tensor]:
        """One gather for each column."""
        if self._around is None:
            return {name: _take(column, raw) for name, column in self._columns.items()}
        around = Neighbours(*(each_M.index_select(0, raw) for each_M in vars(self._around).values()))
        index_BS, is_pad_BS = around.at(self._steps_S)
        return {name: _take(column, index_BS, is_pad_BS) for name, column in self._columns.items()} | {
            "is_pad": is_pad_BS}

    def close(self) -> None:
        """Nothing to end."""


def _take(column: Tensor, index: Tensor, is_pad: Tensor | None = None) -> Tensor:
    """Rows of a column, in the shape of `index`; zeros where `is_pad`."""
    # the operations below know no uint16: take the same bits as int16
    bits = column.view(torch.int16) if column.dtype == torch.uint16 else column
    taken = bits.index_select(0, index.flatten())
    if is_pad is not None:
        wide = is_pad.view(*is_pad.shape, *[1] * (column.ndim - 1))
        taken = taken.view(*index.shape, *column.shape[1:]).masked_fill(wide, 0)
    return taken if bits is column else taken.view(column.dtype)


Mode = Streaming | Resident
