"""The residual MLP: all fields side by side, three blocks, one head. The plain, fast baseline.

    B decisions   C category columns   K number columns   W width
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

from poke_bc.contract.actions import NUM_ACTIONS
from poke_bc.contract.schema import Schema
from poke_bc.policy.base import Policy, PolicyOutput

_DRAWS = 1 << 16  # what 16 random bits can be


class ResidualMLP(Policy):
    """Embeddings and numbers, concatenated -> pre-norm residual blocks -> ten logits.

    Args:
        schema: what the observations hold.
        width: of the residual stream.
        blocks: how many.
        dropout: share of each block's output that is dropped in training.
        value_head: also predict the reward still to come.
        embedding: width of the category embeddings.
    """

    name = "mlp"

    def __init__(self, schema: Schema, *, width: int = 256, blocks: int = 3, dropout: float = 0.1,
                 value_head: bool = False, embedding: int = 24) -> None:
        super().__init__(schema, embedding=embedding, width=width, blocks=blocks, dropout=dropout,
                         value_head=value_head)
        self.stem = nn.Linear(schema.category_width * embedding + schema.number_width, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, dropout) for _ in range(blocks)))
        self.norm = LayerNorm(width)
        self.policy_head = _small_head(width, NUM_ACTIONS)
        self.value_head = _small_head(width, 1) if value_head else None

    def score(self, category_BC: Tensor, number_BK: Tensor) -> PolicyOutput:
        """See Policy.score."""
        hidden_BW = self.norm(self.blocks(self._stem(category_BC, number_BK)))
        value_B = None if self.value_head is None else self.value_head(hidden_BW)[:, 0]
        return PolicyOutput(self.policy_head(hidden_BW), value_B)

    def _stem(self, category_BC: Tensor, number_BK: Tensor) -> Tensor:
        """The first layer [B, W], as two products: `cat` would write all inputs once more.

        Numbers also need no gradient then, and the matrix of the embeddings can be one whose rows are aligned:
        with rows of 3,959 float32 the two products of its backward took 1.6 times as long as with 3,968.
        """
        device = category_BC.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.stem.weight.dtype
        vectors_BX = self.ids(category_BC, dtype).flatten(1)
        from_ids, from_numbers = self.stem.weight.split_with_sizes([vectors_BX.shape[1], number_BK.shape[1]], dim=1)
        return linear(vectors_BX, from_ids.contiguous()) + linear(
            self.numbers(number_BK).to(dtype), from_numbers, self.stem.bias)


class ResidualBlock(nn.Module):
    """x + f(norm(x)), f two layers with GELU between.

    Its inside is no wider than the stream: twice as wide learned no better on 100,000 decisions, at half the speed.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(LayerNorm(width), nn.Linear(width, width), nn.GELU(),
                                    nn.Linear(width, width), Dropout(dropout))

    def forward(self, x_BW: Tensor) -> Tensor:
        """[B, W] -> [B, W]."""
        y_BW: Tensor = x_BW + self.layers(x_BW)
        return y_BW


class LayerNorm(nn.LayerNorm):
    """nn.LayerNorm over the last dimension, computed in float32 at least, as autocast has it on a GPU.

    On a processor autocast leaves it in bfloat16, and adds up the gradients of its weights over the batch in that: at
    1,024 decisions they were up to half wrong.
    """

    def forward(self, x: Tensor) -> Tensor:
        """[..., W] of any float type -> [..., W] of the weights' type."""
        wide = torch.promote_types(self.weight.dtype, torch.float32)
        y = layer_norm(x.to(wide), self.normalized_shape, self.weight.to(wide), self.bias.to(wide), self.eps)
        return y.to(self.weight.dtype)


class Dropout(nn.Dropout):
    """nn.Dropout; on a processor with 16 random bits a number, which takes a quarter of the time of its draws.

    The share dropped is then a multiple of 1/65,536, and what is kept is scaled by exactly that.

    Args:
        p: share that is dropped.
    """

    def __init__(self, p: float) -> None:
        super().__init__(p)

    def forward(self, x: Tensor) -> Tensor:
        """x of any shape."""
        dropped = round(self.p * _DRAWS)
        if (not self.training or x.device.type != "cpu" or not 0 < dropped < _DRAWS
                or torch.compiler.is_compiling()):
            return super().forward(x)
        # where and as often as x is: under vmap the draws of each sample are its own
        words = x.new_empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(1 << 63), None)  # all 64 bits
        kept = words.view(torch.int16)[: x.numel()].view(x.shape) >= dropped - _DRAWS // 2
        return x * kept.to(x.dtype).mul_(_DRAWS / (_DRAWS - dropped))


def _small_head(width: int, outputs: int) -> nn.Linear:
    """A head that starts close to zero, so that training starts from uniform odds."""
    head = nn.Linear(width, outputs)
    nn.init.normal_(head.weight, std=0.01)
    nn.init.zeros_(head.bias)
    return head
