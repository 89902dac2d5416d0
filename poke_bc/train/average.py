"""The moving average of the weights over the steps of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from poke_bc.policy import Policy


class Average:
    """An exponential moving average of a policy's weights; which of its parameters are trained makes no difference.

    After n updates the decay is n / (n + 9) until that exceeds `decay`: so the first weights, which are random, are
    soon forgotten, and the average is of use from the first evaluation on. All of it stays on the device, where a
    captured step can update it.

    Args:
        policy: the policy in training.
        decay: in (0, 1); 0.999 averages about the last 1,000 steps.
    """

    def __init__(self, policy: Policy, decay: float) -> None:
        self._decay = decay
        self._policy = policy
        self._own = [weight.detach() for weight in policy.parameters()]
        self._averages = [weight.clone() for weight in self._own]
        self._updates = torch.zeros((), dtype=torch.float32, device=policy.device)

    @torch.no_grad()
    def update(self) -> None:
        """After a step."""
        share = 1 - (self._updates / (self._updates + 9)).clamp_max(self._decay)
        differences = torch._foreach_sub(self._own, self._averages)
        torch._foreach_mul_(differences, share)
        torch._foreach_add_(self._averages, differences)
        self._updates += 1

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Context in which the policy has the averages as weights."""
        kept = [weight.clone() for weight in self._own]
        self._set(self._averages)
        try:
            yield
        finally:
            self._set(kept)

    def state(self) -> dict[str, Any]:
        """What a run needs to go on, apart from the averages, which are the weights of the policy that is saved."""
        return {"updates": self._updates.cpu(), "weights": {
            name: weight.detach().cpu() for name, weight in self._policy.named_parameters()}}

    def load(self, state: Mapping[str, Any]) -> None:
        """Take the policy's weights as averages, and give it those that it was training with."""
        with torch.no_grad():
            for average, weight in zip(self._averages, self._own, strict=True):
                average.copy_(weight)
            self._set([state["weights"][name] for name, _ in self._policy.named_parameters()])
            self._updates.copy_(state["updates"])

    def _set(self, weights: list[Tensor]) -> None:
        """In place: a captured step and the optimizer know the weights by their memory."""
        with torch.no_grad():
            for own, weight in zip(self._own, weights, strict=True):
                own.copy_(weight)
