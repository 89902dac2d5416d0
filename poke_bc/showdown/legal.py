"""Which of the ten actions are legal: exactly, from a request, or as far as a replay shows what the player knew.

If no own move is left (Struggle, Recharge), the server accepts any move slot: slot 0 is legal then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from poke_bc.contract.actions import MOVE_SLOTS, NUM_ACTIONS
from poke_bc.dex import to_id
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.decision import PREVIEW, REVIVAL, TURN
from poke_bc.showdown.lines.effects import BINDING_MOVES
from poke_bc.showdown.own_pokemon import certain_own_ability, item_of, moves_of, pp_used, slot_of
from poke_bc.showdown.protocol import NONE
from poke_bc.showdown.requests import open_ways
from poke_bc.showdown.seen import move_name
from poke_bc.showdown.state import Mon

TRAPS = {"shadowtag": "", "arenatrap": "grounded", "magnetpull": "steel"}
"""Ability -> what it traps: a type, Pokémon on the ground, or ("") all."""
TRAPPING = frozenset({"trapped", "noretreat", "ingrain"})
"""Volatiles that trap."""
Json = Mapping[str, Any]


def inferred_legal(battle: Battle, player: str, phase: str, locked: str = "") -> list[bool]:
    """What the log allows: an action is illegal only where the log shows it.

    Args:
        locked: the only legal move; the log shows it in hindsight, the player's request did at once.
    """
    side = battle.sides[player]
    legal = [False] * NUM_ACTIONS
    active = side.active
    for mon in side.mons:
        if mon.slot >= 0 and (mon.brought or phase == PREVIEW):
            legal[MOVE_SLOTS + mon.slot] = mon.fainted if phase == REVIVAL else not mon.fainted and (
                mon is not active or phase == PREVIEW)
    if phase != TURN or active is None:
        return legal
    names = moves_of(battle, player, active)
    locked = locked or only_option(battle, active)
    if locked:
        if locked not in ("struggle", "fight") and not (battle.gen == 1 and locked in BINDING_MOVES):
            legal[MOVE_SLOTS:] = [False] * (NUM_ACTIONS - MOVE_SLOTS)
        legal[slot_of(names, locked) or 0] = True
        return legal
    if is_trapped(battle, player, active):
        legal[MOVE_SLOTS:] = [False] * (NUM_ACTIONS - MOVE_SLOTS)
    legal[:MOVE_SLOTS] = open_moves(battle, player, active)
    if True not in legal[:MOVE_SLOTS]:
        legal[0] = True
    return legal


def open_moves(battle: Battle, player: str, active: Mon) -> list[bool]:
    """The slots whose moves nothing shown prevents; none is left: Struggle."""
    restricted, used = may_be_restricted(battle, active), pp_used(battle, player, active)
    names = moves_of(battle, player, active)[:MOVE_SLOTS]
    return [has_pp(battle, active, move, used) and not (restricted and is_prevented(battle, player, active, move))
            for move in names] + [False] * (MOVE_SLOTS - len(names))


def only_option(battle: Battle, active: Mon) -> str:
    """The only possible choice: a charged or locked move, "recharge", generation 1's "fight"; "" if there are more."""
    if "mustrecharge" in active.volatiles:
        return "recharge"
    if active.charging:
        return active.charging
    if is_rampaging(battle, active):
        return active.rampage
    if "binding" in active.volatiles:
        return active.last_move
    bound = battle.gen == 1 and (active.status in ("slp", "frz") or "partiallytrapped" in active.volatiles)
    return "fight" if bound else ""


def is_rampaging(battle: Battle, mon: Mon) -> bool:
    """Whether Outrage (two turns, or three) or Rollout (five) certainly locks it in.

    From generation 5 on a line tells that Outrage has ended, of fatigue, unless the Pokémon cannot get confused.
    """
    if "locked" not in mon.volatiles:
        return False
    longest = 4 if mon.rampage in ("rollout", "iceball") else 1
    if battle.gen >= 5 and mon.rampage not in ("rollout", "iceball", "uproar"):
        species = battle.dex.species(mon.shape)
        immune = ("confusion" in mon.volatiles or battle.terrain == "mistyterrain" or species is None
                  or "owntempo" in (mon.ability, *species.abilities))
        longest = 1 if immune else 2
    return 1 <= battle.turn - mon.volatiles["locked"] <= longest


