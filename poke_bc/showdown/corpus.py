"""Sets that battles showed, by species and format: the source for own moves, items and the like that stayed hidden.

A player knows all four moves of an own Pokémon; a replay shows those that were used. Leaving the others out would tell
a policy which ones are going to be used ("the known ones"), so they are imputed from a set of the same species in
*other* battles that contains what was shown. Everything here is a pure function of the battles, whatever their order.
"""

from __future__ import annotations

import gzip
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import accumulate
from pathlib import Path

import msgspec

from poke_bc.contract.files import atomic_write
from poke_bc.showdown.protocol import UNKNOWN

KEPT_SETS = 96
"""Sets kept of one species in one format: those that show most, then by hash."""
MOVES, ITEMS, ABILITIES, TERAS = USAGE = ("moves", "items", "abilities", "teras")
Counts = dict[str, int]
"""Name -> how often it was shown."""


class ShownSet(msgspec.Struct, frozen=True, gc=False, array_like=True):
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


class _KeptSet(msgspec.Struct, frozen=True, gc=False, array_like=True):
    missing: int
    hash: int
    battle: int
    set: ShownSet


class _Species(msgspec.Struct):
    """One species in one format."""

    sets: list[_KeptSet] = []
    usage: dict[str, Counts] = {}

    def trim(self) -> list[_KeptSet]:
        """Keep the sets that show most, in that order."""
        self.sets = sorted(self.sets, key=lambda kept: (kept.missing, kept.hash, kept.battle))[:KEPT_SETS]
        return self.sets


class _Stored(msgspec.Struct):
    """All of a corpus, as it is written; the outer keys are formats."""

    battles: set[int] = set()
    repeated: set[int] = set()
    """Battles of which several records were added."""
    species: dict[str, dict[str, _Species]] = {}
    present: dict[str, Counts] = {}
    """Species and level, with "\\0" between -> how many sides had one."""


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
    """Names to draw from, each with a chance in proportion to its count."""

    def __init__(self, counts: Counts) -> None:
        self.counts = counts
        self._names = sorted(counts)
        self._ends = [0, *accumulate(counts[name] for name in self._names)]

    def draw(self, at: float, without: Mapping[str, int]) -> str | None:
        """The name at a fraction of all times that names were shown, in order of the names; None if there are none.

        Args:
            at: the fraction.
            without: name -> how many of the times that it was shown do not count.
        """
        counts, ends = self.counts, self._ends
        less = sorted((bisect_left(self._names, name), min(count, counts[name])) for name, count in without.items()
                      if name in counts)
        total = ends[-1] - sum(count for _, count in less)
        if not total:
            return None
        index = index_at(at, total)
        for place, count in less:
            if ends[place] > index:
                break
            index += count
        return self._names[bisect_right(ends, index) - 1]


