"""Policy: the interface of every network.

    B decisions   S steps of a sequence   C category columns   K number columns   A the ten actions
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, ClassVar, NamedTuple

import msgspec
import torch
from msgspec import Meta
from torch import Tensor, nn

from poke_bc.contract.actions import GIMMICKS
from poke_bc.contract.schema import Schema
from poke_bc.contract.settings import Settings, Width
from poke_bc.data.batch import Batch
from poke_bc.policy.inputs import PackedEmbedding, ScaledNumbers
from poke_bc.policy.masks import legal_actions

GIMMICK_FIELD = "own_can_gimmick"
"""Field that says which of GIMMICKS[1:] are available; without it in the schema, no network has a gimmick head."""


class PolicyOutput(NamedTuple):
    """The output for a batch. For sequences: of step 0, [B, ...], or of every step, [B, S, ...]."""

    logits: Tensor
    """[B, A] float32; illegal actions have -inf."""
    value: Tensor | None = None
    """[B] float32, the predicted return; None without a value head."""
    gimmick: Tensor | None = None
    """[B, 4, 5] float32 logits of contract.actions.GIMMICKS: what is activated together with each move; -inf where it
    is not available. None without a gimmick head."""

    def of_decisions(self, batch: Batch) -> PolicyOutput:
        """The output for the decisions that were sampled [B, ...], where it is of every step of sequences: step 0."""
        if batch.steps is None:
            return self
        at = batch.steps.index(0)
        logits, value, gimmick = (each if each is None or each.ndim == rank else each[:, at]
                                  for each, rank in zip(self, (2, 1, 3), strict=True))
        assert logits is not None
        return PolicyOutput(logits, value, gimmick)

    def reshaped(self, shape: torch.Size) -> PolicyOutput:
        """The output for rows [N, ...] as [*shape, ...]."""
        logits, value, gimmick = (None if each is None else each.view(*shape, *each.shape[1:]) for each in self)
        assert logits is not None
        return PolicyOutput(logits, value, gimmick)


class PolicyOptions(Settings, frozen=True, kw_only=True):
    """Options common to all networks; each network's subclass adds its own."""

    table: ClassVar[str] = "policy"
    sizes: ClassVar[Mapping[str, Mapping[str, int]]] = {}
    """Name of a size -> its options: `size = "small"` in a table stands for these."""

    name: str = ""
    """A registered network, or `package.module:Class`."""
    width: Width = 256
    """Width of the network."""
    embedding: Annotated[int, Meta(ge=1, le=4096)] = 24
    """Width of the embeddings of category fields."""
    facts: bool = True
    """Beside the embeddings, read what the games' tables say about species, moves and items (types, base stats, power,
    accuracy ...)."""
    value_head: bool = True
    """Have a head that predicts the return: who wins; it learns where `value_weight` is above 0."""
    gimmick_head: bool = True
    """Have a head that predicts whether a mega evolution, Z-move, Dynamax or Terastallization goes with a move; it
    learns where `gimmick_weight` is above 0. Only for schemas with `own_can_gimmick`."""


class TrainedOn(msgspec.Struct, frozen=True, kw_only=True):
    """The data that a policy learned from."""

    data: str
    """Identity of the shards."""
    split: str
    """Digest of their split."""
    decisions: int
    actions: tuple[int, ...]
    """How often each action was taken in them [A]."""
    after: TrainedOn | None = None
    """What the weights that training started from had learned from."""


class Policy(nn.Module):
    """A network with the schema it was made for.

    A subclass implements `score`, and may have a class of `Options` with more settings. Masking, acting and unknown ids
    are handled here, so that no network can forget them.

    Args:
        schema: what the observations hold.
        options: of the subclass's Options; saved with the weights.
    """

    Options: ClassVar[type[PolicyOptions]] = PolicyOptions
    steps: range | None = None
    """Steps of the sequences that it reads, relative to the decision, as `ShardDataset(steps=)` takes; None: rows."""
    temperature: Tensor
    """What logits are divided by outside training; fitted on validation decisions (train/calibrate.py)."""

    def __init__(self, schema: Schema, options: PolicyOptions) -> None:
        super().__init__()
        self.schema, self.options = schema, options
        self.trained_on: TrainedOn | None = None
        """Set once it is trained; saved with the weights."""
        self.ids = PackedEmbedding(schema, options.embedding, facts=options.facts)
        self.numbers = ScaledNumbers(schema)
        self.register_buffer("temperature", torch.ones(()))
        self._gimmicks = next((schema.columns[field.name] for field in schema.numbers
                               if field.name == GIMMICK_FIELD and field.width == len(GIMMICKS) - 1), None)

    def score(self, batch: Batch) -> PolicyOutput:
        """Logits of all ten actions, legal or not, and the outputs of other heads; in any float type."""
        raise NotImplementedError

    def forward(self, batch: Batch) -> PolicyOutput:
        """Masked logits, value and gimmick in float32. Needs the columns category, number and legal."""
        output = self.score(batch)
        here = batch if output.logits.ndim > batch.legal.ndim else batch.at(0)
        logits = output.logits.float() if self.training else output.logits.float() / self.temperature
        masked = logits.masked_fill(~legal_actions(here.legal), -torch.inf)
        value = None if output.value is None else output.value.float()
        gimmick = None
        if output.gimmick is not None and self._gimmicks is not None:
            available = here.number[..., self._gimmicks] != 0
            open_ = torch.cat([torch.ones_like(available[..., :1]), available], dim=-1)[..., None, :]
            gimmick = output.gimmick.float().masked_fill(~open_, -torch.inf)
        return PolicyOutput(masked, value, gimmick)

    def act(self, batch: Batch, *, sample: bool = True, temperature: float = 1.0,
            generator: torch.Generator | None = None) -> Tensor:
        """Choose legal actions [B] int64, without dropout and without gradients.

        Args:
            batch: as for `forward`.
            sample: False takes the most likely action.
            temperature: above 0; below 1 sharpens, above 1 flattens the policy's own probabilities. Used when sampling.
            generator: for sampling, on the policy's device.
        """
        if sample and not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}; sample=False takes the best action")
        with torch.inference_mode(), self.evaluating():
            output: PolicyOutput = self(batch)
            logits_BA = output.of_decisions(batch).logits
            if not sample:
                return logits_BA.argmax(dim=1)
            probs_BA = (logits_BA / temperature).softmax(dim=1)
            return probs_BA.multinomial(1, generator=generator)[:, 0]

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Context in eval mode: without dropout, with the temperature."""
        training = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(training)

    def note_seen(self, categories: Iterable[Tensor], numbers: Iterable[Tensor] = ()) -> None:
        """Record what training will see, in chunks.

        Args:
            categories: ids [n, C] of all rows; all other ids get the unknown id's embedding, zero.
            numbers: [n, K] of enough rows to know their mean.
        """
        self.ids.note_seen(categories)
        self.numbers.centre(numbers)

    @property
    def has_gimmicks(self) -> bool:
        """Whether a gimmick head is wanted, and the schema says which gimmicks are available."""
        return self.options.gimmick_head and self._gimmicks is not None

    @property
    def parameter_count(self) -> int:
        """Number of learned weights."""
        return sum(weight.numel() for weight in self.parameters())

    @property
    def name(self) -> str:
        """The network's name, as in its options."""
        return self.options.name

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.ids.row_of_id.device


def autocast_dtype(device: torch.device, otherwise: torch.dtype) -> torch.dtype:
    """The float type that autocast computes matrix products in on this device, if it is enabled."""
    return torch.get_autocast_dtype(device.type) if torch.is_autocast_enabled(device.type) else otherwise
