"""Showdown's protocol as people store it -> clean lines, and the requests and choices found between them.

Dropped: chat, joins and leaves, timers, HTML, debug output, everything about the room instead of the battle, and lines
without a bar. A line is never split inside free text, so chat that looks like protocol stays chat. After `|split|`
(secret line, then public line) the public line is kept. Unknown lines are kept too, for the battle's reader to handle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

DROPPED = frozenset({
    "c", "c:", "chat", "chatmsg", "chatmsg-raw", "pm", ":",
    "j", "J", "join", "l", "L", "leave", "n", "N", "name", "users", "userlist", "userstats", "updateuser", "nametaken",
    "raw", "html", "uhtml", "uhtmlchange", "fieldhtml", "controlshtml", "pagehtml", "selectorhtml",
    "inactive", "inactiveoff", "badge", "init", "deinit", "noinit", "title", "hidelines", "unlink", "notify",
    "tempnotify", "tempnotifyoff", "tournament", "debug", "bigerror", "warning", "popup", "ScrapeTime", "sentchoice",
    "queryresponse", "updatesearch", "updatechallenges", "challstr", "formats", "customgroups", "expire", "refresh",
})
_GLUED = re.compile(r"\|(?=(?:-[a-z]+|move|switch|drag|faint|cant|replace|detailschange)\|p[1-4][a-c]?: "
                    r"|turn\|\d+$|win\|[^|]+$|tie$|upkeep$)")
"""Where a newline was lost: no argument of the protocol looks like the start of one of these lines."""
_FREE_TEXT = frozenset({"player", "poke", "rule", "tier", "rated", "message", "-message", "-hint", "showteam", "choice",
                        "win", "seed", "callback"})
_CHOICE = re.compile(r"(?:battle-[a-z0-9-]+)?\|?/(?:choose )?(?P<choice>(?:move|switch|team) .+?|default)(?:\|\d+)?\s*")
_UNDO = re.compile(r"(?:battle-[a-z0-9-]+)?\|?/(?:undo|cancel)\b.*")
_SIDE_CHOICE = re.compile(r">(?P<side>p[12]) (?P<choice>.+)")

Kind = Literal["request", "choice", "undo", "unavailable", "invalid"]


@dataclass(frozen=True)
class Event:
    """Something between the lines that only one player received or sent."""

    kind: Kind
    after_line: int
    """Number of clean lines before it."""
    text: str = ""
    side: str | None = None


@dataclass
class CleanLog:
    """The lines of a log that belong to the battle, and the events between them."""

    lines: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    before: list[int] = field(default_factory=lambda: [0])
    """[i]: number of clean lines among the first i raw lines."""


def clean(raw: Iterable[str]) -> CleanLog:
    r"""Clean a log.

    >>> log = clean(["|j|Ash", "|start", "|c|Ash|hi |win|Ash", "|faint|p1a: Pika|turn|4\r", "<div>"])
    >>> log.lines, log.before
    (['|start', '|faint|p1a: Pika', '|turn|4'], [0, 0, 1, 1, 3, 3])
    """
    log = CleanLog()
    for line in _without_secrets(raw, log):
        if line.startswith("|"):
            _take(line, log)
        elif line and (event := _sent_choice(line, len(log.lines))):
            log.events.append(event)
    log.before.append(len(log.lines))
    del log.before[0]
    return log


def _without_secrets(raw: Iterable[str], log: CleanLog) -> Iterator[str]:
    """Lines as a spectator gets them. `|split|p1` is followed by p1's line and the public one; in old logs `|split` is
    followed by the lines for spectators, p1, p2 and the full log. Fills `log.before`."""
    hidden: list[bool] = []  # of the next lines
    for given in raw:
        log.before.append(len(log.lines))
        line = given.removesuffix("\r")
        if hidden:
            if hidden.pop(0):
                continue
        elif line == "|split":
            hidden = [False, True, True, True]
            continue
        elif line.startswith("|split|"):
            hidden = [True, False]
            continue
        yield line


def _take(line: str, log: CleanLog) -> None:
    kind, bar, rest = line[1:].partition("|")
    if kind in DROPPED or (not kind and bar):  # `||text` is chat too
        if kind == "init" and rest == "battle":  # the player reconnected: the log starts over
            log.lines.clear()
    elif kind == "request":
        if rest.strip() not in ("", "null"):
            log.events.append(Event("request", len(log.lines), rest))
    elif kind == "error":
        if rest.startswith("[Unavailable choice]"):
            log.events.append(Event("unavailable", len(log.lines)))
        elif rest.startswith("[Invalid choice]"):
            log.events.append(Event("invalid", len(log.lines)))
    elif kind in _FREE_TEXT or not _GLUED.search(line, 1):
        log.lines.append(line)
    else:
        first, *others = _GLUED.split(line[1:])
        log.lines += [f"|{each}" for each in (first, *others)]


def _sent_choice(line: str, after_line: int) -> Event | None:
    """A choice in a line that a bot sent: `/choose move 1|3`, `battle-gen9ou-1|/switch 2`, `>p1 move 1`."""
    if found := _SIDE_CHOICE.fullmatch(line):
        kind: Kind = "undo" if found["choice"] == "undo" else "choice"
        return Event(kind, after_line, found["choice"].strip(), found["side"])
    if "/" not in line[:120]:
        return None
    if found := _CHOICE.fullmatch(line):
        return Event("choice", after_line, found["choice"].strip())
    return Event("undo", after_line) if _UNDO.fullmatch(line) else None
