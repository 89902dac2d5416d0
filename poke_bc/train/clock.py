"""Time spent, and rates."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """A moment of a session."""

    samples: int
    """Handed out so far."""
    seconds: float = 0.0
    """Of training so far."""
    waited: float = 0.0
    """Seconds of these in which a step waited for its batch."""

    def since(self, before: Mark) -> dict[str, float]:
        """samples_per_s and input_wait_fraction since an earlier moment."""
        seconds = max(self.seconds - before.seconds, 1e-9)
        return {"samples_per_s": (self.samples - before.samples) / seconds,
                "input_wait_fraction": (self.waited - before.waited) / seconds}


class Clock:
    """Seconds of a run, with and without the pauses for evaluating and saving.

    Args:
        before: seconds of all earlier sessions.
    """

    def __init__(self, before: float) -> None:
        self._before, self._start, self._paused = before, time.perf_counter(), 0.0

    def total(self) -> float:
        """Of all sessions."""
        return self._before + time.perf_counter() - self._start

    def working(self) -> float:
        """Of this session, without pauses."""
        return time.perf_counter() - self._start - self._paused

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Context whose time does not count as training."""
        started = time.perf_counter()
        yield
        self._paused += time.perf_counter() - started
