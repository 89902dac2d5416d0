"""Time spent, and rates."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator


class Clock:
    """Seconds of a run, with and without the pauses for evaluating and saving.

    Args:
        before: seconds of all earlier sessions.
        samples: samples used by them.
    """

    def __init__(self, before: float, samples: int) -> None:
        self._before, self._start, self._paused = before, time.perf_counter(), 0.0
        self._began = self._last = (samples, 0.0, 0.0)

    def total(self) -> float:
        """Seconds over all sessions."""
        return self._before + time.perf_counter() - self._start

    def rates(self, samples: int, waited: float, *, of_session: bool = False) -> dict[str, float]:
        """samples_per_s and input_wait_fraction since the last call or since the session began, without pauses.

        Args:
            samples: samples used so far.
            waited: seconds of this session in which a step waited for its batch.
            of_session: rates since the session began.
        """
        now = samples, time.perf_counter() - self._start - self._paused, waited
        before = self._began if of_session else self._last
        done, seconds, idle = (new - old for new, old in zip(now, before, strict=True))
        self._last = now
        return {"samples_per_s": done / max(seconds, 1e-9), "input_wait_fraction": idle / max(seconds, 1e-9)}

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Context whose time does not count as training."""
        started = time.perf_counter()
        yield
        self._paused += time.perf_counter() - started
