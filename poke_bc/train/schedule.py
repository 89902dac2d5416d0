"""When to log, evaluate and save, and the learning rate: functions of the step alone, so resuming needs no state."""

from __future__ import annotations

import math
from collections.abc import Sequence

from poke_bc.train.config import TrainConfig


class Schedule:
    """What is due after which step of a run. Steps count from 1.

    Args:
        config: configuration of the run.
        rows: number of training rows; an epoch ends with the step that completes it.
        lengths: where the run was made longer or shorter, ascending: (step, steps of the whole run until then).

    >>> schedule = Schedule(TrainConfig(steps=5, lr=1.0, warmup=1, min_lr_ratio=0), rows=9)
    >>> [round(schedule.rate(step), 3) for step in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """

    def __init__(self, config: TrainConfig, rows: int, lengths: Sequence[tuple[int, int]] = ()) -> None:
        self._config = config
        self.total = config.steps or math.ceil(config.epochs * rows / config.batch_size)
        """Steps of the whole run."""
        self._lengths = lengths
        self._eval_every = config.eval_every or math.ceil(rows / config.batch_size)

    def evaluates(self, step: int) -> bool:
        """Every `eval_every` steps, and at the end."""
        return step > 0 and (step % self._eval_every == 0 or step >= self.total)

    def logs(self, step: int) -> bool:
        """Every `log_every` steps, and with each evaluation."""
        return self.evaluates(step) or (step > 0 and step % self._config.log_every == 0)

    def saves(self, step: int) -> bool:
        """Every `save_every` steps, and with each evaluation, so that the best can be kept."""
        every = self._config.save_every
        return self.evaluates(step) or (step > 0 and every is not None and step % every == 0)

    def rate(self, step: int) -> float:
        """Learning rate after `step` steps: linear warm-up to the peak, then half a cosine down to its floor.

        A run that was made longer is led, by another warm-up, onto the curve of a run that had been so long from the
        beginning, and ends as that would.
        """
        begun = [at for at, _ in self._lengths if at <= step]
        return self._rate(step, len(begun))

    def _rate(self, step: int, changes: int) -> float:
        """The rate after the first `changes` of the changes of length."""
        total = [*(total for _, total in self._lengths), self.total][changes]
        rate = self._curve(step, total)
        if not changes:
            return rate
        start, _ = self._lengths[changes - 1]
        joining = self._warmup(total - start)
        if step - start >= joining:
            return rate
        before = self._rate(max(start - 1, 0), changes - 1)
        return before + (rate - before) * (step - start + 1) / joining

    def _curve(self, step: int, total: int) -> float:
        peak, floor, rising = self._config.lr, self._config.min_lr_ratio, self._warmup(total)
        if step < rising:
            return peak * (step + 1) / rising
        progress = (step + 1 - rising) / max(1, total - rising)
        return peak * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress)))

    def _warmup(self, steps: int) -> int:
        """Steps of the warm-up of so many."""
        warmup = self._config.warmup
        return min(steps, math.ceil(warmup * steps if warmup < 1 else warmup))
