"""What a player knows of an own Pokémon at this moment: moves, item, ability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from poke_bc.contract.actions import MOVE_SLOTS
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.power import count_powered
from poke_bc.showdown.protocol import NONE, UNKNOWN
from poke_bc.showdown.state import Mon


def moves_of(battle: Battle, player: str, mon: Mon) -> tuple[str, ...]:
    """Its four moves as it is now: its own, or what Transform and Mimic gave it."""
    if mon.requested is not None and mon is battle.sides[player].active:
        return tuple(sorted(set(mon.requested.moves)))[:MOVE_SLOTS]
    own = mon.own_set.moves if mon.own_set else tuple(sorted(mon.moves))
    if mon.copied is not None:
        source = mon.copied
        return source.own_set.moves if source.own_set else tuple(sorted(source.moves))[:MOVE_SLOTS]
    if mon.mimicked or mon.sketched:
        now = {"mimic": mon.mimicked or "mimic", "sketch": mon.sketched or "sketch"}
        return tuple(sorted({now.get(move, move) for move in own}))
    return own


def pp_used(battle: Battle, player: str, mon: Mon) -> Mapping[str, int]:
    """PP used of the moves that it has now, as far as lines showed it."""
    if not mon.powered or mon.copied is not None:
        return mon.known_moves()
    imputed = mon.own_set.imputed if mon.own_set else frozenset()
    return count_powered(battle.dex, moves_of(battle, player, mon), mon.powered, mon.known_moves(), imputed)


def slot_of(names: Sequence[str], move: str) -> int | None:
    """The slot of a move."""
    return names.index(move) if move in names else None


def item_of(mon: Mon, *, certain: bool = False) -> str:
    """The item it holds; if `certain`, "unknown" rather than an imputed one."""
    if mon.requested is not None:
        return mon.requested.item
    if mon.item != UNKNOWN or mon.own_set is None:
        return mon.item
    return UNKNOWN if certain and "item" in mon.own_set.imputed else mon.own_set.item


def ability_of(battle: Battle, mon: Mon) -> str:
    """The ability in the request, else the one shown, or that of its set."""
    if battle.gen < 3:
        return NONE
    if mon.requested is not None and mon.requested.ability != UNKNOWN:
        return mon.requested.ability
    if mon.ability != UNKNOWN or mon.ability_changed or mon.own_set is None:
        return mon.ability
    return mon.own_set.ability


def certain_own_ability(battle: Battle, mon: Mon) -> str:
    """`ability_of`, but "unknown" where it is imputed, and "none" where it is suppressed."""
    if battle.ability_at_work(mon) == NONE:
        return NONE
    if mon.own_set is not None and mon.ability == UNKNOWN and "ability" in mon.own_set.imputed:
        return UNKNOWN
    return ability_of(battle, mon)