class Corpus:
    """Sets and usage of many battles."""

    def __init__(self) -> None:
        self._stored = _Stored()
        self._tallies: dict[tuple[str, ...], Tally] = {}
        self._sets: dict[tuple[str, str], list[tuple[frozenset[str], int, ShownSet]]] = {}

    def add(self, revealed: RevealedSets) -> None:
        """Add one battle."""
        self._tallies.clear()
        self._sets.clear()
        by_species = self._stored.species.setdefault(revealed.format, {})
        present = self._stored.present.setdefault(revealed.format, {})
        battle = hashed(revealed.battle)
        (self._stored.repeated if battle in self._stored.battles else self._stored.battles).add(battle)
        for number, shown in enumerate(revealed.sets):
            _count(present, (_who(shown),))
            known = by_species.setdefault(shown.species, _Species())
            for what in USAGE:
                _count(known.usage.setdefault(what, {}), shown.shown(what))
            known.sets.append(_KeptSet(4 - len(shown.moves), hashed(f"{revealed.battle}\0{number}"), battle, shown))
            if len(known.sets) > 2 * KEPT_SETS:
                known.trim()

    def others(self, own: RevealedSets) -> OtherBattles:
        """Everything but what one battle showed: its own gaps must not be filled from that."""
        return OtherBattles(self, own)

    def holds(self, battle: int) -> bool:
        """Whether a battle, by the hash of its id, was added."""
        return battle in self._stored.battles

    def repeats(self, battle: int) -> bool:
        """Whether several records of a battle were added: what one shows is not all that the corpus knows of it."""
        return battle in self._stored.repeated

    def kept(self, format_: str, species: str, without: int) -> Iterator[ShownSet]:
        """The sets kept of a species, or of all, without those of one battle."""
        for name in [species] if species else sorted(self._stored.species.get(format_, {})):
            yield from (shown for _, battle, shown in self.sets(format_, name) if battle != without)

    def sets(self, format_: str, species: str) -> list[tuple[frozenset[str], int, ShownSet]]:
        """(moves, hash of the battle, set) of a species' sets, those that show most first."""
        if (found := self._sets.get((format_, species))) is None:
            known = self._stored.species.get(format_, {}).get(species, _Species())
            found = self._sets[format_, species] = [
                (frozenset(kept.set.moves), kept.battle, kept.set) for kept in known.trim()]
        return found

    def tally(self, format_: str, what: str, species: str = "") -> Tally:
        """How often each of one of USAGE was shown on a species, or on all."""
        if (found := self._tallies.get((format_, what, species))) is None:
            by_species = self._stored.species.get(format_, {})
            total: Counter[str] = Counter()
            for known in [by_species.get(species, _Species())] if species else by_species.values():
                total.update(known.usage.get(what, {}))
            found = self._tallies[format_, what, species] = Tally(total)
        return found

    def present(self, format_: str) -> Tally:
        """How often each species and level was brought, with "\\0" between."""
        if (found := self._tallies.get((format_,))) is None:
            found = self._tallies[format_,] = Tally(self._stored.present.get(format_, {}))
        return found

    def save(self, path: Path) -> None:
        """Write it; equal corpora give equal bytes."""
        for by_species in self._stored.species.values():
            for known in by_species.values():
                known.trim()
        with atomic_write(path) as file:
            file.write(gzip.compress(msgspec.json.encode(self._stored, order="deterministic"), 1, mtime=0))

    @classmethod
    def load(cls, path: Path) -> Corpus:
        """Read what `save` wrote."""
        corpus = cls()
        corpus._stored = msgspec.json.decode(gzip.decompress(path.read_bytes()), type=_Stored)
        return corpus


class OtherBattles:
    """What all other battles of one battle's format showed."""

    def __init__(self, corpus: Corpus, own: RevealedSets) -> None:
        self._corpus, self.format = corpus, own.format
        self._battle = hashed(own.battle)
        self._is_repeated = corpus.repeats(self._battle)
        self._own_sets = own.sets if corpus.holds(self._battle) and not self._is_repeated else ()

    def matching(self, species: str, moves: Iterable[str]) -> list[ShownSet]:
        """Sets of a species that contain these moves, those that show most first."""
        wanted, own = frozenset(moves), self._battle
        return [shown for known, battle, shown in self._corpus.sets(self.format, species)
                if wanted <= known and battle != own]

    def _kept(self, species: str) -> Iterator[ShownSet]:
        return self._corpus.kept(self.format, species, self._battle)

    def draw(self, what: str, at: float, species: str = "", without: Iterable[str] = ()) -> str | None:
        """One of a species' `moves`, `items`, `abilities` or `teras`, or of all species'; none of `without`.

        `at` as in Tally.draw; None if nothing was shown.
        """
        tally = self._corpus.tally(self.format, what, species)
        if self._is_repeated:
            tally = Tally(Counter(name for shown in self._kept(species) for name in shown.shown(what)))
        less: Counts = {}
        for shown in self._own_sets:
            if shown.species == species or not species:
                _count(less, shown.shown(what))
        for name in without:
            less[name] = tally.counts.get(name, 0)
        return tally.draw(at, less)

    def draw_pokemon(self, is_wanted: Callable[[str], bool], seed: str) -> tuple[str, int] | None:
        """(species, level) of a Pokémon of the format whose species `is_wanted`; None if there is none."""
        tally = self._corpus.present(self.format)
        if self._is_repeated:
            tally = Tally(Counter(map(_who, self._kept(""))))
        counts, less = tally.counts, Counter(map(_who, self._own_sets))
        while True:
            left = len(counts) - sum(count >= counts[name] for name, count in less.items() if name in counts)
            drawn = tally.draw(chance(f"{seed}\0{left}"), less)
            if drawn is None:
                return None
            species, level = drawn.split("\0")
            if is_wanted(species):
                return species, int(level)
            less[drawn] = counts[drawn]


def _who(shown: ShownSet) -> str:
    return f"{shown.species}\0{shown.level}"


def _count(counts: Counts, names: Iterable[str]) -> None:
    for name in names:
        counts[name] = counts.get(name, 0) + 1
