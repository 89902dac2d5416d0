"""The Pokémon of many observations as arrays: types, stats, and what status, item, ability and field do to them.

Letters: R observations, P = 2 * R * 6 Pokémon (side, observation, slot; side 0 is one's own).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np

from poke_bc.showdown.damage.fields import STATUSES, Bools, Fields
from poke_bc.showdown.damage.tables import STATS, Floats, Ints, Tables

BOOST = np.array([2 / (2 + stage) for stage in range(6, 0, -1)] + [(2 + stage) / 2 for stage in range(7)])
"""Factor of a stat at -6 to 6 stages."""
BRN, PAR, PSN, TOX, SLP = (STATUSES[name] for name in ("brn", "par", "psn", "tox", "slp"))
MAGNET_RISE, CHARGE, FLASH_FIRE, SLOW_START, SMACKED_DOWN, GASTRO_ACID = 15, 19, 23, 24, 29, 30
"""Indices in own_volatiles and opp_volatiles."""
MOST_POINTS = 1000
"""`high` of the schema's own_stats."""
OwnStats = Sequence[Sequence[Mapping[str, int] | None] | None]
_stats_in_order = itemgetter(*STATS)


class Pokemon:
    """All Pokémon of all observations. Factors that belong to one Pokémon are multiplied into its stats here."""

    def __init__(self, observations: Sequence[Any], tables: Tables, own_stats: OwnStats | None) -> None:
        self.observations, self.tables = observations, tables
        self.count = 6 * len(observations)
        fields = self.fields = Fields(observations, tables)
        self.species, self.ability, self.item, self.status = (
            fields.rows[field] for field in ("species", "ability", "item", "status"))
        self.abilities, self.items = fields.occurring["ability"], fields.occurring["item"]
        self._place_actives()
        if (suppressed := self.with_volatile(GASTRO_ACID)) is not None:
            self.ability = np.where(suppressed, 0, self.ability)
        if (klutz := self.has("klutz")) is not None:
            self.item[klutz] = 0
        shown = np.stack([fields.rows["type1"], fields.rows["type2"]])
        self.born = tables.own_types.take(self.species, axis=1)
        """[2, P]: the species' own types, which stay a source of STAB when it is terastallized."""
        self.types: Ints = np.where((shown[0] == 0) | (shown[0] == tables.types["stellar"]), self.born, shown)
        """[2, P]; row 0 for none."""
        self.types[1] *= self.types[1] != self.types[0]
        self.level, self.hp = fields.numbers["level"], fields.numbers["hp"]
        tera = fields.rows["tera"]
        own = np.fromiter(chain.from_iterable([each.own_terastallized for each in observations]), bool, self.count)
        self.terastallized: Bools = np.concatenate([own, tera[self.count:] > 0])
        """[P]; the opponent's tera types are known once it has terastallized."""
        self.is_any_terastallized = bool(self.terastallized.any())
        self.is_stellar: Bools = self.terastallized & (tera == tables.types["stellar"])
        self.added, self.some_added = self._added_types()
        """[P]: row of a type that Forest's Curse or Trick-or-Treat added, 0 for none; whether there is any."""
        self._compute_stats(own_stats)

    def _added_types(self) -> tuple[Ints, bool]:
        types = self.tables.types
        rows = np.array([[types[each.own_added_type] for each in self.observations],
                         [types[each.opp_added_type] for each in self.observations]])
        added = np.zeros(2 * self.count, np.intp)
        added[self.active[self.has_active]] = rows[self.has_active]
        return added, bool(rows.any())

    def has(self, *abilities: str) -> Bools | None:
        """[P]: which have one of these abilities; None if none has."""
        if self.abilities.isdisjoint(abilities):
            return None
        return is_one_of(self.ability, [self.tables.abilities[name] for name in abilities])

    def _place_actives(self) -> None:
        self.fainted: Bools = self.fields.numbers["fainted"] > 0
        standing = ((self.fields.numbers["active"] > self.fainted) & (self.species > 0)).reshape(2, -1, 6)
        self.active_slot: Ints = standing.argmax(axis=2)
        self.has_active = np.logical_or.reduce(standing, axis=2)
        """[2, R]"""
        self.active: Ints = np.arange(0, 2 * self.count, 6).reshape(2, -1) + self.active_slot
        """[2, R]: its place among the P; meaningless where `has_active` is false."""

    def _compute_stats(self, own_stats: OwnStats | None) -> None:
        """Typical stats: 31 IVs, 85 EVs, neutral nature; generations 1 and 2: best DVs, full stat experience."""
        tables = self.tables
        stats: Floats = np.floor(tables.typical_stats[self.species] * (self.level[:, None] / 100))
        stats[:, 0] += self.level + 10
        stats[:, 1:] += 5
        stats[tables.is_shedinja[self.species], 0] = 1
        known = [(6 * row + slot, _stats_in_order(found)) for row, team in enumerate(own_stats or ()) if team
                 for slot, found in enumerate(team) if found]
        if known:
            places, values = zip(*known, strict=True)
            blades = np.flatnonzero((self.species == tables.species["aegislash"]) & (self.species > 0))
            attacks = stats[blades][:, [1, 3]]
            stats[list(places)] = values
            stats[blades[:, None], [1, 3]] = attacks
        self.unboosted = stats
        there = self.species[:self.count] > 0
        points = np.minimum(stats[:self.count], MOST_POINTS) * there[:, None]
        self.own_stats: Ints = points.astype(np.intp).reshape(-1, 36)
        """[R, 36]: hp, atk, def, spa, spd, spe of each own Pokémon in points, without boosts; 0 in empty slots."""
        is_filled = there.copy()
        is_filled[[place for place, _ in known]] = False
        self.is_filled: Bools = is_filled.reshape(-1, 6)
        """[R, 6]: whether they are typical ones, as no request told them."""
        boosts = self.fields.of_active("boosts", 7) * self.has_active.reshape(-1, 1)
        self.boosts: Ints = boosts
        self.stats = stats.copy()
        """[P, 6]: with boosts."""
        self.stats[self.active.ravel(), 1:] *= BOOST[boosts[:, :5] + 6]
        self.max_hp = np.maximum(stats[:, 0], 1)
        self.max_hp[self.active[self.has_active & (self.fields.per_side["dynamax_turns"] > 0)]] *= 2
        self.guarding = self.defending(self.stats)
        self.might = self._might()

    def defending(self, stats: Floats) -> Floats:
        """[P, 6]: stats in defence, with the effects of item, weather and ability."""
        tables = self.tables
        guarding = stats.copy()
        if not self.items.isdisjoint(tables.guarding_items):
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
        """R names, "none" where Cloud Nine or Air Lock is active."""
        names = [each.weather for each in self.observations]
        if (calm := self.has("cloudnine", "airlock")) is not None:
            calmed: list[bool] = (calm[self.active] & self.has_active).any(axis=0).tolist()
            names = ["none" if still else name for name, still in zip(names, calmed, strict=True)]
        return names

    @cached_property
    def weathers(self) -> frozenset[str]:
        """All weathers that occur."""
        return frozenset(self.weather)

    def weather_is(self, *names: str) -> Bools:
        """[P]"""
        return self._of_rows([name in names for name in self.weather])

    def terrain_is(self, name: str) -> Bools:
        """[P]"""
        return self._of_rows([each.terrain == name for each in self.observations])

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
        if (rises := self.with_volatile(MAGNET_RISE)) is not None:
            floats |= rises
        floats &= ~self._of_rows([each.gravity > 0 for each in self.observations])
        if "ironball" in self.items:
            floats &= self.item != self.tables.items["ironball"]
        smacked = self.with_volatile(SMACKED_DOWN)
        return ~floats if smacked is None else ~floats | smacked

    @cached_property
    def some_fall(self) -> bool:
        """Whether Flying types may be grounded: Gravity, Iron Ball, Smack Down."""
        return ("ironball" in self.items or any(each.gravity for each in self.observations)
                or self.with_volatile(SMACKED_DOWN) is not None)

    def with_volatile(self, index: int) -> Bools | None:
        """[P]: which have a volatile; None if none has."""
        has = self.has_active & (self._volatiles[:, index].reshape(2, -1) > 0)
        if not has.any():
            return None
        found = np.zeros(2 * self.count, bool)
        found[self.active[has]] = True
        return found

    @cached_property
    def _volatiles(self) -> Ints:
        return self.fields.of_active("volatiles", 31)

    @cached_property
    def best_stat(self) -> Ints:
        """[P]: index of the highest stat from attack to speed, which Protosynthesis and Quark Drive boost."""
        best: Ints = 1 + self.stats[:, 1:].argmax(axis=1)
        return best

    @cached_property
    def energized(self) -> Bools | None:
        """[P]: which are boosted by Protosynthesis in the sun or Quark Drive on Electric Terrain."""
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
        if (has := self.has("slowstart")) is not None and (late := self.with_volatile(SLOW_START)) is not None:
            might[has & late, 0] *= 0.5
        if (has := self.has("solarpower")) is not None:
            might[has & self.weather_is("sunnyday", "desolateland"), 1] *= 1.5
        if (has := self.has("orichalcumpulse")) is not None:
            might[has & self.weather_is("sunnyday", "desolateland"), 0] *= 4 / 3
        if (has := self.has("hadronengine")) is not None:
            might[has & self.terrain_is("electricterrain"), 1] *= 4 / 3
        if (has := self.has("supremeoverlord")) is not None:
            lost = 6 - np.repeat(self.fields.per_side["alive"].ravel(), 6)
            might[has] *= 1 + 0.1 * np.minimum(lost[has], 5)[:, None]
        if gen >= 9 and (has := self.energized) is not None:
            for column, stat in ((0, 1), (1, 3)):
                might[has & (self.best_stat == stat), column] *= 1.3
            for stat in (2, 4):
                self.guarding[has & (self.best_stat == stat), stat] *= 1.3
        return might

    @cached_property
    def speed(self) -> Floats:
        """[P]: estimate with boosts, paralysis, tailwind, and the known item and ability."""
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
        if (has := self.has("slowstart")) is not None and (late := self.with_volatile(SLOW_START)) is not None:
            speed[has & late] *= 0.5
        if tables.gen >= 9 and (has := self.energized) is not None:
            speed[has & (self.best_stat == 5)] *= 1.5
        speed *= np.repeat(1 + (self.fields.per_side["tailwind"].ravel() > 0), 6)
        return speed


def is_one_of(values: Ints, rows: Sequence[int]) -> Bools:
    """np.isin for a few known rows, several times as fast."""
    first, *others = [row for row in rows if row] or [-1]
    found: Bools = values == first
    for row in others:
        found |= values == row
    return found
