"""Requests in a player's own log -> the lines that the player had seen when each arrived, and the player's choice.

Showdown sends a request after the update that caused it; until 2025 it sent the request first, directly before that
update. The first turn shows which order a log has: the request to move comes after or before `|turn|1`. In the older
order, a request belongs after the lines up to the next `|turn|`, `|teampreview`, the end of the battle, or the next
request, whichever comes first.

Every request is then checked against the lines before it. If one does not fit (requests out of order, lines missing),
all of them are ignored, and the battle is read like a plain replay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from pipelines.convert.clean_log import Event
from pipelines.convert.pseudonyms import Pseudonyms
from poke_bc.showdown.record import Player, RecordedRequest
from poke_bc.showdown.request_types import Request, check_request, typed

_DECODER = msgspec.json.Decoder(Request)
_SIDES: tuple[Player, ...] = ("p1", "p2")
_ENDINGS = ("|turn|", "|teampreview", "|win|")
_ACTIONS = ("|move|", "|switch|", "|drag|", "|cant|", "|upkeep", "|start", "|win|")


def read_requests(lines: Sequence[str], events: Sequence[Event],
                  pseudonyms: Pseudonyms) -> dict[Player, tuple[RecordedRequest, ...]]:
    """Each player's requests and choices, from the events of a log; empty where they do not fit its lines."""
    requests: dict[Player, list[RecordedRequest]] = {player: [] for player in _SIDES}
    rqids: dict[Player, object] = {}
    last: Player | None = None
    asked = (number for number, event in enumerate(events) if event.kind == "request")
    parsed = {number: request for place, number in enumerate(asked)
              if (request := _parse(events[number].text, f"requests[{place}].request")) is not None}
    first = _requests_first(lines, [(events[number].after_line, request) for number, request in parsed.items()])
    for number, event in enumerate(events):
        if number in parsed and (player := _player(parsed[number])):
            last = player
            rqid = parsed[number].get("rqid")
            if rqid is not None and rqid == rqids.get(player):
                continue  # sent again after a reconnect
            rqids[player] = rqid
            again = bool(requests[player]) and requests[player][-1].rejected  # without an update in between
            place = _end_of_update(lines, events, number) if first and not again else event.after_line
            requests[player].append(RecordedRequest(place, pseudonyms.request(parsed[number])))
        elif event.kind == "request":
            last = None  # cut off: what is sent now answers no request that is known
        elif (player := next((each for each in _SIDES if each == event.side), last)):
            _answer(requests[player], event)
    fits = all(_fits(lines, each) for own in requests.values() for each in own)
    return {player: tuple(own) for player, own in requests.items() if own} if fits else {}


def _answer(requests: list[RecordedRequest], event: Event) -> None:
    """Record a choice, an undo or an error for the latest request."""
    if not requests:
        return
    if event.kind == "choice":
        requests[-1] = replace(requests[-1], choice=event.text)
    elif event.kind in ("undo", "invalid"):  # the request stays open
        requests[-1] = replace(requests[-1], choice=None)
    elif requests[-1].choice is not None:
        requests[-1] = replace(requests[-1], rejected=True)


def _parse(text: str, path: str) -> Request | None:
    """A request; None where its line was cut off. Raises SkippedBattle."""
    try:
        return check_request(typed(text, _DECODER, path), path)
    except (msgspec.DecodeError, RecursionError):
        return None


def _player(request: Request) -> Player | None:
    return next((player for player in _SIDES if request.get("side", {}).get("id") == player), None)


def _requests_first(lines: Sequence[str], requests: Sequence[tuple[int, Request]]) -> bool:
    """Whether this log has each request before the update that caused it."""
    for key, marker in (("active", "|turn|"), ("teamPreview", "|teampreview")):
        shown = next((at for at, line in enumerate(lines) if line.startswith(marker)), None)
        sent = next((after_line for after_line, request in requests if request.get(key)), None)
        if shown is not None and sent is not None:
            return sent <= shown
    return False


def _end_of_update(lines: Sequence[str], events: Sequence[Event], number: int) -> int:
    """Number of lines up to the end of the update that follows event `number`."""
    start = events[number].after_line
    stop = next((event.after_line for event in events[number + 1:]
                 if event.kind == "request" and event.after_line > start), len(lines))
    for at in range(start, stop):
        if lines[at].startswith(_ENDINGS) or lines[at] == "|tie":
            return at + 1
    return stop


def _fits(lines: Sequence[str], recorded: RecordedRequest) -> bool:
    """Whether the last line before a request is one after which Showdown sends such a request."""
    if recorded.request.get("wait"):
        return True
    shown = lines[:recorded.after_line]
    for line in reversed(shown):
        if line.startswith("|turn|"):
            return not recorded.request.get("forceSwitch") and not recorded.request.get("teamPreview")
        if line.startswith("|teampreview"):
            return bool(recorded.request.get("teamPreview"))
        if line.startswith(_ACTIONS):
            return bool(recorded.request.get("forceSwitch"))
    return False
