"""Training, from shards to the best policy: report, save, step. `_train` shows the whole loop."""

from __future__ import annotations

import contextlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from msgspec.structs import replace

from poke_bc.contract.errors import TrainingError
from poke_bc.contract.files import write_json
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.device import accelerator_of
from poke_bc.data.feed import BatchFeeder, PackedBatch
from poke_bc.metrics import score_policy
from poke_bc.policy import create_policy
from poke_bc.train.checkpoint import Checkpoints, Progress, writing
from poke_bc.train.clock import Clock
from poke_bc.train.config import TrainConfig
from poke_bc.train.schedule import Schedule
from poke_bc.train.setup import (
    captures,
    check_folder,
    make_optimizer,
    open_train,
    pick_device,
    settle_precision,
    trained_on,
    working_alone,
)
from poke_bc.train.step import Update
from poke_bc.train.terminal import Display, InterruptRequest, warn
from poke_bc.train.trackers import Trackers, drop_after

RESULT_FILE = "result.json"


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The result of a run."""

    steps: int
    samples: int
    seconds: float
    """Over all sessions of the run, including evaluation and saving."""
    samples_per_s: float
    """Of the last session, without evaluation and saving."""
    input_wait_fraction: float
    """Fraction of that time in which a step waited for its batch."""
    train_loss: float | None
    """Mean over the steps since the line of metrics before the last."""
    val: dict[str, float] | None
    """nll, top1, top3, ece, decisions of the best checkpoint; None without a validation split."""
    run: str
    precision: str
    """Of matrix products: what "auto" resolved to."""

    def to_dict(self) -> dict[str, Any]:
        """As `poke-bc train --json` prints it."""
        return asdict(self)

    @classmethod
    def read(cls, run: Path) -> TrainResult | None:
        """The result of a finished run; None before that, or if the file is damaged: the run can write it again."""
        with contextlib.suppress(OSError, msgspec.MsgspecError):
            return msgspec.json.decode((run / RESULT_FILE).read_bytes(), type=cls)
        return None


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, raised after the step has ended and the run has been saved; `str()` says how to resume."""


def train(config: TrainConfig, *, resume: bool = False, progress: bool = True) -> TrainResult:
    """Train a policy; all output goes to the run's folder.

    Args:
        config: configuration of the run.
        resume: continue from the run's last checkpoint: on a CPU with the same number of threads, bit for bit. A
            finished run returns its result again.
        progress: show a progress bar on stderr.

    Seeds torch's global generators. Raises UsageError, ShardError, RunError, TrainingError (loss not finite; the last
    checkpoint is from before that), and Interrupted.
    """
    checkpoints = Checkpoints(config.run, config.keep)
    config = settle_precision(config, resume=resume)
    check_folder(config, checkpoints, resume=resume)
    if resume and (result := TrainResult.read(config.run)):
        warn(f"{config.run}: this run is finished, nothing to resume")
        return result
    with working_alone(config.run):
        return _train(Trainer(config, checkpoints, resume=resume), config, progress=progress)


def _train(trainer: Trainer, config: TrainConfig, *, progress: bool) -> TrainResult:
    """Run the trainer to the end of the run."""
    with (
        Display(trainer.schedule.total, trainer.start, shown=progress) as display,
        contextlib.closing(Trackers(config, trainer.start)) as trackers,
        trainer.feed() as feeder,
        InterruptRequest() as interrupt,
    ):
        while True:
            step = trainer.progress.step
            if step > trainer.start:  # what was due at the start was done by the session before
                if trainer.schedule.logs(step):
                    trainer.report(trackers, display)
                if trainer.schedule.saves(step) or interrupt.made:
                    trainer.save()
            if trainer.is_done or interrupt.made:
                break
            trainer.step(feeder.next_packed())
            display.advance(trainer.progress.step)
        if not trainer.is_done:
            raise Interrupted(f"stopped after step {trainer.progress.step} of {trainer.schedule.total}; "
                              f"continue with: poke-bc train --run {config.run} --resume")
        return trainer.finish()


