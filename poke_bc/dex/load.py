"""Read the static tables of a generation, when they are first asked for."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache, cached_property, lru_cache
from importlib import resources
from typing import Any

from poke_bc.dex.records import Item, Move, Species

GENS = range(1, 10)
RENAMED = {
    "faintattack": "feintattack", "hijumpkick": "highjumpkick", "smellingsalt": "smellingsalts",
    "vicegrip": "visegrip", "alcremielemon": "alcremielemoncream", "alcremiematcha": "alcremiematchacream",
    "alcremiemint": "alcremiemintcream", "alcremiesalted": "alcremiesaltedcream",
    "keldeoresolution": "keldeoresolute", "taurospaldea": "taurospaldeacombat",
    "taurospaldeafire": "taurospaldeablaze", "taurospaldeawater": "taurospaldeaaqua",
}
"""Ids of old logs -> those of today."""


@lru_cache(maxsize=65536)
def to_id(text: str) -> str:
    """A name as Showdown's toID makes it: lower case, all but a-z and 0-9 left out.

    >>> to_id("Farfetch’d"), to_id("Flabébé"), to_id("Will-O-Wisp")
    ('farfetchd', 'flabb', 'willowisp')
    """
    return re.sub("[^a-z0-9]+", "", text.lower())


@cache
def dex(gen: int) -> Dex:
    """The tables of one generation, 1 to 9; the same object each time.

    >>> dex(1).species("magnemite").types, dex(9).species("magnemite").types
    (('electric',), ('electric', 'steel'))
    >>> dex(1).move("bite").type, dex(3).move("bite").category, dex(4).move("bite").category
    ('normal', 'special', 'physical')
    """
    if gen not in GENS:
        raise ValueError(f"generation {gen} is none of 1 to 9")
    return Dex(gen)


class Dex:
    """Species, moves, items, learnsets and types as one generation knows them, earlier generations' included."""

    def __init__(self, gen: int) -> None:
        self.gen = gen
        self._table = _read(f"gen{gen}")
        self._species: dict[str, Species | None] = {}
        self._types: dict[str, tuple[str, str] | None] = {}
        self._moves: dict[str, Move | None] = {}
        self._learnsets: dict[str, frozenset[str]] = {}

    @cached_property
    def species_names(self) -> tuple[str, ...]:
        """All species and formes, cosmetic ones too."""
        return (*self._table["species"], *self._table["cosmetic"])

    @cached_property
    def move_names(self) -> tuple[str, ...]:
        """All moves, Z-moves and Max moves too."""
        return tuple(self._table["moves"])

    @cached_property
    def types(self) -> tuple[str, ...]:
        """All types that something can have here, sorted."""
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
        """Z-crystals: `z_type`, or `z_move` made from `z_from` by `z_users`; empty before generation 7.

        >>> dex(7).z_moves["pikaniumz"].z_move, dex(7).z_moves["normaliumz"].z_type
        ('catastropika', 'normal')
        """
        return {name: item for name, item in self.items.items() if item.z_type or item.z_move}

    def species(self, name: str) -> Species | None:
        """By id, old ids too; a cosmetic forme has its base's facts under its own name. None: not in this generation.

        >>> dex(9).species("gastrodoneast").base_species, dex(9).species("taurospaldeafire").name
        ('gastrodon', 'taurospaldeablaze')
        """
        if name not in self._species:
            known = RENAMED.get(name, name)
            base = self._table["cosmetic"].get(known, known)
            row = self._table["species"].get(base)
            found = None if row is None else Species(base, *map(_frozen, row))
            self._species[name] = found if found is None or base == known else replace(found, name=known)
        return self._species[name]

    def both_types(self, name: str) -> tuple[str, str] | None:
        """The two types of a species, the second "none" where it has one; None as for `species`."""
        if name not in self._types:
            found = self.species(name)
            self._types[name] = None if found is None else (found.types[0], (*found.types, "none")[1])
        return self._types[name]

    def move(self, name: str) -> Move | None:
        """By id, old ids too, also as requests spell it (`return102`). None: not in this generation.

        >>> dex(4).move("hiddenpowerfire70").name, dex(4).move("hijumpkick").name
        ('hiddenpowerfire', 'highjumpkick')
        """
        if name not in self._moves:
            known = RENAMED.get(name, name)
            known = known if known in self._table["moves"] else known.rstrip("0123456789")
            row = self._table["moves"].get(known)
            if row is None:
                self._moves[name] = None
            else:
                values = [*map(_frozen, row)]
                values[7] = frozenset(values[7])
                self._moves[name] = Move(known, *values)
        return self._moves[name]

    def learnset(self, species: str) -> frozenset[str]:
        """Moves that a species could learn up to this generation in any way, its pre-evolutions' included."""
        if species not in self._learnsets:
            table = _read("learnsets")
            known = RENAMED.get(species, species)
            chain = table["chain"].get(self._table["cosmetic"].get(known, known), ())
            moves = (table["moves"][place] for each in chain for gen, places in table["own"].get(each, {}).items()
                     if int(gen) <= self.gen for place in places)
            self._learnsets[species] = frozenset(move for move in moves if move in self._table["moves"])
        return self._learnsets[species]

    def effectiveness(self, attack_type: str, defender_types: tuple[str, ...]) -> float:
        """0 to 4 (8 with a third type); 1 for types that the chart does not know.

        >>> dex(9).effectiveness("ground", ("fire", "steel")), dex(1).effectiveness("ghost", ("psychic",))
        (4.0, 0.0)
        """
        row = self._table["chart"].get(attack_type, {})
        factor = 1.0
        for type_ in defender_types:
            factor *= row.get(type_, 1)
        return factor


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@cache
def _items() -> dict[str, Item]:
    rows = _read("items")
    items = {}
    for name, row in rows.items():
        values = [*map(_frozen, row)]
        values[7] = dict(values[7])
        items[name] = Item(name, *values)
    return items


@cache
def _read(name: str) -> Any:
    data = resources.files("poke_bc.dex").joinpath(f"tables/{name}.json.gz").read_bytes()
    return json.loads(gzip.decompress(data))
