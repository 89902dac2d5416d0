"""The entity encoder: a row -> one vector for each thing that it describes, and one for the field.

Which fields describe the same thing is data in the schema (contract/entity.py): six own Pokémon, the moves of the
active one, the opponent's team. Things of a kind share weights and are in no order, so slots may be exchanged.

    N rows   T tokens   W width   E width of an embedding   M width of a member's vector
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention

from poke_bc.contract.entity import Entity
from poke_bc.contract.schema import Schema
from poke_bc.contract.vocabulary import FIRST_NAME
from poke_bc.policy.inputs import PackedEmbedding, ScaledNumbers, by_slot, slots_of
from poke_bc.policy.layers import Dropout

_MEMBER = 64
"""M: four moves to each of twelve Pokémon are 48 vectors, three times the tokens, so they must be narrow."""


class Row(NamedTuple):
    """What all parts of the encoder read."""

    category: Tensor
    """[N, C] ids."""
    places: Tensor
    """[N, C] where their vectors are."""
    number: Tensor
    """[N, K] as stored."""
    numbers: Tensor
    """[N, n] scaled."""
    vectors: Tensor
    """[V, E] of all ids."""
    dtype: torch.dtype
    """Float type of matrix products."""


class Fields(nn.Module):
    """Some fields of `count` like things -> [N x count, W], by one matrix for their ids and one for their numbers.

    A field of `count` x k values gives each thing k of them.
    """

    columns: Tensor
    places: Tensor

    def __init__(self, schema: Schema, ids: PackedEmbedding, numbers: ScaledNumbers, names: Sequence[str], count: int,
                 width: int) -> None:
        super().__init__()
        kinds = {field.name: field.is_category for field in schema.fields}
        columns = [range(schema.category_width)[schema.columns[name]] for name in names if kinds[name]]
        places = [range(numbers.width)[numbers.columns[name]] for name in names if not kinds[name]]
        self.count = count
        self._look_up = ids.look_up  # a method, so that the table stays the policy's alone
        self.register_buffer("columns", by_slot(columns, count), persistent=False)
        self.register_buffer("places", by_slot(places, count), persistent=False)
        id_width, number_width = len(self.columns) // count * ids.width, len(self.places) // count
        self.from_ids = nn.Linear(id_width, width, bias=False) if id_width else None
        self.from_numbers = nn.Linear(max(number_width, 1), width) if number_width or not id_width else None

    def forward(self, row: Row) -> Tensor:
        """[N x count, W]."""
        rows = row.category.shape[0] * self.count
        parts = []
        if self.from_ids is not None:
            vectors = self._look_up(row.vectors, row.places.index_select(1, self.columns), row.dtype)
            parts.append(self.from_ids(vectors.view(rows, -1)))
        if self.from_numbers is not None:
            numbers = row.numbers.index_select(1, self.places).to(row.dtype)
            parts.append(self.from_numbers(numbers.view(rows, -1) if len(self.places) else numbers.new_zeros(rows, 1)))
        total: Tensor = parts[0] if len(parts) == 1 else parts[0] + parts[1]
        return total


class Deepened(nn.Module):
    """Two layers added to what is read of a thing by itself, before it reads others.

    A sum of linear maps of its fields cannot tell whether the damage it takes exceeds its HP.
    """

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.GELU(), nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width),
                                    Dropout(dropout))

    def forward(self, x: Tensor) -> Tensor:
        """[..., W] -> [..., W]."""
        y: Tensor = x + self.layers(x)
        return y


class Members(nn.Module):
    """Things that belong to others, as four moves to each Pokémon -> [N, owners, members, M].

    `active_fields` say more about those of the active owner. Each of these is compared with the ids of its vocabulary
    that are in no slot (the last move, the move that Encore repeats): that it is the same would be hard to learn.
    """

    own_columns: Tensor
    other_columns: Tensor

    def __init__(self, schema: Schema, ids: PackedEmbedding, numbers: ScaledNumbers, entity: Entity, owners: int,
                 width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.owners, self.count = owners, entity.count
        self.fields = Fields(schema, ids, numbers, entity.fields, owners * entity.count, _MEMBER)
        self.active_fields = (Fields(schema, ids, numbers, entity.active_fields, entity.count, _MEMBER)
                              if entity.active_fields else None)
        self.to_owner = nn.Linear(_MEMBER, width)
        self.to_token = (nn.Sequential(nn.Linear(_MEMBER, width), Deepened(width, hidden, dropout))
                         if entity.actions is not None else None)
        slots = slots_of(schema)
        named = [field for field in schema.categories if field.name in entity.fields]
        named = [field for field in named if not schema.vocabularies[field.vocab].is_open][:1]
        others = [field for field in schema.categories
                  if named and field.vocab == named[0].vocab and field.name not in slots]
        for name, fields in (("own_columns", named if others else []), ("other_columns", others)):
            self.register_buffer(name, by_slot(
                [range(schema.category_width)[schema.columns[field.name]] for field in fields], 1), persistent=False)
        self.same = nn.Linear(len(self.other_columns), _MEMBER, bias=False) if len(self.other_columns) else None

    def forward(self, row: Row, active_N: Tensor, has_active_N1: Tensor) -> Tensor:
        """`active_N`: the active owner among all owners of all rows; `has_active_N1`: 1.0, or 0.0 where none is."""
        rows = row.category.shape[0]
        members = self.fields(row).view(rows * self.owners, self.count * _MEMBER)
        more = self._of_active(row, active_N)
        if more is not None:
            members = members.index_add(0, active_N, (more.view(rows, -1) * has_active_N1).to(members.dtype))
        read: Tensor = gelu(members.view(rows, self.owners, self.count, _MEMBER))
        return read

    def _of_active(self, row: Row, active_N: Tensor) -> Tensor | None:
        """What is known of the active owner's members alone [N x members, M]."""
        more: Tensor | None = None if self.active_fields is None else self.active_fields(row)
        if self.same is None:
            return more
        rows = row.category.shape[0]
        own_NM = row.category.index_select(1, self.own_columns).to(torch.int32).view(
            rows * self.owners, self.count).index_select(0, active_N)
        others_NK = row.category.index_select(1, self.other_columns).to(torch.int32)
        same = (own_NM[:, :, None] == others_NK[:, None]) & (own_NM >= FIRST_NAME)[:, :, None]
        compared: Tensor = self.same(same.to(row.dtype)).view(rows * self.count, _MEMBER)
        return compared if more is None else more + compared


