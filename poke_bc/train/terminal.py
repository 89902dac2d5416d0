"""Progress bar and warnings on stderr; Ctrl-C and SIGTERM."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import FrameType, TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

_REDRAW_SECONDS = 0.1
_CURVE_WIDTH = 12
_LEVELS, _ASCII_LEVELS = "▁▂▃▄▅▆▇█", "_.-=*#"


def curve(values: Sequence[float], levels: str = _LEVELS, width: int = _CURVE_WIDTH) -> str:
    """A line of at most `width` characters that rise and fall with finite values; neighbours share one by their mean.

    >>> curve([3, 2, 1, 1])
    '█▅▁▁'
    """
    count = min(width, len(values))
    edges = [len(values) * place // count for place in range(count + 1)] if count else [0]
    means = [sum(values[low:high]) / (high - low) for low, high in pairwise(edges)]
    low, span = min(means, default=0.0), max(means, default=0.0) - min(means, default=0.0)
    return "".join(levels[round((mean - low) / span * (len(levels) - 1)) if span else 0] for mean in means)


class Display:
    """A progress bar with the curve of the training loss, and a line for each evaluation with the curve of those until
    then, on stderr; with `shown=False` it draws nothing."""

    def __init__(self, total: int, done: int, *, shown: bool) -> None:
        self._shown = shown
        self._bar = Progress(
            TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[facts]}"),
            TimeRemainingColumn(), console=Console(stderr=True), disable=not shown)
        self._task = self._bar.add_task("", total=total, completed=done, facts="")
        self._drawn = 0.0
        self._losses: list[float] = []
        self._val_losses: list[float] = []

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

    def say(self, text: str) -> None:
        """A line above the bar."""
        if self._shown:
            self._bar.console.print(text, highlight=False)

    def report(self, step: int, line: Mapping[str, Any]) -> None:
        """Show new figures next to the bar, and those of an evaluation permanently above it."""
        if not self._shown:
            return
        loss = line.get("policy_loss", line["loss"])  # without those of other heads: comparable with the validation's
        self._losses.append(loss)
        self._bar.update(self._task, completed=step, facts=f"loss {self._curve(self._losses)} {loss:.3f} · "
                                                           f"{line['samples_per_s']:,.0f} decisions/s")
        if val := line.get("val"):
            self._val_losses.append(val["nll"])
            self.say(f"step {step} · epoch {line['epoch']:.2f} · loss {loss:.4f} · val nll {val['nll']:.4f} "
                     f"{self._curve(self._val_losses)} · top-1 {val['top1']:.1%}")

    def _curve(self, values: Sequence[float]) -> str:
        return curve(values, _ASCII_LEVELS if self._bar.console.options.ascii_only else _LEVELS)


def warn(text: str) -> None:
    """A warning on stderr, whether or not progress is shown."""
    print(f"warning: {text}", file=sys.stderr)


class InterruptRequest:
    """Turns the first Ctrl-C or SIGTERM into a request, so that the current step can end; a second one means what it
    did before.

    Outside the main thread, where signals cannot be handled, both keep their usual meaning.

    Args:
        told: whether to say on stderr what happens now.
    """

    def __init__(self, *, told: bool = True) -> None:
        self._told = told
        self.made: int | None = None
        """The signal that came."""

    def __enter__(self) -> InterruptRequest:
        here = threading.current_thread() is threading.main_thread()
        self._before = {number: signal.signal(number, self._handle)
                        for number in ((signal.SIGINT, signal.SIGTERM) if here else ())}
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._give_back()

    def _give_back(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.made:
            self._give_back()
            signal.raise_signal(number)
            return
        self.made = number
        if self._told:  # not print(): the signal may interrupt another print
            os.write(2, b"\nfinishing this step and saving; once more stops immediately\n")
