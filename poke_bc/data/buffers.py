"""Reused buffers between the gather thread and the consumer, and the events that guard their reuse.

A batch travels as one tensor: in streaming mode the bytes of all columns, so that one copy crosses the bus, and in
resident mode the row numbers alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from poke_bc.data.device import Accelerator

Layout = Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]]
"""Name -> (dtype, shape of one sample)."""
_ALIGNMENT = 64  # bytes, so that every column may be read by the widest loads


class Packing:
    """Columns of `size` samples, one after the other in a buffer of bytes."""

    def __init__(self, layout: Layout, size: int) -> None:
        self.nbytes = 0
        self._columns = []
        for name, (dtype, shape) in layout.items():
            length = dtype.itemsize * size * int(np.prod(shape, dtype=int))
            self._columns.append((name, torch.from_numpy(np.empty(0, dtype)).dtype, (size, *shape),
                                  slice(self.nbytes, self.nbytes + length)))
            self.nbytes += -(-length // _ALIGNMENT) * _ALIGNMENT

    def views(self, raw: Tensor) -> dict[str, Tensor]:
        """The columns in a buffer [nbytes] uint8, by name, without a copy."""
        return {name: raw[place].view(dtype).view(shape) for name, dtype, shape, place in self._columns}


class Slot:
    """A device buffer, the pinned buffer that it is filled from, and the events that order access to them.

    Three hazards and what prevents them: the host fills the pinned buffer while a copy still reads it (the host waits
    for `copied`); a copy fills the device buffer while the previous step still reads it (the side stream waits for
    `used`); a step reads the device buffer before the copy is done (the step's stream waits for `copied`). Without an
    accelerator there is one buffer and nothing to wait for: the feeder's two queues keep its users apart.

    Args:
        raw: the buffer that the consumer reads, on its device.
        tensors: views of `raw`, where unpacking needs no work.
        arrays: the host's columns, in streaming mode; without an accelerator they are views of `raw`.
        pinned: with an accelerator, the buffer that `arrays` are views of.
        accelerator: the device's, if it has one.
        side: the stream for copies.
    """

    def __init__(self, raw: Tensor, tensors: Mapping[str, Tensor] | None, arrays: Mapping[str, NDArray[Any]],
                 pinned: Tensor | None, accelerator: Accelerator | None, side: torch.cuda.Stream | None) -> None:
        self._raw, self.tensors, self._pinned, self.arrays = raw, tensors, pinned, arrays
        self._accelerator, self._side = accelerator, side
        if accelerator is not None:
            self._copied, self._used = accelerator.event(), accelerator.event()
            self.release()  # the work that filled `raw`, or used its memory before, is on the current stream too

    def wait_until_sent(self) -> None:
        """Gather thread: before `arrays` are filled."""
        if self._accelerator is not None:
            self._copied.synchronize()

    def send(self, source: Tensor | None = None) -> None:
        """Gather thread: copy `source`, by default the contents of `arrays`, to the start of the device buffer."""
        source = self._pinned if source is None else source
        if source is None:
            return
        if self._accelerator is None or self._side is None:
            self._raw[: len(source)] = source
            return
        with self._accelerator.on(self._side):
            self._side.wait_event(self._used)
            self._accelerator.copy(self._raw[: len(source)], source)
            self._copied.record(self._side)

    def receive(self) -> Tensor:
        """Consumer: the device buffer, safe to use on the current stream."""
        if self._accelerator is not None:
            self._accelerator.current_stream().wait_event(self._copied)
        return self._raw

    def release(self) -> None:
        """Consumer: all work that reads the device buffer has been queued on the current stream."""
        if self._accelerator is not None:
            self._used.record(self._accelerator.current_stream())
