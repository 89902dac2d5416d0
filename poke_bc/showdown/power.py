"""From Z-Moves and Max Moves back to their possible base moves, and to the crystal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from poke_bc.dex import Dex

MAX_GUARD = "maxguard"
CHANGING = ("weatherball", "hiddenpower", "terrainpulse", "naturalgift", "judgment", "multiattack", "technoblast",
            "revelationdance", "aurawheel", "ivycudgel", "ragingbull", "terablast")
"""Moves whose type can change."""


def base_slots(
    dex: Dex, names: Sequence[str], shown: str, power: str, imputed: frozenset[str] = frozenset()
) -> list[int]:
    """Slots of the four `names` that `shown` may come from: its type's attacks; for Max Guard the status moves.

    Where none has the type, it is a move whose type changes, or one that was never shown and for which another stands.

    Args:
        shown: id of the Z-Move or Max Move in the log.
        power: "z" or "max".
        imputed: those of `names` that were never shown.
    """
    if power == "z" and (only := only_base(dex, shown)):
        return [slot for slot, name in enumerate(names) if name == only]
    slots = _of_its_type(dex, names, shown)
    if not slots and shown != MAX_GUARD:
        slots = [slot for slot, name in enumerate(names) if name.startswith(CHANGING)]
    if slots:
        return slots
    of_kind = [slot for slot, name in enumerate(names)
               if (known := dex.move(name)) is not None and (known.category == "status") == (shown == MAX_GUARD)]
    hidden = [slot for slot, name in enumerate(names) if name in imputed]
    return [slot for slot in of_kind if slot in hidden] or of_kind or hidden


def only_base(dex: Dex, shown: str) -> str:
    """The base move of a species' own Z-Move (Clangorous Soulblaze: Clanging Scales); "" for other Z-Moves."""
    return next((item.z_from for item in dex.z_moves.values() if item.z_move == shown), "")


def crystal_of(dex: Dex, shown: str) -> str:
    """The Z-crystal that its holder used, from the Z-Move shown or the status move that it powered; "" if unknown.

    >>> from poke_bc.dex import dex
    >>> crystal_of(dex(7), "infernooverdrive"), crystal_of(dex(7), "clangoroussoulblaze"), crystal_of(dex(7), "splash")
    ('firiumz', 'kommoniumz', 'normaliumz')
    """
    move = dex.move(shown)
    of_type = ""
    for name, item in dex.z_moves.items():
        if item.z_move == shown:
            return name
        if move is not None and item.z_type == move.type:
            of_type = name
    return of_type


def may_power(dex: Dex, names: Sequence[str], power: str, shown: str) -> bool:
    """Whether one of `names` has the type of the Z-Move or Max Move shown."""
    own = power == "z" and only_base(dex, shown) in names
    return own or bool(_of_its_type(dex, names, shown))


def count_powered(
    dex: Dex, names: Sequence[str], powered: Mapping[tuple[str, str], int], used: Mapping[str, int],
    imputed: frozenset[str] = frozenset(),
) -> dict[str, int]:
    """PP used of each move, with that of Z-Moves and Max Moves where only one of `names` has the type.

    Args:
        imputed: names that count only if none of the others has it.
    """
    total = dict(used)
    for (power, shown), pp in powered.items():
        slots = base_slots(dex, names, shown, power) if power == "z" and only_base(dex, shown) \
            else _of_its_type(dex, names, shown)
        slots = [slot for slot in slots if names[slot] not in imputed] or slots
        if len(slots) == 1:
            base = names[slots[0]]
            total[base] = total.get(base, 0) + pp
    return total


def _of_its_type(dex: Dex, names: Sequence[str], shown: str) -> list[int]:
    powered = dex.move(shown)
    moves = [dex.move(name) for name in names]
    if powered is None:
        return []
    if shown == MAX_GUARD:
        return [slot for slot, move in enumerate(moves) if move is not None and move.category == "status"]
    return [slot for slot, move in enumerate(moves)
            if move is not None and move.category != "status" and move.type == powered.type]