class Things(nn.Module):
    """The entities of one kind with their members -> their tokens, and those of the active one's members."""

    active_columns: Tensor

    def __init__(self, schema: Schema, ids: PackedEmbedding, numbers: ScaledNumbers, entity: Entity, width: int,
                 hidden: int, dropout: float) -> None:
        super().__init__()
        self.entity = entity
        self.fields = Fields(schema, ids, numbers, entity.fields, entity.count, width)
        self.active_fields = (Fields(schema, ids, numbers, entity.active_fields, 1, width)
                              if entity.active_fields else None)
        children = [each for each in schema.entities if each.of == entity.name]
        self.member_names = [each.name for each in children]
        self.members = nn.ModuleList(Members(schema, ids, numbers, each, entity.count, width, hidden, dropout)
                                     for each in children)
        self.deepened = Deepened(width, hidden, dropout)
        active = range(schema.number_width)[schema.columns[entity.active]] if entity.active else ()
        self.register_buffer("active_columns", torch.tensor(list(active), dtype=torch.int64), persistent=False)

    def forward(self, row: Row) -> Iterator[tuple[str, Tensor]]:
        """Name of the entity -> its tokens [N, count, W], members that stand for actions first."""
        rows, count = row.category.shape[0], self.entity.count
        tokens = self.fields(row)
        if len(self.active_columns):
            flags_NP = row.number.index_select(1, self.active_columns)
            active_N = flags_NP.argmax(dim=1) + count * torch.arange(rows, device=flags_NP.device)
            has_active_N1 = (flags_NP != 0).any(dim=1, keepdim=True).to(row.dtype)
        else:
            active_N = count * torch.arange(rows, device=row.category.device)
            has_active_N1 = row.numbers.new_zeros(rows, 1)
        if self.active_fields is not None:
            tokens = tokens.index_add(0, active_N, self.active_fields(row) * has_active_N1)
        for name, members in zip(self.member_names, self.members, strict=True):
            assert isinstance(members, Members)
            of_each: Tensor = members(row, active_N, has_active_N1)
            tokens = tokens + members.to_owner(of_each.sum(dim=2)).view(rows * count, -1)
            if members.to_token is not None:
                of_active = of_each.flatten(0, 1).index_select(0, active_N)
                yield name, members.to_token(of_active) * has_active_N1[:, None]
        yield self.entity.name, self.deepened(tokens).view(rows, count, -1)


