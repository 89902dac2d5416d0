"""Where metrics go: always to metrics.jsonl, on request to TensorBoard and Weights & Biases.

A tracker that fails is switched off with one warning; it never ends a run.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from poke_bc.contract.files import atomic_write
from poke_bc.train.config import TrainConfig
from poke_bc.train.terminal import warn

METRICS_FILE, WANDB_FILE = "metrics.jsonl", "wandb_id"


class MetricsFile:
    """metrics.jsonl: one JSON object per logged step."""

    def __init__(self, run: Path) -> None:
        self._file = (run / METRICS_FILE).open("a", encoding="utf-8")

    def log(self, step: int, line: Mapping[str, Any]) -> None:
        """Write one line; mappings in it group related figures."""
        self._file.write(json.dumps({"step": step, **line}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class TensorBoard:
    """Event files in RUN/tensorboard."""

    def __init__(self, run: Path, step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # purge_step: hides what an earlier session wrote beyond the checkpoint that this one resumes from
        self._writer = SummaryWriter(str(run / "tensorboard"), purge_step=step + 1 if step else None)

    def log(self, step: int, line: Mapping[str, Any]) -> None:
        """One scalar per figure."""
        for name, value in flat(line).items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flush and close the file."""
        self._writer.close()


class WeightsAndBiases:
    """A run in Weights & Biases; its id is kept in RUN/wandb_id, so that a resumed run continues the same one."""

    def __init__(self, config: TrainConfig) -> None:
        import wandb

        known = config.run / WANDB_FILE
        if not known.exists():
            with atomic_write(known) as file:
                file.write(uuid.uuid4().hex[:12].encode())
        self._run = wandb.init(
            project=config.wandb_project, dir=config.run, name=config.run.name, id=known.read_text(), resume="allow",
            config=config.to_dict(), settings=wandb.Settings(silent=True, console="off"))

    def log(self, step: int, line: Mapping[str, Any]) -> None:
        """All figures as one step."""
        self._run.log(flat(line), step=step)

    def close(self) -> None:
        """Finish the upload."""
        self._run.finish()


Tracker = MetricsFile | TensorBoard | WeightsAndBiases


class Trackers:
    """The trackers that `config` selects, for a run that continues after `step`; with `silent`, none.

    Their errors are never raised.
    """

    def __init__(self, config: TrainConfig, step: int, *, silent: bool = False) -> None:
        self._active: dict[str, Tracker] = {}
        if silent:
            return
        makers: dict[str, Callable[[], Tracker]] = {METRICS_FILE: lambda: MetricsFile(config.run)}
        if config.tensorboard:
            makers["tensorboard"] = lambda: TensorBoard(config.run, step)
        if config.wandb:
            makers["wandb"] = lambda: WeightsAndBiases(config)
        for name, make in makers.items():
            self._try(name, partial(self._start, name, make))

    def log(self, step: int, line: Mapping[str, Any]) -> None:
        """Log to every tracker that still works."""
        for name, tracker in list(self._active.items()):
            self._try(name, partial(tracker.log, step, line))

    def close(self) -> None:
        """Close every tracker that still works."""
        for name, tracker in list(self._active.items()):
            self._try(name, tracker.close)
        self._active.clear()

    def _start(self, name: str, make: Callable[[], Tracker]) -> None:
        self._active[name] = make()

    def _try(self, name: str, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # whatever a tracker's library raises, training continues
            missing = f" (pip install 'poke-bc[{name}]')" if isinstance(error, ImportError) else ""
            warn(f"{name} is switched off: {type(error).__name__}: {error}{missing}")
            if tracker := self._active.pop(name, None):
                with contextlib.suppress(Exception):
                    tracker.close()


def flat(line: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Nested figures -> {"val/nll": 1.2, ...}.

    >>> flat({"loss": 2.0, "val": {"nll": 1.5}})
    {'loss': 2.0, 'val/nll': 1.5}
    """
    figures: dict[str, float] = {}
    for name, value in line.items():
        figures.update(flat(value, f"{prefix}{name}/") if isinstance(value, Mapping) else {f"{prefix}{name}": value})
    return figures


class _Line(msgspec.Struct):
    """What is read back from a line of metrics.jsonl."""

    step: int
    val: dict[str, float] | None = None


def read_metrics(run: Path) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """Lines of metrics.jsonl with their figures, but for those that were cut short or damaged."""
    path = run / METRICS_FILE
    for line in path.read_bytes().splitlines(keepends=True) if path.exists() else ():
        with contextlib.suppress(msgspec.MsgspecError, ValueError):
            msgspec.json.decode(line, type=_Line)
            yield line, json.loads(line)


def drop_after(run: Path, step: int) -> None:
    """Remove the lines of metrics.jsonl that a resumed run will write again: those after `step`."""
    kept = [line for line, figures in read_metrics(run) if figures["step"] <= step]
    with atomic_write(run / METRICS_FILE) as file:
        file.writelines(kept)
