"""Sets that battles showed, by species and format: the source for own moves, items and the like that stayed hidden.

A player knows all four moves of an own Pokémon; a replay shows those that were used. Leaving the others out would tell
a policy which ones are going to be used ("the known ones"), so they are imputed from a set of the same species in
*other* battles that contains what was shown. Everything here is a pure function of the battles, whatever their order.
"""

from __future__ import annotations

import gzip
import json
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import accumulate, chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from poke_bc.contract.files import atomic_write
from poke_bc.showdown.protocol import UNKNOWN

KEPT_SETS = 96
"""Sets kept of one species in one format: those that show most, then by hash."""
MOVES, ITEMS, ABILITIES, TERAS = USAGE = ("moves", "items", "abilities", "teras")


class ShownSet(msgspec.Struct, frozen=True, gc=False):
    """What one battle showed of one Pokémon, from beginning to end."""

    species: str
    """Forme as brought."""
    level: int
    moves: tuple[str, ...]
    item: str = UNKNOWN
    ability: str = UNKNOWN
    tera: str = UNKNOWN

    def shown(self, what: str) -> tuple[str, ...]:
        """The names shown of one of USAGE."""
        if what == MOVES:
            return self.moves
        value = self.item if what == ITEMS else self.ability if what == ABILITIES else self.tera
        return () if value == UNKNOWN else (value,)


class RevealedSets(msgspec.Struct, frozen=True, gc=False):
    """All sets that one battle showed."""

    battle: str
    format: str
    sets: tuple[ShownSet, ...]


def hashed(text: str) -> int:
    """64 bits that depend on the text alone."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


def chance(seed: str) -> float:
    """A number from 0 to 1, decided by the seed alone."""
    return hashed(seed) / 2.0**64


def index_at(at: float, count: int) -> int:
    """The index at a fraction of `count`: from 0 to count - 1."""
    return min(int(count * at), count - 1)


class Tally:
    """How often each name was shown; a name is drawn with a chance in proportion to that."""

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self.counts: dict[str, int] = {**counts} if counts else {}
        self._names: list[str] = []
        self._ends: list[int] = []

    def add(self, names: Iterable[str]) -> None:
        """Count each name once more."""
        counts = self.counts
        for name in names:
            counts[name] = counts.get(name, 0) + 1
        self._names = []

    def draw(self, at: float, without: Mapping[str, int]) -> str | None:
        """The name at a fraction of all times that names were shown, in order of the names; None if there are none.

        Args:
            at: the fraction.
            without: name -> how many of the times that it was shown do not count.
        """
        if not self._names:
            self._names = sorted(self.counts)
            self._ends = [*accumulate(self.counts[name] for name in self._names)]
        names, ends, counts = self._names, self._ends, self.counts
        less = sorted((bisect_left(names, name), min(count, counts[name])) for name, count in without.items()
                      if name in counts)
        total = (ends[-1] if ends else 0) - sum(count for _, count in less)
        if not total:
            return None
        index = index_at(at, total)
        for place, count in less:
            if place and ends[place - 1] > index:
                break
            index += count
        return names[bisect_right(ends, index)]

    def to_json(self) -> dict[str, int]:
        """In order of the names."""
        return dict(sorted(self.counts.items()))


class _KeptSet(NamedTuple):
    missing: int
    hash: int
    battle: int
    set: ShownSet
    moves: frozenset[str]


def _kept(hash_: int, battle: int, shown: ShownSet) -> _KeptSet:
    return _KeptSet(4 - len(shown.moves), hash_, battle, shown, frozenset(shown.moves))


@dataclass(slots=True)
class _Species:
    """One species in one format."""

    sets: list[_KeptSet] = field(default_factory=list)
    """In order once sorted, and at most KEPT_SETS then."""
    usage: dict[str, Tally] = field(default_factory=lambda: {what: Tally() for what in USAGE})
    is_sorted: bool = False

    def sorted_sets(self) -> list[_KeptSet]:
        """The sets kept, those that show most first."""
        if not self.is_sorted:
            self.sets = sorted(self.sets, key=lambda kept: kept[:3])[:KEPT_SETS]
            self.is_sorted = True
        return self.sets


class Corpus:
    """Sets and usage of many battles."""

    def __init__(self) -> None:
        self._species: dict[str, dict[str, _Species]] = {}
        self._present: dict[str, Tally] = {}
        self._battles: set[int] = set()
        self._overall: dict[tuple[str, str], Tally] = {}

    def add(self, revealed: RevealedSets) -> None:
        """Add one battle."""
        self._overall.clear()
        by_species = self._species.setdefault(revealed.format, {})
        self._present.setdefault(revealed.format, Tally()).add(map(_who, revealed.sets))
        battle = hashed(revealed.battle)
        self._battles.add(battle)
        for number, shown in enumerate(revealed.sets):
            known = by_species.setdefault(shown.species, _Species())
            for what, tally in known.usage.items():
                if names := shown.shown(what):
                    tally.add(names)
            known.sets.append(_kept(hashed(f"{revealed.battle}\0{number}"), battle, shown))
            known.is_sorted = False
            if len(known.sets) > 2 * KEPT_SETS:
                known.sorted_sets()

    def others(self, own: RevealedSets) -> OtherBattles:
        """Everything but what one battle showed: its own gaps must not be filled from that."""
        return OtherBattles(self, own)

    def overall(self, format_: str, what: str) -> Tally:
        """How often each of `moves`, `items`, `abilities` or `teras` was shown on any species of a format."""
        if (format_, what) not in self._overall:
            total = self._overall[format_, what] = Tally()
            for known in self._species.get(format_, {}).values():
                for name, count in known.usage[what].counts.items():
                    total.counts[name] = total.counts.get(name, 0) + count
        return self._overall[format_, what]

    # --- on disk ----------------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write it; equal corpora give equal bytes."""
        table: dict[str, Any] = {"battles": sorted(self._battles), "species": {}, "present": {}}
        for format_, by_species in sorted(self._species.items()):
            table["species"][format_] = {
                species: {"sets": [[kept.hash, kept.battle, *msgspec.structs.astuple(kept.set)[1:]]
                                   for kept in known.sorted_sets()],
                          "usage": {what: tally.to_json() for what, tally in known.usage.items()}}
                for species, known in sorted(by_species.items())}
        table["present"] = {format_: tally.to_json() for format_, tally in sorted(self._present.items())}
        with atomic_write(path) as file:
            file.write(gzip.compress(json.dumps(table).encode(), 1, mtime=0))

    @classmethod
    def load(cls, path: Path) -> Corpus:
        """Read what `save` wrote."""
        table = json.loads(gzip.decompress(path.read_bytes()))
        corpus = cls()
        corpus._battles = set(table["battles"])
        for format_, rows in table["species"].items():
            corpus._species[format_] = {
                species: _Species(
                    [_kept(hash_, battle, ShownSet(species, level, tuple(moves), *rest))
                     for hash_, battle, level, moves, *rest in row["sets"]],
                    {what: Tally(counts) for what, counts in row["usage"].items()})
                for species, row in rows.items()}
        corpus._present = {format_: Tally(counts) for format_, counts in table["present"].items()}
        return corpus


