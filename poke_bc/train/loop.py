"""The loop of a training: report, save, step. `to_the_end` shows all of it; train/start.py calls it."""

from __future__ import annotations

import contextlib
import functools
import math
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from poke_bc.contract.errors import RunError, TrainingError
from poke_bc.data.dataset import ShardDataset
from poke_bc.data.device import accelerator_of
from poke_bc.data.feed import BatchFeeder, PackedBatch
from poke_bc.data.shards import Shards
from poke_bc.decisions.baselines import compare_baselines
from poke_bc.decisions.rows import read_rows
from poke_bc.metrics import Scores, is_finite, score_policy
from poke_bc.policy import create_policy
from poke_bc.policy.card import BASELINES, VALIDATION
from poke_bc.policy.store import start_from
from poke_bc.train.advice import advice
from poke_bc.train.augment import augmentation
from poke_bc.train.average import Average
from poke_bc.train.calibrate import calibrate
from poke_bc.train.checkpoint import Checkpoints, metrics_hold, writing
from poke_bc.train.clock import Clock
from poke_bc.train.config import TrainConfig, changes_on_resume
from poke_bc.train.folder import clear
from poke_bc.train.handover import Handover
from poke_bc.train.memory import check_memory
from poke_bc.train.ranks import ALONE, Ranks
from poke_bc.train.result import TrainResult
from poke_bc.train.schedule import Schedule
from poke_bc.train.setup import captures, make_optimizer, open_train, pick_device, trained_on, windows_per_step
from poke_bc.train.state import Progress, random_states
from poke_bc.train.step import SUMS, Update, means
from poke_bc.train.terminal import Display, InterruptRequest, warn
from poke_bc.train.trackers import Trackers, drop_after

MEAN_ROWS = 1 << 20
"""Rows, spread evenly, whose mean the numbers are centred on."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM, raised after the step has ended and the run has been saved; `str()` says how to resume."""

    def __init__(self, how_to_resume: str, number: int) -> None:
        super().__init__(how_to_resume)
        self.number = number
        """Of the signal."""


def to_the_end(trainer: Trainer, config: TrainConfig, *, progress: bool) -> TrainResult:
    """Run the trainer to the end of the run."""
    ranks = trainer.ranks
    with (
        Display(trainer.schedule.total, trainer.start, shown=progress) as display,
        contextlib.closing(Trackers(config, trainer.start, silent=not ranks.is_first)) as trackers,
        trainer.feed() as feeder,
        InterruptRequest(told=ranks.is_first) as interrupt,
    ):
        display.say(trainer.summary())
        while True:
            step, signal_number = trainer.progress.step, ranks.agreed(interrupt.made or 0)
            if step > trainer.start:  # what was due at the start was done by the session before
                if trainer.schedule.logs(step):
                    trainer.report(trackers, display)
                if trainer.schedule.saves(step) or signal_number:
                    trainer.save()
            if trainer.is_done or signal_number:
                break
            trainer.step(feeder.next_packed())
            display.advance(trainer.progress.step)
        if not trainer.is_done:
            raise Interrupted(f"stopped after step {trainer.progress.step} of {trainer.schedule.total}; "
                              f"continue with: poke-bc train --run {config.run} --resume", signal_number)
        return ranks.share(trainer.finish())


