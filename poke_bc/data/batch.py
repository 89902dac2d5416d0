"""Batch: the input of a policy, as columns in the narrow types of the shard.

    B decisions   S steps of a sequence   C category columns   K number columns
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import torch
from torch import Tensor

from poke_bc.contract.actions import pack_actions
from poke_bc.contract.schema import Schema

COLUMNS = ("category", "number", "legal", "candidates", "action", "weight", "returns")
"""The default columns of a batch: those that imitation needs."""
FURTHER_COLUMNS = ("gimmick", "reward", "done", "factor")
"""Columns that can be selected as well."""


class Batch:
    """A batch of decisions: one row each or, with `steps`, a sequence of S rows each.

    It holds the columns that were selected; using another one raises AttributeError. For sequences, S follows B in
    every shape. A feeder reuses its buffers: the tensors of its batch are valid until the next batch is requested.

    Args:
        columns: tensors by name.
        position: samples used up to and including this batch.
        steps: for sequences, the steps relative to the decision that was sampled, which is step 0.
    """

    category: Tensor
    """[B, C] uint16 ids."""
    number: Tensor
    """[B, K] float16, in the schema's own units."""
    legal: Tensor
    """[B] int16, bit a: action a was legal; 0: not recorded."""
    candidates: Tensor
    """[B] int16, bit a: the unseen choice may have been a."""
    action: Tensor
    """[B] int8, -1: no label."""
    gimmick: Tensor
    """[B] uint8, index into contract.actions.GIMMICKS."""
    weight: Tensor
    """[B] float32, how much the row counts in the loss."""
    factor: Tensor
    """[B] float32, what the weight is multiplied with in imitation: the trajectory's, as the dataset was given it."""
    reward: Tensor
    """[B] float32, earned by this decision."""
    returns: Tensor
    """[B] float32, the total reward minus the rewards before this decision; the shard's column `return`."""
    done: Tensor
    """[B] uint8, 1: the battle ended with this decision."""
    is_pad: Tensor
    """[B, S] bool, sequences only: the trajectory has no such step; every column is zero there."""
    position: int
    """Samples used up to and including this batch; a resumed run continues here."""
    steps: range | None

    def __init__(self, columns: Mapping[str, Tensor], *, position: int = 0, steps: range | None = None) -> None:
        self.position, self.steps = position, steps
        for name, tensor in columns.items():
            setattr(self, name, tensor)

    if not TYPE_CHECKING:  # mypy would otherwise accept every misspelt attribute

        def __getattr__(self, name: str) -> NoReturn:
            raise AttributeError(f"this batch has no {name!r}; select columns with ShardDataset(..., columns=...)")

    def __len__(self) -> int:
        return len(next(iter(self.tensors().values())))

    def tensors(self) -> dict[str, Tensor]:
        """The columns it holds, by name."""
        return {name: value for name, value in vars(self).items() if isinstance(value, Tensor)}

    def at(self, step: int) -> Batch:
        """One step of sequences as single rows; step 0 is the sampled decisions. Raises ValueError."""
        if self.steps is None:
            raise ValueError("these are single rows, not sequences")
        place = self.steps.index(step)
        return Batch({name: tensor[:, place] for name, tensor in self.tensors().items()}, position=self.position)

    def to(self, device: torch.device) -> Batch:
        """A copy on `device` (sharing tensors that are already there)."""
        return self._map(lambda tensor: tensor.to(device))

    def clone(self) -> Batch:
        """A copy that outlives the feeder's buffer."""
        return self._map(Tensor.clone)

    def _map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        return Batch({name: function(tensor) for name, tensor in self.tensors().items()},
                     position=self.position, steps=self.steps)

    @classmethod
    def from_observations(cls, schema: Schema, observations: Sequence[Mapping[str, Any]],
                          legal: Sequence[Sequence[bool]] | None = None) -> Batch:
        """The columns that a policy needs to act, from observations as trajectories hold them.

        Args:
            schema: the policy's schema.
            observations: one for each decision; missing keys take their default.
            legal: ten booleans for each decision; None: not known, so that every action may be chosen.

        Raises FieldValueError naming the key of a value that the schema does not allow.
        """
        packed = [schema.pack(observation) for observation in observations]
        legal_B = (np.zeros(len(packed), np.uint16) if legal is None
                   else pack_actions(np.asarray(legal, np.bool_).reshape(len(packed), -1)))
        return cls({"category": _matrix([ids for ids, _ in packed], schema.category_width, np.uint16),
                    "number": _matrix([numbers for _, numbers in packed], schema.number_width, np.float16),
                    "legal": torch.from_numpy(legal_B.view(np.int16))})


def _matrix(rows: list[Any], width: int, dtype: type) -> Tensor:
    return torch.from_numpy(np.array(rows, dtype).reshape(len(rows), width))
