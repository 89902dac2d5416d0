"""A device with streams that needs no device: it does queued work as late, or as early, as the events allow.

On a GPU a missing event goes unnoticed until the timing is unlucky. Here the timing is always unlucky, in a way that
the schedule chooses, so that a missing event gives wrong data each time.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from recorded_graph import record_graph
from torch import Tensor

SCHEDULES = ("late", "side first", "compute first", "random")
"""When queued work is done: when somebody waits for it; on side streams at once, else late; the other way round; at
random."""
GUARDS = ("host waits for copy", "copy waits for step", "step waits for copy")


@dataclass(eq=False)
class LazyStream:
    """Work in order; what waits for an event of another stream holds up all that comes after it."""

    device: StandIn
    is_side: bool
    waiting: deque[Callable[[], Any] | tuple[LazyStream, int]] = field(default_factory=deque)
    queued: int = 0
    done: int = 0

    def queue(self, work: Callable[[], Any] | tuple[LazyStream, int]) -> None:
        with self.device.lock:
            self.waiting.append(work)
            self.queued += 1
            self.device.something_was_queued()

    def wait_event(self, event: LazyEvent) -> None:
        if event.point and not self.device.ignores(GUARDS[1] if self.is_side else GUARDS[2]):
            self.queue(event.point)

    def do_one(self) -> bool:
        """The next piece of work, if there is one and nothing holds it up."""
        if not self.waiting:
            return False
        work = self.waiting[0]
        if isinstance(work, tuple):
            stream, point = work
            if stream.done < point:
                return False
        self.waiting.popleft()
        if callable(work):
            work()
        self.done += 1
        return True

    def do_until(self, point: int) -> None:
        """All work up to `point`, and what that waits for."""
        while self.done < point:
            work = self.waiting[0]
            if isinstance(work, tuple):
                work[0].do_until(work[1])
            assert self.do_one()


@dataclass(eq=False)
class LazyEvent:
    device: StandIn
    point: tuple[LazyStream, int] | None = None

    def record(self, stream: LazyStream) -> None:
        with self.device.lock:
            self.point = (stream, stream.queued)

    def synchronize(self) -> None:
        with self.device.lock:
            if self.point and not self.device.ignores(GUARDS[0]):
                stream, point = self.point
                stream.do_until(point)


class StandIn:
    """An Accelerator (see poke_bc/data/device.py) in the memory of the host.

    Args:
        schedule: one of SCHEDULES.
        ignored: one of GUARDS, which then guards nothing.
        seed: of the random schedule.
    """

    def __init__(self, schedule: str = "late", *, ignored: str | None = None, seed: int = 0) -> None:
        assert schedule in SCHEDULES
        assert ignored is None or ignored in GUARDS
        self.device = torch.device("cpu")
        self.lock = threading.RLock()
        self._schedule, self._ignored, self._random = schedule, ignored, random.Random(seed)
        self._current = threading.local()
        self._compute = LazyStream(self, is_side=False)
        self.streams = [self._compute]

    def ignores(self, guard: str) -> bool:
        return guard == self._ignored

    def something_was_queued(self) -> None:
        if self._schedule == "random":
            for _ in range(self._random.randrange(4)):
                self._random.choice(self.streams).do_one()
            return
        for stream in self.streams:
            if self._schedule == ("side first" if stream.is_side else "compute first"):
                while stream.do_one():
                    pass

    def finish(self) -> None:
        """Do all that is left."""
        with self.lock:
            for stream in self.streams:
                stream.do_until(stream.queued)

    # what an Accelerator can do

    def pinned(self, size: int) -> Tensor:
        return torch.zeros(size, dtype=torch.uint8)

    def side_stream(self) -> LazyStream:
        with self.lock:
            self.streams.append(LazyStream(self, is_side=True))
            return self.streams[-1]

    def current_stream(self) -> LazyStream:
        return getattr(self._current, "stream", self._compute)

    @contextlib.contextmanager
    def on(self, stream: LazyStream) -> Iterator[None]:
        before = self.current_stream()
        self._current.stream = stream
        try:
            yield
        finally:
            self._current.stream = before

    def event(self) -> LazyEvent:
        return LazyEvent(self)

    def copy(self, target: Tensor, source: Tensor) -> None:
        self.current_stream().queue(lambda: target.copy_(source))

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        return record_graph(work)


class Immediate(StandIn):
    """A stand-in whose streams do their work at once, for steps, whose own work is queued by nobody."""

    def __init__(self) -> None:
        super().__init__("random")
        self.captures = 0

    def something_was_queued(self) -> None:
        for stream in self.streams * len(self.streams):
            while stream.do_one():
                pass

    def capture(self, work: Callable[[], None]) -> Callable[[], None]:
        self.captures += 1
        return super().capture(work)
