"""One update of the weights: queued kernel by kernel, or captured once and then replayed as a whole.

A small network's step is hundreds of kernels of a few microseconds each, and queueing them takes the host longer than
running them takes a GPU. A CUDA graph queues them all in one call: unpacking the batch (which in resident mode is the
gather), forward, loss, backward, clipping, AdamW, and the running sums for the next line of metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from poke_bc.data.batch import Batch
from poke_bc.data.device import Accelerator
from poke_bc.data.feed import PackedBatch
from poke_bc.policy import Policy, PolicyOutput
from poke_bc.train.augment import Augment
from poke_bc.train.average import Average
from poke_bc.train.config import TrainConfig
from poke_bc.train.loss import Losses, all_losses
from poke_bc.train.ranks import ALONE, Ranks

SUMS = ("loss", "grad_norm", "steps", "policy", "policy_rows", "value", "value_rows", "gimmick", "gimmick_rows")
"""What `train_step` returns: loss, gradient norm before clipping, and 1; then for each loss its sum over the rows that
count, and the weight of these. 0 for a head that is not trained."""
WARM_UP = 3
"""Steps before the capture: in the first ones libraries allocate their workspaces, which a capture must not record."""


def train_step(policy: Policy, optimizer: Optimizer, batch: Batch, config: TrainConfig, *, bfloat16: bool,
               ranks: Ranks = ALONE) -> Tensor:
    """One update; returns SUMS as float64 that stays on the device.

    With several ranks, `batch` is this one's slice. The weights of all slices are added up before backward, so that
    each rank computes its part of the loss of the whole batch, and the gradients of the parts after it.

    It never waits for the device or branches on its values, so it can be captured. Gradients are None before and after:
    in a captured step, backward then writes them afresh with each replay.

    The gimmick's loss is summed over its few rows but divided by the weight of all, so that with a weight of 1 the
    loss is that of move and gimmick together, and a batch with a single such row is not pulled by it.
    """
    with torch.autocast(batch.number.device.type, torch.bfloat16, enabled=bfloat16):
        output: PolicyOutput = policy(batch)
    losses = all_losses(output, batch, label_smoothing=config.label_smoothing, censored=config.censored == "marginal",
                        value=config.value_weight > 0, gimmick=config.gimmick_weight > 0)
    nothing = torch.zeros_like(losses.policy.weight)
    weight, value_weight = ranks.sum(torch.stack([
        losses.policy.weight, nothing if losses.value is None else losses.value.weight]))
    loss = losses.policy.over(weight)
    if losses.value is not None:
        loss = loss + config.value_weight * losses.value.over(value_weight)
    if losses.gimmick is not None:
        loss = loss + config.gimmick_weight * losses.gimmick.over(weight)
    loss.backward()  # type: ignore[no-untyped-call]
    sums = [each.detach() for head in losses for each in (head or (nothing, nothing))]
    loss_and_sums = ranks.sum_gradients(policy.parameters(), torch.stack([loss.detach(), *sums]))
    norm = clip_grad_norm_(policy.parameters(), config.grad_clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return torch.cat([loss_and_sums[:1], torch.stack([norm, torch.ones_like(norm)]), loss_and_sums[1:]]).double()


def means(sums: Sequence[float]) -> dict[str, float]:
    """Running sums over at least one step, in the order of SUMS, as figures for a line of metrics.

    loss and grad_norm are means over the steps; policy_loss and, of heads that learn, value_loss and gimmick_loss are
    means over the rows that count, before they are multiplied by their weights in the loss.
    """
    of = dict(zip(SUMS, sums, strict=True))
    return {"loss": of["loss"] / of["steps"], "grad_norm": of["grad_norm"] / of["steps"]} | {
        f"{head}_loss": of[head] / of[f"{head}_rows"] for head in Losses._fields if of[f"{head}_rows"]}


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
        sums: SUMS, float64 on the device; each step adds what `train_step` returns.
        bfloat16: compute matrix products in it.
        augment: what is varied about each batch.
        average: of the policy's weights, updated after each step.
        graphs: if given, steps are captured and replayed; the optimizer must then be capturable.
        ranks: the processes that share each batch.
    """

    def __init__(self, policy: Policy, optimizer: Optimizer, config: TrainConfig, sums: Tensor, *, bfloat16: bool,
                 augment: Augment | None = None, average: Average | None = None,
                 graphs: Accelerator | None = None, ranks: Ranks = ALONE) -> None:
        self._policy, self._optimizer, self._config = policy, optimizer, config
        self._sums, self._bfloat16 = sums, bfloat16
        self._augment, self._average = augment, average
        self._graphs, self._ranks = graphs, ranks
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
        if self._augment is not None:
            batch = self._augment(batch)
        self._sums += train_step(self._policy, self._optimizer, batch, self._config, bfloat16=self._bfloat16,
                                 ranks=self._ranks)
        if self._average is not None:
            self._average.update()

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