def is_trapped(battle: Battle, player: str, mon: Mon) -> bool:
    """Whether the log shows that it cannot switch out."""
    held = not TRAPPING.isdisjoint(mon.volatiles) or ("partiallytrapped" in mon.volatiles and battle.gen >= 2) \
        or battle.fairy_lock == battle.turn
    foe = battle.foe_of(player)
    how = TRAPS.get(battle.certain_ability(foe)) if foe is not None and not foe.fainted else None
    if not held and how is None:
        return False
    types = (*mon.current_types(battle.dex), mon.added_type)
    if (battle.gen >= 6 and "ghost" in types) or item_of(mon, certain=True) == "shedshell":
        return False
    if held:
        return True
    if foe is None or battle.ability_at_work(foe) == NONE:
        return False
    own_ability = certain_own_ability(battle, mon)
    if how == "grounded":
        return not ("flying" in types or own_ability == "levitate" or "magnetrise" in mon.volatiles
                    or item_of(mon) == "airballoon")
    return how in types if how else own_ability != "shadowtag"


def has_pp(battle: Battle, mon: Mon, name: str, used: Mapping[str, int]) -> bool:
    """Whether a move has PP left. `used`: what `pp_used` says of all."""
    times = used.get(name, 0)
    if not times:
        return True
    move = battle.dex.move(name)
    return move is None or times < (min(move.pp, 5) if mon.copied is not None else move.pp)


def must_struggle(battle: Battle, player: str, mon: Mon) -> bool:
    """Whether it certainly has no move that can be chosen."""
    names, used = moves_of(battle, player, mon), pp_used(battle, player, mon)
    if mon.own_set is None or not mon.own_set.imputed.isdisjoint(names):
        return False
    restricted = may_be_restricted(battle, mon)
    return (restricted or any(times >= 5 for times in used.values())) and not any(
        has_pp(battle, mon, name, used) and not (restricted and is_prevented(battle, player, mon, name))
        for name in names)


def may_be_restricted(battle: Battle, mon: Mon) -> bool:
    """Whether anything shown could prevent some of its moves: a quick check before `is_prevented`."""
    return bool(mon.disabled or mon.encored or mon.choice_locked or mon.volatiles or battle.rooms
                or item_of(mon, certain=True) == "assaultvest" or is_unrepeatable(battle, mon.last_move))


def is_unrepeatable(battle: Battle, name: str) -> bool:
    """Whether it is a move that cannot be used twice in a row (Gigaton Hammer)."""
    move = battle.dex.move(name) if battle.gen >= 9 and name != NONE else None
    return move is not None and "cantusetwice" in move.flags


def is_prevented(battle: Battle, player: str, mon: Mon, name: str) -> bool:
    """Whether something shown prevents the move."""
    side, volatiles = battle.sides[player], mon.volatiles
    if side.dynamaxed or battle.may_dynamax(side):  # a Max Move ignores what prevents its base move
        return False
    if (
        (mon.disabled and mon.disabled == name)
        or (mon.encored and mon.encored != name)
        or (mon.choice_locked and mon.choice_locked != name and is_choice_locked(battle, mon))
        or (mon.last_move == name and ("torment" in volatiles or is_unrepeatable(battle, name)))
    ):
        return True
    move = battle.dex.move(name)
    return move is not None and (
        (move.category == "status" and ("taunt" in volatiles or item_of(mon, certain=True) == "assaultvest"))
        or ("healblock" in volatiles and "heal" in move.flags)
        or ("throatchop" in volatiles and "sound" in move.flags)
        or ("gravity" in battle.rooms and "gravity" in move.flags)
    )


def is_choice_locked(battle: Battle, mon: Mon) -> bool:
    """Whether what locks it into a move, a choice item or Gorilla Tactics, is certain and works."""
    ability = certain_own_ability(battle, mon)
    if ability == "gorillatactics":
        return True
    works = "magicroom" not in battle.rooms and "embargo" not in mon.volatiles and ability != "klutz"
    return works and item_of(mon, certain=True) in battle.dex.choice_items


# --- from a request -----------------------------------------------------------------------------------------------


def requested_legal(battle: Battle, player: str, request: Json, mons: Sequence[Mon]) -> list[bool]:
    """Exactly what the server accepts. `mons`: own Pokémon in the request's order."""
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
    for move, ways in zip(active.get("moves", ()), open_ways(active), strict=True):
        slot = slot_of(names, move_name(battle.dex, to_id(move["id"])))
        if slot is not None:
            legal[slot] = any(ways)
    legal[0] |= not any(legal[:MOVE_SLOTS])
    return legal
