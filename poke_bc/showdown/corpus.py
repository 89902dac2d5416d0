"""Sets that battles showed, by species and format: what a hidden move of one's own is filled from.

A player knows the own four moves; a replay shows those that were used. Leaving the others empty would tell a policy
which ones are coming ("the known ones"), so they are filled with a set of the same species from *other* battles that
contains what was shown. Everything here is a pure function of the battles, whatever their order.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from poke_bc.contract.files import atomic_write
from poke_bc.showdown.protocol import NONE, UNKNOWN

KEPT_SETS = 96
"""Sets kept of one species in one format: those that show most, then by hash."""


@dataclass(frozen=True, slots=True)
class ShownSet:
    """What one battle showed of one Pokémon, from beginning to end."""

    species: str
    """Forme as brought."""
    level: int
    moves: tuple[str, ...]
    item: str = UNKNOWN
    ability: str = UNKNOWN
    tera: str = UNKNOWN


@dataclass(frozen=True, slots=True)
class RevealedSets:
    """All sets that one battle showed."""

    battle: str
    format: str
    sets: tuple[ShownSet, ...]


@dataclass(frozen=True, slots=True, order=True)
class _Kept:
    missing: int
    hash: int
    battle: int
    shown: ShownSet = field(compare=False)


@dataclass(slots=True)
class _Usage:
    sets: list[_Kept] = field(default_factory=list)
    """In order, once settled."""
    moves: Counter[str] = field(default_factory=Counter)
    items: Counter[str] = field(default_factory=Counter)
    abilities: Counter[str] = field(default_factory=Counter)
    teras: Counter[str] = field(default_factory=Counter)
    settled: bool = field(default=False, init=False)

    def settle(self) -> list[_Kept]:
        """The sets kept, those that show most first."""
        if not self.settled:
            self.sets = sorted(self.sets)[:KEPT_SETS]
            self.settled = True
        return self.sets


def hashed(*words: object) -> int:
    """64 bits that depend on the words alone."""
    return int.from_bytes(hashlib.blake2b("\0".join(map(str, words)).encode(), digest_size=8).digest())


def pick(weights: Mapping[str, float], *seed: object) -> str | None:
    """One key with a chance in proportion to its weight, decided by the seed alone; None of nothing."""
    at = sum(weights.values()) * (hashed(*seed) / 2.0**64)
    name = None
    for name in sorted(weights):
        at -= weights[name]
        if at < 0:
            break
    return name


class Corpus:
    """Sets and usage of many battles."""

    def __init__(self) -> None:
        self._species: dict[str, dict[str, _Usage]] = {}
        self._present: dict[str, Counter[tuple[str, int]]] = {}
        self._battles: set[int] = set()
        self._overall: dict[tuple[str, str], Counter[str]] = {}

    def add(self, revealed: RevealedSets) -> None:
        """Take one battle in."""
        self._overall.clear()
        usages = self._species.setdefault(revealed.format, {})
        present = self._present.setdefault(revealed.format, Counter())
        battle = hashed(revealed.battle)
        self._battles.add(battle)
        for number, shown in enumerate(revealed.sets):
            present[shown.species, shown.level] += 1
            usage = usages.setdefault(shown.species, _Usage())
            usage.moves.update(shown.moves)
            for counter, name in ((usage.items, shown.item), (usage.abilities, shown.ability),
                                  (usage.teras, shown.tera)):
                if name != UNKNOWN:
                    counter[name] += 1
            usage.sets.append(_Kept(4 - len(shown.moves), hashed(revealed.battle, number), battle, shown))
            usage.settled = False
            if len(usage.sets) > 2 * KEPT_SETS:
                usage.settle()

    def others(self, own: RevealedSets) -> Others:
        """All of it but what one battle showed: that must not fill the battle's own gaps."""
        return Others(self, own)

    def overall(self, format_: str, what: str) -> Counter[str]:
        """How often each of `moves`, `items`, `abilities` or `teras` was shown on any species of a format."""
        if (format_, what) not in self._overall:
            total: Counter[str] = Counter()
            for usage in self._species.get(format_, {}).values():
                total.update(getattr(usage, what))
            self._overall[format_, what] = total
        return self._overall[format_, what]

    # --- on disk ------------------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write it; equal corpora give equal bytes."""
        table: dict[str, Any] = {"battles": sorted(self._battles), "species": {}, "present": {}}
        for format_, usages in sorted(self._species.items()):
            rows = table["species"][format_] = {}
            for species, usage in sorted(usages.items()):
                rows[species] = {
                    "sets": [[each.hash, each.battle, each.shown.level, each.shown.moves, each.shown.item,
                              each.shown.ability, each.shown.tera] for each in usage.settle()],
                    **{name: dict(sorted(getattr(usage, name).items()))
                       for name in ("moves", "items", "abilities", "teras")},
                }
        for format_, counts in sorted(self._present.items()):
            table["present"][format_] = [[*who, count] for who, count in sorted(counts.items())]
        with atomic_write(path) as file:
            file.write(gzip.compress(json.dumps(table).encode(), 1, mtime=0))

    @classmethod
    def load(cls, path: Path) -> Corpus:
        """Read what `save` wrote."""
        table = json.loads(gzip.decompress(path.read_bytes()))
        corpus = cls()
        corpus._battles = set(table["battles"])
        for format_, rows in table["species"].items():
            for species, row in rows.items():
                corpus._species.setdefault(format_, {})[species] = _Usage(
                    [_Kept(4 - len(moves), hash_, battle, ShownSet(species, level, tuple(moves), item, ability, tera))
                     for hash_, battle, level, moves, item, ability, tera in row["sets"]],
                    **{name: Counter(row[name]) for name in ("moves", "items", "abilities", "teras")},
                )
        for format_, counts in table["present"].items():
            corpus._present[format_] = Counter({(species, level): count for species, level, count in counts})
        return corpus


