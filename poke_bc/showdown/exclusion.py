"""First pass: the items and abilities that a Pokémon was certainly not brought with."""

from __future__ import annotations

from poke_bc.showdown.battle import Battle
from poke_bc.showdown.protocol import UNKNOWN
from poke_bc.showdown.state import Mon

NOTHING: frozenset[str] = frozenset()
KLUTZ = frozenset({"klutz"})


class Exclusion:
    """Adds to `Mon.absent` what did not show itself, where it would have.

    Nothing where a Pokémon may have any ability: Magic Guard alone explains most silences.
    """

    def __init__(self, battle: Battle) -> None:
        self._battle = battle
        self._possible: dict[str, frozenset[str]] = {}

    def may_have(self, mon: Mon, abilities: frozenset[str]) -> bool:
        """Whether it has, or its species could have, one of these abilities."""
        if mon.ability != UNKNOWN:
            return mon.ability in abilities
        species = self._battle.dex.species(mon.shape)
        return species is None or not abilities.isdisjoint(species.abilities)

    def asks_item(self, mon: Mon) -> bool:
        """Whether the item that it was brought with has not shown itself: a quick check before `items`."""
        return mon.item == mon.first_item == UNKNOWN and not self._battle.any_ability

    def open_abilities(self, mon: Mon) -> frozenset[str]:
        """Those it may still have been brought with; none if it is known, or has another now: a quick check."""
        if (mon.ability != UNKNOWN or mon.brought_ability != UNKNOWN or mon.ability_changed or mon.copied is not None
                or self._battle.any_ability):
            return NOTHING
        if (possible := self._possible.get(mon.forme)) is None:
            species = self._battle.dex.species(mon.forme)
            possible = self._possible[mon.forme] = frozenset(species.abilities if species else ())
        if len(possible) < 2 or mon.forme != mon.details.species:
            return NOTHING
        return possible - mon.absent

    def items(self, mon: Mon, items: frozenset[str]) -> None:
        """It was not brought with any of these items, unless something may have kept them from working."""
        if (self.asks_item(mon) and not items <= mon.absent and "embargo" not in mon.volatiles
                and "magicroom" not in self._battle.rooms and not self.may_have(mon, KLUTZ)):
            mon.absent |= items

    def abilities(self, mon: Mon, abilities: frozenset[str]) -> None:
        """It was not brought with any of these abilities, unless it has another now, or none works."""
        found = abilities & self.open_abilities(mon)
        if found and "gastroacid" not in mon.volatiles and not self._is_gas_out():
            mon.absent |= found

    def any_of(self, mon: Mon, names: frozenset[str]) -> None:
        """None of these items and abilities."""
        self.items(mon, names & self._battle.dex.items.keys())
        self.abilities(mon, names)

    def _is_gas_out(self) -> bool:
        return any(side.active is not None and side.active.ability == "neutralizinggas"
                   for side in self._battle.sides.values())
