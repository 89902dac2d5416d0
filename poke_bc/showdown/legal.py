"""Which of the ten actions were open: exactly from a request, else as far as a replay tells the player's knowledge.

Where no move of its own is left (Struggle, Recharge), the server takes any move slot for it: slot 0 is open then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from poke_bc.contract.actions import MOVE_SLOTS, NUM_ACTIONS
from poke_bc.dex import to_id
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.decision import PREVIEW, REVIVAL, TURN
from poke_bc.showdown.protocol import NONE, UNKNOWN, other
from poke_bc.showdown.state import Mon
from poke_bc.showdown.team import move_name

TRAPS = {"shadowtag": "", "arenatrap": "grounded", "magnetpull": "steel"}
Json = Mapping[str, Any]


def moves_of(battle: Battle, player: str, mon: Mon) -> tuple[str, ...]:
    """The four moves of an own Pokémon as it is now: its own, or what Transform and Mimic gave it."""
    if mon.now is not None and mon is battle.sides[player].active:
        return tuple(sorted(set(mon.now.moves)))
    own = mon.own.moves if mon.own else tuple(sorted(mon.moves))
    if mon.copied is not None:
        source = mon.copied
        return source.own.moves if source.own else tuple(sorted(source.moves))[:MOVE_SLOTS]
    if mon.mimicked:
        return tuple(sorted({mon.mimicked if move == "mimic" else move for move in own}))
    return own


def item_of(mon: Mon, *, sure: bool = False) -> str:
    """What an own Pokémon holds; `sure`: "unknown" rather than imputed."""
    if mon.now is not None:
        return mon.now.item
    if mon.item != UNKNOWN or mon.own is None:
        return mon.item
    return UNKNOWN if sure and "item" in mon.own.imputed else mon.own.item


def inferred_legal(battle: Battle, player: str, phase: str, locked: str = "") -> list[bool]:
    """As the log tells. What it leaves open stays open: nothing is closed on a guess.

    Args:
        locked: the only move that was open, as the log shows in hindsight and the player's request said at once.
    """
    side = battle.sides[player]
    legal = [False] * NUM_ACTIONS
    active = side.active
    for mon in side.mons:
        if mon.slot >= 0:
            legal[MOVE_SLOTS + mon.slot] = mon.fainted if phase == REVIVAL else not mon.fainted and (
                mon is not active or phase == PREVIEW)
    if phase != TURN or active is None:
        return legal
    names = moves_of(battle, player, active)
    locked = locked or only_option(battle, active)
    if locked:
        if locked not in ("struggle", "fight"):
            legal[MOVE_SLOTS:] = [False] * (NUM_ACTIONS - MOVE_SLOTS)
        legal[slot_of(names, locked) or 0] = True
        return legal
    if is_trapped(battle, player, active):
        legal[MOVE_SLOTS:] = [False] * (NUM_ACTIONS - MOVE_SLOTS)
    for slot, move in enumerate(names[:MOVE_SLOTS]):
        legal[slot] = is_open(battle, player, active, move)
    legal[0] |= not any(legal[:MOVE_SLOTS])
    return legal


def only_option(battle: Battle, active: Mon) -> str:
    """The only thing to choose: a charged or locked move, "recharge", generation 1's "fight", or ""."""
    if "mustrecharge" in active.volatiles:
        return "recharge"
    if active.charging:
        return active.charging
    if active.rampages(battle.turn):
        return active.last_move
    bound = battle.gen == 1 and (active.status in ("slp", "frz") or "partiallytrapped" in active.volatiles)
    return "fight" if bound else ""


def is_trapped(battle: Battle, player: str, mon: Mon) -> bool:
    """Whether the log shows that it cannot be switched out."""
    types = mon.current_types(battle.dex)
    if (battle.gen >= 6 and "ghost" in types) or item_of(mon, sure=True) == "shedshell":
        return False
    held = {"trapped", "noretreat", "ingrain", "fairylock"} | ({"partiallytrapped"} if battle.gen >= 2 else set())
    if held & mon.volatiles.keys():
        return True
    foe = battle.sides[other(player)].active
    how = TRAPS.get(foe.sure_ability(battle.dex)) if foe is not None and not foe.fainted else None
    if how is None:
        return False
    own_ability = mon.ability if mon.ability != UNKNOWN or mon.own is None else mon.own.ability
    if how == "grounded":
        return not ("flying" in types or own_ability == "levitate" or "magnetrise" in mon.volatiles
                    or item_of(mon) == "airballoon")
    return how in types if how else own_ability != "shadowtag"


