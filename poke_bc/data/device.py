"""What feeding and training ask of a device that works on its own time.

The host queues work on streams and runs ahead; what orders the work are events. `Cuda` is the real thing. The
tests have a stand-in that delays each stream as long as the events allow, so that a missing one shows.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor


class Event(Protocol):  # each kind of device takes its own kinds of events and streams, hence Any
    """A point in a stream's work. Before it is recorded, waiting for it is waiting for nothing."""

    def record(self, stream: Any) -> None:
        """Be the point that the stream's queue has now reached."""

    def synchronize(self) -> None:
        """Let the host wait until the device has passed it."""


class Stream(Protocol):
    """A queue of work."""

    def wait_event(self, event: Any) -> None:
        """Let the work queued from now on wait for the point that the event stands for now; the host goes on."""


class Accelerator(Protocol):
    """A device with streams. Which stream is current is each thread's own affair."""

    device: torch.device

    def pinned(self, size: int) -> Tensor:
        """[size] uint8 on the host, where the device can read while the host goes on."""

    def side_stream(self) -> Stream:
        """A new stream beside the current one."""

    def current_stream(self) -> Stream:
        """Of this thread."""

    def on(self, stream: Any) -> AbstractContextManager[object]:
        """Inside, `stream` is this thread's current one."""

    def event(self) -> Event:
        """A new one, not recorded; whoever waits for it on the host sleeps."""

    def copy(self, target: Tensor, source: Tensor) -> None:
        """Queue `target[:] = source` on the current stream."""

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """Write down all that `work` queues, without doing it; what is returned queues it again, on the current stream.

        All addresses, shapes and Python numbers stay what they were; only what lies in tensors may change.
        """


class Cuda:
    """An NVIDIA GPU through torch."""

    def __init__(self, device: torch.device) -> None:
        self.device = torch.device("cuda", torch.cuda.current_device() if device.index is None else device.index)

    def pinned(self, size: int) -> Tensor:
        """See Accelerator."""
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def side_stream(self) -> torch.cuda.Stream:
        """See Accelerator."""
        return torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]  # torch's stub has no types here

    def current_stream(self) -> torch.cuda.Stream:
        """See Accelerator."""
        return torch.cuda.current_stream(self.device)

    def on(self, stream: Any) -> AbstractContextManager[object]:
        """See Accelerator."""
        return torch.cuda.stream(stream)

    def event(self) -> torch.cuda.Event:
        """See Accelerator."""
        return torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]

    def copy(self, target: Tensor, source: Tensor) -> None:
        """See Accelerator."""
        target.copy_(source, non_blocking=True)

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        """See Accelerator. The feeder's thread goes on copying meanwhile, hence the error mode.

        On a stream of its own: torch's default is one for the process, on the device that captured first.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self.device), torch.cuda.graph(graph, stream=self.side_stream(),
                                                              capture_error_mode="thread_local"):
            work()
        return graph.replay


def accelerator_of(device: torch.device) -> Accelerator | None:
    """How to work with a device; None for a CPU, which needs no streams."""
    return Cuda(device) if device.type == "cuda" else None
