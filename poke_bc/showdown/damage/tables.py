"""Static facts that damage depends on, as arrays of one generation, and the factors of items and abilities.

Row 0 stands for anything without facts ("none", "unknown", names of a later generation): no damage, factor 1.

Letters: S species, M moves, T types, I items, A abilities; tc = 2 * type + category (0 physical, 1 special).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from poke_bc.dex import Move, dex
from poke_bc.showdown.damage import effects

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]
PHYSICAL, SPECIAL, STATUS = 0, 1, 2
CATEGORIES = {"physical": PHYSICAL, "special": SPECIAL, "status": STATUS}
STATS = ("hp", "atk", "def", "spa", "spd", "spe")
TYPICAL_POWER = 80
PHYSICAL_TYPES = "normal fighting flying poison ground rock bug ghost steel typeless bird"
CONSTANT_POWER = {"return": 102, "frustration": 102, "pikapapow": 102, "veeveevolley": 102, "magnitude": 71,
                  "present": 52, "trumpcard": 40, "naturalgift": 80, "fling": 30, "beatup": 60, "triplekick": 60,
                  "tripleaxel": 120}
"""Expected power, of all hits together, of moves whose power is random, hidden or depends on happiness."""
ONCE = ("triplekick", "tripleaxel")


class NameIndex(dict[str, int]):
    """Name -> row of a table, from 1 on; all other names have row 0."""

    def __init__(self, names: Iterable[str]) -> None:
        super().__init__({name: row for row, name in enumerate(names, start=1)})
        self.size = len(self) + 1
        """Number of rows that a table needs."""
        self.update(none=0, unknown=0)  # __missing__ costs more

    def __missing__(self, name: str) -> int:
        return 0


class Tables:
    """All arrays of one generation."""

    def __init__(self, gen: int) -> None:
        self.gen = gen
        self.types = NameIndex(("typeless", "bird", *dex(9).types))
        self.width = 2 * self.types.size
        """Columns of a tc table."""
        self._species()
        self._moves()
        self._items()
        self._abilities()
        types = self.types
        self.chart: Floats = np.ones((self.types.size, self.types.size))
        for attack in types:
            for defend in types:
                self.chart[types[attack], types[defend]] = dex(gen).effectiveness(attack, (defend,))
        self.weathers = NameIndex(effects.WEATHER_TYPE)
        self.weather_type: Floats = np.ones((self.weathers.size, self.types.size))
        for weather, factors in effects.WEATHER_TYPE.items():
            for type_, factor in factors.items():
                self.weather_type[self.weathers[weather], types[type_]] = factor

    def _species(self) -> None:
        names = dex(self.gen).species_names
        self.species = NameIndex(names)
        found = [each for name in names if (each := dex(self.gen).species(name))]
        self.base: Floats = np.array([(1,) * 6, *(each.base_stats for each in found)], float)
        if shield := self.species["aegislash"]:  # attacks as a blade
            self.base[shield, [1, 3]] = self.base[self.species["aegislashblade"]][[1, 3]]
        self.own_types: Ints = np.array([(0, 0), *((self.types[each.types[0]], self.types[each.types[-1]] *
                                                    (len(each.types) > 1)) for each in found)], np.intp).T
        """[2, S]"""
        self.typical_stats: Floats = (self.base + 15) * 2 + 63 if self.gen <= 2 else self.base * 2 + 52
        """[S, 6]: before level; see Pokemon."""
        self.is_shedinja = self.base[:, 0] == 1
        self.weight: Floats = np.array([0.0, *(each.weight for each in found)])
        self.evolves = np.array([False, *(each.evolves for each in found)])

    def _moves(self) -> None:
        gen, types = self.gen, self.types
        moves = [each for name in dex(gen).move_names if (each := dex(gen).move(name))]
        self.moves = NameIndex(move.name for move in moves)
        start = len(moves) + 1
        self.typical: Ints = np.arange(start, start + self.width).reshape(-1, 2)
        """[T, 2]: row of the typical attack of a type and a category."""
        self.typical[0] = 0
        typical_types = [row for row in range(self.types.size) for _ in range(2)]
        spare = [0.0] * self.width

        def column(values: Iterable[float], typical: Iterable[float] = spare) -> Floats:
            return np.array([0, *values, *typical], float)

        categories = [CATEGORIES[move.category] for move in moves]
        self.power = column((move.power for move in moves), [TYPICAL_POWER] * self.width)
        self.type: Ints = column((types[move.type] for move in moves), typical_types).astype(np.intp)
        self.category: Ints = column(categories, [PHYSICAL, SPECIAL] * self.types.size).astype(np.intp)
        self.category[0] = STATUS
        self.attack_slot: Ints = np.where(self.category == SPECIAL, 3, 1)
        self.defence_slot: Ints = np.where(self.category == SPECIAL, 4, 2)
        for row, move in enumerate(moves, start=1):
            if move.attack_stat:
                self.attack_slot[row] = STATS.index(move.attack_stat)
            if move.defence_stat:
                self.defence_slot[row] = STATS.index(move.defence_stat)
        physical = {types[name] for name in PHYSICAL_TYPES.split()}
        self.typical_category: Ints = np.array([SPECIAL * (row not in physical) for row in range(self.types.size)])
        """[T]: the category of a type, up to generation 3."""
        self.hits = column(map(self._hits, moves), [1.0] * self.width)
        self.fixed = column(move.fixed_damage for move in moves)
        self.level_damage = column(move.level_damage for move in moves) > 0
        self.ohko = column(move.accuracy * move.ohko for move in moves)
        self.ignores_type = column(move.ignores_immunity and move.category == "status" for move in moves) > 0
        self.recoil = column(move.recoil > 0 for move in moves) > 0
        self.priority = column(move.priority for move in moves)
        self.max_power = column((move.max_power for move in moves), [TYPICAL_POWER] * self.width)
        self.of_target = frozenset(move.name for move in moves if move.attack_of_target)
        self.ignoring_boosts = frozenset(move.name for move in moves if move.ignores_boosts)
        self.ignoring_ability = frozenset(move.name for move in moves if move.ignores_ability)
        self.flags = {flag: column(flag in move.flags for move in moves) > 0
                      for flag in ("contact", "punch", "bite", "pulse", "slicing", "sound", "bullet", "wind")}
        self.secondary = column(move.has_secondary for move in moves) > 0
        for name, power in CONSTANT_POWER.items():
            self.power[self.moves[name]] = power
        self.hidden_power: Ints = np.full(self.types.size, self.moves["hiddenpower"])
        """[T]: the row of Hidden Power of each type; of one that is not known, the row without a type."""
        for name in (move.name for move in moves if move.name.startswith("hiddenpower")):
            self.power[self.moves[name]] = 60 if gen >= 6 else 70
            self.hidden_power[types[name[11:]]] = self.moves[name]
        if "hiddenpower" in self.moves:
            self.type[self.moves["hiddenpower"]] = types["typeless"]
        for name in ONCE:
            self.hits[self.moves[name]] = 1
        self.power[0] = 0
        if gen <= 4:  # they halve the target's defence
            for name in ("explosion", "selfdestruct"):
                self.power[self.moves[name]] *= 2

    def _hits(self, move: Move) -> float:
        if move.hits == (2, 5):
            return 3.1 if self.gen >= 5 else 3.0
        return sum(move.hits) / 2

    def _items(self) -> None:
        gen, types = self.gen, self.types
        self.items = NameIndex(dex(gen).items)
        size = self.items.size
        self.item_attack: Floats = np.ones((size, self.width))
        by_type = [(name, type_, 1.1 if gen <= 3 else 1.2) for type_, names in effects.TYPE_ITEMS.items()
                   for name in names.split()]
        by_type += [(item.name, item.plate, 1.2) for item in dex(gen).items.values() if item.plate]
        by_type += [(name, type_, 1.2) for name, both in effects.ORBS.items() for type_ in both.split()]
        by_type += [(item.name, item.name.removesuffix("gem"), 1.5 if gen == 5 else 1.3)
                    for item in dex(gen).items.values() if item.is_gem]
        by_type += [("souldew", type_, 1.2) for type_ in ("psychic", "dragon") if gen >= 7]
        for name, type_, factor in by_type:
            self._multiply(self.item_attack, self.items, name, types[type_], (factor, factor))
        by_category = {**effects.ITEM_CATEGORY, "lightball": (2, 2) if gen >= 4 else (1, 2)}
        if gen <= 6:
            by_category["souldew"] = (1, 1.5)
        for name, both in by_category.items():
            self._multiply(self.item_attack, self.items, name, None, both)
        self.item_attack[0] = 1
        self.item_defence: Floats = np.ones((size, 2))
        for name, factors in {**effects.ITEM_DEFENCE, **({"souldew": (1, 1.5)} if gen <= 6 else {})}.items():
            self.item_defence[self.items[name]] = factors
        self.item_defence[0] = 1
        self.guarding_items = frozenset((*effects.ITEM_DEFENCE, "souldew"))
        self.item_speed: Floats = np.ones(size)
        for name, factor in effects.ITEM_SPEED.items():
            self.item_speed[self.items[name]] = factor
        self.item_speed[0] = 1
        self.berry: Ints = np.zeros(size, np.intp)
        for name, type_ in effects.RESIST_BERRIES.items():
            self.berry[self.items[name]] = types[type_]
        self.berry[0] = 0
        self.berries = frozenset(effects.RESIST_BERRIES)
        self.held_type: Ints = np.zeros(size, np.intp)
        """[I]: type of Judgment, Multi-Attack and Techno Blast."""
        self.is_bound = np.zeros(size, bool)
        """[I]: cannot be knocked off the Pokémon that it is made for."""
        for name, item in dex(gen).items.items():
            self.held_type[self.items[name]] = types[item.plate or item.memory or item.drive]
            self.is_bound[self.items[name]] = bool(item.mega or item.z_type or item.z_move or item.memory)

    def _abilities(self) -> None:
        gen, types = self.gen, self.types
        names = {ability for name in dex(gen).species_names if (each := dex(gen).species(name))
                 for ability in each.abilities}
        self.abilities = NameIndex(sorted(names))
        size = self.abilities.size
        self.ability_attack: Floats = np.ones((size, self.width))
        self.ability_move: Floats = np.ones((size, len(self.power)))
        self.guard: Floats = np.ones((size, self.width))
        self.guard_move: Floats = np.ones((size, len(self.power)))
        self.pinch: Ints = np.zeros(size, np.intp)
        rows = self.abilities
        for name, both in effects.ABILITY_CATEGORY.items():
            self._multiply(self.ability_attack, rows, name, None, both)
        by_type = {**effects.ABILITY_TYPE, "transistor": {"electric": 1.3 if gen >= 9 else 1.5}}
        for name, factors in by_type.items():
            for type_, factor in factors.items():
                self._multiply(self.ability_attack, rows, name, types[type_], (factor, factor))
        for name, (flag, factor) in effects.ABILITY_FLAG.items():
            self.ability_move[rows[name], self.flags[flag]] = factor
        self.ability_move[rows["reckless"], self.recoil] = 1.2
        self.ability_move[rows["sheerforce"], self.secondary] = 1.3
        for name in effects.ATE:
            self.ability_move[rows[name], self.type == types["normal"]] = 1.2 if gen >= 7 else 1.3
        self.ability_move[rows["normalize"]] = 1.2 if gen >= 7 else 1.0
        for name, type_ in effects.PINCH.items():
            self.pinch[rows[name]] = types[type_]
        for name, factors in effects.GUARD_TYPE.items():
            if gen >= 5 or name not in ("stormdrain", "lightningrod"):
                for type_, factor in factors.items():
                    self._multiply(self.guard, rows, name, types[type_], (factor, factor))
        for name, both in effects.GUARD_CATEGORY.items():
            self._multiply(self.guard, rows, name, None, both)
        for name, (flag, factor) in effects.GUARD_FLAG.items():
            self.guard_move[rows[name], self.flags[flag]] = factor
        for name in effects.PRIORITY_GUARDS:
            self.guard_move[rows[name], self.priority > 0] = 0

        for table in (self.ability_attack, self.ability_move, self.guard, self.guard_move):
            table[0] = 1  # abilities of later generations
        self.pinch[0] = 0

    def _multiply(self, table: Floats, rows: NameIndex, name: str, type_: int | None,
                  both: tuple[float, float]) -> None:
        """Physical and special factors of one type, or of all."""
        if (row := rows[name]) and type_ != 0:
            places = slice(None) if type_ is None else slice(2 * type_, 2 * type_ + 2)
            table[row, places] *= np.tile(both, self.types.size if type_ is None else 1)


@cache
def tables(gen: int) -> Tables:
    """Built on first use, in about 30 ms."""
    return Tables(gen)
