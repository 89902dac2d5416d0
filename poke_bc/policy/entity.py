"""The entity network: a token for each Pokémon, each move of the active one and the field; each action from its token.

A move's logit comes from that move's token, a switch's from that Pokémon's, so it does not matter which slot either is
in. A flat network first has to learn for each of six slots what its moves mean when it is active.

    N rows   T tokens   W width   A the ten actions
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import torch
from msgspec import Meta
from torch import Tensor, nn
from torch.nn.functional import gelu

from poke_bc.contract.actions import GIMMICKS, MOVE_SLOTS, NUM_ACTIONS
from poke_bc.contract.entity import Entity
from poke_bc.contract.errors import UsageError
from poke_bc.contract.schema import Schema
from poke_bc.contract.settings import BelowOne, Count, Width
from poke_bc.data.batch import Batch
from poke_bc.policy.base import Policy, PolicyOptions, PolicyOutput, autocast_dtype
from poke_bc.policy.encoder import EntityEncoder, Row
from poke_bc.policy.layers import small_head


class EntityOptions(PolicyOptions, frozen=True, kw_only=True):
    """Options of the entity network."""

    sizes: ClassVar = {
        "small": {"width": 64, "embedding": 24, "layers": 2, "heads": 4, "hidden": 128},
        "base": {},  # the defaults
        "large": {"width": 256, "embedding": 48, "layers": 4, "heads": 8, "hidden": 1024},
    }

    name: str = "entity"
    width: Width = 96
    embedding: Annotated[int, Meta(ge=1, le=4096)] = 32
    layers: Annotated[int, Meta(ge=0, le=100)] = 2
    """Layers of attention."""
    heads: Count = 4
    """Attention heads; `width` must be a multiple."""
    hidden: Width = 192
    """Width inside the two layers after attention."""
    dropout: BelowOne = 0.1
    """Fraction of what each layer adds that is dropped in training."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads:
            raise UsageError(f"policy.width = {self.width} is no multiple of policy.heads = {self.heads}",
                             hint="such as width = 96 with heads = 4")


class EntityNetwork(Policy):
    """Entities -> attention -> each action's logit from its own token. Rows are independent."""

    Options = EntityOptions

    def __init__(self, schema: Schema, options: EntityOptions) -> None:
        super().__init__(schema, options)
        self.encoder = EntityEncoder(schema, self.ids, self.numbers, width=options.width, layers=options.layers,
                                     heads=options.heads, hidden=options.hidden, dropout=options.dropout)
        self.heads = Heads(schema, options.width, value=options.value_head, gimmick=self.has_gimmicks)

    def score(self, batch: Batch) -> PolicyOutput:
        """Logits [..., A], value [...] and gimmick [..., 4, 5] of single rows, or of every step of sequences."""
        tokens = self.tokens(batch)
        output: PolicyOutput = self.heads(tokens)
        return output.reshaped(batch.category.shape[:-1])

    def tokens(self, batch: Batch) -> dict[str, Tensor]:
        """What the encoder makes of each row; sequences as [B x S] rows."""
        category, number = batch.category.flatten(0, -2), batch.number.flatten(0, -2)
        dtype = autocast_dtype(category.device, self.numbers.mean_N.dtype)
        tokens: dict[str, Tensor] = self.encoder(
            Row(category, self.ids.places(category), number, self.numbers(number), self.ids.vectors(), dtype))
        return tokens


class Heads(nn.Module):
    """Tokens -> logits, value and gimmick. What no entity stands for comes from the field's token."""

    def __init__(self, schema: Schema, width: int, *, value: bool, gimmick: bool) -> None:
        super().__init__()
        self.by_entity = nn.ModuleDict()
        self._first: dict[str, int] = {}
        rest = set(range(NUM_ACTIONS))
        for entity in schema.entities:
            if entity.actions is not None:
                first, last = entity.actions
                rest -= set(range(first, last + 1))
                self._first[entity.name] = first
                self.by_entity[entity.name] = _ActionHead(width, gimmick=gimmick and _is_moves(entity))
        self._rest = sorted(rest)
        self.rest = small_head(width, len(rest)) if rest else None
        self.value = nn.Sequential(nn.Linear(width, width), nn.GELU(), small_head(width, 1)) if value else None
        moves_apart = any(_is_moves(entity) for entity in schema.entities)
        self.gimmick = small_head(width, MOVE_SLOTS * len(GIMMICKS)) if gimmick and not moves_apart else None

    def forward(self, tokens: dict[str, Tensor]) -> PolicyOutput:
        """From the encoder's tokens."""
        field = tokens[""]
        parts = [] if self.rest is None else [*zip(self._rest, self.rest(field).split(1, dim=1), strict=True)]
        gimmick = None if self.gimmick is None else self.gimmick(field).unflatten(1, (MOVE_SLOTS, len(GIMMICKS)))
        for name, head in self.by_entity.items():
            logits, of_moves = head(tokens[name], field)
            parts.append((self._first[name], logits))
            gimmick = gimmick if of_moves is None else of_moves
        logits_NA = torch.cat([part for _, part in sorted(parts, key=lambda part: part[0])], dim=1)
        return PolicyOutput(logits_NA, None if self.value is None else self.value(field)[:, 0], gimmick)


def _is_moves(entity: Entity) -> bool:
    return entity.actions == (0, MOVE_SLOTS - 1)


class _ActionHead(nn.Module):
    """A logit for each entity of a kind, from its token and the field's."""

    def __init__(self, width: int, *, gimmick: bool) -> None:
        super().__init__()
        self.from_token, self.from_field = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.to_logit = small_head(width, 1)
        self.to_gimmick = small_head(width, len(GIMMICKS)) if gimmick else None

    def forward(self, tokens: Tensor, field: Tensor) -> tuple[Tensor, Tensor | None]:
        """[N, count, W] and [N, W] -> logits [N, count] and gimmicks [N, count, 5]."""
        hidden = gelu(self.from_token(tokens) + self.from_field(field)[:, None])
        return self.to_logit(hidden)[..., 0], None if self.to_gimmick is None else self.to_gimmick(hidden)
