"""Stages of the seven boosts."""

from __future__ import annotations

from poke_bc.showdown.battle import Battle
from poke_bc.showdown.lines.reveals import reveal_cause
from poke_bc.showdown.protocol import BOOSTS, read_number
from poke_bc.showdown.state import Mon


def boost(battle: Battle, mon: Mon, parts: list[str]) -> None:
    if parts[3] not in BOOSTS:
        return
    index, amount = BOOSTS.index(parts[3]), read_number(parts[4])
    old = mon.boosts[index]
    new = amount if parts[1] == "-setboost" else old - amount if parts[1] == "-unboost" else old + amount
    mon.boosts[index] = max(-6, min(6, new))
    reveal_cause(battle, parts, mon)


def clear_boosts(battle: Battle, parts: list[str]) -> None:
    kind = parts[1]
    clears_all = kind == "-clearallboost"
    for mon in [side.active for side in battle.sides.values()] if clears_all else [battle.mon(parts[2])]:
        if mon is None:
            continue
        if kind in ("-clearnegativeboost", "-restoreboost"):
            mon.boosts = [max(value, 0) for value in mon.boosts]
        elif kind == "-clearpositiveboost":
            mon.boosts = [min(value, 0) for value in mon.boosts]
        elif kind == "-invertboost":
            mon.boosts = [-value for value in mon.boosts]
        else:
            mon.boosts = [0] * 7


def copy_boosts(battle: Battle, mon: Mon, parts: list[str]) -> None:
    if (source := battle.mon(parts[3])) is not None:
        mon.boosts = list(source.boosts)


def swap_boosts(battle: Battle, mon: Mon, parts: list[str]) -> None:
    if (foe := battle.mon(parts[3])) is None:
        return
    names = parts[4].split(", ") if len(parts) > 4 and parts[4] and not parts[4].startswith("[") else BOOSTS
    for name in names:
        index = BOOSTS.index(name)
        mon.boosts[index], foe.boosts[index] = foe.boosts[index], mon.boosts[index]
