"""Hidden Power has one id; its type follows from how well it works against types that are known."""

from __future__ import annotations

from poke_bc.showdown.battle import Battle
from poke_bc.showdown.protocol import UNKNOWN, cause_of
from poke_bc.showdown.state import Mon

TYPES = tuple("""
    ice fire grass ground electric fighting rock flying water bug psychic ghost dragon poison steel dark
    """.split())
"""All that it may have, the usual ones first."""
LINES = {"-supereffective": 1, "-resisted": -1}
"""Line about the target -> whether the move works better or worse than usual."""


def aim(battle: Battle, mon: Mon, foe: Mon | None) -> None:
    """It uses Hidden Power of its own against `foe`."""
    if foe is not None and foe.disguise is None and mon.copied is None:
        types = (*foe.current_types(battle.dex), foe.added_type)
        battle.hidden_power = (mon, types) if UNKNOWN not in types else None


def effective(battle: Battle, parts: list[str]) -> None:
    """`-supereffective` or `-resisted`."""
    learn(battle, LINES[parts[1]])


def immune(battle: Battle, parts: list[str]) -> None:
    """`-immune`, which may be the work of an ability."""
    if cause_of(parts) is None:
        learn(battle, None)
    battle.hidden_power = None


def learn(battle: Battle, works: int | None) -> None:
    """It works better (1), as usual (0), worse (-1) or not at all (None)."""
    if battle.hidden_power is None:
        return
    (mon, types), battle.hidden_power = battle.hidden_power, None
    mon.hidden_power = tuple(kind for kind in mon.hidden_power or TYPES
                             if _compare(battle.dex.effectiveness(kind, types)) == works) or mon.hidden_power


def _compare(factor: float) -> int | None:
    return None if factor == 0 else (factor > 1) - (factor < 1)