def is_open(battle: Battle, player: str, mon: Mon, name: str) -> bool:
    """Whether nothing shown forbids the move."""
    side = battle.sides[player]
    move = battle.dex.move(name)
    used = (mon.copied_moves if mon.copied is not None else mon.moves).get(name, 0)
    if move is not None and used >= (5 if mon.copied is not None else move.pp):
        return False
    if side.dynamaxed or battle.may_dynamax(side):  # a Max Move ignores what forbids its base move
        return True
    locks = {
        mon.disabled and mon.disabled == name,
        mon.encored and mon.encored != name,
        mon.choice_locked and mon.choice_locked != name and holds_choice(battle, mon),
        "torment" in mon.volatiles and mon.last_move == name,
    }
    if any(locks):
        return False
    if move is None:
        return True
    return not (
        (move.category == "status" and ("taunt" in mon.volatiles or item_of(mon, sure=True) == "assaultvest"))
        or ("healblock" in mon.volatiles and "heal" in move.flags)
        or ("throatchop" in mon.volatiles and "sound" in move.flags)
        or ("gravity" in battle.rooms and "gravity" in move.flags)
    )


def holds_choice(battle: Battle, mon: Mon) -> bool:
    """Whether a choice item is held for sure."""
    return item_of(mon, sure=True) in battle.dex.choice_items and "magicroom" not in battle.rooms


# --- from a request -----------------------------------------------------------------------------------------------


def requested_moves(active: Json) -> list[bool]:
    """Which moves of a request can be chosen, with or without a gimmick.

    A Max or Z-Move ignores what disables its base move (choice items, Encore), never empty PP (Showdown's
    sim/side.ts, chooseMove). While dynamaxed (`maxMoves`, no `canDynamax`) only the Max Moves' state counts.
    """
    moves: Sequence[Json] = active.get("moves", ())
    is_open = [not move.get("disabled") for move in moves]
    if "maxMoves" in active:
        as_max = [not move.get("disabled") for move in active["maxMoves"]["maxMoves"]]
        may_stay = "canDynamax" in active
        is_open = [m or (n and may_stay) for m, n in zip(as_max, is_open, strict=True)]
    elif active.get("canZMove"):
        is_open = [n or z is not None for n, z in zip(is_open, active["canZMove"], strict=True)]
    return [ok and move.get("pp", 1) > 0 for ok, move in zip(is_open, moves, strict=True)]


def requested_legal(battle: Battle, player: str, request: Json, mons: Sequence[Mon]) -> list[bool]:
    """Exactly as the server allows. `mons`: own Pokémon in the request's order."""
    legal = [False] * NUM_ACTIONS
    rows = request["side"]["pokemon"]
    active = (request.get("active") or [None])[0]
    reviving = any(row.get("reviving") for row in rows)
    preview = bool(request.get("teamPreview"))
    if active is None or not active.get("trapped"):
        for mon, row in zip(mons, rows, strict=True):
            fainted = row["condition"].endswith(" fnt")
            legal[MOVE_SLOTS + mon.slot] = preview or (fainted == reviving and not row.get("active"))
    if active is None or preview:
        return legal
    mon = next(mon for mon, row in zip(mons, rows, strict=True) if row.get("active"))
    names = moves_of(battle, player, mon)
    for move, ok in zip(active.get("moves", ()), requested_moves(active), strict=True):
        slot = slot_of(names, move_name(battle.dex, to_id(move["id"])))
        if slot is not None:
            legal[slot] = ok
    legal[0] |= not any(legal[:MOVE_SLOTS])
    return legal


def slot_of(names: Sequence[str], move: str) -> int | None:
    """The slot of a move, whose type a log may leave out (`hiddenpower`) or a request spell out."""
    if move in names:
        return names.index(move)
    near = [slot for slot, name in enumerate(names)
            if move and move != NONE and (name.startswith(move) or move.startswith(name)) and "hiddenpower" in move]
    return near[0] if len(near) == 1 else None
