"""Networks of a few weights with all that a network may have: heads for value and gimmick, and sequences."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from poke_bc.contract.actions import GIMMICKS, MOVE_SLOTS, NUM_ACTIONS
from poke_bc.contract.schema import Schema
from poke_bc.data.batch import Batch
from poke_bc.policy import Policy, PolicyOptions, PolicyOutput


class HeadsOptions(PolicyOptions, frozen=True, kw_only=True):
    name: str = "small_networks:Heads"
    width: int = 16
    embedding: int = 4
    value_head: bool = True
    gimmick_head: bool = True
    history: int = 1
    """Steps of a sequence; 1: single rows."""


class Heads(Policy):
    """One layer, and a mean over the steps until now. Activates nothing but `none`, and `tera` on odd turns."""

    Options = HeadsOptions

    def __init__(self, schema: Schema, options: HeadsOptions) -> None:
        super().__init__(schema, options)
        self.steps = range(1 - options.history, 1) if options.history > 1 else None
        self.stem = nn.Linear(schema.category_width * options.embedding + self.numbers.width, options.width)
        self.actions = nn.Linear(options.width, NUM_ACTIONS)
        self.value = nn.Linear(options.width, 1)
        self.gimmicks = nn.Linear(options.width, MOVE_SLOTS * len(GIMMICKS))

    def score(self, batch: Batch) -> PolicyOutput:
        numbers = self.numbers(batch.number)
        hidden = self.stem(torch.cat([self.ids(batch.category).flatten(-2), numbers], dim=-1)).tanh()
        if batch.steps is not None:
            there = (~batch.is_pad)[..., None].to(hidden.dtype)
            hidden = (hidden * there).cumsum(dim=1) / there.cumsum(dim=1).clamp_min(1)
        gimmick: Tensor = self.gimmicks(hidden).unflatten(-1, (MOVE_SLOTS, len(GIMMICKS)))
        turn = batch.number[..., self.schema.columns["turn"]][..., None]
        is_open = torch.cat([torch.ones_like(turn), *[torch.zeros_like(turn)] * 3, turn % 2], dim=-1) > 0
        return PolicyOutput(self.actions(hidden), self.value(hidden)[..., 0],
                            gimmick.masked_fill(~is_open, -torch.inf))
