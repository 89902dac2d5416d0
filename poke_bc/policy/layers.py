"""Layers that the networks share.

    W width
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

_DRAWS = 1 << 16  # values of 16 random bits


class LayerNorm(nn.LayerNorm):
    """nn.LayerNorm over the last dimension, computed in float32 at least, as autocast does on a GPU.

    On a CPU, autocast leaves it in bfloat16 and sums the gradients of its weights over the batch in that type: at 1,024
    decisions they were off by up to a half.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[..., W] of any float type -> [..., W] of the weights' type."""
        wide = torch.promote_types(self.weight.dtype, torch.float32)
        y = layer_norm(x.to(wide), self.normalized_shape, self.weight.to(wide), self.bias.to(wide), self.eps)
        return y.to(self.weight.dtype)


class Dropout(nn.Dropout):
    """nn.Dropout; on a CPU with 16 random bits per number, which take a quarter of the time to draw.

    The fraction dropped is then a multiple of 1/65,536, and the rest is scaled to match exactly.
    """

    def __init__(self, p: float) -> None:
        super().__init__(p)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape; unchanged in eval mode."""
        dropped = round(self.p * _DRAWS)
        if (not self.training or x.device.type != "cpu" or not 0 < dropped < _DRAWS
                or torch.compiler.is_compiling()):
            return super().forward(x)
        # created from x, so that it is on x's device and drawn for each sample under vmap
        words = x.new_empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)  # all 64 bits
        kept = words.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - _DRAWS // 2
        return x * kept.to(x.dtype).mul_(_DRAWS / (_DRAWS - dropped))


def small_head(width: int, outputs: int) -> nn.Linear:
    """A head that starts close to zero, so that training starts from nearly uniform probabilities."""
    head = nn.Linear(width, outputs)
    nn.init.normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)
    return head
