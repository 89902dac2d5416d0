"""What feeding and training need of a device that works asynchronously.

The host queues work on streams and runs on; events order the work. `Cuda` is the real device. The tests have a
stand-in that delays each stream as long as the events allow, so that a missing event shows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor


class Event(Protocol):  # each kind of device takes its own kinds of events and streams, hence Any
    """A point in a stream's work. Waiting for one that was never recorded returns at once."""

    def record(self, stream: Any) -> None:
        """Mark the current end of the stream's queue."""

    def synchronize(self) -> None:
        """Block the host until the device has passed it."""


class Stream(Protocol):
    """A queue of work."""

    def wait_event(self, event: Any) -> None:
        """Make work queued from now on wait for the event; the host does not wait."""


class Accelerator(Protocol):
    """A device with streams. Every thread has its own current stream."""

    device: torch.device

    def pinned(self, size: int) -> Tensor:
        """[size] uint8 of page-locked host memory, which the device can read asynchronously."""

    def side_stream(self) -> Stream:
        """A new stream."""

    def current_stream(self) -> Stream:
        """The current stream of this thread."""

    def on(self, stream: Any) -> AbstractContextManager[object]:
        """Context in which `stream` is this thread's current one."""

    def event(self) -> Event:
        """A new event, not recorded; the host sleeps while it waits for it."""

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Queue `target[:] = source` on the current stream."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Record what `work` queues, without running it; the function returned queues it again on the current stream.

        Addresses, shapes and Python numbers stay as recorded; only the contents of tensors may change.
        """


class Cuda:
    """An NVIDIA GPU through torch."""

    def __init__(self, device: torch.device) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)

    def pinned(self, size: int) -> Tensor:
        """Pinned memory, as CUDA calls it."""
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def side_stream(self) -> torch.cuda.Stream:
        """A stream of the same priority as the default one."""
        return torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]  # torch's stub has no types here

    def current_stream(self) -> torch.cuda.Stream:
        """The current stream of this thread on this device."""
        return torch.cuda.current_stream(self.device)

    def on(self, stream: Any) -> AbstractContextManager[object]:
        """Context in which `stream` is the current one, and its device the current device."""
        return torch.cuda.stream(stream)

    def event(self) -> torch.cuda.Event:
        """Blocking, in CUDA's terms: the host sleeps instead of spinning."""
        return torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Asynchronous where the host's side is pinned."""
        target.copy_(source, non_blocking=True)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """A CUDA graph. The feeder's thread goes on copying meanwhile, hence the error mode.

        Captured on a stream of its own: torch's default is one for the process, on the device that captured first.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self.device), torch.cuda.graph(graph, stream=self.side_stream(),
                                                              capture_error_mode="thread_local"):
            work()
        return graph.replay


def accelerator_of(device: torch.device) -> Accelerator | None:
    """How to work with a device; None for a CPU, which needs no streams."""
    return Cuda(device) if device.type == "cuda" else None
