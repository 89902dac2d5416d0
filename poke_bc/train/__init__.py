"""Behaviour cloning: shards -> a policy.

    config.py      TrainConfig: defaults < TOML < --set < flags
    start.py       train(): a run begins or goes on, in one process or in several
    loop.py        report, save, step
    step.py        one update, eager or captured in a CUDA graph
    loss.py        losses of actions, value and gimmick
    augment.py     what is varied about each batch
    average.py     moving average of the weights
    emphasis.py    whose decisions count more
    schedule.py    learning rate, and what is due after which step
    checkpoint.py  what resuming needs, written completely or not at all
    state.py       what of it is not the policy
    ranks.py       several processes: what they tell each other
    handover.py    what rank 0 gives the others to start from
    setup.py       device, precision, data and optimizer
    memory.py      whether it fits into memory
    advice.py      what to know about the data first
    folder.py      whether the folder may be used, by one process at a time
    result.py      the result, and result.json
    clock.py       seconds and rates
    trackers.py    metrics.jsonl, TensorBoard, Weights & Biases
    terminal.py    progress bar, warnings, and Ctrl-C
"""

from __future__ import annotations

from poke_bc.callable_module import callable_as
from poke_bc.train.config import TrainConfig, resolve
from poke_bc.train.loop import Interrupted
from poke_bc.train.result import TrainResult
from poke_bc.train.start import train

__all__ = ["Interrupted", "TrainConfig", "TrainResult", "resolve", "train"]

callable_as(train, __name__)
