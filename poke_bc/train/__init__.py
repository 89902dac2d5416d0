"""Behaviour cloning: shards -> a policy.

    config.py      TrainConfig: defaults < TOML < flags
    loop.py        train(): evaluate, log, save, step
    loss.py        imitation loss over legal actions
    schedule.py    learning rate and due dates: pure functions of the step
    checkpoint.py  what a resumed run needs, written whole or not at all
    setup.py       device, data and optimizer; whether the folder may be used
    clock.py       seconds and rates
    trackers.py    metrics.jsonl, TensorBoard, Weights & Biases
    terminal.py    what a person sees meanwhile, and Ctrl-C
"""

from __future__ import annotations

from poke_bc.train.config import TrainConfig, resolve
from poke_bc.train.loop import Interrupted, TrainResult, train

__all__ = ["Interrupted", "TrainConfig", "TrainResult", "resolve", "train"]
