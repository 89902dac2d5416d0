"""When to log, evaluate and save, and the learning rate: functions of the step alone, so resuming needs no state."""

from __future__ import annotations

import math
from dataclasses import dataclass

from poke_bc.train.config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """What is due after which step. Steps count from 1."""

    total: int
    """Steps of the whole run."""
    eval_every: int
    save_every: int | None
    log_every: int

    @classmethod
    def of(cls, config: TrainConfig, rows: int) -> Schedule:
        """For `rows` training rows; an epoch ends with the step that completes it."""
        total = config.steps or math.ceil(config.epochs * rows / config.batch_size)
        return cls(total=total, eval_every=config.eval_every or math.ceil(rows / config.batch_size),
                   save_every=config.save_every, log_every=config.log_every)

    def evaluates(self, step: int) -> bool:
        """Every `eval_every` steps, and at the end."""
        return step > 0 and (step % self.eval_every == 0 or step >= self.total)

    def logs(self, step: int) -> bool:
        """Every `log_every` steps, and with each evaluation."""
        return self.evaluates(step) or (step > 0 and step % self.log_every == 0)

    def saves(self, step: int) -> bool:
        """Every `save_every` steps, and with each evaluation, so that the best can be kept."""
        return self.evaluates(step) or (step > 0 and self.save_every is not None and step % self.save_every == 0)


def learning_rate(step: int, *, total: int, peak: float, warmup: float, min_ratio: float) -> float:
    """Linear warm-up to `peak`, then half a cosine down to `min_ratio * peak`.

    Args:
        step: steps done before this one.
        total: steps of the whole run.
        peak: the highest rate.
        warmup: below 1 a fraction of all steps, from 1 on a number of steps.
        min_ratio: the last step's rate, as a fraction of the peak.

    >>> [round(learning_rate(s, total=5, peak=1.0, warmup=1, min_ratio=0.0), 3) for s in range(5)]
    [1.0, 0.854, 0.5, 0.146, 0.0]
    """
    rising = min(total, math.ceil(warmup * total if warmup < 1 else warmup))
    if step < rising:
        return peak * (step + 1) / rising
    progress = (step + 1 - rising) / max(1, total - rising)
    return peak * (min_ratio + (1 - min_ratio) * 0.5 * (1 + math.cos(math.pi * progress)))
