"""A battle as convert takes it in, whatever the file looked like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

PLAYERS = ("p1", "p2")
Player = Literal["p1", "p2"]


@dataclass(frozen=True)
class Asked:
    """One request that a player saw, and what it answered."""

    after_line: int
    """How many of the battle's lines had been shown when it came."""
    request: Mapping[str, Any]
    """Showdown's request object (`active`, `side`, `forceSwitch`, `teamPreview`, `wait`)."""
    choice: str | None = None
    """What was chosen, as Showdown takes it: `move 2 terastallize`, `move fireblast`, `switch 4`, `team 3`."""
    rejected: bool = False
    """Showdown refused the choice and asked again."""


@dataclass(frozen=True)
class BattleRecord:
    """Spectator lines of one battle with what is known about it, and each player's requests where recorded."""

    id: str
    format: str
    """Showdown id of the format: "gen9ou"; "ou" in old logs."""
    lines: tuple[str, ...]
    """The log, one protocol line each, as a spectator (or one player) saw it; chat left out."""
    asked: Mapping[Player, tuple[Asked, ...]] = field(default_factory=dict)
    """The requests of the players whose view was recorded; empty for a plain replay."""
    date: str | None = None
    """ISO 8601 (UTC), of upload or start."""
    rating: int | None = None
    """The replay site's rating of the battle, where the log has none of its own."""
    source: str = ""
    """Where it came from, for messages: `replays/a.jsonl.zst:12`."""


class SkippedBattle(Exception):
    """The battle cannot be converted; `reason` is one short phrase that many battles can share."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
