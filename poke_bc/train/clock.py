"""How long things took, and how fast they went."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """A moment of a session: what had been done by then."""

    samples: int
    seconds: float = 0.0
    waited: float = 0.0
    """Seconds of them in which a step waited for its batch."""

    def since(self, before: Mark) -> dict[str, float]:
        """samples_per_s and input_wait_fraction between two moments."""
        seconds = max(self.seconds - before.seconds, 1e-9)
        return {"samples_per_s": (self.samples - before.samples) / seconds,
                "input_wait_fraction": (self.waited - before.waited) / seconds}


class Clock:
    """Seconds of a run, in all and without the pauses for evaluating and saving.

    Args:
        before: seconds of the sessions before this one.
    """

    def __init__(self, before: float) -> None:
        self._before, self._start, self._paused = before, time.perf_counter(), 0.0

    def total(self) -> float:
        """With all sessions before."""
        return self._before + time.perf_counter() - self._start

    def working(self) -> float:
        """Of this session."""
        return time.perf_counter() - self._start - self._paused

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """What happens inside is not work."""
        started = time.perf_counter()
        yield
        self._paused += time.perf_counter() - started