class OtherBattles:
    """What all other battles of one battle's format showed."""

    def __init__(self, corpus: Corpus, own: RevealedSets) -> None:
        self._corpus = corpus
        self._battle = hashed(own.battle)
        self._format = own.format
        self._own_sets: dict[str, list[ShownSet]] = {}
        """By species; none if this battle is not in the corpus."""
        for shown in own.sets if self._battle in corpus._battles else ():
            self._own_sets.setdefault(shown.species, []).append(shown)
        self._species = corpus._species.get(own.format, {})

    def matching(self, species: str, moves: Iterable[str]) -> list[ShownSet]:
        """Sets of a species that contain these moves, those that show most first."""
        known, wanted, battle = self._species.get(species), frozenset(moves), self._battle
        if known is None:
            return []
        return [kept.set for kept in known.sorted_sets() if wanted <= kept.moves and kept.battle != battle]

    def draw(self, species: str, what: str, at: float, without: Iterable[str] = ()) -> str | None:
        """One of a species' `moves`, `items`, `abilities` or `teras`, none of `without`; see Tally.draw."""
        known = self._species.get(species)
        if known is None:
            return None
        tally = known.usage[what]
        own = self._count_own(what, self._own_sets.get(species, ()))
        return tally.draw(at, own | {name: tally.counts[name] for name in without if name in tally.counts})

    def draw_overall(self, what: str, at: float) -> str | None:
        """One of all species' `moves`, `items`, `abilities` or `teras`; see Tally.draw."""
        own = self._count_own(what, chain.from_iterable(self._own_sets.values()))
        return self._corpus.overall(self._format, what).draw(at, own)

    def _count_own(self, what: str, sets: Iterable[ShownSet]) -> dict[str, int]:
        counts: dict[str, int] = {}
        for shown in sets:
            for name in shown.shown(what):
                counts[name] = counts.get(name, 0) + 1
        return counts

    def draw_pokemon(self, is_wanted: Callable[[str], bool], seed: str) -> tuple[str, int] | None:
        """(species, level) of a Pokémon of the format whose species `is_wanted`; None if there is none."""
        tally = self._corpus._present.get(self._format, Tally())
        counts = tally.counts
        without = Counter(map(_who, chain.from_iterable(self._own_sets.values())))
        while True:
            left = len(counts) - sum(count >= counts[name] for name, count in without.items() if name in counts)
            drawn = tally.draw(chance(f"{seed}\0{left}"), without)
            if drawn is None:
                return None
            species, level = drawn.split("\0")
            if is_wanted(species):
                return species, int(level)
            without[drawn] = counts[drawn]


def _who(shown: ShownSet) -> str:
    return f"{shown.species}\0{shown.level}"
