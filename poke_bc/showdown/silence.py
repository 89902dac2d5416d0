"""First pass: what would have shown itself and did not, so that nothing is imputed which the battle contradicts.

Each check waits until the moment at which the item or ability would have shown itself is over. All of it says what an
*own* Pokémon cannot have had, from the whole battle; nothing here is ever shown to the opponent.
"""

from __future__ import annotations

from poke_bc.showdown import tells
from poke_bc.showdown.attack import Attack
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.exclusion import Exclusion
from poke_bc.showdown.protocol import NONE, caller, cause_of, effect_id, move_id
from poke_bc.showdown.record import PLAYERS
from poke_bc.showdown.state import Mon
from poke_bc.showdown.tracker import LineListener

SPEED = 4
FULL, LOW, VERY_LOW = 1.0, 0.49, 0.24
"""HP at most of which a berry for half or a quarter has certainly been eaten, in percent that are rounded."""
NOTHING: frozenset[str] = frozenset()
TRANSFORM = frozenset(["transform"])
MAGIC_GUARD, REGENERATOR, NATURAL_CURE = (frozenset([name]) for name in ("magicguard", "regenerator", "naturalcure"))
TRACE, BOOSTER_ENERGY, ASSAULT_VEST = (frozenset([name]) for name in ("trace", "boosterenergy", "assaultvest"))
WHITE_HERB, MENTAL_HERB, POWER_HERB = (frozenset([name]) for name in ("whiteherb", "mentalherb", "powerherb"))
HAZARD_DAMAGE = frozenset({"Stealth Rock", "Spikes", "G-Max Steelsurge"})


class _Arrival:
    """A Pokémon that came in, until its abilities and hazards have had their turn."""

    def __init__(self, mon: Mon, weather: str, terrain: str, over_rocks: bool) -> None:
        self.mon, self.weather, self.terrain, self.over_rocks = mon, weather, terrain, over_rocks


