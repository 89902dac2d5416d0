"""Packed columns in the narrow types of the shard -> embeddings and scaled numbers.

    C category columns   K number columns: P plain ones, the others hold F flags   E width of an embedding
    V rows of the table   N = P + F numbers
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from poke_bc.contract.field import BITS, FLAGS_A_COLUMN, Field
from poke_bc.contract.schema import Schema
from poke_bc.policy.facts import facts_of

UNKNOWN_ROW = 0
"""Row of the table that stays zero: for ids that training never saw, and ids beyond the table."""
_CACHED_ROWS = 1 << 14  # rows of a gradient that a CPU sums together: 16,384 rows of 24 numbers stay in its cache


class PackedEmbedding(nn.Module):
    """Ids [..., C] -> vectors [..., C, E], by one look-up in one table for all columns.

    Columns of one vocabulary share its rows. An id's vector is what was learned about it, zero for ids that training
    never saw, plus a learned projection of its facts where the games' tables know it (facts.py). `row_of_id` maps a raw
    id to its learned row; it is saved with the weights, since which ids were seen is a result of training, and so are
    the facts, so that a policy stays what it was when the tables change.
    """

    first_C: Tensor
    beyond_C: Tensor
    row_of_id: Tensor

    def __init__(self, schema: Schema, width: int, *, facts: bool = True) -> None:
        super().__init__()
        rows: list[int] = []  # row_of_id, vocabulary after vocabulary, each with one entry for ids beyond it
        first: dict[str, int] = {}
        next_row = UNKNOWN_ROW + 1
        for name, vocabulary in schema.vocabularies.items():
            first[name] = len(rows)
            rows += [*range(next_row, next_row + vocabulary.size), UNKNOWN_ROW]
            next_row += vocabulary.size
        columns = [field.vocab for field in schema.categories for _ in range(field.width)]
        self.register_buffer("row_of_id", torch.tensor(rows, dtype=torch.int64))
        self.register_buffer("first_C", torch.tensor([first[vocab] for vocab in columns], dtype=torch.int64),
                             persistent=False)
        self.register_buffer("beyond_C", torch.tensor([schema.vocabularies[vocab].size for vocab in columns],
                                                      dtype=torch.int64), persistent=False)
        self.table = nn.Embedding(next_row, width, padding_idx=UNKNOWN_ROW)
        # Rare ids hardly move from where they start, so they must start close to zero: the closer, the better on
        # validation battles, down to this (docs/experiments.md, 2026-11-22).
        nn.init.normal_(self.table.weight, std=0.01)
        with torch.no_grad():
            self.table.weight[UNKNOWN_ROW].zero_()
        self.width = width
        self.known = nn.ModuleDict()
        """Vocabulary -> its facts."""
        self._frozen: Tensor | None = None
        self._spans = []
        for name, vocabulary in schema.vocabularies.items():
            span = vocabulary.size + 1
            table = facts_of(vocabulary) if facts else None
            self._spans.append((name, span))
            if table is not None:
                self.known[name] = _Facts(table, width)

    def forward(self, category: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Ids [..., C] of any integer type -> [..., C, E] of the float type `dtype`."""
        return self.look_up(self.vectors(), self.places(category), dtype)

    def look_up(self, vectors_VE: Tensor, places: Tensor, dtype: torch.dtype) -> Tensor:
        """`places` of any shape -> [..., E], in `vectors` that were made before."""
        found_NE: Tensor = _LookUp.apply(vectors_VE, places.flatten(), dtype)  # type: ignore[no-untyped-call]
        return found_NE.view(*places.shape, self.width)

    def vectors(self) -> Tensor:
        """The vector of every id of every vocabulary [V, E]: a few thousand, so they are made anew in each step."""
        if self._frozen is not None:
            return self._frozen
        learned_VE: Tensor = self.table(self.row_of_id)
        if not self.known:
            return learned_VE
        parts = learned_VE.split_with_sizes([span for _, span in self._spans])
        return torch.cat([part + self.known[name]() if name in self.known else part
                          for part, (name, _) in zip(parts, self._spans, strict=True)])

    @torch.no_grad()
    def freeze(self) -> None:
        """Make the vectors once, until training goes on: for play, where decisions come one by one."""
        self._frozen = None
        self._frozen = self.vectors()

    def train(self, mode: bool = True) -> Self:
        """As for every module; weights that learn are not frozen."""
        if mode:
            self._frozen = None
        return super().train(mode)

    def places(self, category: Tensor) -> Tensor:
        """Where each id [..., C] is among the vectors [..., C]."""
        return torch.minimum(category.to(torch.int64), self.beyond_C) + self.first_C

    @torch.no_grad()
    def note_seen(self, categories: Iterable[Tensor]) -> None:
        """Ids [n, C] of all training rows, in chunks; of every other id only the facts are known from now on."""
        seen = torch.zeros(len(self.row_of_id), dtype=torch.bool, device=self.row_of_id.device)
        for category in categories:
            seen[self.places(category.to(seen.device))] = True
        self.row_of_id[~seen] = UNKNOWN_ROW


