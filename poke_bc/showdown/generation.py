"""Which generation a battle is of."""

from __future__ import annotations

from collections.abc import Iterable

from poke_bc.dex import dex
from poke_bc.showdown.protocol import move_id, read_details
from poke_bc.showdown.record import BattleRecord, SkippedBattle


def generation(record: BattleRecord) -> int:
    """1 to 9, from `|gen|` or the format's id. Raises SkippedBattle.

    Before November 2016 the ids of formats had no number, and at first logs had no `|gen|`: then it is generation 6 if
    something of it occurs, else 5.
    """
    text = next((line[5:] for line in record.lines[:60] if line.startswith("|gen|")), "")
    text = text or (record.format[3:4] if record.format.startswith("gen") else "")
    if not text:
        named = any(word in record.format for word in ("pokebank", "xy", "oras"))
        return 6 if named or _has_generation_6(record.lines) else 5
    if text not in tuple("123456789"):
        raise SkippedBattle("unknown generation", text)
    return int(text)


def _has_generation_6(lines: Iterable[str]) -> bool:
    """Whether a mega evolution, a species or a move of generation 6 occurs."""
    for line in lines:
        kind, _, rest = line[1:].partition("|")
        if kind == "-mega":
            return True
        name = rest.split("|")[1] if kind in ("poke", "switch", "drag", "move") and "|" in rest else ""
        if kind == "move" and name and dex(5).move(move_id(name)) is None and dex(6).move(move_id(name)) is not None:
            return True
        if kind in ("poke", "switch", "drag") and name:
            species = read_details(name).species
            if dex(5).species(species) is None and dex(6).species(species) is not None:
                return True
    return False