class Trainer:
    """The state of a run, new or resumed from its last checkpoint, and the operations of the loop."""

    def __init__(self, config: TrainConfig, checkpoints: Checkpoints, before: TrainConfig | None = None,
                 chosen_T: NDArray[np.bool_] | None = None, ranks: Ranks = ALONE,
                 given: Handover | None = None) -> None:
        """`before`: the settings of the run that is resumed. `chosen_T`: as for `train`. `given`: by rank 0."""
        self.config, self.checkpoints, self.ranks = config, checkpoints, ranks
        self.device = pick_device(config.device, ranks)
        shards = Shards(config.shards)
        if ranks.is_first:
            check_memory(config, shards.manifest.schema, self.device, ranks)
        torch.manual_seed(config.seed)
        self.policy = create_policy(config.policy, shards.manifest.schema).to(self.device)
        steps = self.policy.steps
        self.data = open_train(config, shards, steps, chosen_T)
        self.val = ShardDataset(shards, "val", steps=steps)
        self._windows, self._span = windows_per_step(config, steps, ranks), len(steps or (0,))
        self.policy.trained_on = trained_on(self.data) if ranks.is_first else None
        graphs = accelerator_of(self.device) if captures(config, self.device, ranks) else None
        self.optimizer = make_optimizer(self.policy, config, capturable=graphs is not None)
        self.average = Average(self.policy, config.average) if config.average else None
        self.sums = torch.zeros(len(SUMS), dtype=torch.float64, device=self.device)
        """Running sums since the last line of metrics, on the device."""
        self.progress = Progress()
        if given is not None:
            self.progress = given.take(self.policy, self.optimizer, self.sums, self.average, ranks.rank)
        elif before is not None and checkpoints.any():
            self._resume(before)
        else:
            self._begin()
        self.schedule = Schedule(config, len(self.data), self.progress.lengths)
        self.start = self.progress.step
        self._finite_until = self.start
        self._val: dict[str, Any] | None = None
        self._clock = Clock(self.progress.seconds, self.progress.samples)
        self._update = Update(self.policy, self.optimizer, config, self.sums,
                              bfloat16=config.precision == "bfloat16", graphs=graphs, average=self.average,
                              augment=augmentation(config, shards.manifest.schema, self.device), ranks=ranks)

    def _begin(self) -> None:
        """Start a new run: record which ids the policy will see, and write the configuration."""
        for remark in advice(self.data, self.val, self.config.batch_size):
            warn(remark)
        some_rows = self.data.rows[::-(-len(self.data) // MEAN_ROWS)]
        self.policy.note_seen(self.data.chunks("category"), self.data.chunks("number", some_rows))
        if self.config.init_from is not None:
            start_from(self.policy, self.config.init_from)
        with writing(self.config.run):
            clear(self.config.run)
            self.config.write(self.config.run)

    def _resume(self, before: TrainConfig) -> None:
        """Load the last checkpoint, and record what is changed about the run."""
        if not metrics_hold(self.config.run, self.checkpoints.last()):
            warn(f"{self.config.run}: metrics.jsonl was edited or damaged; the lines that can be read are kept")
        with writing(self.config.run):
            progress = self.progress = self.checkpoints.load(
                self.policy, self.optimizer, self.sums, self.average)
            drop_after(self.config.run, progress.step)
        was, now = (Schedule(each, len(self.data)).total for each in (before, self.config))
        if now != was:
            if now < progress.step:
                raise RunError(f"{self.config.run}: cannot end after {now:,} steps, it is at {progress.step:,}",
                               hint="make it longer, or start a new run: --run")
            progress.lengths.append((progress.step, was))
            progress.stale = 0
        if changes := changes_on_resume(before, self.config):
            progress.changes.append({"step": progress.step, **changes})
        with writing(self.config.run):
            self.config.write(self.config.run)

    def handover(self) -> Handover:
        """What the other ranks go on from."""
        return Handover.of(self.config, self.progress, self.policy, self.optimizer, self.sums, self.average,
                           self.checkpoints.generators)

    def feed(self) -> BatchFeeder:
        """This rank's share of the batches from here to the end of the run."""
        self._feeder = BatchFeeder(
            self.data, self._windows, seed=self.config.seed, device=self.device,
            window=self.config.window if self.config.order == "window" else None,
            start=self.progress.samples // self._span, stop=self.schedule.total * self._windows,
            rank=self.ranks.rank, ranks=self.ranks.size)
        return self._feeder

    def summary(self) -> str:
        """What is trained on what, in one line."""
        embedded = self.policy.ids.table.weight.numel()
        return (f"{self.policy.name}: {self.policy.parameter_count:,} parameters, {embedded:,} of them embeddings · "
                f"{len(self.data):,} decisions to learn from, {len(self.val):,} for validation")

    @property
    def is_done(self) -> bool:
        """Whether all steps are done, or patience has run out."""
        patience = self.config.patience
        return self.progress.step >= self.schedule.total or (patience is not None and self.progress.stale >= patience)

    def step(self, packed: PackedBatch) -> None:
        """One update."""
        self._update(packed, self.schedule.rate(self.progress.step))
        self.progress.step += 1
        self.progress.samples = packed.position * self._span
        self._val = None

    def report(self, trackers: Trackers, display: Display) -> None:
        """Write one line of metrics, with an evaluation if one is due."""
        figures = means(self._finite_sums())
        self.progress.train_loss = figures["loss"]
        line: dict[str, Any] = {
            "epoch": round(self.progress.samples / len(self.data), 4), "samples": self.progress.samples, **figures,
            "lr": self.schedule.rate(self.progress.step - 1), "seconds": self._clock.total(),
            **self._clock.rates(self.progress.samples, self._feeder.wait_seconds)}
        if self.schedule.evaluates(self.progress.step) and len(self.val):
            with self._clock.pause():
                line["val"] = self._evaluate()
        trackers.log(self.progress.step, line)
        display.report(self.progress.step, line)
        self.sums.zero_()

    def _evaluate(self) -> dict[str, Any]:
        """Metrics on the validation split; records the best, and the number of evaluations since."""
        with self._averaged():
            self.ranks.share_tensors(each for each in self.policy.buffers() if each.is_floating_point())
            if self.config.calibrate:
                calibrate(self.policy, self.val, self.ranks)
            self._val = val = self.ranks.share(self._score())
        if not all(map(math.isfinite, val.values())):
            raise self._not_finite()
        best = self.progress.best_val
        if best is None or val["nll"] < best["nll"]:
            self.progress.best_step, self.progress.best_val, self.progress.stale = self.progress.step, val, 0
        else:
            self.progress.stale += 1
        return val

    def _score(self) -> dict[str, Any]:
        """Metrics on the validation split, which the ranks share; of ranks other than 0, nothing."""
        own = self.val.part(self.ranks.rank, self.ranks.size)
        parts = self.ranks.gather([score_policy(self.policy, own, device=self.device)] if len(own) else [])
        return Scores.together([each for part in parts for each in part]).figures() if self.ranks.is_first else {}

    def save(self) -> None:
        """Write a checkpoint, but only of a policy that can be evaluated."""
        self._finite_sums()
        generators = self.ranks.gather(random_states())
        if not self.ranks.is_first:
            return
        with self._clock.pause(), writing(self.config.run):
            if not self._is_good():
                raise self._not_finite()
            self.progress.seconds = self._clock.total()
            self.checkpoints.save(
                self.progress, self.policy, self.optimizer, self.sums, self.config, average=self.average,
                generators=generators,
                card={"trained on": msgspec.to_builtins(self.policy.trained_on), "step": self.progress.step,
                      "samples": self.progress.samples, "training loss": self.progress.train_loss,
                      VALIDATION: self._val, BASELINES: self._baselines,
                      "changed on resume": self.progress.changes or "nothing",
                      "configuration": self.config.to_dict()})

    @functools.cached_property
    def _baselines(self) -> dict[str, Any]:
        """What predictors that have learned nothing score on the validation split."""
        assert self.policy.trained_on is not None
        rows = read_rows(self.val)
        observed = rows.at(rows.is_observed_N)
        return compare_baselines(observed, np.array(self.policy.trained_on.actions)) if len(observed) else {}

    def _is_good(self) -> bool:
        """Whether the weights are finite, and what the policy makes of decisions: finite weights may overflow."""
        if not all(weight.isfinite().all() for weight in self.policy.parameters()):
            return False
        with self._averaged():
            return self._val is not None or is_finite(self.policy, self.val if len(self.val) else self.data)

    def _averaged(self) -> contextlib.AbstractContextManager[None]:
        """Context in which the policy is the one to evaluate and to share."""
        return contextlib.nullcontext() if self.average is None else self.average.applied()

    def finish(self) -> TrainResult:
        """Return the result and write it to the run, which is finished from now on."""
        result = TrainResult(
            steps=self.progress.step, samples=self.progress.samples, seconds=self._clock.total(),
            **self._clock.rates(self.progress.samples, self._feeder.wait_seconds, of_session=True),
            train_loss=self.progress.train_loss, val=self.progress.best_val, run=str(self.config.run),
            precision=self.config.precision)
        if self.ranks.is_first:
            with writing(self.config.run):
                result.write(self.config.run, self.checkpoints.last())
        return result

    def _finite_sums(self) -> list[float]:
        """The running sums, waiting for the device. Raises TrainingError if a step was not finite."""
        sums: list[float] = self.sums.tolist()
        if not all(map(math.isfinite, sums)):
            raise self._not_finite()
        self._finite_until = self.progress.step
        return sums

    def _not_finite(self) -> TrainingError:
        where = f"at some step from {self._finite_until + 1} to {self.progress.step}"
        if self.checkpoints.any():
            return TrainingError(
                f"loss, gradient, weights or evaluation are not finite, {where}; the last good checkpoint is "
                f"{self.checkpoints.last().name} in {self.config.run}",
                hint="--resume would repeat it: try a lower --lr in a new --run, with --init-from "
                     f"{self.config.run} to go on from that checkpoint")
        return TrainingError(
            f"loss, gradient, weights or evaluation are not finite, {where}; there is no checkpoint yet",
            hint=f"--resume would repeat it: start again with a lower --lr and without --resume; --run "
                 f"{self.config.run} can be used again")
