"""The default network as it is usually written: a table for each vocabulary, a loop over fields, `cat`, float32.

It is the peer of the training benchmarks, with the same weights and so the same losses. It does not handle unknown ids:
every id must be below the size of its vocabulary, which saves it a little work.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from poke_bc.contract.actions import NUM_ACTIONS
from poke_bc.contract.field import BITS, FLAGS_A_COLUMN
from poke_bc.contract.schema import Schema
from poke_bc.data.batch import Batch
from poke_bc.policy import Policy
from poke_bc.train import TrainConfig
from poke_bc.train.loss import imitation_loss


class PerFieldMLP(nn.Module):
    def __init__(self, schema: Schema, *, width: int, blocks: int, dropout: float, embedding: int) -> None:
        super().__init__()
        self.schema = schema
        self.tables = nn.ModuleDict({f"of_{name}": nn.Embedding(vocabulary.size, embedding)  # a module has a `type`
                                     for name, vocabulary in schema.vocabularies.items()})
        numbers = sum(field.width for field in schema.numbers)
        self.register_buffer("mean", torch.zeros(numbers))
        self.stem = nn.Linear(schema.category_width * embedding + numbers, width)
        self.blocks = nn.ModuleList(PerFieldBlock(width, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, NUM_ACTIONS)

    def forward(self, category: Tensor, number: Tensor, legal: Tensor) -> Tensor:
        ids, parts, start = category.long(), [], 0
        for field in self.schema.categories:
            parts.append(self.tables[f"of_{field.vocab}"](ids[:, start : start + field.width]).flatten(1))
            start += field.width
        vectors, parts = torch.cat(parts, dim=1), []
        for field in sorted(self.schema.numbers, key=lambda field: field.kind == BITS):
            values = number[:, self.schema.columns[field.name]].float()
            if field.kind == BITS:
                flags = values.long()[:, :, None] >> torch.arange(FLAGS_A_COLUMN) & 1
                parts.append(flags.flatten(1)[:, :field.width].float())
            else:
                top = field.high if field.scale is None else field.scale
                parts.append((values - field.low) / (top - field.low))
        x = self.stem(torch.cat([vectors, torch.cat(parts, dim=1) - self.mean], dim=1))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        is_open = ((legal.long()[:, None] >> torch.arange(NUM_ACTIONS)) & 1 == 1) | (legal == 0)[:, None]
        return logits.masked_fill(~is_open, -torch.inf)


class PerFieldBlock(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.dropout(self.down(nn.functional.gelu(self.up(self.norm(x)))))


def with_the_weights_of(policy: Policy) -> PerFieldMLP:
    """The same network with copies of its weights; `policy` is a ResidualMLP without other heads."""
    options = {name: getattr(policy.options, name) for name in ("width", "blocks", "dropout", "embedding")}
    peer = PerFieldMLP(policy.schema, **options)
    weights = {name: weight for name, weight in policy.state_dict().items() if name != "temperature"}
    rows, table, start = weights.pop("ids.row_of_id"), weights.pop("ids.table.weight"), 0
    for name, vocabulary in policy.schema.vocabularies.items():
        weights[f"tables.of_{name}.weight"] = table[rows[start : start + vocabulary.size]]
        start += vocabulary.size + 1
    names = {"numbers.mean_N": "mean", "layers.0": "norm", "layers.1": "up", "layers.3": "down", "policy_head": "head"}
    for ours, theirs in names.items():
        weights = {name.replace(ours, theirs): weight for name, weight in weights.items()}
    peer.load_state_dict(weights)
    return peer


def plain_optimizer(peer: PerFieldMLP, config: TrainConfig) -> torch.optim.AdamW:
    return torch.optim.AdamW(peer.parameters(), lr=config.lr, weight_decay=config.weight_decay)


def plain_step(peer: PerFieldMLP, optimizer: torch.optim.AdamW, batch: Batch, config: TrainConfig) -> Tensor:
    optimizer.zero_grad()
    loss = imitation_loss(peer(batch.category, batch.number, batch.legal), batch.legal, batch.action,
                          batch.candidates, batch.weight, label_smoothing=config.label_smoothing).mean()
    loss.backward()
    nn.utils.clip_grad_norm_(peer.parameters(), config.grad_clip)
    optimizer.step()
    return loss.detach()
