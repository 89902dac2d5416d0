"""Which battles the options of convert leave out, and why."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from pipelines.convert.pseudonyms import Pseudonyms
from pipelines.convert.summary import LOW_RATING, NO_DATE, NO_RATING, OTHER_DATE, OTHER_FORMAT, OTHER_PLAYER
from poke_bc.contract.errors import UsageError
from poke_bc.dex import to_id
from poke_bc.showdown.record import BattleRecord

_DAY = re.compile(r"\d{4}(-\d\d){0,2}")
_SHOWN = 8


@dataclass(frozen=True)
class Filters:
    """What a battle must be; None or empty: anything."""

    formats: tuple[str, ...] = ()
    min_rating: int | None = None
    since: str | None = None
    until: str | None = None
    """First and last day, month or year ("2024-05-31", "2024-05", "2024")."""
    players: tuple[str, ...] = ()
    """One of them plays; as `name_key` gives them after their names were replaced."""
    winner: str | None = None

    @classmethod
    def of(cls, pseudonyms: Pseudonyms, *, formats: Sequence[str], min_rating: int | None, since: str | None,
           until: str | None, players: Sequence[str], winner: str | None) -> Filters:
        """From options as users give them. Raises UsageError."""
        for option, day in (("--since", since), ("--until", until)):
            if day is not None and not _is_day(day):
                raise UsageError(f"{option} {day}: not a date", hint="such as 2024-05-31, 2024-05 or 2024")
        if since and until and since > until[:len(since)].ljust(len(since), "~"):
            raise UsageError(f"--since {since} is after --until {until}", hint="exchange them")
        keys = tuple(sorted({name_key(pseudonyms.name(name)) for name in players}))
        return cls(tuple(sorted({*map(to_id, formats)})), min_rating, since, until, keys,
                   None if winner is None else name_key(pseudonyms.name(winner)))

    def to_dict(self) -> dict[str, Any]:
        """For the plan of a job."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    def excluded(self, record: BattleRecord) -> tuple[str, str]:
        """Why a battle is left out, and what it is instead; empty if it is not."""
        if self.formats and record.format not in self.formats:
            return OTHER_FORMAT, record.format
        if self.since or self.until:
            if record.date is None:
                return NO_DATE, ""
            if ((self.since and record.date[:len(self.since)] < self.since)
                    or (self.until and record.date[:len(self.until)] > self.until)):
                return OTHER_DATE, record.date[:10]
        if self.players and not {*self.players} & {*_names(record, "|player|", 3)}:
            return OTHER_PLAYER, ""
        if self.winner is not None and self.winner not in _names(record, "|win|", 2):
            return OTHER_PLAYER, ""
        if self.min_rating is not None:
            rating = _lower_rating(record)
            if rating is None or rating < self.min_rating:
                return (NO_RATING, "") if rating is None else (LOW_RATING, str(rating))
        return "", ""

    def none_left(self, reason: str, found: Mapping[str, int]) -> tuple[str, str]:
        """What to say where every battle was left out, and a hint.

        Args:
            reason: why most of them were.
            found: formats of the battles of other formats, with their numbers.
        """
        if reason == OTHER_FORMAT:
            most = sorted(found, key=lambda name: (-found[name], name))
            there = ", ".join(f"{name or 'unknown'} ({found[name]:,})" for name in most[:_SHOWN])
            more = f" and {len(most) - _SHOWN} more" if len(most) > _SHOWN else ""
            return f"of format {', '.join(self.formats)}", f"there are: {there}{more}"
        return {
            LOW_RATING: (f"rated {self.min_rating} or more", "lower --min-rating"),
            NO_RATING: ("known to be rated", "omit --min-rating"),
            OTHER_DATE: (f"of the time from {self.since or 'the beginning'} to {self.until or 'the end'}",
                         "change --since and --until"),
            NO_DATE: ("known to have a date", "omit --since and --until"),
            OTHER_PLAYER: ("of these players", "names are compared as Showdown does: letters and digits alone; "
                                               "files of an earlier convert hold pseudonyms"),
        }[reason]


def name_key(name: str) -> str:
    """Names that Showdown takes for the same user have the same key."""
    return to_id(name) or name.strip().casefold()


def _is_day(text: str) -> bool:
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(f"{text}-01-01"[:10])
    except ValueError:
        return False
    return True


def _names(record: BattleRecord, kind: str, place: int) -> list[str]:
    """Names in one place of the lines of a kind."""
    fields = [line.split("|") for line in record.lines if line.startswith(kind)]
    return [name_key(each[place]) for each in fields if len(each) > place]


def _lower_rating(record: BattleRecord) -> int | None:
    """The lower of the two players' ratings; the record's own rating if the log does not give both."""
    found: dict[str, int] = {}
    for line in record.lines:
        if line.startswith("|player|"):
            fields = line.split("|")
            if len(fields) > 5 and fields[2] not in found and fields[5].strip().isdecimal():
                found[fields[2]] = int(fields[5])
        elif line.startswith("|turn|"):
            break
    return min(found["p1"], found["p2"]) if {"p1", "p2"} <= found.keys() else record.rating
