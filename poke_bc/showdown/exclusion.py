"""First pass: the items and abilities that a Pokémon was certainly not brought with."""

from __future__ import annotations

from collections.abc import Set

from poke_bc.showdown.battle import Battle
from poke_bc.showdown.protocol import UNKNOWN
from poke_bc.showdown.state import Mon


class Exclusion:
    """Adds to `Mon.absent` what did not show itself, where it would have."""

    def __init__(self, battle: Battle) -> None:
        self._battle = battle

    def may_have(self, mon: Mon, abilities: Set[str]) -> bool:
        """Whether it has, or its species could have, one of these abilities."""
        if mon.ability != UNKNOWN:
            return mon.ability in abilities
        species = self._battle.dex.species(mon.shape)
        return species is None or not abilities.isdisjoint(species.abilities)

    def items(self, mon: Mon, items: Set[str]) -> None:
        """It was not brought with any of these items, unless something may have kept them from working."""
        if (mon.item == UNKNOWN and mon.first_item == UNKNOWN and not items <= mon.absent
                and "embargo" not in mon.volatiles and "magicroom" not in self._battle.rooms
                and not self.may_have(mon, frozenset({"klutz"}))):
            mon.absent |= items

    def abilities(self, mon: Mon, abilities: Set[str]) -> None:
        """It was not brought with any of these abilities, unless it has another now, or none works."""
        if (mon.ability == mon.brought_ability == UNKNOWN and not mon.ability_changed and mon.copied is None
                and mon.forme == mon.details.species and not abilities <= mon.absent
                and "gastroacid" not in mon.volatiles and not self._is_gas_out()):
            mon.absent |= abilities

    def any_of(self, mon: Mon, names: Set[str]) -> None:
        """None of these items and abilities."""
        items = names & self._battle.dex.items.keys()
        self.items(mon, items)
        self.abilities(mon, names - items)

    def _is_gas_out(self) -> bool:
        return any(side.active is not None and side.active.ability == "neutralizinggas"
                   for side in self._battle.sides.values())
