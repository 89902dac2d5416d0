"""What a policy is given: one row a decision, narrow types as they lie in the shard.

    B decisions   C category columns   K number columns
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

TENSORS = ("category", "number", "legal", "candidates", "action", "weight", "returns")
"""Tensors of a batch, in order; `returns` is the shard's `return` column."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Decisions side by side.

    The tensors of a fed batch live in a reused buffer: they hold until the next batch is asked for.
    """

    category: Tensor
    """[B, C] uint16 ids."""
    number: Tensor
    """[B, K] float16, in the schema's own units."""
    legal: Tensor
    """[B] int16, bit a: action a was open; 0: not recorded."""
    candidates: Tensor
    """[B] int16, bit a: the unseen choice may have been a."""
    action: Tensor
    """[B] int8, -1: no label."""
    weight: Tensor
    """[B] float32, how much the row counts in the loss."""
    returns: Tensor
    """[B] float32, reward still to come."""
    position: int
    """Samples handed out up to and including this batch: where to go on after it."""

    def __len__(self) -> int:
        return len(self.action)

    def tensors(self) -> tuple[Tensor, ...]:
        """In the order of TENSORS."""
        return tuple(getattr(self, name) for name in TENSORS)

    def to(self, device: torch.device) -> Batch:
        """A copy on `device` (the same tensors when they are there already)."""
        return replace(self, **{name: getattr(self, name).to(device) for name in TENSORS})

    def clone(self) -> Batch:
        """A copy that outlives the feeder's buffer."""
        return replace(self, **{name: getattr(self, name).clone() for name in TENSORS})
    @classmethod
    def of(cls, tensors: Mapping[str, Tensor], position: int = 0) -> Batch:
        """From tensors by name."""
        return cls(**{name: tensors[name] for name in TENSORS}, position=position)
