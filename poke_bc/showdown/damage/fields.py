"""Fields of many observations as arrays, with names as rows of the static tables.

Letters: R observations, P = 2 * R * 6 Pokémon (side, observation, slot; side 0 is one's own).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from poke_bc.showdown.damage.tables import Floats, Ints, NameIndex, Tables
from poke_bc.showdown.observation import FIELDS

Bools = NDArray[np.bool_]
STATUSES = NameIndex(("brn", "par", "psn", "tox", "slp", "frz"))
NAMES = ("species", "ability", "item", "status", "type1", "type2", "tera")
NUMBERS = ("level", "hp", "fainted", "active")
LISTS = (*NAMES, *NUMBERS, "moves", "boosts", "volatiles")
"""Fields of both sides with a list of values."""
PER_SIDE = ("alive", "reflect", "light_screen", "aurora_veil", "tailwind", "dynamax_turns", "stockpile")
"""Fields of both sides with one number."""
_lists_of, _numbers_of = ([itemgetter(*(FIELDS.index(f"{side}_{field}") for field in fields))
                           for side in ("own", "opp")] for fields in (LISTS, PER_SIDE))


class Fields:
    """The fields of both sides.

    Observations share lists that did not change (observe.py): of neighbours that are one object, only the first is
    read.
    """

    def __init__(self, observations: Sequence[Any], tables: Tables) -> None:
        sides = 2 * len(observations)
        values = [*map(msgspec.structs.astuple, observations)]
        lists = [*chain.from_iterable(chain.from_iterable(map(get, values) for get in _lists_of))]
        ids = np.fromiter(map(id, lists), np.intp, len(lists)).reshape(sides, -1)
        is_new = np.ones((len(LISTS), sides), bool)
        np.not_equal(ids[1:].T, ids[:-1].T, out=is_new[:, 1:])
        column, row = is_new.nonzero()
        distinct = [lists[place] for place in (row * len(LISTS) + column).tolist()]
        number = is_new.cumsum().reshape(len(LISTS), sides) - 1
        ends = [0, *(number[:, -1] + 1).tolist()]
        self._distinct = {field: (distinct[start:end], number[at] - start) for at, (field, start, end)
                          in enumerate(zip(LISTS, ends, ends[1:], strict=False))}
        """Field -> its distinct lists, and for each of the 2 * R the place among them."""
        indices = (tables.species, tables.abilities, tables.items, STATUSES, tables.types, tables.types, tables.types)
        found = [[*chain.from_iterable(self._distinct[field][0])] for field in NAMES]
        rows = np.fromiter(chain.from_iterable(map(index.__getitem__, names) for index, names
                                               in zip(indices, found, strict=True)), np.intp).reshape(-1, 6)
        last = len(NAMES) + len(NUMBERS)
        numbers = np.fromiter(chain.from_iterable(distinct[ends[len(NAMES)]:ends[last]]), float).reshape(-1, 6)
        self.occurring = {field: frozenset(names) for field, names in zip(NAMES, found, strict=True)}
        """Field -> all names that occur."""
        self.rows: dict[str, Ints] = dict(zip(NAMES, rows[number[:len(NAMES)]].reshape(len(NAMES), -1), strict=True))
        """Field -> [P]."""
        self.numbers: dict[str, Floats] = dict(zip(
            NUMBERS, numbers[number[len(NAMES):last] - ends[len(NAMES)]].reshape(len(NUMBERS), -1), strict=True))
        """Field -> [P]."""
        per_side = chain.from_iterable(chain.from_iterable(map(get, values) for get in _numbers_of))
        table = np.fromiter(per_side, float, sides * len(PER_SIDE)).reshape(2, len(observations), -1)
        self.per_side: dict[str, Floats] = {field: table[:, :, at] for at, field in enumerate(PER_SIDE)}
        """Field -> [2, R]."""

    def moves(self, index: NameIndex) -> tuple[Ints, frozenset[str]]:
        """[P, 4] rows of moves, and the names of all that occur."""
        lists, place = self._distinct["moves"]
        names = [*chain.from_iterable(lists)]
        rows: Ints = np.fromiter(map(index.__getitem__, names), np.intp, len(names)).reshape(-1, 24)
        return rows[place].reshape(-1, 4), frozenset(names)

    def of_active(self, field: str, width: int) -> Ints:
        """[2 * R, width] of `boosts` or `volatiles`."""
        lists, place = self._distinct[field]
        values: Ints = np.fromiter(chain.from_iterable(lists), np.intp, width * len(lists)).reshape(-1, width)[place]
        return values

    def are(self, field: str, name: str) -> Bools:
        """[P]: where a field has this name."""
        lists, place = self._distinct[field]
        flags: Bools = np.array([[each == name for each in names] for names in lists])[place].ravel()
        return flags