class Others:
    """What all battles of one battle's format showed, but for that one."""

    def __init__(self, corpus: Corpus, own: RevealedSets) -> None:
        self._corpus = corpus
        self._battle = hashed(own.battle)
        self._own = own if self._battle in corpus._battles else replace(own, sets=())
        self._usages = corpus._species.get(own.format, {})

    def matching(self, species: str, shown: frozenset[str]) -> list[ShownSet]:
        """Sets of that species that contain the moves shown, those that show most first."""
        usage = self._usages.get(species)
        if usage is None:
            return []
        return [each.shown for each in usage.settle()
                if each.battle != self._battle and shown.issubset(each.shown.moves)]

    def usage(self, species: str, what: str) -> Counter[str]:
        """How often each of `moves`, `items`, `abilities` or `teras` was shown on that species."""
        usage = self._usages.get(species)
        if usage is None:
            return Counter()
        counts: Counter[str] = getattr(usage, what)
        return counts - self._mine(what, species)

    def overall(self, what: str) -> Counter[str]:
        """`usage` of all species together."""
        return self._corpus.overall(self._own.format, what) - self._mine(what)

    def present(self) -> Counter[tuple[str, int]]:
        """(species, level) -> sides that showed it."""
        mine = Counter((shown.species, shown.level) for shown in self._own.sets)
        return self._corpus._present.get(self._own.format, Counter()) - mine

    def _mine(self, what: str, species: str | None = None) -> Counter[str]:
        counts: Counter[str] = Counter()
        for shown in self._own.sets:
            if species in (None, shown.species):
                counts.update(shown.moves if what == "moves" else [value for value in [getattr(shown, _SINGULAR[what])]
                                                                   if value != UNKNOWN])
        return counts


_SINGULAR = {"items": "item", "abilities": "ability", "teras": "tera"}


def counted(names: Iterable[str]) -> dict[str, float]:
    """Equal weights."""
    return dict.fromkeys((name for name in names if name not in (NONE, UNKNOWN)), 1.0)
