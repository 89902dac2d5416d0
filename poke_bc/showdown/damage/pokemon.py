"""The Pokémon of many observations as arrays: types, stats, and what status, item, ability and field do to them.

Letters: R rows (observations), P = 2 * R * 6 Pokémon (side, row, slot; side 0 is one's own).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from poke_bc.showdown.damage.tables import STATS, Floats, Ints, Rows, Tables

Bools = NDArray[np.bool_]
OWN, OPP = ("own_", "opp_")
SIDES = (OWN, OPP)
BOOST = np.array([2 / (2 + stage) for stage in range(6, 0, -1)] + [(2 + stage) / 2 for stage in range(7)])
"""Factor of a stat at -6 to 6 stages."""
STATUSES = Rows(("brn", "par", "psn", "tox", "slp", "frz"))
BRN, PAR, PSN, TOX, SLP = range(1, 6)
MAGNET_RISE, CHARGE, FLASH_FIRE, SLOW_START, SMACKED_DOWN = 15, 19, 23, 24, 29
"""Places in own_volatiles and opp_volatiles."""
_own_stats = itemgetter(*STATS)


class Pokemon:
    """All Pokémon of all rows. Factors that belong to one Pokémon are multiplied into its stats here."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], tables: Tables,
                 own_stats: Sequence[Sequence[Mapping[str, int] | None]] | None) -> None:
        self.rows, self.tables = rows, tables
        self.count = 6 * len(rows)
        species = self.names("species")
        self.species = self.look_up(tables.species, species)
        abilities, items = self.names("ability"), self.names("item")
        self.abilities, self.items = frozenset(abilities), frozenset(items)
        self.ability = self.look_up(tables.abilities, abilities)
        self.item = self.look_up(tables.items, items)
        if (klutz := self.has("klutz")) is not None:
            self.item[klutz] = 0
        self.status = self.look_up(STATUSES, self.names("status"))
        shown = np.stack([self.look_up(tables.types, self.names(name)) for name in ("type1", "type2")])
        self.born = tables.own_types[self.species]
        """[P, 2]: the species' own types; where it is terastallized also a source of STAB."""
        self.types: Ints = np.where((shown[0] == 0) | (shown[0] == tables.types["stellar"]), self.born.T, shown)
        """[2, P]; row 0 for none."""
        self.types[1] *= self.types[1] != self.types[0]
        self.level = self.numbers("level")
        self.hp = self.numbers("hp")
        tera = self.names("tera")
        own = chain.from_iterable([row["own_terastallized"] for row in rows])
        self.terastallized: Bools = np.fromiter(chain(own, (name not in ("none", "unknown") for name in
                                                            tera[self.count:])), bool, 2 * self.count)
        """[P]; the opponent's tera types are known once it has done so."""
        self.is_any_terastallized = bool(self.terastallized.any())
        self.is_stellar: Bools = self.terastallized & np.array([name == "stellar" for name in tera])
        self._place_actives()
        self._compute_stats(own_stats)

    def names(self, key: str) -> list[str]:
        """P names of a field."""
        return [*chain.from_iterable([row[side + key] for side in SIDES for row in self.rows])]

    def numbers(self, key: str) -> Floats:
        """P numbers of a field."""
        lists = [row[side + key] for side in SIDES for row in self.rows]
        return np.fromiter(chain.from_iterable(lists), float, 2 * self.count)

    def look_up(self, table: Mapping[str, int], names: Sequence[str]) -> Ints:
        """Rows of names."""
        return np.fromiter(map(table.__getitem__, names), np.intp, len(names))

    def per_side(self, key: str) -> Floats:
        """[2, R] of a field that both sides have."""
        return np.array([[row[side + key] for row in self.rows] for side in SIDES], float)

    def is_any(self, key: str) -> bool:
        """Whether a field of either side is set anywhere."""
        return any(chain.from_iterable(map(itemgetter(OWN + key, OPP + key), self.rows)))

    def has(self, *abilities: str) -> Bools | None:
        """[P]: who has one of these abilities; None if nobody."""
        if self.abilities.isdisjoint(abilities):
            return None
        return is_one_of(self.ability, [self.tables.abilities[name] for name in abilities])

    def _place_actives(self) -> None:
        count = len(self.rows)
        standing = (self.numbers("active") > self.numbers("fainted")).reshape(2, count, 6) & (
            self.species.reshape(2, count, 6) > 0)
        self.active_slot: Ints = standing.argmax(axis=2)
        self.has_active = np.logical_or.reduce(standing, axis=2)
        """[2, R]"""
        self.active: Ints = np.arange(0, 2 * self.count, 6).reshape(2, count) + self.active_slot
        """[2, R]: its place among the P; any where `has_active` is false."""

    def _compute_stats(self, own_stats: Sequence[Sequence[Mapping[str, int] | None]] | None) -> None:
        """Typical stats: 31 IVs, 85 EVs, neutral nature; generations 1 and 2: best DVs, full stat experience."""
        tables = self.tables
        base = tables.base[self.species]
        level = self.level[:, None] / 100
        stats = np.floor(((base + 15) * 2 + 63 if tables.gen <= 2 else base * 2 + 52) * level)
        stats[:, 0] += self.level + 10
        stats[:, 1:] += 5
        stats[base[:, 0] == 1, 0] = 1  # Shedinja
        if own_stats is not None:
            known = [(place, _own_stats(found)) for place, found in enumerate(chain.from_iterable(own_stats)) if found]
            if known:
                places, values = zip(*known, strict=True)
                blades = np.flatnonzero((self.species == tables.species["aegislash"]) & (self.species > 0))
                attacks = stats[blades][:, [1, 3]]
                stats[list(places)] = values
                stats[blades[:, None], [1, 3]] = attacks
        self.unboosted = stats
        lists = [row[side + "boosts"] for side in SIDES for row in self.rows]
        boosts = np.fromiter(chain.from_iterable(lists), np.intp, 14 * len(self.rows)).reshape(-1, 7)
        boosts *= self.has_active.reshape(-1, 1)
        self.boosts: Ints = boosts
        self.stats = stats.copy()
        """[P, 6]: as they attack; boosts counted."""
        self.stats[self.active.ravel(), 1:] *= BOOST[boosts[:, :5] + 6]
        self.max_hp = np.maximum(stats[:, 0], 1)
        if self.is_any("dynamax_turns"):
            dynamaxed = (self.per_side("dynamax_turns") > 0) & self.has_active
            self.max_hp[self.active[dynamaxed]] *= 2
        self.guarding = self.defending(self.stats)
        self.might = self._might()

    def defending(self, stats: Floats) -> Floats:
        """[P, 6]: stats as they defend, with what item, weather and ability do to them."""
        tables = self.tables
        guarding = stats.copy()
        guarding[:, [2, 4]] *= tables.item_defence[self.item]
        if "eviolite" in self.items:
            holds = (self.item == tables.items["eviolite"]) & tables.evolves[self.species]
            guarding[holds, 2] *= 1.5
            guarding[holds, 4] *= 1.5
        if (scaled := self.has("marvelscale")) is not None:
            guarding[scaled & (self.status > 0), 2] *= 1.5
        for weather, type_, stat, since in (("sandstorm", "rock", 4, 4), ("snowscape", "ice", 2, 9)):
            if tables.gen >= since and weather in self.weathers:
                guarding[self.weather_is(weather) & (self.types == tables.types[type_]).any(axis=0), stat] *= 1.5
        np.maximum(guarding, 1, out=guarding)
        return guarding

    @cached_property
    def weather(self) -> list[str]:
        """R names, "none" where Cloud Nine or Air Lock stands."""
        names = [row["weather"] for row in self.rows]
        if (calm := self.has("cloudnine", "airlock")) is not None:
            calmed: list[bool] = (calm[self.active] & self.has_active).any(axis=0).tolist()
            names = ["none" if still else name for name, still in zip(names, calmed, strict=True)]
        return names

    @cached_property
    def weathers(self) -> frozenset[str]:
        """All weathers of these rows."""
        return frozenset(self.weather)

    def weather_is(self, *names: str) -> Bools:
        """[P]"""
        return self._of_rows([name in names for name in self.weather])

    def terrain_is(self, name: str) -> Bools:
        """[P]"""
        return self._of_rows([row["terrain"] == name for row in self.rows])

    def _of_rows(self, values: Sequence[bool]) -> Bools:
        """[R] -> [P]"""
        spread: Bools = np.tile(np.array(values, bool).repeat(6), 2)
        return spread

    @cached_property
    def grounded(self) -> Bools:
        """[P]"""
        floats: Bools = (self.types == self.tables.types["flying"]).any(axis=0)
        if (levitates := self.has("levitate")) is not None:
            floats |= levitates
        if "airballoon" in self.items:
            floats |= self.item == self.tables.items["airballoon"]
        floats |= self.with_volatile(MAGNET_RISE)
        floats &= ~self._of_rows([row["gravity"] > 0 for row in self.rows])
        if "ironball" in self.items:
            floats &= self.item != self.tables.items["ironball"]
        return ~floats | self.with_volatile(SMACKED_DOWN)

    @cached_property
    def some_fall(self) -> bool:
        """Whether Flying types may stand on the ground: Gravity, Iron Ball, Smack Down."""
        return "ironball" in self.items or any(row["gravity"] for row in self.rows) or bool(
            self.with_volatile(SMACKED_DOWN).any())

    def with_volatile(self, place: int) -> Bools:
        """[P]: which actives have it."""
        found = np.zeros(2 * self.count, bool)
        flags = [[row[side + "volatiles"][place] for row in self.rows] for side in SIDES]
        found[self.active[self.has_active & np.array(flags)]] = True
        return found

    @cached_property
    def best_stat(self) -> Ints:
        """[P]: the highest of attack to speed, as Protosynthesis and Quark Drive choose."""
        best: Ints = 1 + self.stats[:, 1:].argmax(axis=1)
        return best

    @cached_property
    def energized(self) -> Bools | None:
        """[P]: whom Protosynthesis in the sun or Quark Drive on Electric Terrain strengthens."""
        ancient, future = self.has("protosynthesis"), self.has("quarkdrive")
        if ancient is None and future is None:
            return None
        found = np.zeros(2 * self.count, bool)
        if ancient is not None:
            found |= ancient & self.weather_is("sunnyday", "desolateland")
        if future is not None:
            found |= future & self.terrain_is("electricterrain")
        return found

    def _might(self) -> Floats:
        """[P, 2]: factor of physical and special attacks, from status, HP and ability."""
        gen = self.tables.gen
        might = np.ones((2 * self.count, 2))
        might[self.status == BRN, 0] = 0.5
        if (guts := self.has("guts")) is not None:
            might[guts & (self.status > 0), 0] = 1.5
        for ability, column, ill in (("toxicboost", 0, (PSN, TOX)), ("flareboost", 1, (BRN,))):
            if (has := self.has(ability)) is not None:
                might[has & np.isin(self.status, ill), column] *= 1.5
        if (has := self.has("defeatist")) is not None:
            might[has & (self.hp <= 0.5)] *= 0.5
        if (has := self.has("slowstart")) is not None:
            might[has & self.with_volatile(SLOW_START), 0] *= 0.5
        if (has := self.has("solarpower")) is not None:
            might[has & self.weather_is("sunnyday", "desolateland"), 1] *= 1.5
        if (has := self.has("orichalcumpulse")) is not None:
            might[has & self.weather_is("sunnyday", "desolateland"), 0] *= 4 / 3
        if (has := self.has("hadronengine")) is not None:
            might[has & self.terrain_is("electricterrain"), 1] *= 4 / 3
        if (has := self.has("supremeoverlord")) is not None:
            lost = 6 - np.repeat(self.per_side("alive").ravel(), 6)
            might[has] *= 1 + 0.1 * np.minimum(lost[has], 5)[:, None]
        if gen >= 9 and (has := self.energized) is not None:
            for column, stat in ((0, 1), (1, 3)):
                might[has & (self.best_stat == stat), column] *= 1.3
            for stat in (2, 4):
                self.guarding[has & (self.best_stat == stat), stat] *= 1.3
        return might

    @cached_property
    def speed(self) -> Floats:
        """[P]: estimated, with boosts, paralysis, tailwind, and what item and ability are known to do."""
        tables = self.tables
        speed = self.stats[:, 5] * tables.item_speed[self.item]
        slowed = self.status == PAR
        if (quick := self.has("quickfeet")) is not None:
            speed[quick & (self.status > 0)] *= 1.5
            slowed &= ~quick
        speed[slowed] *= 0.5 if tables.gen >= 7 else 0.25
        for ability, weathers in (("swiftswim", ("raindance", "primordialsea")), ("sandrush", ("sandstorm",)),
                                  ("chlorophyll", ("sunnyday", "desolateland")), ("slushrush", ("hail", "snowscape"))):
            if (has := self.has(ability)) is not None:
                speed[has & self.weather_is(*weathers)] *= 2
        if (has := self.has("surgesurfer")) is not None:
            speed[has & self.terrain_is("electricterrain")] *= 2
        if (has := self.has("slowstart")) is not None:
            speed[has & self.with_volatile(SLOW_START)] *= 0.5
        if tables.gen >= 9 and (has := self.energized) is not None:
            speed[has & (self.best_stat == 5)] *= 1.5
        if self.is_any("tailwind"):
            speed *= np.repeat(1 + (self.per_side("tailwind").ravel() > 0), 6)
        return speed


def is_one_of(values: Ints, rows: Sequence[int]) -> Bools:
    """np.isin of a few known rows, several times as fast."""
    found = np.zeros(len(values), bool)
    for row in rows:
        if row:
            found |= values == row
    return found
