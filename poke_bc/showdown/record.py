"""One battle as convert takes it in, whatever the file looked like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

PLAYERS = ("p1", "p2")
Player = Literal["p1", "p2"]


@dataclass(frozen=True)
class RecordedRequest:
    """A request that one player received, and the answer."""

    after_line: int
    """Number of the battle's lines shown before the request."""
    request: Mapping[str, Any]
    """Showdown's request object (`active`, `side`, `forceSwitch`, `teamPreview`, `wait`)."""
    choice: str | None = None
    """The answer in Showdown's words: `move 2 terastallize`, `move fireblast`, `switch 4`, `team 3`."""
    rejected: bool = False
    """Whether Showdown refused the choice and sent another request."""


@dataclass(frozen=True)
class BattleRecord:
    """Spectator lines and metadata of one battle, and each player's requests where they were recorded."""

    id: str
    format: str
    """Showdown id of the format: "gen9ou"; "ou" in old logs."""
    lines: tuple[str, ...]
    """Protocol lines as a spectator (or one player) saw them, without chat."""
    requests: Mapping[Player, tuple[RecordedRequest, ...]] = field(default_factory=dict)
    """Requests of the players whose own view was recorded; empty for a plain replay."""
    date: str | None = None
    """ISO 8601 (UTC), of the upload or the start."""
    rating: int | None = None
    """The replay site's rating of the battle, used where the log gives none."""
    ratings: Mapping[Player, int] = field(default_factory=dict)
    """Of each player, where the record gives them; those of the log come first."""
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """All that each player chose, in order, in Showdown's words, where a server recorded it."""
    original_id: str | None = None
    """Where another record of the same battle, or another battle, has that id already: the id that was given."""
    source: str = ""
    """Origin for messages: `replays/a.jsonl.zst:12`."""


class SkippedBattle(Exception):
    """The battle cannot be converted; `reason` is a short phrase that many battles can share."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
