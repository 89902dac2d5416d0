"""The history network: the entity encoder for each decision, then attention over the last K of its trajectory.

Rows of a trajectory are neighbours in their shard, so the feeder hands out a decision with the K - 1 before it.
Attention is causal: a decision reads itself and earlier ones, so training learns from every decision of a window.

    B windows   S = K steps   T tokens   W width
"""

from __future__ import annotations

from typing import Annotated

import torch
from msgspec import Meta
from torch import nn

from poke_bc.contract.schema import Schema
from poke_bc.data.batch import Batch
from poke_bc.policy.base import PolicyOutput
from poke_bc.policy.encoder import AttentionBlock, normalised
from poke_bc.policy.entity import EntityNetwork, EntityOptions


class HistoryOptions(EntityOptions, frozen=True, kw_only=True):
    """Options of the history network."""

    name: str = "history"
    steps: Annotated[int, Meta(ge=1, le=1024)] = 8
    """K: decisions that are read, this one included."""
    history_layers: Annotated[int, Meta(ge=1, le=100)] = 1
    """Layers of attention over decisions."""


class HistoryNetwork(EntityNetwork):
    """As the entity network, but the field's token has also read those of the decisions before."""

    Options = HistoryOptions

    def __init__(self, schema: Schema, options: HistoryOptions) -> None:
        super().__init__(schema, options)
        self.steps = range(1 - options.steps, 1)
        self.age = nn.Parameter(torch.zeros(options.steps, options.width))
        self.history = nn.ModuleList(AttentionBlock(options.width, options.heads, options.hidden, options.dropout)
                                     for _ in range(options.history_layers))
        self.from_history = nn.Linear(options.width, options.width)

    def score(self, batch: Batch) -> PolicyOutput:
        """Logits [B, S, A], value [B, S] and gimmick [B, S, 4, 5] of every step; of single rows, without the S."""
        windows, steps = batch.category.shape[:2] if batch.steps is not None else (len(batch), 1)
        tokens = self.tokens(batch)
        field_BSW = tokens[""].view(windows, steps, -1)
        is_pad_BS = (batch.is_pad if batch.steps is not None
                     else torch.zeros(windows, steps, dtype=torch.bool, device=field_BSW.device))
        # one for all windows would leave a padded step with nothing to read, so each step always reads itself
        read_SS = torch.ones(steps, steps, dtype=torch.bool, device=field_BSW.device).tril()
        itself_SS = torch.eye(steps, dtype=torch.bool, device=field_BSW.device)
        mask_B1SS = (read_SS & (~is_pad_BS[:, None] | itself_SS))[:, None]
        x = field_BSW + self.age[-steps:]
        for block in self.history:
            x = block(x, mask_B1SS)
        field_BSW = field_BSW + self.from_history(normalised(x))
        output: PolicyOutput = self.heads({**tokens, "": field_BSW.flatten(0, 1)})
        return output.reshaped(batch.category.shape[:-1])
