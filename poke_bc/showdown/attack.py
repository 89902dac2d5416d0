"""First pass: what a move and the lines about it say that its user and its target did not have."""

from __future__ import annotations

from poke_bc.dex import Move
from poke_bc.showdown import tells
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.exclusion import Exclusion
from poke_bc.showdown.power import CHANGING
from poke_bc.showdown.protocol import NONE
from poke_bc.showdown.state import Mon

NOTHING: frozenset[str] = frozenset()
LIFE_ORB, THROAT_SPRAY, FOCUS_SASH = frozenset({"lifeorb"}), frozenset({"throatspray"}), frozenset({"focussash"})
STURDY, SYNCHRONIZE, PARENTAL_BOND = frozenset({"sturdy"}), frozenset({"synchronize"}), frozenset({"parentalbond"})


class Attack:
    """A move and what it did, until the lines about it are over."""

    __slots__ = ("did_damage", "foe", "foe_was_full", "gave_status", "lowered", "move", "mover", "super_effective",
                 "types")

    def __init__(self, mover: Mon, foe: Mon, move: Move, types: tuple[str, str] | None) -> None:
        self.mover, self.foe, self.move, self.types = mover, foe, move, types
        self.foe_was_full = foe.hp == 1.0
        self.did_damage = self.super_effective = self.lowered = self.gave_status = False

    def settle(self, battle: Battle, exclude: Exclusion) -> None:
        """Exclude what would have shown itself by now."""
        if self.did_damage:
            if self.mover.hp > 0:
                self._exclude_of_mover(exclude)
            if exclude.asks_ability(self.foe, tells.WHEN_HIT):
                self._exclude_abilities_of_foe(battle, exclude)
            if self.foe.has_open_item:
                self._exclude_items_of_foe(battle, exclude)
        if self.lowered and self.foe.hp > 0:
            exclude.abilities(self.foe, tells.AFTER_LOWERED)
        if self.gave_status and self.foe.hp > 0 and battle.gen >= 5:
            exclude.abilities(self.foe, SYNCHRONIZE)

    def _exclude_of_mover(self, exclude: Exclusion) -> None:
        mover, move = self.mover, self.move
        if mover.has_open_item:
            if "lifeorb" not in mover.absent and not exclude.may_have(mover, tells.NO_LIFE_ORB_DAMAGE):
                exclude.items(mover, LIFE_ORB)
            if "sound" in move.flags:
                exclude.items(mover, THROAT_SPRAY)
        if not exclude.asks_ability(mover, tells.AFTER_MOVE):
            return
        if self.foe.fainted and max(mover.boosts) < 6:
            exclude.abilities(mover, tells.KO_ABILITIES)
        if (not mover.terastallized and len(mover.stint_moves) == 1 and not move.name.startswith(CHANGING)
                and self.types not in (None, (move.type, NONE)) and mover.types is None
                and move.name in mover.stint_moves):
            exclude.abilities(mover, tells.TYPE_CHANGING)

    def _was_felled_from_full(self, exclude: Exclusion) -> bool:
        return (self.foe.fainted and self.foe_was_full and self.move.hits == (1, 1) and not self.move.ohko
                and not exclude.may_have(self.mover, PARENTAL_BOND))

    def _touched(self, exclude: Exclusion) -> bool:
        mover = self.mover
        return ("contact" in self.move.flags and mover.item != "protectivepads"
                and not exclude.may_have(mover, tells.UNTOUCHED))

    def _exclude_abilities_of_foe(self, battle: Battle, exclude: Exclusion) -> None:
        mover, foe, move = self.mover, self.foe, self.move
        if not move.ignores_ability and not exclude.may_have(mover, tells.IGNORING):
            self._exclude_immune(battle, exclude)
            if battle.gen >= 5 and self._was_felled_from_full(exclude):
                exclude.abilities(foe, STURDY)
        if mover.hp <= 0 or foe.fainted or max(foe.boosts) >= 6 or min(mover.boosts) <= -6:
            return
        exclude.abilities(foe, tells.HIT_ABILITIES | tells.HIT_ABILITIES_OF.get(move.category, NOTHING)
                          | tells.HIT_ABILITIES_BY_TYPE.get(move.type, NOTHING))
        if self._touched(exclude):
            exclude.abilities(foe, tells.HIT_ABILITIES_OF["contact"])

    def _exclude_items_of_foe(self, battle: Battle, exclude: Exclusion) -> None:
        mover, foe, move = self.mover, self.foe, self.move
        if foe.fainted and self._was_felled_from_full(exclude):
            exclude.items(foe, FOCUS_SASH)
        if mover.hp <= 0:
            return
        if "rockyhelmet" not in foe.absent and self._touched(exclude):
            exclude.items(foe, tells.HIT_ITEMS_OF["contact"])
        if foe.fainted or move.name.startswith(CHANGING):
            return
        exclude.items(foe, tells.HIT_ITEMS_OF.get(move.category, NOTHING))
        if (by_type := tells.HIT_ITEMS_BY_TYPE.get(move.type)) is not None:
            exclude.items(foe, by_type)
        if (not foe.absent >= tells.HIT_ITEMS and all(side.alive > 1 for side in battle.sides.values())
                and not exclude.may_have(mover, tells.NO_LIFE_ORB_DAMAGE)):
            exclude.items(foe, tells.HIT_ITEMS)
        if self.super_effective:
            exclude.items(foe, tells.SUPER_EFFECTIVE)
            exclude.items(foe, tells.RESIST_BERRIES.get(move.type, NOTHING))

    def _exclude_immune(self, battle: Battle, exclude: Exclusion) -> None:
        foe, move = self.foe, self.move
        for flag, names in tells.IMMUNE_BY_FLAG.items():
            if flag in move.flags:
                exclude.abilities(foe, names)
        if move.priority > 0:
            exclude.abilities(foe, tells.FIRST_STRIKE)
        immune = tells.IMMUNE_ABILITIES.get(move.type)
        if immune is None or move.name.startswith(CHANGING) or (
                move.type == "ground" and ("gravity" in battle.rooms or not foe.volatiles.keys().isdisjoint(
                    ("smackdown", "ingrain")) or move.name == "thousandarrows")):
            return
        exclude.abilities(foe, immune if battle.gen >= 5 else immune - tells.LATER_IMMUNE)