class Trainer:
    """The state of a run, new or resumed from its last checkpoint, and the operations of the loop."""

    def __init__(self, config: TrainConfig, checkpoints: Checkpoints, *, resume: bool) -> None:
        self.config, self.checkpoints = config, checkpoints
        self.device = pick_device(config.device)
        self.data = open_train(config)
        self.val = ShardDataset(self.data.shards, "val")
        self.schedule = Schedule(config, len(self.data))

        torch.manual_seed(config.seed)
        self.policy = create_policy(config.policy, self.data.manifest.schema).to(self.device)
        self.policy.trained_on = trained_on(self.data)
        graphs = accelerator_of(self.device) if captures(config, self.device) else None
        self.optimizer = make_optimizer(self.policy, config, capturable=graphs is not None)
        self.sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        """Running sums since the last line of metrics, on the device: loss, gradient norm, steps."""
        self.progress = Progress()
        if resume and checkpoints.any():
            self.progress = checkpoints.load(self.policy, self.optimizer, self.sums)
        else:
            self._begin()
        with writing(config.run):
            drop_after(config.run, self.progress.step)
        self.start = self.progress.step
        self._finite_until = self.start
        self._val: dict[str, Any] | None = None
        self._clock = Clock(self.progress.seconds, self.progress.samples)
        self._update = Update(self.policy, self.optimizer, config, self.sums,
                              bfloat16=config.precision == "bfloat16", graphs=graphs)

    def _begin(self) -> None:
        """Start a new run: record which ids the policy will see, and write the configuration."""
        if not len(self.val):
            warn(f"{self.config.shards}: the val split has no decisions; training continues without evaluation")
        self.policy.note_seen(self.data.chunks("category"))
        with writing(self.config.run):
            self.checkpoints.prepare()
            # absolute, so that `evaluate` finds them from any folder
            replace(self.config, shards=self.config.shards.resolve()).write()

    def feed(self) -> BatchFeeder:
        """The batches from here to the end of the run."""
        self._feeder = BatchFeeder(
            self.data, self.config.batch_size, seed=self.config.seed, device=self.device,
            window=self.config.window if self.config.order == "window" else None,
            start=self.progress.samples, stop=self.schedule.total * self.config.batch_size)
        return self._feeder

    @property
    def is_done(self) -> bool:
        """Whether all steps are done, or patience has run out."""
        patience = self.config.patience
        return self.progress.step >= self.schedule.total or (patience is not None and self.progress.stale >= patience)

    def step(self, packed: PackedBatch) -> None:
        """One update."""
        self._update(packed, self.schedule.rate(self.progress.step))
        self.progress.step += 1
        self.progress.samples = packed.position
        self._val = None

    def report(self, trackers: Trackers, display: Display) -> None:
        """Write one line of metrics, with an evaluation if one is due."""
        loss, norm, steps = self._finite_sums()
        self.progress.train_loss = loss / steps
        line: dict[str, Any] = {
            "epoch": round(self.progress.samples / len(self.data), 4), "samples": self.progress.samples,
            "loss": loss / steps, "lr": self.schedule.rate(self.progress.step - 1), "grad_norm": norm / steps,
            "seconds": self._clock.total(),
            **self._clock.rates(self.progress.samples, self._feeder.wait_seconds)}
        if self.schedule.evaluates(self.progress.step) and len(self.val):
            with self._clock.pause():
                line["val"] = self._evaluate()
        trackers.log(self.progress.step, line)
        display.report(self.progress.step, line)
        self.sums.zero_()

    def _evaluate(self) -> dict[str, Any]:
        """Metrics on the validation split; records the best, and the number of evaluations since."""
        self._val = val = score_policy(self.policy, self.val, device=self.device).figures()
        best = self.progress.best_val
        if best is None or val["nll"] < best["nll"]:
            self.progress.best_step, self.progress.best_val, self.progress.stale = self.progress.step, val, 0
        else:
            self.progress.stale += 1
        return val

    def save(self) -> None:
        """Write a checkpoint, but never one of weights that are not finite."""
        self._finite_sums()
        with self._clock.pause(), writing(self.config.run):
            if not all(weight.isfinite().all() for weight in self.policy.parameters()):
                raise self._not_finite()
            self.progress.seconds = self._clock.total()
            self.checkpoints.save(
                self.progress, self.policy, self.optimizer, self.sums,
                card={"trained on": msgspec.to_builtins(self.policy.trained_on), "step": self.progress.step,
                      "samples": self.progress.samples, "training loss": self.progress.train_loss,
                      "validation": self._val or "not evaluated at this step",
                      "configuration": self.config.to_dict()})

    def finish(self) -> TrainResult:
        """Return the result and write it to the run, which is finished from now on."""
        result = TrainResult(
            steps=self.progress.step, samples=self.progress.samples, seconds=self._clock.total(),
            **self._clock.rates(self.progress.samples, self._feeder.wait_seconds, of_session=True),
            train_loss=self.progress.train_loss, val=self.progress.best_val, run=str(self.config.run),
            precision=self.config.precision)
        with writing(self.config.run):
            write_json(self.config.run / RESULT_FILE, result.to_dict())
        return result

    def _finite_sums(self) -> list[float]:
        """The running sums, waiting for the device. Raises TrainingError if a step was not finite."""
        sums: list[float] = self.sums.tolist()
        if not all(map(math.isfinite, sums)):
            raise self._not_finite()
        self._finite_until = self.progress.step
        return sums

    def _not_finite(self) -> TrainingError:
        saved = "there is no checkpoint yet"
        if self.checkpoints.any():
            saved = f"the last good checkpoint is {self.checkpoints.last().name} in {self.config.run}"
        return TrainingError(
            f"loss, gradient or weights are not finite, since a step from {self._finite_until + 1} to "
            f"{self.progress.step}; {saved}", hint="try a lower --lr in a new --run")
