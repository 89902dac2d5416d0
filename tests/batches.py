"""Comparing batches."""

from __future__ import annotations

import torch
from torch import Tensor

from poke_bc.data.batch import Batch


def bits(tensor: Tensor) -> Tensor:
    """A tensor that torch can compare and join; it can do neither with uint16."""
    return tensor.view(torch.int16) if tensor.dtype == torch.uint16 else tensor


def same(left: Batch, right: Batch) -> bool:
    ours, theirs = left.tensors(), right.tensors()
    return ours.keys() == theirs.keys() and all(
        ours[name].dtype == theirs[name].dtype and torch.equal(bits(ours[name]), bits(theirs[name])) for name in ours)


def joined(batches: list[Batch]) -> Batch:
    """One batch of all rows; of at least one batch."""
    columns = [batch.tensors() for batch in batches]
    return Batch({name: torch.cat([bits(each[name]) for each in columns]).view(columns[0][name].dtype)
                  for name in columns[0]}, steps=batches[0].steps)
