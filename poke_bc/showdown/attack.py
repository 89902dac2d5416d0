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


class Attack:
    """A move and what it did, until the lines about it are over."""

    def __init__(self, mover: Mon, foe: Mon, move: Move, types: tuple[str, str]) -> None:
        self.mover, self.foe, self.move, self.types = mover, foe, move, types
        self.foe_was_full = foe.hp == 1.0
        self.did_damage = self.super_effective = self.lowered = self.gave_status = False

    def settle(self, battle: Battle, exclude: Exclusion) -> None:
        """Exclude what would have shown itself by now."""
        if self.did_damage:
            self._exclude_of_mover(exclude)
            self._exclude_of_foe(battle, exclude)
        if self.foe.hp > 0 and self.lowered:
            exclude.abilities(self.foe, tells.AFTER_LOWERED)
        if self.foe.hp > 0 and self.gave_status and battle.gen >= 5:
            exclude.abilities(self.foe, frozenset({"synchronize"}))

    def _exclude_of_mover(self, exclude: Exclusion) -> None:
        mover, move = self.mover, self.move
        if mover.hp <= 0:
            return
        if not exclude.may_have(mover, tells.NO_LIFE_ORB_DAMAGE):
            exclude.items(mover, frozenset({"lifeorb"}))
        if "sound" in move.flags:
            exclude.items(mover, frozenset({"throatspray"}))
        if self.foe.fainted and max(mover.boosts) < 6:
            exclude.abilities(mover, tells.KO_ABILITIES)
        if (not mover.terastallized and len(mover.stint_moves) == 1 and not move.name.startswith(CHANGING)
                and self.types != (move.type, NONE) and mover.types is None and move.name in mover.stint_moves):
            exclude.abilities(mover, tells.TYPE_CHANGING)

    def _exclude_of_foe(self, battle: Battle, exclude: Exclusion) -> None:
        mover, foe, move = self.mover, self.foe, self.move
        is_ignored = move.ignores_ability or exclude.may_have(mover, tells.IGNORING)
        is_contact = "contact" in move.flags and not exclude.may_have(mover, frozenset({"longreach"}))
        if not is_ignored:
            self._exclude_immune(battle, exclude)
        if (foe.fainted and self.foe_was_full and move.hits == (1, 1) and not move.ohko
                and not exclude.may_have(mover, frozenset({"parentalbond"}))):
            exclude.items(foe, frozenset({"focussash"}))
            if battle.gen >= 5 and not is_ignored:
                exclude.abilities(foe, frozenset({"sturdy"}))
        if mover.hp <= 0:
            return
        abilities = tells.HIT_ABILITIES | tells.HIT_ABILITIES_OF.get(move.category, NOTHING)
        abilities |= tells.HIT_ABILITIES_BY_TYPE.get(move.type, NOTHING)
        if is_contact and not exclude.may_have(mover, tells.NO_LIFE_ORB_DAMAGE) and mover.item != "protectivepads":
            abilities |= tells.HIT_ABILITIES_OF["contact"]
            exclude.items(foe, tells.HIT_ITEMS_OF["contact"])
        if foe.fainted:
            return
        if max(foe.boosts) < 6 and min(mover.boosts) > -6:
            exclude.abilities(foe, abilities)
        if move.name.startswith(CHANGING):
            return
        items = tells.HIT_ITEMS_OF.get(move.category, NOTHING) | tells.HIT_ITEMS_BY_TYPE.get(move.type, NOTHING)
        is_forceful = exclude.may_have(mover, tells.NO_LIFE_ORB_DAMAGE)
        if not is_forceful and all(side.alive > 1 for side in battle.sides.values()):
            items |= tells.HIT_ITEMS
        if self.super_effective:
            items |= tells.SUPER_EFFECTIVE | tells.RESIST_BERRIES.get(move.type, NOTHING)
        exclude.items(foe, items)

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
