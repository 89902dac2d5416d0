"""The tracker: follows the protocol of a singles battle line by line, for both players at once.

Source of the rules: smogon/pokemon-showdown, sim/SIM-PROTOCOL.md and the `this.battle.add` calls of sim/ and data/.
"""

from __future__ import annotations

from collections.abc import Mapping

from poke_bc.dex import Dex, dex
from poke_bc.showdown.lines import HANDLERS, IGNORED
from poke_bc.showdown.protocol import NONE
from poke_bc.showdown.record import PLAYERS, SkippedBattle
from poke_bc.showdown.state import DYNAMAX, Mon, Side

NEVER_DYNAMAX = frozenset({"zacian", "zamazenta", "eternatus"})


class Battle:
    """The state of one battle after the lines read so far.

    Args:
        gen: generation, 1 to 9.
        teams: Pokémon already known of each side (own team, team preview); the tracker updates these objects.
        truth: line number -> who really came in there under Illusion (nickname, details), where that is known.
        returns: line number of a switch -> HP with which the one that leaves will come back (Regenerator), where
            that is known; its player sees it at once.
    """

    def __init__(
        self,
        gen: int,
        teams: Mapping[str, list[Mon]] | None = None,
        truth: Mapping[int, tuple[str, str]] | None = None,
        returns: Mapping[int, float] | None = None,
    ) -> None:
        self.gen = gen
        self.dex: Dex = dex(gen)
        self.sides = {player: Side(player, list((teams or {}).get(player, ()))) for player in PLAYERS}
        self.truth = truth or {}
        self.returns = returns or {}
        self.turn = 0
        self.weather, self.weather_since = NONE, 0
        self.terrain, self.terrain_since = NONE, 0
        self.rooms: dict[str, int] = {}
        """trickroom, magicroom, wonderroom, gravity -> turn in which it began."""
        self.winner: str | None = None
        """p1, p2 or "tie"; None while it goes on."""
        self.percent = gen >= 7
        """Whether the opponent's HP is shown in percent, not in 48ths."""
        self.banned: set[str] = set()
        """"dynamax" and "tera", where a rule of the format forbids them."""
        self.lines_read = 0
        self.mover: str | None = None
        """Whose move the lines are about."""
        self.z_powered: str | None = None
        """Whose next move is a Z-Move."""
        self.entered: dict[str, tuple[object, ...]] = {}
        """What was known of the one shown there before it came in, in case it was another."""

    def read(self, line: str) -> None:
        """Take in the next line. Raises SkippedBattle where it cannot be followed."""
        self.lines_read += 1
        if not line.startswith("|"):
            return
        parts = line.split("|")
        kind = parts[1]
        handler = HANDLERS.get(kind)
        if handler is None:
            if kind not in IGNORED:
                raise SkippedBattle("unknown line", kind)
            return
        try:
            handler(self, parts)
        except (IndexError, KeyError, ValueError):  # a field is missing, names no player, or is no number
            raise SkippedBattle("damaged line", kind) from None

    def mon(self, ident: str) -> Mon | None:
        """`p1a: Nick` -> the active Pokémon of p1; `p1: Nick` -> the one of that name, on the bench too."""
        side = self.sides.get(ident[:2])
        if side is None:
            return None
        if ident[2:3] == "a":
            return side.active
        if ident[2:3] != ":":
            raise SkippedBattle("not singles", ident[:3])
        nick = ident[4:]
        named = [mon for mon in side.mons if mon.nick == nick]
        return named[0] if named else None

    def display(self) -> int:
        """Parts of the HP bar that the opponent sees."""
        return 100 if self.percent else 48

    def age(self, since: int) -> int:
        """Turns that something has stood which began in turn `since`, at least 1."""
        return max(self.turn - since, 1)

    def may_dynamax(self, side: Side) -> bool:
        """Whether the active Pokémon could dynamax now, as far as the rules tell."""
        mon = side.active
        return (self.gen == 8 and not side.gimmick_used[DYNAMAX] and "dynamax" not in self.banned
                and mon is not None and mon.base not in NEVER_DYNAMAX)

    def base_of(self, species: str) -> str:
        """What stays the same through all formes."""
        known = self.dex.species(species)
        return known.base_species if known else species

    def player_of(self, mon: Mon) -> str:
        """p1 or p2."""
        return next(player for player, side in self.sides.items() if mon in side.mons)
