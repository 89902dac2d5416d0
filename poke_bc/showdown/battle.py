"""The state of a singles battle, for both players at once; poke_bc.showdown.tracker updates it line by line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from poke_bc.dex import Dex, dex
from poke_bc.showdown.protocol import NONE, UNKNOWN
from poke_bc.showdown.record import PLAYERS, SkippedBattle
from poke_bc.showdown.state import DYNAMAX, Mon, Side

ANY_ABILITY = ("hackmons", "dexbh", "anyability", "aaa", "customgame", "convergence", "franticfusions", "inheritance",
               "sharedpower", "mayhem", "pokebilities", "trademarked", "biomechmons", "crossevolution", "mixandmega",
               "superstaffbros")
"""Parts of the names of formats in which abilities are not bound to species."""
NEVER_DYNAMAX = frozenset({"zacian", "zamazenta", "eternatus"})


class Battle:
    """The state of one battle after the lines read so far.

    Args:
        gen: generation, 1 to 9.
        teams: Pokémon already known of each side (own team, team preview); these objects are updated.
        illusions: line number of a switch -> nickname and details of the Pokémon that really came in under Illusion,
            where known. For what a player sees, those of the own team alone: the opponent's are not seen through.
        returning_hp: line number of a switch -> HP with which the Pokémon that leaves will return (Regenerator),
            where known; its player sees that HP at once.
        tier: the format without its generation (protocol.tier_of).
    """

    def __init__(
        self,
        gen: int,
        teams: Mapping[str, list[Mon]] | None = None,
        illusions: Mapping[int, tuple[str, str]] | None = None,
        returning_hp: Mapping[int, float] | None = None,
        tier: str = UNKNOWN,
    ) -> None:
        self.gen = gen
        self.dex: Dex = dex(gen)
        self.sides = {player: Side(player, list((teams or {}).get(player, ()))) for player in PLAYERS}
        self._side_of_position = {f"{player}a": side for player, side in self.sides.items()}
        self.illusions = illusions or {}
        self.returning_hp = returning_hp or {}
        self.tier = tier
        self.any_ability = any(word in tier for word in ANY_ABILITY)
        """Whether a Pokémon may have an ability that is none of its species'."""
        self.turn = 0
        self.upkeeps = 0
        """Turns whose end (`|upkeep`) has passed. What a replacement brings after it is younger by one than what came
        in the turn itself."""
        self.weather, self.weather_since = NONE, 0
        self.terrain, self.terrain_since = NONE, 0
        self.rooms: dict[str, int] = {}
        """trickroom, magicroom, wonderroom, gravity -> `upkeeps` when it began."""
        self.fairy_lock = 0
        """The turn in which Fairy Lock lets nobody switch."""
        self.winner: str | None = None
        """p1, p2 or "tie"; None while the battle goes on."""
        self.percent = gen >= 7
        """Whether the opponent's HP is shown in percent, not in 48ths."""
        self.brought = 0
        """How many of a team are brought, by `|teampreview|N`; 0: all."""
        self.started = False
        self.banned: set[str] = set()
        """"dynamax" and "tera", where a rule of the format forbids them."""
        self.lines_read = 0
        self.passed_over: dict[str, int] = {}
        """Kind of minor line that is not known yet -> how many."""
        self.mover: str | None = None
        """The player whose move the current lines are about."""
        self.hidden_power: tuple[Mon, tuple[str, ...]] | None = None
        """Who uses Hidden Power, and the target's types, until a line tells how well it works."""
        self.z_powered: str | None = None
        """The player whose next move is a Z-Move."""
        self.entry_states: dict[Mon, tuple[Any, ...]] = {}
        """What was known of a Pokémon before it last seemed to come in; needed if it was another."""
        self.faster: dict[str, dict[Mon, dict[Mon, tuple[bool, int]]]] = {player: {} for player in PLAYERS}
        """Per player, for an opponent's Pokémon as it was shown and an own one: whether the own one is faster at equal
        stages, by the order in which they moved last, and in which turn."""
        self.views: dict[str, Any] = {}
        """Per player, what poke_bc.showdown.observe keeps from one observation to the next."""
        self.shown: dict[str, Any] = {}
        """Per side, what it keeps for the other player's observation at the same moment."""

    def mon(self, ident: str, parts: Sequence[str] = ()) -> Mon | None:
        """`p1a: Nick` -> the active Pokémon of p1; `p1: Nick` -> the one of that name, perhaps on the bench.

        Args:
            parts: the line, which tells several of one name apart: `-curestatus` by the status, Revival Blessing's
                `-heal` by having fainted.
        """
        side = self._side_of_position.get(ident[:3])
        if side is not None:
            return side.active
        side = self.sides.get(ident[:2])
        if side is None:
            return None
        if ident[2:3] != ":":
            raise SkippedBattle("not singles", ident[:3])
        nick = ident[4:]
        named = [mon for mon in side.mons if mon.nick == nick]
        if len(named) > 1 and len(parts) > 3:
            if parts[1] == "-curestatus":
                named = [mon for mon in named if mon.status == parts[3]] or named
            elif parts[1] == "-heal":
                named = [mon for mon in named if mon.fainted] or named
        if not named:
            return None
        named[0].bench_changes += 1
        return named[0]

    def foe_of(self, player: str) -> Mon | None:
        """The opponent's active Pokémon."""
        return self.sides["p2" if player == "p1" else "p1"].active

    def age(self, since: int) -> int:
        """Turns whose end an effect has seen that began when `upkeeps` was `since`, at least 1."""
        return max(self.upkeeps - since, 1)

    def ability_at_work(self, mon: Mon) -> str:
        """Its ability, as far as certain; "none" while Gastro Acid or the other's Neutralizing Gas suppresses it."""
        if "gastroacid" in mon.volatiles or any(
                side.active is not None and side.active is not mon and side.active.ability == "neutralizinggas"
                for side in self.sides.values()):
            return NONE
        return self.certain_ability(mon)

    def certain_ability(self, mon: Mon) -> str:
        """The ability shown, or the only one its species can have, unless the format frees abilities."""
        return mon.ability if self.any_ability else mon.certain_ability(self.dex)

    def may_dynamax(self, side: Side) -> bool:
        """Whether the active Pokémon could dynamax now, as far as the rules say."""
        mon = side.active
        return (self.gen == 8 and not side.gimmick_used[DYNAMAX] and "dynamax" not in self.banned
                and mon is not None and mon.base not in NEVER_DYNAMAX)

    def base_of(self, species: str) -> str:
        """The base species, which all formes share."""
        known = self.dex.species(species)
        return known.base_species if known else species

    def player_of(self, mon: Mon) -> str:
        """p1 or p2."""
        return next(player for player, side in self.sides.items() if mon in side.mons)
