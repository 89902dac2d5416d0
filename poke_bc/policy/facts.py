"""What the games' tables say about a species, a move and an item, as numbers beside their learned embeddings.

An id that training hardly saw is then no stranger: a move has its type, power and accuracy, a species its base stats.
Facts are those of the latest generation that has the thing; what differed earlier is in the observation itself (types,
estimated damage).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.contract.vocabulary import FIRST_NAME, Vocabulary
from poke_bc.dex.load import GENS, dex
from poke_bc.dex.records import Item, Move, Species

_FLAGS = ("bite", "bullet", "charge", "contact", "dance", "defrost", "heal", "powder", "protect", "pulse", "punch",
          "recharge", "reflectable", "slicing", "snatch", "sound", "wind")
_CATEGORIES = ("physical", "special", "status")


def facts_of(vocabulary: Vocabulary) -> NDArray[np.float32] | None:
    """Facts of every id of a vocabulary [size, F], mostly from 0 to 1; zeros for ids that no table knows.

    None for vocabularies other than closed ones named species, move or item, and where no name is known. The last
    column says that the id is known.
    """
    return None if vocabulary.names is None else _facts(vocabulary.name, vocabulary.names)


@lru_cache(maxsize=16)  # reading the tables of nine generations takes half a second
def _facts(name: str, names: tuple[str, ...]) -> NDArray[np.float32] | None:
    if name not in _TABLES:
        return None
    find, describe = _TABLES[name]
    rows = {id_: [*describe(found), 1.0] for id_, each in enumerate(names, start=FIRST_NAME)
            if (found := _latest(find, each))}
    if not rows:
        return None
    facts = np.zeros((FIRST_NAME + len(names), len(next(iter(rows.values())))), np.float32)
    for id_, row in rows.items():
        facts[id_] = row
    facts.setflags(write=False)
    return facts


def _latest(find: Callable[[int, str], Any], name: str) -> Any:
    return next((found for gen in reversed(GENS) if (found := find(gen, name)) is not None), None)


@cache
def _types() -> tuple[str, ...]:
    return dex(GENS[-1]).types


def _species(species: Species) -> Iterator[float]:
    yield from (type_ in species.types for type_ in _types())
    yield from (stat / 150 for stat in species.base_stats)
    yield from (sum(species.base_stats) / 600, np.log1p(species.weight) / 7, species.evolves)


def _move(move: Move) -> Iterator[float]:
    yield from (type_ == move.type for type_ in _types())
    yield from (category == move.category for category in _CATEGORIES)
    yield from (flag in move.flags for flag in _FLAGS)
    yield from (move.power / 150, move.accuracy, move.priority / 5, move.pp / 40, sum(move.hits) / 6, move.recoil,
                move.has_secondary, move.ohko, move.level_damage or move.fixed_damage > 0, move.ignores_boosts,
                move.attack_of_target, bool(move.attack_stat), bool(move.defence_stat), move.priority > 0,
                move.priority < 0, move.category != "status" and move.power == 0)


def _item(item: Item) -> Iterator[float]:
    yield from (item.is_choice, item.is_gem, bool(item.plate or item.memory or item.drive), bool(item.mega),
                bool(item.z_type or item.z_move), item.name.endswith("berry"))


_TABLES: dict[str, tuple[Callable[[int, str], Any], Callable[[Any], Iterator[float]]]] = {
    "species": (lambda gen, name: dex(gen).species(name), _species),
    "move": (lambda gen, name: dex(gen).move(name), _move),
    "item": (lambda gen, name: dex(gen).items.get(name), _item),
}
