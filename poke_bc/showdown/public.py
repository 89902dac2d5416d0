"""A player's own lines -> the lines that a spectator sees, which is what convert reads.

They differ in the HP of the player's own Pokémon, which it sees in points and all others in percent or on a bar of 48
pixels, and in a few lines that only it sees. Source: sim/pokemon.ts, getHealth (smogon/pokemon-showdown).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from poke_bc.dex import to_id

CONDITION_AT = {"switch": 4, "drag": 4, "-damage": 3, "-heal": 3, "-sethp": 3}
"""Kind of line -> the field that holds a condition."""
ROOM = frozenset({"request", "error", "split", "t:"})
"""Lines of the room or the player that are not the battle's."""


class PublicLines:
    """Turns one player's lines into those of a spectator; lines that are public already stay as they are.

    >>> public = PublicLines("p1")
    >>> list(public.of(["|gen|9", "|switch|p1a: Pika|Pikachu, L50|99/110", "|-damage|p2a: Eevee|40/100 brn"]))
    ['|gen|9', '|switch|p1a: Pika|Pikachu, L50|90/100', '|-damage|p2a: Eevee|40/100 brn']
    """

    def __init__(self, player: str) -> None:
        self._own = f"{player}a: "
        self._gen = 0
        self._percent = self._exact = False

    def of(self, lines: Iterable[str]) -> Iterator[str]:
        """The next lines of the battle."""
        for line in lines:
            kind = line[1:].split("|", 1)[0] if line[:1] == "|" else ""
            if kind in CONDITION_AT:
                yield self._shown(line, CONDITION_AT[kind])
            elif kind == "-ability" and line.startswith(self._own, 10) and line.endswith("|Pressure|[silent]"):
                continue  # in generation 3 nobody else is told
            elif kind not in ROOM:
                self._note(kind, line)
                yield line

    def _note(self, kind: str, line: str) -> None:
        if kind == "gen" and line[5:].isdecimal():
            self._gen = int(line[5:])
        elif kind == "rule":
            self._percent |= line.startswith("|rule|HP Percentage Mod")
            self._exact |= line.startswith("|rule|Exact HP Mod")
        elif kind == "tier":  # formats for trying things out show everything
            self._exact |= to_id(line).endswith(("customgame", "hackmonscustomgame"))

    def _shown(self, line: str, at: int) -> str:
        parts = line.split("|")
        if self._exact or len(parts) <= at or not parts[2].startswith(self._own):
            return line
        fraction, *status = parts[at].split(" ")
        left, _, most = fraction.partition("/")
        if not (left.isdecimal() and most.isdecimal() and int(left) and int(most)):
            return line
        parts[at] = " ".join([self._health(int(left), int(most)), *status])
        return "|".join(parts)

    def _health(self, left: int, most: int) -> str:
        if self._percent or self._gen >= 7:
            percent = -(-100 * left // most)
            return f"{99 if percent == 100 and left < most else percent}/100"
        pixels = 48 * left // most or 1
        colour = ""
        if self._gen >= 5 and pixels == 9:
            colour = "y" if left * 5 > most else "r"
        elif self._gen >= 5 and pixels == 24:
            colour = "g" if left * 2 > most else "y"
        return f"{pixels}/48{colour}"