class Silence:
    """Collects in `Mon.absent` what each Pokémon was not brought with, in `first_item` what explains a silence.

    Nothing where a Pokémon may have any ability: Magic Guard alone explains most silences.
    """

    def __init__(self, battle: Battle) -> None:
        self._battle, self._not = battle, Exclusion(battle)
        self._sides = {f"{player}a": side for player, side in battle.sides.items()}
        self._arrivals: dict[str, _Arrival] = {}
        self._attack: Attack | None = None
        self._left: dict[Mon, tuple[float, str]] = {}
        """Pokémon that left the field -> HP, status."""
        self._hurt = dict.fromkeys(PLAYERS, False)
        """Whether the active Pokémon was hurt before the end of the turn began to change its HP."""
        self._low = dict.fromkeys(PLAYERS, FULL)
        """Least HP at which it ended the last turn and this one, at the most."""
        self.before: dict[str, LineListener] = {
            "move": self._settle, "cant": self._settle, "turn": self._settle, "upkeep": self._end_turn,
            "switch": self._leave, "drag": self._leave, "-end": self._end,
            "replace": self._replace}
        self.after: dict[str, LineListener] = {
            "move": self._move, "switch": self._arrive, "drag": self._arrive, "turn": self._turn,
            "-damage": self._damage, "-heal": self._heal, "-status": self._status, "-unboost": self._unboost,
            "-supereffective": self._super_effective, "-hitcount": self._hit_count, "-activate": self._activate}
        if battle.any_ability:
            self.before, self.after = {}, {}

    # --- entry --------------------------------------------------------------------------------------------------------

    def _leave(self, number: int, parts: list[str]) -> None:
        self._settle_attack()
        side = self._battle.sides[parts[2][:2]]
        if side.active is not None:
            self._left[side.active] = (side.active.hp, side.active.status)

    def _arrive(self, number: int, parts: list[str]) -> None:
        battle, player = self._battle, parts[2][:2]
        side = battle.sides[player]
        mon = side.active
        if mon is None:
            return
        over_rocks = battle.gen >= 8 and "stealthrock" in side.conditions
        self._arrivals[player] = _Arrival(mon, battle.weather, battle.terrain, over_rocks)
        self._hurt[player], self._low[player] = mon.hp < FULL, FULL
        hp, status = self._left.get(mon, (FULL, NONE))
        if 0 < hp < FULL and mon.hp <= hp:
            self._not.abilities(mon, REGENERATOR)
        if status not in (NONE, "") and mon.status == status:
            self._not.abilities(mon, NATURAL_CURE)

    def _replace(self, number: int, parts: list[str]) -> None:
        self._attack = None  # of a disguise, whose own facts are restored
        self._arrivals.pop(parts[2][:2], None)

    def _settle(self, number: int, parts: list[str]) -> None:
        if self._attack is not None:
            self._settle_attack()
        if self._arrivals:
            for player, arrival in self._arrivals.items():
                if arrival.mon is self._battle.sides[player].active and arrival.mon.hp > 0:
                    self._settle_arrival(arrival, self._battle.foe_of(player))
            self._arrivals.clear()

    def _settle_arrival(self, arrival: _Arrival, foe: Mon | None) -> None:
        battle, mon = self._battle, arrival.mon
        if mon.has_open_item:
            if arrival.over_rocks and not self._not.may_have(mon, MAGIC_GUARD):
                mon.first_item = "heavydutyboots"
            if battle.gen >= 5 and "gravity" not in battle.rooms:
                self._not.items(mon, tells.ENTRY_ITEMS)
            if battle.gen >= 9 and self._not.may_have(mon, tells.BOOSTED):
                for ability, condition in tells.BOOSTED_BY.items():
                    around = (arrival.weather, arrival.terrain, battle.weather, battle.terrain)
                    if condition not in around and self._not.may_have(mon, ability):
                        self._not.items(mon, BOOSTER_ENERGY)
        if not self._not.asks_ability(mon, tells.AT_ENTRY):
            return
        with_foe = foe is not None and foe.hp > 0 and "substitute" not in foe.volatiles
        self._not.abilities(mon, tells.announced(battle.gen, with_foe=with_foe))
        if foe is not None and with_foe and battle.gen >= 4 and not self._not.may_have(foe, tells.NOT_TRACED):
            self._not.abilities(mon, TRACE)
        weathers = {arrival.weather, battle.weather}
        if tells.STRONG_WEATHER.isdisjoint(weathers):
            for ability, own in tells.WEATHER_ABILITIES.items():
                if own.isdisjoint(weathers):
                    self._not.abilities(mon, ability)
        for ability, terrain in tells.TERRAIN_ABILITIES.items():
            if terrain not in (arrival.terrain, battle.terrain):
                self._not.abilities(mon, ability)

    # --- moves --------------------------------------------------------------------------------------------------------

    def _move(self, number: int, parts: list[str]) -> None:
        self._attack = None
        battle, player = self._battle, parts[2][:2]
        sides = battle.sides
        mon, foe = sides[player].active, sides["p2" if player == "p1" else "p1"].active
        move = battle.dex.move(move_id(parts[3]))
        if mon is None or foe is None or move is None:
            return
        is_status = move.category == "status"
        if (is_status or len(mon.stint_moves) > 1) and caller(parts) in ("", "locked"):
            if len(mon.stint_moves - TRANSFORM) > 1:
                self._not.items(mon, battle.dex.choice_items)
                self._not.abilities(mon, tells.LOCKING_ABILITIES)
            if is_status and not sides[player].dynamaxed and move.name in mon.stint_moves:
                self._not.items(mon, ASSAULT_VEST)
        may_change = self._not.asks_ability(mon, tells.TYPE_CHANGING)
        self._attack = Attack(mon, foe, move, mon.current_types(battle.dex) if may_change else None)

    def _damage(self, number: int, parts: list[str]) -> None:
        if (side := self._sides.get(parts[2][:3])) is None or (mon := side.active) is None:
            return
        player, cause = side.player, cause_of(parts)
        if cause is None:
            self._hurt[player] = True
            if self._attack is not None and mon is self._attack.foe:
                self._attack.did_damage = True
            return
        arrival = self._arrivals.get(player)
        if cause in HAZARD_DAMAGE:
            self._hurt[player] = True
            if arrival is not None and cause == "Stealth Rock":
                arrival.over_rocks = False
        if (names := tells.HURT_BY.get(cause.replace(":", ""))) is not None:
            self._not.any_of(mon, names)

    def _settle_attack(self) -> None:
        attack, self._attack = self._attack, None
        if attack is not None and (attack.did_damage or attack.lowered or attack.gave_status):
            attack.settle(self._battle, self._not)

    def _super_effective(self, number: int, parts: list[str]) -> None:
        if self._attack is not None:
            self._attack.super_effective = True

    def _hit_count(self, number: int, parts: list[str]) -> None:
        attack = self._attack
        if attack is not None and attack.move.hits == (2, 5) and attack.foe.hp > 0 and len(parts) > 3:
            self._not.abilities(attack.mover, frozenset({"skilllink"} if parts[3] < "5" else ()))
            self._not.items(attack.mover, frozenset({"loadeddice"} if parts[3] < "4" else ()))

    def _status(self, number: int, parts: list[str]) -> None:
        mon = self._battle.mon(parts[2])
        if mon is None:
            return
        self._not.abilities(mon, tells.IMMUNE_TO.get(parts[3], frozenset()))
        if self._attack is not None and mon is self._attack.foe and cause_of(parts) is None:
            self._attack.gave_status = parts[3] in tells.SYNCHRONIZED

    def _unboost(self, number: int, parts: list[str]) -> None:
        mon = self._battle.mon(parts[2])
        if mon is None or self._attack is None or mon is not self._attack.foe or cause_of(parts) is not None:
            return
        self._attack.lowered = True
        if not self._attack.move.ignores_ability and not self._not.may_have(self._attack.mover, tells.IGNORING):
            self._not.any_of(mon, tells.NEVER_LOWERED | tells.NEVER_LOWERED_OF.get(parts[3], frozenset()))

    def _activate(self, number: int, parts: list[str]) -> None:
        if len(parts) > 3 and parts[3] == "move: Sticky Web" and (mon := self._battle.mon(parts[2])) is not None:
            self._not.items(mon, frozenset({"heavydutyboots"}))

    # --- the end of a turn --------------------------------------------------------------------------------------------

    def _end(self, number: int, parts: list[str]) -> None:
        effect = effect_id(parts[3]) if len(parts) > 3 else ""
        if effect in ("futuresight", "doomdesire"):
            self._settle_attack()  # the damage that follows is not this move's
        elif effect == "healblock" and parts[2][:2] in self._hurt:
            self._hurt[parts[2][:2]] = False  # it ends after it prevented Leftovers

    def _heal(self, number: int, parts: list[str]) -> None:
        if (side := self._sides.get(parts[2][:3])) is not None and side.active is not None:
            self._hurt[side.player] = side.active.hp < FULL

    def _turn(self, number: int, parts: list[str]) -> None:
        for player, side in self._battle.sides.items():
            if side.active is not None:
                self._hurt[player] = side.active.hp < FULL

    def _end_turn(self, number: int, parts: list[str]) -> None:
        self._settle(number, parts)
        for player, side in self._battle.sides.items():
            if (mon := side.active) is not None and mon.hp > 0:
                low = max(mon.hp, self._low[player]) if self._battle.gen <= 3 else mon.hp
                self._low[player] = mon.hp
                is_hurt = self._hurt[player] and mon.hp < FULL
                if mon.has_open_item:
                    self._no_items_at_end(mon, player, is_hurt, low)
                if self._not.asks_ability(mon, tells.AT_END):
                    self._no_abilities_at_end(mon, is_hurt)

    def _no_abilities_at_end(self, mon: Mon, is_hurt: bool) -> None:
        if mon.came_in < self._battle.turn and max(mon.boosts) < 6:
            self._not.abilities(mon, tells.EVERY_TURN)
        if is_hurt and (names := tells.IN_WEATHER.get(self._battle.weather)) is not None and not any(
                side.active is not None and self._not.may_have(side.active, tells.NO_WEATHER)
                for side in self._battle.sides.values()):
            self._not.abilities(mon, names)

    def _no_items_at_end(self, mon: Mon, player: str, is_hurt: bool, low: float) -> None:
        battle, volatiles, status, exclude = self._battle, mon.volatiles, mon.status, self._not.items
        if is_hurt and "healblock" not in volatiles:
            exclude(mon, tells.HEALING_ITEMS)
        wants_berry = status != NONE or low <= LOW or "confusion" in volatiles
        if wants_berry and ((foe := battle.foe_of(player)) is None or not self._not.may_have(foe, tells.NO_BERRIES)):
            if status != NONE:
                exclude(mon, tells.STATUS_BERRIES.get(status, NOTHING))
            if "confusion" in volatiles:
                exclude(mon, tells.CONFUSION_BERRIES)
            if low <= LOW:
                exclude(mon, tells.HALF_HP_BERRIES if low > VERY_LOW else tells.LOW_HP_BERRIES)
        if (status == NONE and not mon.absent >= tells.ALL_ORBS and battle.terrain != "mistyterrain"
                and "safeguard" not in battle.sides[player].conditions):
            for orb, immune in tells.ORBS.items():
                if not orb <= mon.absent and immune.isdisjoint(mon.current_types(battle.dex)):
                    exclude(mon, orb)
        if min(mon.boosts) < 0:
            exclude(mon, WHITE_HERB)
        if volatiles and battle.gen >= 5 and not tells.MENTAL.isdisjoint(volatiles):
            exclude(mon, MENTAL_HERB)
        if mon.charging:
            exclude(mon, POWER_HERB)
        if battle.terrain != NONE:
            exclude(mon, tells.TERRAIN_SEEDS.get(battle.terrain, NOTHING))
