"""Training, from shards to the best policy: a run begins, or goes on, in one process or in several."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.errors import UsageError
from poke_bc.train.checkpoint import Checkpoints
from poke_bc.train.config import TrainConfig, changes_on_resume
from poke_bc.train.folder import check_folder, is_of_launch, note_launch, working_alone
from poke_bc.train.handover import Handover
from poke_bc.train.loop import Trainer, to_the_end
from poke_bc.train.ranks import Ranks, joined, launch
from poke_bc.train.result import TrainResult
from poke_bc.train.setup import settle
from poke_bc.train.terminal import warn


def train(config: TrainConfig, *, resume: bool = False, progress: bool = True,
          chosen: NDArray[np.bool_] | None = None) -> TrainResult:
    """Train a policy; all output goes to the run's folder.

    Args:
        config: configuration of the run.
        resume: continue from the run's last checkpoint: on a CPU with the same number of threads, bit for bit. A
            finished run returns its result again, or goes on if it is to last longer.
        progress: show a progress bar on stderr.
        chosen: for which trajectories of the shards `config.where` holds, in their order: what
            `pipelines.split.chosen_trajectories` finds. It is not found here, since that takes Polars, which a machine
            for training need not have.

    In processes that torchrun started, each trains on its share of every batch; all return the same result.

    Seeds torch's global generators. Raises UsageError, ShardError, RunError, TrainingError (loss not finite; the last
    checkpoint is from before that), and Interrupted.
    """
    if config.where and chosen is None:
        raise UsageError("where is set, but not which trajectories it holds for",
                         hint="chosen=pipelines.split.chosen_trajectories(config.shards, config.where)")
    with joined(config.device) as ranks:
        if not ranks.is_first:
            return _follow(ranks, chosen)
        return _lead(config, ranks, resume=resume, progress=progress, chosen=chosen)


def _lead(config: TrainConfig, ranks: Ranks, *, resume: bool, progress: bool,
          chosen: NDArray[np.bool_] | None) -> TrainResult:
    """Train as rank 0."""
    checkpoints = Checkpoints(config.run, config.keep)
    if ranks.restarts and checkpoints.any() and is_of_launch(config.run, launch()):
        resume = True
    check_folder(checkpoints, resume=resume)
    with working_alone(config.run):
        if resume:
            checkpoints.set_damaged_aside()
        before = checkpoints.settings() if resume else None
        config = settle(config, before, ranks)
        result = TrainResult.read(config.run, checkpoints.last()) if checkpoints.any() else None
        changed = before is not None and bool(changes_on_resume(before, config))
        trainer = None if result and not changed else Trainer(config, checkpoints, before, chosen, ranks)
        if result and (trainer is None or trainer.is_done):
            warn(f"{config.run}: this run is finished, nothing to resume; --epochs makes it longer")
            ranks.share(Handover(config, result))
            return result
        assert trainer is not None
        note_launch(config.run, launch())
        if ranks.size > 1:
            ranks.share(trainer.handover())
        return to_the_end(trainer, config, progress=progress)


def _follow(ranks: Ranks, chosen: NDArray[np.bool_] | None) -> TrainResult:
    """Train as another rank. It starts after rank 0, which has examined shards and settings by then."""
    given: Handover = ranks.receive()
    config = given.config
    return given.result or to_the_end(Trainer(config, Checkpoints(config.run), None, chosen, ranks, given), config,
                                  progress=False)
