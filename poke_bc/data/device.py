"""The streams, events and graphs of a device, as far as feeding and training need them.

The host queues work on streams without waiting for it; events order the work. The tests replace Accelerator with a
stand-in that delays each stream as long as the events allow, which exposes a missing event.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor


class Accelerator:
    """An NVIDIA GPU through torch. Every thread has its own current stream."""

    def __init__(self, device: torch.device) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)

    def pinned(self, size: int) -> Tensor:
        """[size] uint8 of page-locked host memory, which the device can read asynchronously."""
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def side_stream(self) -> torch.cuda.Stream:
        """A new stream."""
        return torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]  # torch's stub has no types here

    def current_stream(self) -> torch.cuda.Stream:
        """The current stream of this thread."""
        return torch.cuda.current_stream(self.device)

    def on(self, stream: torch.cuda.Stream) -> AbstractContextManager[object]:
        """Context in which `stream` is this thread's current one."""
        return torch.cuda.stream(stream)

    def event(self) -> torch.cuda.Event:
        """A new event; until it is recorded, waiting for it returns immediately. The host sleeps while it waits."""
        return torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Queue `target[:] = source` on the current stream."""
        target.copy_(source, non_blocking=True)

    def capture(self, step: Callable[[], None]) -> Callable[[], None]:
        """Record what `step` queues, without running it; the function returned queues it on the current stream.

        Addresses, shapes and Python numbers stay as recorded; only the contents of tensors may change. The
        thread-local error mode lets the feeder's thread keep copying. The capture gets a new stream because torch's
        default is one stream per process, on the device that captured first.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self.device), torch.cuda.graph(graph, stream=self.side_stream(),
                                                              capture_error_mode="thread_local"):
            step()
        return graph.replay


def accelerator_of(device: torch.device) -> Accelerator | None:
    """The Accelerator of a device; None for a CPU, which needs no streams."""
    return Accelerator(device) if device.type == "cuda" else None
