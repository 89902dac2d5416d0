"""The static tables of each generation, read on first use."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from functools import cache, cached_property, lru_cache
from importlib import resources
from typing import Any

import msgspec

from poke_bc.dex.records import Item, Move, Species

GENS = range(1, 10)
RENAMED = {
    "faintattack": "feintattack", "hijumpkick": "highjumpkick", "smellingsalt": "smellingsalts",
    "vicegrip": "visegrip", "alcremielemon": "alcremielemoncream", "alcremiematcha": "alcremiematchacream",
    "alcremiemint": "alcremiemintcream", "alcremiesalted": "alcremiesaltedcream",
    "keldeoresolution": "keldeoresolute", "taurospaldea": "taurospaldeacombat",
    "taurospaldeafire": "taurospaldeablaze", "taurospaldeawater": "taurospaldeaaqua",
}
"""Ids in old logs -> today's ids."""


@lru_cache(maxsize=65536)
def to_id(text: str) -> str:
    """The id of a name, as Showdown's toID computes it: lower case, everything but a-z and 0-9 removed.

    >>> to_id("Farfetch’d"), to_id("Flabébé"), to_id("Will-O-Wisp")
    ('farfetchd', 'flabb', 'willowisp')
    """
    return re.sub("[^a-z0-9]+", "", text.lower())


def spelling(kind: str, name: str) -> str:
    """The id of a species, move, item or ability as people write it; of anything else with a capital letter.

    >>> spelling("species", "greattusk"), spelling("move", "willowisp"), spelling("type", "fire")
    ('Great Tusk', 'Will-O-Wisp', 'Fire')
    """
    return str(_spellings().get(kind, {}).get(name, name[:1].upper() + name[1:]))


@cache
def dex(gen: int) -> Dex:
    """The tables of one generation, 1 to 9; the same object on every call.

    >>> dex(1).species("magnemite").types, dex(9).species("magnemite").types
    (('electric',), ('electric', 'steel'))
    >>> dex(1).move("bite").type, dex(3).move("bite").category, dex(4).move("bite").category
    ('normal', 'special', 'physical')
    """
    if gen not in GENS:
        raise ValueError(f"generation {gen} is none of 1 to 9")
    return Dex(gen)


class Dex:
    """Species, moves, items, learnsets and types that exist in one generation, earlier generations' included."""

    def __init__(self, gen: int) -> None:
        self.gen = gen
        self._table = _read(f"gen{gen}")

    @cached_property
    def species_names(self) -> tuple[str, ...]:
        """All species and formes, cosmetic ones included."""
        return (*self._table["species"], *self._table["cosmetic"])

    @cached_property
    def move_names(self) -> tuple[str, ...]:
        """All moves, Z-moves and Max Moves included."""
        return tuple(self._table["moves"])

    @cached_property
    def past_moves(self) -> frozenset[str]:
        """Moves of earlier generations that are gone, but for National Dex formats and the like.

        >>> "return" in dex(9).past_moves, "return" in dex(7).past_moves
        (True, False)
        """
        return frozenset(_read("past")[str(self.gen)])

    @cached_property
    def types(self) -> tuple[str, ...]:
        """All types of Pokémon and moves, sorted."""
        return tuple(sorted(self._table["chart"]))

    @cached_property
    def items(self) -> Mapping[str, Item]:
        """All items up to this generation."""
        return {name: item for name, item in _items().items() if item.gen <= self.gen}

    @cached_property
    def choice_items(self) -> frozenset[str]:
        """Items that lock their holder into one move."""
        return frozenset(name for name, item in self.items.items() if item.is_choice)

    @cached_property
    def z_moves(self) -> Mapping[str, Item]:
        """Z-crystals: those of a type have `z_type`, those of a species `z_move`. Empty before generation 7.

        >>> dex(7).z_moves["pikaniumz"].z_move, dex(7).z_moves["normaliumz"].z_type
        ('catastropika', 'normal')
        """
        return {name: item for name, item in self.items.items() if item.z_type or item.z_move}

    @cache  # noqa: B019 - the nine Dex objects live as long as the process
    def species(self, name: str) -> Species | None:
        """By id, old ids included; a cosmetic forme has its base forme's facts under its own name.

        None: does not exist in this generation.

        >>> dex(9).species("gastrodoneast").base_species, dex(9).species("taurospaldeafire").name
        ('gastrodon', 'taurospaldeablaze')
        """
        known = RENAMED.get(name, name)
        row = self._table["species"].get(self._table["cosmetic"].get(known, known))
        return None if row is None else msgspec.convert([known, *row], Species)

    @cache  # noqa: B019 - the nine Dex objects live as long as the process
    def both_types(self, name: str) -> tuple[str, str] | None:
        """Both types of a species, the second "none" where there is only one; None as for `species`."""
        found = self.species(name)
        return None if found is None else (found.types[0], (*found.types, "none")[1])

    @cache  # noqa: B019 - the nine Dex objects live as long as the process
    def move(self, name: str) -> Move | None:
        """By id, old ids and spellings of requests (`return102`) included. None: does not exist in this generation.

        >>> dex(4).move("hiddenpowerfire70").name, dex(4).move("hijumpkick").name
        ('hiddenpowerfire', 'highjumpkick')
        """
        known = RENAMED.get(name, name)
        known = known if known in self._table["moves"] else known.rstrip("0123456789")
        row = self._table["moves"].get(known)
        return None if row is None else msgspec.convert([known, *row], Move)

    @cache  # noqa: B019 - the nine Dex objects live as long as the process
    def learnset(self, species: str) -> frozenset[str]:
        """Moves that a species or its pre-evolutions can have learned, in any way, up to this generation."""
        table = _read("learnsets")
        known = RENAMED.get(species, species)
        chain = table["chain"].get(self._table["cosmetic"].get(known, known), ())
        moves = (table["moves"][place] for each in chain for gen, places in table["own"].get(each, {}).items()
                 if int(gen) <= self.gen for place in places)
        return frozenset(move for move in moves if move in self._table["moves"])

    def effectiveness(self, attack_type: str, defender_types: tuple[str, ...]) -> float:
        """0 to 4 (8 with a third type); 1 for types missing from the chart.

        >>> dex(9).effectiveness("ground", ("fire", "steel")), dex(1).effectiveness("ghost", ("psychic",))
        (4.0, 0.0)
        """
        row = self._table["chart"].get(attack_type, {})
        factor = 1.0
        for type_ in defender_types:
            factor *= row.get(type_, 1)
        return factor


@cache
def _items() -> dict[str, Item]:
    return {name: msgspec.convert([name, *row], Item) for name, row in _read("items").items()}


@cache
def _spellings() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = _read("spellings")
    return found


@cache
def _read(name: str) -> Any:
    data = resources.files("poke_bc.dex").joinpath(f"tables/{name}.json.gz").read_bytes()
    return msgspec.json.decode(gzip.decompress(data))
