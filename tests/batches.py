"""Comparing batches."""

from __future__ import annotations

import torch
from torch import Tensor

from poke_bc.data.batch import Batch


def bits(tensor: Tensor) -> Tensor:
    """A tensor that torch can compare and join; it can do neither with uint16."""
    return tensor.view(torch.int16) if tensor.dtype == torch.uint16 else tensor


def same(left: Batch, right: Batch) -> bool:
    return all(torch.equal(bits(a), bits(b)) for a, b in zip(left.tensors(), right.tensors(), strict=True))
