"""User names in the lines of a battle, and how they are replaced."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_SIDE = re.compile(r"(p[1-4]): .*", re.DOTALL)
_LEAVING = re.compile(r"(?!Player \d )(?P<name>.+?)(?= (?:forfeited|lost due to inactivity|lost\.|has forfeited))")
_SIDE_ARGUMENT = {"-sidestart": 2, "-sideend": 2, "-ability": 4}
"""Arguments that name a side as `p1: USER` (in `-ability` Unnerve's target); elsewhere `p1: X` is a Pokémon."""
_NAMING = {"player", "win", "message", "-message", "-hint", *_SIDE_ARGUMENT}


class UserNames:
    """Replaces the user names of a battle in its lines, which are given in order.

    Args:
        name: a user name -> what stands in its place.
        known: names that may occur in addition to those in `player` lines.

    >>> users = UserNames(str.upper)
    >>> [users.replaced(line) for line in ("|player|p1|Ash|ash-avatar|1200", "|-message|Ash forfeited.", "|c|Ash|Ash")]
    ['|player|p1|ASH||1200', '|-message|ASH forfeited.', '|c|Ash|Ash']
    """

    def __init__(self, name: Callable[[str], str], known: Iterable[str] = ()) -> None:
        self._name = name
        self.of_side: dict[str, str] = {}
        self.names = {name.strip() for name in known} - {""}

    def replaced(self, line: str) -> str:
        """The line; unchanged where its kind names no user."""
        kind = line[1:line.find("|", 1)]  # a line without a second bar names no user
        if kind not in _NAMING:
            return line
        parts = line.split("|")
        if kind == "player":
            if len(parts) > 3 and parts[3].strip():
                self.names.add(parts[3].strip())
                parts[3] = self.of_side[parts[2]] = self._name(parts[3])
            if len(parts) > 4:
                parts[4] = ""  # custom avatars are named after their owner
        elif kind == "win":
            self.names.add("|".join(parts[2:]).strip())
            parts[2:] = [self._name("|".join(parts[2:]))]
        elif place := _SIDE_ARGUMENT.get(kind):
            if len(parts) > place and (side := _SIDE.fullmatch(parts[place])):
                name = self.of_side.get(side[1]) or self._name(parts[place][4:])
                parts[place] = f"{side[1]}: {name}"
        else:
            parts[2:] = [self._replace_in_text("|".join(parts[2:]), leaving=kind != "-hint")]
        return "|".join(parts)

    def _replace_in_text(self, text: str, *, leaving: bool) -> str:
        known = "|".join(re.escape(name) for name in sorted(self.names, key=lambda name: (-len(name), name)) if name)
        if known:
            alone = re.compile(rf"(?<!\w)(?:{known})(?!\w)", re.IGNORECASE)
            text = alone.sub(lambda found: self._name(found[0]), text)
        if leaving and (gone := _LEAVING.match(text)) and gone["name"] not in self.of_side.values():
            text = self._name(gone["name"]) + text[gone.end():]  # a player who was renamed
        return text
