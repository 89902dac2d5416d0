"""The residual MLP: all fields concatenated, three blocks, one head. The plain, fast baseline.

    A the ten actions   C category columns   K number columns   W width
"""

from __future__ import annotations

from typing import Annotated

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

from poke_bc.contract.actions import NUM_ACTIONS
from poke_bc.contract.schema import Schema
from poke_bc.contract.settings import BelowOne
from poke_bc.data.batch import Batch
from poke_bc.policy.base import Policy, PolicyOptions, PolicyOutput

_DRAWS = 1 << 16  # values of 16 random bits


class MLPOptions(PolicyOptions, frozen=True, kw_only=True):
    """Options of the residual MLP."""

    name: str = "mlp"
    blocks: Annotated[int, Meta(ge=0, le=1000)] = 3
    """Residual blocks."""
    dropout: BelowOne = 0.1
    """Fraction of each block's output that is dropped in training."""


class ResidualMLP(Policy):
    """Concatenated embeddings and numbers -> pre-norm residual blocks -> ten logits. Rows are independent."""

    Options = MLPOptions

    def __init__(self, schema: Schema, options: MLPOptions) -> None:
        super().__init__(schema, options)
        width = options.width
        self.stem = nn.Linear(schema.category_width * options.embedding + self.numbers.width, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, options.dropout) for _ in range(options.blocks)))
        self.norm = LayerNorm(width)
        self.policy_head = _small_head(width, NUM_ACTIONS)
        self.value_head = _small_head(width, 1) if options.value_head else None

    def score(self, batch: Batch) -> PolicyOutput:
        """Logits [..., A] and the value [...] of single rows, or of every step of sequences."""
        hidden = self.norm(self.blocks(self._stem(batch.category, batch.number)))
        value = None if self.value_head is None else self.value_head(hidden)[..., 0]
        return PolicyOutput(self.policy_head(hidden), value)

    def _stem(self, category: Tensor, number: Tensor) -> Tensor:
        """The first layer, [..., C] and [..., K] -> [..., W], as two products: `cat` would write all inputs once more.

        Numbers then need no gradient, and the rows of the embeddings' matrix stay aligned: with rows of 3,959 float32
        the two products of its backward took 1.6 times as long as with 3,968.
        """
        device = category.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.stem.weight.dtype
        vectors = self.ids(category, dtype).flatten(-2)
        from_ids, from_numbers = self.stem.weight.split_with_sizes([vectors.shape[-1], self.numbers.width], dim=1)
        return linear(vectors, from_ids.contiguous()) + linear(
            self.numbers(number).to(dtype), from_numbers, self.stem.bias)


class ResidualBlock(nn.Module):
    """x + f(norm(x)), f two layers with GELU between.

    It is no wider inside than the stream: twice as wide learned no better on 100,000 decisions, at half the speed.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(LayerNorm(width), nn.Linear(width, width), nn.GELU(),
                                    nn.Linear(width, width), Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        """[..., W] -> [..., W]."""
        y: Tensor = x + self.layers(x)
        return y


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


def _small_head(width: int, outputs: int) -> nn.Linear:
    """A head that starts close to zero, so that training starts from nearly uniform probabilities."""
    head = nn.Linear(width, outputs)
    nn.init.normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)
    return head