class _Facts(nn.Module):
    """The projected facts of all ids of a vocabulary [size + 1, E]; those of ids beyond it are zero."""

    facts_IF: Tensor

    def __init__(self, facts_IF: NDArray[np.float32], width: int) -> None:
        super().__init__()
        facts = facts_IF.shape[1]
        self.register_buffer("facts_IF", torch.cat([torch.tensor(facts_IF), torch.zeros(1, facts)]))
        self.weight = nn.Parameter(torch.empty(facts, width))
        nn.init.normal_(self.weight, std=0.1 / facts**0.5)

    def forward(self) -> Tensor:
        return self.facts_IF @ self.weight


class _LookUp(torch.autograd.Function):
    """Rows [N] of a table [V, E] in another float type.

    Unlike nn.functional.embedding it gathers in the type that the next layer reads (half the bytes in bfloat16), and
    still sums the gradient in float32: in bfloat16 it was 9% off. On a CPU its backward took half the time.
    """

    generate_vmap_rule = True  # for torch.func, such as the gradients of each sample

    @staticmethod
    def forward(table_VE: Tensor, row_N: Tensor, dtype: torch.dtype) -> Tensor:
        return table_VE.to(dtype).index_select(0, row_N)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, torch.dtype], output: Tensor) -> None:
        table_VE, row_N, _ = inputs
        ctx.save_for_backward(row_N)
        ctx.shape, ctx.dtype = table_VE.shape, table_VE.dtype

    @staticmethod
    def backward(ctx: Any, gradient_NE: Tensor) -> tuple[Tensor, None, None]:
        (row_N,) = ctx.saved_tensors
        wide = torch.promote_types(ctx.dtype, torch.float32)
        table_VE = gradient_NE.new_zeros(ctx.shape, dtype=wide)  # under vmap one for each sample
        chunk = _CACHED_ROWS if gradient_NE.device.type == "cpu" else max(len(row_N), 1)
        for start in range(0, len(row_N), chunk):
            here = slice(start, start + chunk)
            table_VE.index_add_(0, row_N[here], gradient_NE[here].to(wide))
        return table_VE.to(ctx.dtype), None, None


