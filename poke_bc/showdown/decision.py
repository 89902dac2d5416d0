"""One choice a player had, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass

from poke_bc.showdown.state import Mon

PREVIEW, TURN, FORCED_FAINT, FORCED_PIVOT, REVIVAL = "preview", "turn", "forced_faint", "forced_pivot", "revival"
OBSERVED, CENSORED, NO_LABEL = "observed", "censored", "none"
AMONG_MOVES, AMONG_SWITCHES, AMONG_ALL = "moves", "switches", "all"
"""What a censored choice may have been."""


@dataclass(slots=True, eq=False)
class Decision:
    """One choice a player had."""

    player: str
    phase: str
    turn: int
    at: int
    """The observation is that of the first `at` lines."""
    label: str = NO_LABEL
    move: str = ""
    """Id of the move shown; of the Z-Move or Max Move where `power` says so."""
    power: str = ""
    """"z" or "max"."""
    target: Mon | None = None
    """Who came in, or was revived."""
    gimmick: str = "none"
    among: str = AMONG_ALL
    """Censored: "moves", "switches" or "all"."""
    locked: str = ""
    """The only move that was open (a locked one, "recharge", "struggle", generation 1's "fight")."""
    active: Mon | None = None
    """Who stood there and was to act; None for a forced switch."""
    copied: Mon | None = None
    """What that one had transformed into."""
    bound: bool = False
    """It charged, rampaged or recharged: its player was asked for one move only, or none."""
    choice: str = ""
    """The player's own words, where the log has a `|choice|` line."""
    resolved: bool = False
    encored: bool = False
    pursued: bool = False


@dataclass(slots=True, eq=False)
class Arrival:
    """Somebody came in."""

    player: str
    at: int
    """Number of the line."""
    mon: Mon
    decision: Decision | None
    """Which asked for it; None for a lead without team preview, or where it was dragged in."""