class EntityEncoder(nn.Module):
    """Rows -> tokens that have read each other [N, T, W]: of the field first, then of every entity."""

    def __init__(self, schema: Schema, ids: PackedEmbedding, numbers: ScaledNumbers, *, width: int, layers: int,
                 heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        grouped = {name for entity in schema.entities for name in (*entity.fields, *entity.active_fields)}
        self.field = Fields(schema, ids, numbers,
                            [field.name for field in schema.fields if field.name not in grouped], 1, width)
        self.deepened = Deepened(width, hidden, dropout)
        self.things = nn.ModuleList(Things(schema, ids, numbers, entity, width, hidden, dropout)
                                    for entity in schema.entities if not entity.of)
        self.blocks = nn.ModuleList(AttentionBlock(width, heads, hidden, dropout) for _ in range(layers))

    def forward(self, row: Row) -> dict[str, Tensor]:
        """"" -> the field's token [N, W]; name of an entity -> its tokens [N, count, W]."""
        parts = {"": self.deepened(self.field(row))[:, None]}
        for things in self.things:
            parts |= dict(things(row))
        tokens = torch.cat(list(parts.values()), dim=1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = normalised(tokens)
        read = dict(zip(parts, tokens.split_with_sizes([part.shape[1] for part in parts.values()], 1), strict=True))
        return {**read, "": read[""][:, 0]}


class AttentionBlock(nn.Module):
    """Pre-norm self-attention and two layers with GELU between, each added to its input.

    Norms have no weights of their own, which the next matrix can take over: on a CPU in bfloat16 their gradients are
    off by up to a half, and computing them in float32 takes longer than the norm.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.to_qkv, self.from_heads = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.layers = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """[N, T, W] -> [N, T, W]. `mask` [N or 1, 1, T, T]: true where a token may read another."""
        rows, tokens, width = x.shape
        qkv = self.to_qkv(normalised(x)).view(rows, tokens, 3, self.heads, width // self.heads)
        read = _attention(qkv.permute(2, 0, 3, 1, 4), mask).transpose(1, 2).reshape(rows, tokens, width)
        x = x + self.dropout(self.from_heads(read))
        y: Tensor = x + self.dropout(self.layers(normalised(x)))
        return y


def _attention(qkv: Tensor, mask: Tensor | None) -> Tensor:
    """[3, N, heads, T, D] -> [N, heads, T, D]; on a CPU in float32: in bfloat16 it takes ten times as long."""
    if qkv.device.type != "cpu":
        return scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], mask)
    with torch.autocast("cpu", enabled=False):
        q, k, v = qkv.float()
        return scaled_dot_product_attention(q, k, v, mask)


def normalised(x: Tensor) -> Tensor:
    """Layer norm over the last dimension, without weights."""
    return layer_norm(x, x.shape[-1:])
