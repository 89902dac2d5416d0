"""Progress bar and warnings on stderr; Ctrl-C and SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType, TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_REDRAW_SECONDS = 0.1


class Display:
    """A progress bar on stderr; with `shown=False` it draws nothing."""

    def __init__(self, total: int, done: int, *, shown: bool) -> None:
        self._shown = shown
        self._bar = Progress(
            TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(), console=Console(stderr=True), disable=not shown)
        self._task = self._bar.add_task("", total=total, completed=done, facts="")
        self._drawn = 0.0

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._bar.stop()

    def advance(self, step: int) -> None:
        """After every step; draws ten times a second at most."""
        now = time.monotonic()
        if now - self._drawn > _REDRAW_SECONDS:
            self._drawn = now
            self._bar.update(self._task, completed=step)

    def report(self, step: int, line: Mapping[str, Any]) -> None:
        """Show new figures next to the bar, and those of an evaluation permanently above it."""
        self._bar.update(self._task, completed=step,
                         facts=f"loss {line['loss']:.3f} · {line['samples_per_s']:,.0f} decisions/s")
        if self._shown and (val := line.get("val")):
            self._bar.console.print(f"step {step} · epoch {line['epoch']:.2f} · loss {line['loss']:.4f} · "
                                    f"val nll {val['nll']:.4f} · top-1 {val['top1']:.1%}", highlight=False)


def warn(text: str) -> None:
    """A warning on stderr, whether or not progress is shown."""
    print(f"warning: {text}", file=sys.stderr)


class InterruptRequest:
    """Turns the first Ctrl-C or SIGTERM into a request, so that the current step can end; a second one stops
    immediately.

    Outside the main thread, where signals cannot be handled, both keep their usual meaning.
    """

    def __init__(self) -> None:
        self.made = False

    def __enter__(self) -> InterruptRequest:
        here = threading.current_thread() is threading.main_thread()
        self._before = {number: signal.signal(number, self._handle)
                        for number in ((signal.SIGINT, signal.SIGTERM) if here else ())}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.made:
            raise KeyboardInterrupt
        self.made = True
        # not print(): the signal may interrupt another print
        os.write(2, b"\nfinishing this step and saving; once more stops immediately\n")
