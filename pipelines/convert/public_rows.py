"""Rows of public data sets -> the keys of the replay site.

    id, format, players, log, uploadtime, formatid, rating      with "MISSING" for what is not known
    battle_id, text, month_year, gamemode, elo                  with a range ("1500-1599", "1800+") as elo
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

NAMES = {"battle_id": "id", "text": "log", "gamemode": "format", "elo": "rating"}
"""Key of such a row -> the site's."""
_ABSENT = ("MISSING", "")
_LOWEST = re.compile(r"\s*(?P<lowest>\d+)\s*(?:[-–+]|to\b).*")
_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
           "december")
_MONTH = re.compile(r"(?P<year>\d{4})[-/](?P<number>0?[1-9]|1[0-2])|"
                    rf"(?P<name>{'|'.join(_MONTHS)})\W*(?P<its>\d{{4}})", re.IGNORECASE)


def as_replay(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with the site's keys, and without what is marked as unknown; any other object as it is.

    The rating of a range is its lowest: that much is certain.

    >>> as_replay({"battle_id": "7", "text": "|start", "gamemode": "gen9ou", "elo": "1500-1599", "players": "MISSING"})
    {'id': '7', 'log': '|start', 'format': 'gen9ou', 'rating': 1500}
    """
    known = {key: value for key, value in row.items() if not isinstance(value, str) or value not in _ABSENT}
    replay = {NAMES[key] if key in NAMES and NAMES[key] not in known else key: value for key, value in known.items()}
    if isinstance(rating := replay.get("rating"), str) and (found := _LOWEST.fullmatch(rating)):
        replay["rating"] = int(found["lowest"])
    return replay


def first_of_month(text: object) -> str | None:
    """A month -> its first day in ISO 8601.

    >>> first_of_month("2024-05"), first_of_month("May2024"), first_of_month("MISSING")
    ('2024-05-01T00:00:00Z', '2024-05-01T00:00:00Z', None)
    """
    if not isinstance(text, str) or not (found := _MONTH.fullmatch(text.strip())):
        return None
    number = int(found["number"]) if found["number"] else _MONTHS.index(found["name"].lower()) + 1
    return f"{found['year'] or found['its']}-{number:02}-01T00:00:00Z"
