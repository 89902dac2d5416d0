"""Names as Showdown writes them, and which of two lists mean the same Pokémon."""

from __future__ import annotations

import re
from collections.abc import Sequence

NOBODY = ("", "none", "unknown")


def toid(text: object) -> str:
    """`toid("Great Tusk") == "greattusk"`."""
    return re.sub(r"[^a-z0-9]", "", str(text or "").lower())


def same(first: object, second: object) -> bool:
    """The same move, item or ability: "hiddenpowerfire60" and "hiddenpower", "return102" and "return" are one move.

    Not one for beginning alike: "thunder" is not "thunderbolt", "psychic" not "psychicnoise".
    """
    a, b = plain_move(toid(first)), plain_move(toid(second))
    return bool(a) and a == b


def plain_move(move: str) -> str:
    """The move without the type or power that requests tie to it."""
    return re.sub(r"^(hiddenpower)\w*$|^(return|frustration)\d*$", lambda hit: hit[1] or hit[2], move)


def closeness(step_name: str, shown: str) -> int:
    """3: the same species and forme; 2: one name begins with the other; 1: formes of one species; 0: another."""
    a, b = toid(step_name), toid(shown.removesuffix("-*"))
    if not a or not b or a in NOBODY:
        return 0
    if a == b:
        return 3
    if a.startswith(b) or b.startswith(a):
        return 2
    base = toid(shown.split("-")[0])
    return 1 if len(base) > 2 and a.startswith(base) else 0


def pair_up(step_names: Sequence[str], truth: Sequence[Sequence[str]]) -> dict[int, int]:
    """Truth index -> slot, closest names first. Each Pokémon of the truth may go by several names."""
    scored = sorted(
        ((max((closeness(name, alias) for alias in aliases), default=0), -index, -slot)
         for index, aliases in enumerate(truth) for slot, name in enumerate(step_names)),
        reverse=True,
    )
    found: dict[int, int] = {}
    for score, index, slot in scored:
        if score and -index not in found and -slot not in found.values():
            found[-index] = -slot
    return found


def condition(text: str) -> tuple[float, str, bool] | None:
    """"57/237 par" -> (hp fraction, status, fainted); None where the text shows no hit points."""
    words = text.split()
    if not words or not words[0][:1].isdigit():
        return None
    if "fnt" in words:
        return 0.0, "none", True
    hp, _, maximum = words[0].partition("/")
    # Without a bar it is out of 100 (old logs).
    fraction = float(hp) / float(re.sub(r"[^\d.].*", "", maximum) or 100)
    return fraction, words[1] if len(words) > 1 else "none", fraction == 0