class ScaledNumbers(nn.Module):
    """Numbers [..., K] in the schema's units -> float32, scaled by `scale` (or else `high`), about the training mean.

    Fields of kind `bits` become their flags again, behind the other numbers: [..., N] in all.
    """

    mean_N: Tensor
    low_P: Tensor
    span_P: Tensor
    plain_P: Tensor
    word_F: Tensor
    bit_F: Tensor

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        plain = [field for field in schema.numbers if field.kind != BITS for _ in range(field.width)]
        tops = [field.high if field.scale is None else field.scale for field in plain]
        low_P = torch.tensor([field.low for field in plain], dtype=torch.float32)
        places = {field: range(schema.number_width)[schema.columns[field.name]] for field in schema.numbers}
        plain_P = [place for field, at in places.items() if field.kind != BITS for place in at]
        word_F, bit_F = flag_places(schema, [field for field in places if field.kind == BITS])
        self.width = len(plain_P) + len(word_F)
        """N: numbers for a network."""
        self.columns = _number_columns(schema)
        """Field -> its numbers among the N."""
        self._slots = {name: count for name, count in slots_of(schema).items() if name in self.columns}
        # Saved with the weights. What hardly varies and is far from zero (stats, ratings) would drown the embeddings at
        # the start: without this, top-1 after 3 epochs of 400 battles was 29% instead of 38% (docs/experiments.md).
        self.register_buffer("mean_N", torch.zeros(self.width))
        self.register_buffer("plain_P", torch.tensor(plain_P, dtype=torch.int32), persistent=False)
        self.register_buffer("word_F", word_F, persistent=False)
        self.register_buffer("bit_F", bit_F, persistent=False)
        self.register_buffer("low_P", low_P, persistent=False)
        self.register_buffer("span_P", torch.tensor(tops, dtype=torch.float32) - low_P, persistent=False)

    def forward(self, number: Tensor) -> Tensor:
        """[..., K] -> [..., N] float32."""
        return self._scaled(number) - self.mean_N

    def _scaled(self, number: Tensor) -> Tensor:
        """[..., K] -> [..., N], with `low` at 0."""
        if not len(self.word_F):
            return (number.float() - self.low_P) / self.span_P
        flags = flags_at(number, self.word_F, self.bit_F)
        plain = (number.index_select(-1, self.plain_P).float() - self.low_P) / self.span_P
        return torch.cat([plain, flags.float()], dim=-1)

    @torch.no_grad()
    def centre(self, numbers: Iterable[Tensor]) -> None:
        """Move the mean of training rows [n, K], in chunks, to zero. Slots of an entity share it: their order must not
        matter."""
        total_N, rows = torch.zeros_like(self.mean_N, dtype=torch.float64), 0
        for number in numbers:
            total_N += self._scaled(number.to(self.mean_N.device)).double().sum(dim=0)
            rows += len(number)
        for name, count in self._slots.items():
            shared = total_N[self.columns[name]].view(count, -1).mean(dim=0)
            total_N[self.columns[name]] = shared.repeat(count)
        if rows:
            self.mean_N.copy_(total_N / rows)


def slots_of(schema: Schema) -> dict[str, int]:
    """Field -> the number of interchangeable slots that its values stand for, where an entity says so."""
    counts = {entity.name: entity.count for entity in schema.entities}
    slots = {name: entity.count * counts.get(entity.of, 1) for entity in schema.entities for name in entity.fields}
    return slots | {name: entity.count for entity in schema.entities if entity.of for name in entity.active_fields}


def flag_places(schema: Schema, fields: Sequence[Field]) -> tuple[Tensor, Tensor]:
    """Number column and bit of every flag of fields of kind `bits`: int32 [F] each."""
    flags = [divmod(FLAGS_A_COLUMN * schema.columns[field.name].start + flag, FLAGS_A_COLUMN)
             for field in fields for flag in range(field.width)]
    word_F, bit_F = torch.tensor(flags, dtype=torch.int32).view(-1, 2).unbind(dim=1)
    return word_F.contiguous(), bit_F.contiguous()


def flags_at(number: Tensor, word_F: Tensor, bit_F: Tensor) -> Tensor:
    """Flags of packed numbers [..., K] at `flag_places` -> 0 or 1, int32 [..., F]."""
    return torch.bitwise_right_shift(number.index_select(-1, word_F).to(torch.int32), bit_F) & 1


def by_slot(columns: Sequence[range], count: int) -> Tensor:
    """Columns of several fields, each of `count` x k -> those of the first thing, those of the second, ..."""
    grouped = [torch.tensor(each, dtype=torch.int64).view(count, -1) for each in columns]
    return torch.cat(grouped, dim=1).flatten() if grouped else torch.empty(0, dtype=torch.int64)


def _number_columns(schema: Schema) -> dict[str, slice]:
    """Field -> its place among the numbers of ScaledNumbers: plain ones first, then the flags of `bits`."""
    columns, at = {}, 0
    for field in sorted(schema.numbers, key=lambda field: field.kind == BITS):
        columns[field.name] = slice(at, at + field.width)
        at += field.width
    return columns
