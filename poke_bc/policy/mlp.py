"""The residual MLP: all fields concatenated, three blocks, one head. The plain, fast baseline.

    A the ten actions   C category columns   K number columns   W width
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn.functional import linear

from poke_bc.contract.actions import GIMMICKS, MOVE_SLOTS, NUM_ACTIONS
from poke_bc.contract.entity import Entity
from poke_bc.contract.schema import Schema
from poke_bc.contract.settings import BelowOne
from poke_bc.data.batch import Batch
from poke_bc.policy.base import Policy, PolicyOptions, PolicyOutput, autocast_dtype
from poke_bc.policy.inputs import ScaledNumbers
from poke_bc.policy.layers import Dropout, LayerNorm, small_head


class MLPOptions(PolicyOptions, frozen=True, kw_only=True):
    """Options of the residual MLP."""

    sizes: ClassVar = {
        "small": {"width": 128, "embedding": 16, "blocks": 2},
        "base": {},  # the defaults
        "large": {"width": 1024, "embedding": 48, "blocks": 6},
    }

    name: str = "mlp"
    active_first: bool = True
    """Read the active Pokémon and their moves once more, beside the slots, where the schema says which they are."""
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
        actives = [_Active(schema, self.numbers, entity) for entity in schema.entities
                   if entity.active and options.active_first]
        columns = schema.category_width + sum(len(each.column_D) for each in actives)
        self._numbers = self.numbers.width + sum(len(each.place_D) for each in actives)
        self.actives = nn.ModuleList(actives)
        self.stem = nn.Linear(columns * options.embedding + self._numbers, width)
        self.blocks = nn.Sequential(*(ResidualBlock(width, options.dropout) for _ in range(options.blocks)))
        self.norm = LayerNorm(width)
        self.policy_head = small_head(width, NUM_ACTIONS)
        self.value_head = small_head(width, 1) if options.value_head else None
        self.gimmick_head = small_head(width, MOVE_SLOTS * len(GIMMICKS)) if self.has_gimmicks else None

    def score(self, batch: Batch) -> PolicyOutput:
        """Logits [..., A], value [...] and gimmick [..., 4, 5] of single rows, or of every step of sequences."""
        hidden = self.norm(self.blocks(self._stem(batch.category, batch.number)))
        value = None if self.value_head is None else self.value_head(hidden)[..., 0]
        gimmick = (None if self.gimmick_head is None
                   else self.gimmick_head(hidden).unflatten(-1, (MOVE_SLOTS, len(GIMMICKS))))
        return PolicyOutput(self.policy_head(hidden), value, gimmick)

    def _stem(self, category: Tensor, number: Tensor) -> Tensor:
        """The first layer, [..., C] and [..., K] -> [..., W], as two products: `cat` would write all inputs once more.

        Numbers then need no gradient, and the rows of the embeddings' matrix stay aligned: with rows of 3,959 float32
        the two products of its backward took 1.6 times as long as with 3,968.
        """
        dtype = autocast_dtype(category.device, self.stem.weight.dtype)
        places, numbers = [self.ids.places(category)], [self.numbers(number)]
        for active in self.actives:
            active(number, places, numbers)
        vectors = self.ids.look_up(self.ids.vectors(), torch.cat(places, dim=-1), dtype).flatten(-2)
        from_ids, from_numbers = self.stem.weight.split_with_sizes([vectors.shape[-1], self._numbers], dim=1)
        return linear(vectors, from_ids.contiguous()) + linear(
            torch.cat(numbers, dim=-1).to(dtype), from_numbers, self.stem.bias)


class _Active(nn.Module):
    """What the slots of an entity and of its members say of the one that is active, of D columns and places."""

    flag_P: Tensor
    column_D: Tensor
    column_step_D: Tensor
    place_D: Tensor
    place_step_D: Tensor

    def __init__(self, schema: Schema, numbers: ScaledNumbers, entity: Entity) -> None:
        super().__init__()
        of_each = {name for each in schema.entities if entity.name in (each.name, each.of) for name in each.fields}
        flags = range(schema.number_width)[schema.columns[entity.active]]
        self.register_buffer("flag_P", torch.tensor(list(flags), dtype=torch.int64), persistent=False)
        for name, fields, start in (
                ("column", schema.categories, {each.name: schema.columns[each.name].start for each in schema.fields}),
                ("place", schema.numbers, {each: at.start for each, at in numbers.columns.items()})):
            each_D = [(start[field.name] + value, field.width // entity.count) for field in fields
                      if field.name in of_each for value in range(field.width // entity.count)]
            first_D, step_D = torch.tensor(each_D, dtype=torch.int64).view(-1, 2).unbind(dim=1)
            self.register_buffer(f"{name}_D", first_D, persistent=False)
            self.register_buffer(f"{name}_step_D", step_D, persistent=False)

    def forward(self, number: Tensor, places: list[Tensor], numbers: list[Tensor]) -> None:
        """Append what it finds in the first of `places` and of `numbers`. Where none is active: of the first slot."""
        active = number.index_select(-1, self.flag_P).argmax(dim=-1, keepdim=True)
        places.append(places[0].gather(-1, self.column_D + self.column_step_D * active))
        numbers.append(numbers[0].gather(-1, self.place_D + self.place_step_D * active))


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
