"""What every network promises.

    B decisions   C category columns   K number columns   A the ten actions
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from poke_bc.contract.schema import Schema
from poke_bc.policy.inputs import PackedEmbedding, ScaledNumbers
from poke_bc.policy.masks import open_actions


class PolicyOutput(NamedTuple):
    """What a policy says about decisions."""

    logits: Tensor
    """[B, A] float32; illegal actions have -inf."""
    value: Tensor | None
    """[B] float32, the reward it expects still to come; None without a value head."""


class Policy(nn.Module):
    """A network with the schema it was made for.

    A subclass names itself, takes its options as keywords, and implements `score`. Masking, acting and
    unknown ids are settled here, so that no network can forget them.

    Args:
        schema: what the observations hold.
        embedding: width of the category embeddings.
        options: every keyword the subclass was made with; saved with the weights.
    """

    name: ClassVar[str]

    def __init__(self, schema: Schema, *, embedding: int, **options: Any) -> None:
        super().__init__()
        self.schema = schema
        self.trained_on: dict[str, str] = {}
        """Digests of the shards (`data`) and of their `split`, once it is trained; saved with the weights."""
        self.options: dict[str, Any] = {"embedding": embedding, **options}
        self.ids = PackedEmbedding(schema, embedding)
        self.numbers = ScaledNumbers(schema)

    def score(self, category_BC: Tensor, number_BK: Tensor) -> PolicyOutput:
        """Logits of all ten actions, legal or not, and the value; in whatever float type it computes."""
        raise NotImplementedError

    def forward(self, category_BC: Tensor, number_BK: Tensor, legal_B: Tensor) -> PolicyOutput:
        """Masked logits and value.

        Args:
            category_BC: ids, any integer type.
            number_BK: numbers in the schema's own units, any float type.
            legal_B: bits, any integer type; 0 means not recorded, and leaves all ten open.
        """
        logits_BA, value_B = self.score(category_BC, number_BK)
        masked_BA = logits_BA.float().masked_fill(~open_actions(legal_B), -torch.inf)
        return PolicyOutput(masked_BA, None if value_B is None else value_B.float())

    def act(self, category_BC: Tensor, number_BK: Tensor, legal_B: Tensor, *, sample: bool = True,
            temperature: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
        """Choose legal actions [B] int64, without dropout and without gradients.

        Args:
            category_BC, number_BK, legal_B: as for `forward`.
            sample: False takes the most likely action.
            temperature: above 0; below 1 sharpens, above 1 flattens. Used when sampling.
            generator: of the sampling, on the policy's device.
        """
        if sample and not temperature > 0:
            raise ValueError(f"temperature must be above 0, got {temperature}; sample=False takes the best action")
        training = self.training
        self.eval()
        try:
            with torch.inference_mode():
                output: PolicyOutput = self(category_BC, number_BK, legal_B)
                if not sample:
                    return output.logits.argmax(dim=1)
                odds_BA = (output.logits / temperature).softmax(dim=1)
                return odds_BA.multinomial(1, generator=generator)[:, 0]
        finally:
            self.train(training)

    def note_seen(self, categories: Iterable[Tensor]) -> None:
        """Tell which ids training will see: all others become the unknown id, whose embedding stays zero.

        Args:
            categories: ids of all training rows, [n, C] piece by piece.
        """
        self.ids.note_seen(categories)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.ids.row_of_id.device
