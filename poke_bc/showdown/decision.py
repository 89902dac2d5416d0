"""One choice of a player, and what the log shows of it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from poke_bc.showdown.state import Mon

PREVIEW, TURN, FORCED_FAINT, FORCED_PIVOT, REVIVAL = "preview", "turn", "forced_faint", "forced_pivot", "revival"
OBSERVED, CENSORED, NO_LABEL = "observed", "censored", "none"
AMONG_MOVES, AMONG_SWITCHES, AMONG_ALL = "moves", "switches", "all"
"""What a censored choice may have been."""
NO_SLOT = frozenset({"struggle", "recharge", "fight"})
"""What a player may have to choose that is not a move of the Pokémon."""


class Decision(msgspec.Struct, eq=False, gc=False):
    """One choice of a player."""

    player: str
    phase: str
    turn: int
    at: int
    """Number of lines that the player had seen."""
    label: str = NO_LABEL
    move: str = ""
    """Id of the move shown; of the Z-Move or Max Move if `power` is set."""
    power: str = ""
    """"z", "max" or ""."""
    target: int | None = None
    """The Pokémon that came in or was revived: its index in FirstPass.teams[player].mons."""
    gimmick: str = "none"
    among: str = AMONG_ALL
    """Of a censored choice: AMONG_MOVES, AMONG_SWITCHES or AMONG_ALL."""
    locked: str = ""
    """The only move that was open (a locked one, "recharge", "struggle", generation 1's "fight"), or ""."""


class OpenDecision(Decision, eq=False, gc=False):
    """A choice while the log is being read."""

    mon: Mon | None = None
    """The Pokémon that came in or was revived."""
    active: Mon | None = None
    """The Pokémon that was to act; None for a forced switch."""
    copied: Mon | None = None
    """The Pokémon that it had transformed into."""
    bound: bool = False
    """Whether it was charging, rampaging or recharging: its player had one move to choose, or none."""
    choice: str = ""
    """The player's own words, if the log has a `|choice|` line."""
    resolved: bool = False
    encored: bool = False
    pursued: bool = False

    def closed(self, index: Mapping[Mon, int]) -> Decision:
        """What remains of it after the log, with Pokémon by index."""
        return Decision(self.player, self.phase, self.turn, self.at, self.label, self.move, self.power,
                        None if self.mon is None else index[self.mon], self.gimmick, self.among, self.locked)

    def censor(self, among: str) -> None:
        """The choice will not be seen."""
        self.label, self.among, self.resolved = CENSORED, among, True


class Arrival(msgspec.Struct, eq=False, gc=False):
    """A Pokémon coming in."""

    player: str
    at: int
    """Line number."""
    mon: Mon
    decision: OpenDecision | None
    """The decision that caused it; None for a lead without team preview, or if it was dragged in."""
    shown: Mon
    """The Pokémon that it seemed to be; `mon` itself but for Illusion."""
    hp: float
    left_hp: float = 1.0
    """When its stint ended, by leaving or with the battle."""
    fainted: bool = False
