"""Where in a log the request stood that a forced switch answers."""

from __future__ import annotations

from collections.abc import Sequence

BETWEEN = frozenset({"", "t:", "choice", "c", "c:"})
"""Lines between a request and the choice that answers it."""
LEAVING = frozenset({"-end", "-curestatus"})
"""Silent lines of a Pokémon that leaves, after the choice."""
CAUSED_BY_LEAVING = frozenset({"detailschange", "-weather", "-end", "-ability", "-heal", "-curestatus", "-unboost"})
"""What leaving may cause: Zero to Hero, the end of a weather, of Dynamax or of Neutralizing Gas."""


def request_before(lines: Sequence[str], number: int) -> int:
    """Number of lines before the request that the switch in line `number` answers.

    A bare bar stands between a request and what its answer brings; old logs have none.

    >>> request_before(["|-damage|p1a: A|85/100", "|", "|detailschange|p1a: A|Palafin-Hero", "|switch|p1a: B|B|1/1"], 3)
    1
    """
    for before in range(number - 1, 0, -1):
        kind = lines[before][1:].split("|", 1)[0]
        if not kind:
            number = before
            break
        if kind not in CAUSED_BY_LEAVING:
            break
    while number > 0:
        line = lines[number - 1]
        kind = line[1:].split("|", 1)[0]
        if kind not in BETWEEN and not (kind in LEAVING and line.endswith("[silent]")):
            break
        number -= 1
    return number
