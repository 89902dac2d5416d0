"""What the log that a server stores of a battle adds to a replay: when it was played, ratings, and every choice.

Source: `logBattle` of server/room-battle.ts, and `commitChoices` of sim/battle.ts (smogon/pokemon-showdown).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from poke_bc.showdown.record import BattleRecord, Player

_CHOICE = re.compile(r">(?P<player>p[12]) (?P<choice>(?:move|switch|team|default|pass)\b.*)")
_SIDES: tuple[Player, ...] = ("p1", "p2")


def read_server_log(value: Mapping[str, Any], record: BattleRecord) -> BattleRecord:
    """The record of a server's log, with what is in the log's own keys."""
    ratings = {player: rating for player in _SIDES if (rating := _rating(value.get(f"{player}rating"))) is not None}
    lower = min(ratings.values()) if len(ratings) == len(_SIDES) else None
    return replace(record, date=_moment(value.get("timestamp")) or record.date, ratings=ratings,
                   rating=lower if record.rating is None else record.rating, choices=_choices(value.get("inputLog")))


def _moment(timestamp: object) -> str | None:
    """JavaScript's `Sun Nov 24 2024 10:00:00 GMT+0100 (Central European Standard Time)` in ISO 8601, UTC.

    >>> _moment("Sun Nov 24 2024 10:00:00 GMT+0100 (CET)")
    '2024-11-24T09:00:00Z'
    """
    try:
        moment = datetime.strptime(str(timestamp).split(" (")[0], "%a %b %d %Y %H:%M:%S GMT%z")
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        return None


def _rating(given: object) -> int | None:
    """The Elo rating before the battle, or else the one after it."""
    found = [given.get(key) for key in ("oldelo", "elo")] if isinstance(given, dict) else []
    for each in found:
        try:
            return int(float(each))  # type: ignore[arg-type]  # numbers, or numbers as text
        except (TypeError, ValueError, OverflowError):
            continue
    return None


def _choices(input_log: object) -> dict[str, tuple[str, ...]]:
    """Each player's choices, which the server writes once both are made."""
    found: dict[str, list[str]] = {player: [] for player in _SIDES}
    for line in input_log if isinstance(input_log, list) else ():
        if isinstance(line, str) and (choice := _CHOICE.fullmatch(line)):
            found[choice["player"]].append(choice["choice"])
    return {player: tuple(own) for player, own in found.items()} if any(found.values()) else {}
