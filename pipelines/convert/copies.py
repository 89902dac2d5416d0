"""Records of one battle: found by their lines, and joined where they hold different players' requests.

Two records are of one battle if their lines are equal apart from timestamps, or if besides the HP differs and the id is
the same: a player's own log gives the own HP in points and the opponent's in percent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import NamedTuple

import xxhash

from poke_bc.showdown.record import PLAYERS, BattleRecord

_HP = re.compile(r"\|\d+(?:\.\d+)?/\d+[gyr]?(?![^ |\n])")


def untimed(lines: Sequence[str]) -> str:
    """The lines as one text, without the timestamps, which some collections leave out."""
    return "\n".join([line for line in lines if not line.startswith("|t:|")])


def as_played(lines: Sequence[str]) -> str:
    """What is the same in every log of a battle, whoever received it: the lines without timestamps and HP.

    >>> as_played(["|t:|1700000000", "|-damage|p1a: A|201/353 par", "|turn|2"])
    '|-damage|p1a: A| par\\n|turn|2'
    """
    return _HP.sub("|", untimed(lines))


class Identity(NamedTuple):
    """Hashes by which records of one battle are found."""

    id: int
    lines: int
    played: int
    """Of the id and the lines as played."""

    @classmethod
    def of(cls, record: BattleRecord) -> Identity:
        """The hashes of a record."""
        text = untimed(record.lines)
        played = f"{record.id}\n{_HP.sub('|', text)}"
        return cls(*(xxhash.xxh3_64_intdigest(each.encode(errors="replace")) for each in (record.id, text, played)))


class Copy(NamedTuple):
    """Where another record of a chosen battle is."""

    task: int
    place: int
    source: str
    """For messages: `replays/a.jsonl.zst:12`."""
    players: frozenset[str]
    """Whose requests it holds."""
    key: int
    """RawBattle.key."""
    kept: str
    """As in the ConvertTask that it belongs to."""


Where = tuple[int, int]
"""Number of a task, and place in it."""


@dataclass
class Copies:
    """The battles chosen so far, and the other records of them."""

    _ids: set[int] = field(default_factory=set)
    _chosen: dict[int, Where] = field(default_factory=dict)
    """Hash of the lines, or of the id and the lines as played -> the first record."""
    _others: dict[int, dict[int, list[Copy]]] = field(default_factory=dict)

    def first(self, identity: Identity) -> Where | None:
        """The chosen record of the same battle."""
        return self._chosen.get(identity.lines) or self._chosen.get(identity.played)

    def choose(self, identity: Identity, where: Where) -> bool:
        """Choose a record of a new battle; whether its id is free."""
        is_free = identity.id not in self._ids
        self._ids.add(identity.id)
        for key in identity[1:]:
            self._chosen.setdefault(key, where)
        return is_free

    def add(self, first: Where, copy: Copy) -> None:
        """Add another record of a chosen battle."""
        task, place = first
        self._others.setdefault(task, {}).setdefault(place, []).append(copy)

    def of_task(self, task: int) -> Mapping[int, tuple[Copy, ...]]:
        """The other records of the battles of a task, by place."""
        return {place: tuple(copies) for place, copies in self._others.get(task, {}).items()}


def join(record: BattleRecord, other: BattleRecord) -> BattleRecord:
    """A record with the requests of another one of the same battle too.

    The HP of each added player's Pokémon is taken from the other record: it may be that player's own log.
    """
    added = {player: asked for player, asked in other.requests.items() if player not in record.requests}
    timed = [line.startswith("|t:|") for line in record.lines]
    place = [0, *(number for number, is_time in enumerate(timed, 1) if not is_time)]
    """[i]: number of the record's lines up to the i-th that is no timestamp."""
    seen = [0, *accumulate(not line.startswith("|t:|") for line in other.lines)]
    theirs = iter([line for line in other.lines if not line.startswith("|t:|")])
    marks = tuple(f"{player}a: " for player in PLAYERS if player in added)
    lines = []
    for line, is_time in zip(record.lines, timed, strict=True):
        replacement = line if is_time else next(theirs)
        lines.append(replacement if line.split("|", 3)[2:3] and line.split("|", 3)[2].startswith(marks) else line)
    moved = {player: tuple(replace(each, after_line=place[seen[each.after_line]]) for each in asked)
             for player, asked in added.items()}
    return replace(record, lines=tuple(lines), requests={**record.requests, **moved})
