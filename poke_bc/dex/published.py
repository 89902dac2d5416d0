"""The sets that formats with given teams hand out (random battles, factories), with how often each comes up."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import NamedTuple

import msgspec

from poke_bc.dex.load import dex

HIDDEN_POWER = "hiddenpower"
_VARIANTS = ("unrated", "monotype", "blitz")
"""Words in the ids of formats that take the same sets."""


class PublishedSet(NamedTuple):
    """One set of one species."""

    weight: int
    """How often it came up, to compare with the other sets of its species."""
    moves: frozenset[str]
    item: str
    ability: str
    tera: str
    """"none" where the generation has no such thing."""
    hidden_power: str = "none"
    """Its type, if that is one of the moves."""


class _Table(msgspec.Struct):
    names: list[str]
    sets: dict[str, list[tuple[list[int], int, int, int, int]]]
    single: list[list[int]]


class PublishedSets:
    """The sets of one format."""

    def __init__(self, gen: int, table: _Table) -> None:
        self._dex, self._table = dex(gen), table
        self.single = tuple(frozenset(table.names[place] for place in group) for group in table.single)
        """Names of which a team has one at most: Stealth Rock; a mega stone."""

    @property
    def species(self) -> Iterable[str]:
        """All that teams are drawn from."""
        return self._table.sets

    @cache  # noqa: B019 - the few tables live as long as the process
    def of(self, species: str) -> tuple[PublishedSet, ...]:
        """The sets of a species; () if it is on no team."""
        names, sets, known = self._table.names, self._table.sets, self._dex.species(species)
        rows = sets.get(species) or sets.get(known.base_species if known else species, [])
        return tuple(_set([names[move] for move in moves], names[item], names[ability], names[tera], count)
                     for moves, item, ability, tera, count in rows)


def _set(moves: list[str], item: str, ability: str, tera: str, weight: int) -> PublishedSet:
    type_ = next((move[len(HIDDEN_POWER):] for move in moves if move.startswith(HIDDEN_POWER)), "none")
    known = frozenset(HIDDEN_POWER if move.startswith(HIDDEN_POWER) else move for move in moves)
    return PublishedSet(weight, known, item, ability, tera, type_ or "none")


@cache
def published_sets(format_: str, gen: int) -> PublishedSets | None:
    """The sets by the id of the format; None if players bring their own teams, or its sets are not known.

    >>> sets = published_sets("gen9randombattle", 9).of("garchomp")
    >>> sorted({(each.item, each.ability) for each in sets})
    [('loadeddice', 'roughskin'), ('rockyhelmet', 'roughskin')]
    >>> published_sets("gen9ou", 9) is None
    True
    """
    name = format_ if format_.startswith("gen") else f"gen{gen}{format_}"
    for word in _VARIANTS:
        name = name.replace(word, "")
    file = resources.files("poke_bc.dex").joinpath(f"sets/{name}.json.gz")
    if not file.is_file():
        return None
    return PublishedSets(gen, msgspec.json.decode(gzip.decompress(file.read_bytes()), type=_Table))


def random_sets(gen: int) -> PublishedSets:
    """Those of a generation's random battles, which every generation has.

    >>> "snorlax" in random_sets(1).species, "missingno" in random_sets(1).species
    (True, False)
    """
    found = published_sets(f"gen{gen}randombattle", gen)
    assert found is not None
    return found
