"""One update of the weights: queued kernel by kernel, or captured once and then replayed as a whole.

A small network's step is hundreds of kernels of a few microseconds each, and queueing them takes the host longer than
running them takes a GPU. A CUDA graph queues them all in one call: unpacking the batch (which in resident mode is the
gather), forward, loss, backward, clipping, AdamW, and the running sums for the next line of metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from poke_bc.data.batch import Batch
from poke_bc.data.device import Accelerator
from poke_bc.data.feed import PackedBatch
from poke_bc.policy import Policy, PolicyOutput
from poke_bc.train.config import TrainConfig
from poke_bc.train.loss import imitation_loss, value_loss

WARM_UP = 3
"""Steps before the capture: in the first ones libraries allocate their workspaces, which a capture must not record."""


def train_step(policy: Policy, optimizer: Optimizer, batch: Batch, config: TrainConfig, *, bfloat16: bool) -> Tensor:
    """One update; returns [3] float64 that stays on the device: loss, gradient norm before clipping, 1.

    It never waits for the device or branches on its values, so it can be captured. Gradients are None before and after:
    in a captured step, backward then writes them afresh with each replay.
    """
    with torch.autocast(batch.number.device.type, torch.bfloat16, enabled=bfloat16):
        output: PolicyOutput = policy(batch)
    loss = imitation_loss(output.logits, batch.legal, batch.action, batch.candidates, batch.weight,
                          label_smoothing=config.label_smoothing).mean()
    if config.value_weight and output.value is not None:
        loss = loss + config.value_weight * value_loss(output.value, batch.returns, batch.weight).mean()
    loss.backward()  # type: ignore[no-untyped-call]
    norm = clip_grad_norm_(policy.parameters(), config.grad_clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return torch.stack([loss.detach(), norm, torch.ones_like(norm)]).double()


def set_rate(optimizer: Optimizer, rate: float) -> None:
    """Set the learning rate of the next step; a rate on the device is overwritten where captured steps read it."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


class Update:
    """Performs the updates of a run, one per batch.

    Args:
        policy, optimizer, config: those of the run.
        sums: [3] float64 on the device; each step adds what `train_step` returns.
        bfloat16: compute matrix products in it.
        graphs: if given, steps are captured and replayed; the optimizer must then be capturable.
    """

    def __init__(self, policy: Policy, optimizer: Optimizer, config: TrainConfig, sums: Tensor, *, bfloat16: bool,
                 graphs: Accelerator | None = None) -> None:
        self._policy, self._optimizer, self._config = policy, optimizer, config
        self._sums, self._bfloat16 = sums, bfloat16
        self._graphs = graphs
        self._warm = 0
        self._replay: Callable[[], None] | None = None

    def __call__(self, packed: PackedBatch, rate: float) -> None:
        """One update at a learning rate, queued on the current stream."""
        set_rate(self._optimizer, rate)
        if self._graphs is None or not packed.is_full:
            self._step(packed.unpack())
        elif self._warm < WARM_UP:
            self._step_on_side_stream(self._graphs, packed.unpack())
            self._warm += 1
        else:
            if self._replay is None:
                self._replay = self._capture(self._graphs, packed)
            self._graphs.copy(self._input, packed.raw)
            self._replay()

    def _step(self, batch: Batch) -> None:
        self._sums += train_step(self._policy, self._optimizer, batch, self._config, bfloat16=self._bfloat16)

    def _step_on_side_stream(self, graphs: Accelerator, batch: Batch) -> None:
        """A step on a side stream: autograd would carry its memory of the default stream into the capture."""
        here, side = graphs.current_stream(), graphs.side_stream()
        before, after = graphs.event(), graphs.event()
        before.record(here)
        side.wait_event(before)
        with graphs.on(side):
            self._step(batch)
        after.record(side)
        here.wait_event(after)

    def _capture(self, graphs: Accelerator, packed: PackedBatch) -> Callable[[], None]:
        self._input = packed.raw.clone()
        captured = replace(packed, raw=self._input, tensors=None)
        return graphs.capture(lambda: self._step(captured.unpack()))
