"""First pass: the items and abilities that a Pokémon was certainly not brought with."""

from __future__ import annotations

from poke_bc.dex import Dex
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.protocol import UNKNOWN
from poke_bc.showdown.state import Mon

NOTHING: frozenset[str] = frozenset()
KLUTZ = frozenset({"klutz"})


class _Abilities(dict[str, frozenset[str]]):
    """Species -> the abilities that it can have; of a species that is not known, none."""

    def __init__(self, dex: Dex) -> None:
        super().__init__()
        self._dex = dex

    def __missing__(self, species: str) -> frozenset[str]:
        known = self._dex.species(species)
        found = self[species] = frozenset(known.abilities if known else ())
        return found


class Exclusion:
    """Adds to `Mon.absent` what did not show itself, where it would have."""

    def __init__(self, battle: Battle) -> None:
        self._battle = battle
        self._abilities = _Abilities(battle.dex)

    def may_have(self, mon: Mon, abilities: frozenset[str]) -> bool:
        """Whether it has, or its species could have, one of these abilities."""
        if mon.ability != UNKNOWN:
            return mon.ability in abilities
        species = mon.temporary_forme or mon.forme
        if possible := self._abilities[species]:
            return not abilities.isdisjoint(possible)
        return self._battle.dex.species(species) is None

    def asks_ability(self, mon: Mon, abilities: frozenset[str]) -> bool:
        """Whether it may still have been brought with one of these: a quick check before `abilities`."""
        return not abilities.isdisjoint(self._abilities[mon.forme]) and bool(self._open(mon, abilities))

    def _open(self, mon: Mon, abilities: frozenset[str]) -> frozenset[str]:
        """Those that it may still have been brought with; none if its own is known, or it has another now."""
        possible = self._abilities[mon.forme]
        if (mon.ability != UNKNOWN or mon.brought_ability != UNKNOWN or mon.ability_changed or mon.copied is not None
                or len(possible) < 2 or mon.forme != mon.details.species):
            return NOTHING
        return (possible & abilities) - mon.absent

    def items(self, mon: Mon, items: frozenset[str]) -> None:
        """It was not brought with any of these items, unless something may have kept them from working."""
        if (not items <= mon.absent and mon.has_open_item and "embargo" not in mon.volatiles
                and "magicroom" not in self._battle.rooms and not self.may_have(mon, KLUTZ)):
            mon.absent |= items

    def abilities(self, mon: Mon, abilities: frozenset[str]) -> None:
        """It was not brought with any of these abilities, unless it has another now, or none works."""
        if (not abilities.isdisjoint(self._abilities[mon.forme]) and (found := self._open(mon, abilities))
                and "gastroacid" not in mon.volatiles and not self._is_gas_out()):
            mon.absent |= found

    def any_of(self, mon: Mon, names: frozenset[str]) -> None:
        """None of these items and abilities."""
        if mon.has_open_item:
            self.items(mon, names & self._battle.dex.items.keys())
        self.abilities(mon, names)

    def _is_gas_out(self) -> bool:
        return any(side.active is not None and side.active.ability == "neutralizinggas"
                   for side in self._battle.sides.values())
