"""Fields of many observations as arrays, with names as rows of the static tables.

Letters: R observations, P = 2 * R * 6 Pokémon (side, observation, slot; side 0 is one's own).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.showdown.damage.tables import Floats, Ints, NameIndex

Bools = NDArray[np.bool_]
LISTS = ("species", "ability", "item", "status", "type1", "type2", "tera", "level", "hp", "fainted", "active", "moves",
         "boosts", "volatiles")
"""Fields of both sides with a list of values."""
NUMBERS = ("alive", "reflect", "light_screen", "aurora_veil", "tailwind", "dynamax_turns", "stockpile")
"""Fields of both sides with one number."""
_lists_of, _numbers_of = ([attrgetter(*(f"{side}_{field}" for field in fields)) for side in ("own", "opp")]
                          for fields in (LISTS, NUMBERS))


class Fields:
    """The fields of both sides.

    Observations share lists that did not change (observe.py): of neighbours that are one object, only the
    first is read.
    """

    def __init__(self, observations: Sequence[Any]) -> None:
        rows = 2 * len(observations)
        lists = [*chain.from_iterable(chain.from_iterable(map(get, observations) for get in _lists_of))]
        ids = np.fromiter(map(id, lists), np.intp, len(lists)).reshape(rows, -1)
        is_new = np.ones((len(LISTS), rows), bool)
        np.not_equal(ids[1:].T, ids[:-1].T, out=is_new[:, 1:])
        column, row = is_new.nonzero()
        distinct = [lists[place] for place in (row * len(LISTS) + column).tolist()]
        number = is_new.cumsum().reshape(len(LISTS), rows) - 1
        ends = [0, *(number[:, -1] + 1).tolist()]
        self._distinct = {field: (distinct[start:end], number[column] - start) for column, (field, start, end)
                          in enumerate(zip(LISTS, ends, ends[1:], strict=False))}
        """Field -> its distinct lists, and for each of the 2 * R the place among them."""
        numbers = chain.from_iterable(chain.from_iterable(map(get, observations) for get in _numbers_of))
        table = np.fromiter(numbers, float, rows * len(NUMBERS)).reshape(2, len(observations), -1)
        self.per_side: dict[str, Floats] = {field: table[:, :, column] for column, field in enumerate(NUMBERS)}
        """Field -> [2, R]."""

    def names(self, field: str, index: NameIndex) -> tuple[Ints, frozenset[str]]:
        """Rows of a list's names, [P] (or [P * 4] of moves), and all names that occur."""
        lists, place = self._distinct[field]
        names = [*chain.from_iterable(lists)]
        rows: Ints = np.fromiter(map(index.__getitem__, names), np.intp, len(names)).reshape(len(lists), -1)
        return rows[place].ravel(), frozenset(names)

    def are(self, field: str, name: str) -> Bools:
        """[P]: where a field has this name."""
        lists, place = self._distinct[field]
        flags: Bools = np.array([[each == name for each in names] for names in lists])[place].ravel()
        return flags

    def numbers(self, field: str, width: int = 6) -> Floats:
        """[2 * R, width] of a list of numbers or flags."""
        lists, place = self._distinct[field]
        values: Floats = np.fromiter(chain.from_iterable(lists), float, width * len(lists)).reshape(-1, width)[place]
        return values
