"""Requests found in a player's own log -> which lines it had seen when it was asked, and what it answered.

Showdown sends a request after the update that it follows from; until 2025 it sent the request first and the update
right behind it. Which of the two a log does shows in its first turn: the request to move comes after or before
`|turn|1`. In the older order a request therefore belongs behind the lines up to the next `|turn|`, `|teampreview`,
the end of the battle, or the next request of the same player, whatever comes first.

Every request is then checked against the lines before it. Where one does not fit (requests in disorder, parts of the
log missing) all of them are left aside, and the battle is read like a plain replay.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipelines.battles.clean_log import Event
from pipelines.battles.names import Hiding
from poke_bc.showdown.record import Player, RecordedRequest

_SIDES: tuple[Player, ...] = ("p1", "p2")
_ENDINGS = ("|turn|", "|teampreview", "|win|")
_ACTIONS = ("|move|", "|switch|", "|drag|", "|cant|", "|upkeep", "|start", "|win|")


def read_requests(
    lines: Sequence[str], events: Sequence[Event], hiding: Hiding
) -> dict[Player, tuple[RecordedRequest, ...]]:
    """What each player was asked and answered, by the events of its log; nothing where they do not fit the lines."""
    asked: dict[Player, list[RecordedRequest]] = {player: [] for player in _SIDES}
    rqids: dict[Player, object] = {}
    last: Player | None = None
    requests = {number: request for number, event in enumerate(events)
                if event.kind == "request" and (request := _parse(event.text)) is not None}
    first = _requests_first(lines, [(events[number].after_line, request) for number, request in requests.items()])
    for number, event in enumerate(events):
        if number in requests and (player := _player(requests[number])):
            last = player
            rqid = requests[number].get("rqid")
            if rqid is not None and rqid == rqids.get(player):
                continue  # sent once more after the player came back
            rqids[player] = rqid
            again = bool(asked[player]) and asked[player][-1].rejected  # no update comes between
            place = _behind_update(lines, events, number) if first and not again else event.after_line
            asked[player].append(RecordedRequest(place, hiding.request(requests[number])))
        elif event.kind != "request" and (player := next((each for each in _SIDES if each == event.side), last)):
            _answer(asked[player], event)
    given = {player: tuple(each) for player, each in asked.items() if each}
    return given if all(_fits(lines, each) for player in given for each in given[player]) else {}


def _answer(asked: list[RecordedRequest], event: Event) -> None:
    if not asked:
        return
    if event.kind == "choice":
        asked[-1] = replace(asked[-1], choice=event.text)
    elif event.kind in ("undo", "invalid"):  # the same request stays open
        asked[-1] = replace(asked[-1], choice=None)
    elif asked[-1].choice is not None:
        asked[-1] = replace(asked[-1], rejected=True)


def _parse(text: str) -> dict[str, Any] | None:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _player(request: Mapping[str, Any]) -> Player | None:
    side = request.get("side")
    return next((player for player in _SIDES if isinstance(side, dict) and side.get("id") == player), None)


def _requests_first(lines: Sequence[str], requests: Sequence[tuple[int, dict[str, Any]]]) -> bool:
    """Whether this log has each request before the update that it follows from."""
    for key, marker in (("active", "|turn|"), ("teamPreview", "|teampreview")):
        shown = next((at for at, line in enumerate(lines) if line.startswith(marker)), None)
        asked = next((after_line for after_line, request in requests if request.get(key)), None)
        if shown is not None and asked is not None:
            return asked <= shown
    return False


def _behind_update(lines: Sequence[str], events: Sequence[Event], number: int) -> int:
    """Where the update ends that follows on event `number`."""
    start = events[number].after_line
    stop = next((event.after_line for event in events[number + 1:]
                 if event.kind == "request" and event.after_line > start), len(lines))
    for at in range(start, stop):
        if lines[at].startswith(_ENDINGS) or lines[at] == "|tie":
            return at + 1
    return stop


def _fits(lines: Sequence[str], asked: RecordedRequest) -> bool:
    """Whether the last thing shown before a request is what makes Showdown ask for it."""
    if asked.request.get("wait"):
        return True
    shown = lines[:asked.after_line]
    for line in reversed(shown):
        if line.startswith("|turn|"):
            return not asked.request.get("forceSwitch") and not asked.request.get("teamPreview")
        if line.startswith("|teampreview"):
            return bool(asked.request.get("teamPreview"))
        if line.startswith(_ACTIONS):
            return bool(asked.request.get("forceSwitch"))
    return False
