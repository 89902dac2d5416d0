"""Where in a log a player was asked, by what stands between a request and the lines that its answer brings."""

from __future__ import annotations

from collections.abc import Sequence

BETWEEN = frozenset({"", "t:", "choice", "c", "c:"})
"""Lines between a request and the choice that answers it."""
LEAVING = frozenset({"-end", "-curestatus"})
"""Silent lines of a Pokémon that leaves, after the choice."""
CAUSED_BY_LEAVING = frozenset({"detailschange", "-weather", "-end", "-ability", "-heal", "-curestatus", "-unboost"})


def request_before(lines: Sequence[str], number: int) -> int:
    """Step back from the line that shows a choice over silent lines, to the request.

    A bare bar stands between a request and what its answer brings: lines that leaving causes (Zero to Hero, the end
    of a weather or of Neutralizing Gas) come between the bar and the switch.

    >>> request_before(["|faint|p1a: Pika", "|", "|upkeep", "|", "|t:|9", "|switch|p1a: Eevee|Eevee|100/100"], 5)
    3
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
