"""Observations that were just made -> the columns of a batch: a tenth of the time of `Schema.pack`, which checks each
value. These need no check, since `observe` keeps to the schema; a test compares both, and with the shards.

    B decisions   C category columns   K number columns
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from poke_bc.contract.actions import pack_actions
from poke_bc.contract.bits import pack_bits
from poke_bc.contract.field import BITS
from poke_bc.contract.schema import Schema
from poke_bc.contract.vocabulary import UNKNOWN
from poke_bc.data.batch import Batch


class ObservationPacker:
    """Packs observations of a schema whose categories are names.

    Args:
        schema: the policy's.
    """

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._names = [(field.name, schema.vocabularies[field.vocab].ids, field.width > 1)
                       for field in schema.categories]
        plain = [field for field in schema.numbers if field.kind != BITS]
        self._plain = [(field.name, field.width > 1) for field in plain]
        columns = [range(schema.number_width)[schema.columns[field.name]] for field in plain]
        self._columns_P = np.array([column for each in columns for column in each], np.intp)
        self._bits = [(field.name, schema.columns[field.name]) for field in schema.numbers if field.kind == BITS]

    def batch(self, observations: Sequence[Any], legal: Sequence[Sequence[bool]]) -> Batch:
        """The columns category, number and legal.

        Args:
            observations: Observations with their estimates.
            legal: ten booleans for each.
        """
        category = np.array([self._ids(each) for each in observations], np.uint16)
        number = np.zeros((len(observations), self._schema.number_width), np.float16)
        number[:, self._columns_P] = np.array([self._numbers(each) for each in observations], np.float64)
        for name, columns in self._bits:
            number[:, columns] = pack_bits(np.array([getattr(each, name) for each in observations]))
        legal_B: NDArray[np.uint16] = pack_actions(np.array(legal, np.bool_))
        return Batch({"category": torch.from_numpy(category), "number": torch.from_numpy(number),
                      "legal": torch.from_numpy(legal_B.view(np.int16))})

    def _ids(self, observation: Any) -> list[int]:
        found: list[int] = []
        for name, ids, is_list in self._names:
            value = getattr(observation, name)
            if is_list:
                found += [ids.get(each, UNKNOWN) for each in value]
            else:
                found.append(ids.get(value, UNKNOWN))
        return found

    def _numbers(self, observation: Any) -> list[float]:
        found: list[float] = []
        for name, is_list in self._plain:
            if is_list:
                found += getattr(observation, name)
            else:
                found.append(getattr(observation, name))
        return found
