"""Changes to a log or a JSON value, described by numbers alone.

What Hypothesis draws depends on no battle then, so an example that it stored stays one, whatever the battles are later.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

ODD_FIELDS = ["", "p1a: X", "p3a: Q", "p2: ", "[from] item: Leftovers", "[of] p9a: Z", "99999999999", "-5", "x", "é",
              "0 fnt", "350/100", "Pikachu, L999", "1", "2", "7"]
ODD_VALUES = [None, True, 0, -1, 10**30, 3.5, "", "x", "move 1", "0 fnt", "p1: X", "Pikachu, L50", "\ud800", [], {},
              [None], ["x"], {"a": 1}]
Change = tuple[str, int, int]
_NUMBER = st.integers(0, 2**20)
LOG_CHANGES = st.lists(st.tuples(st.sampled_from(["drop", "repeat", "swap", "cut", "field", "end", "player", "turn"]),
                                 _NUMBER, _NUMBER), min_size=1, max_size=4)
VALUE_CHANGES = st.lists(st.tuples(st.sampled_from(["replace", "remove", "copy"]), _NUMBER, _NUMBER),
                         min_size=1, max_size=3)
PICK = _NUMBER
"""Which of the battles, with `pick`."""


def pick(found: Sequence[Any], number: int) -> Any:
    """One of several, by any number."""
    return found[number % len(found)]


def change_log(given: Sequence[str], changes: Sequence[Change]) -> list[str]:
    """The lines with changes, one after the other."""
    lines = list(given)
    for what, first, second in changes:
        if not lines:
            break
        place, other = first % len(lines), second % len(lines)
        match what:
            case "drop":
                del lines[place]
            case "repeat":
                lines.insert(place, lines[other])
            case "swap":
                lines[place], lines[other] = lines[other], lines[place]
            case "cut":
                lines[place] = lines[place][: second % (len(lines[place]) + 1)]
            case "field":
                fields = lines[place].split("|")
                fields[second % len(fields)] = pick(ODD_FIELDS, second // 16)
                lines[place] = "|".join(fields)
            case "end":
                del lines[place + 1:]
            case "player":
                lines[place] = lines[place].replace("p1", "p2")
            case "turn":
                turns = [number for number, line in enumerate(lines) if line.startswith("|turn|")]
                if turns:
                    lines[pick(turns, first)] = f"|turn|{second % 40 - 3}"
    return lines


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """(container, key) of everything within a JSON value."""
    for key in value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0):
        yield value, key
        yield from places(value[key])


def change_value(value: Any, changes: Sequence[Change]) -> Any:
    """A JSON value with changes, one after the other."""
    value = json.loads(json.dumps(value))
    for what, first, second in changes:
        if not (found := list(places(value))):
            break
        parent, key = pick(found, first)
        match what:
            case "replace":
                parent[key] = pick(ODD_VALUES, second)
            case "remove":
                del parent[key]
            case "copy":
                other, name = pick(found, second)
                parent[key] = copy.deepcopy(other[name])
    return value
