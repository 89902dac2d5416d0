"""The observation of the singles schema: what one player could know at this moment. Convert and live play call it.

Of the own side: all that its player knows. Of the opponent: what was shown, as it was shown (HP in percent, under
Illusion the disguise). Field by field: poke_bc/contract/schemas/singles.toml.
"""

from __future__ import annotations

from typing import Any

from poke_bc.showdown.battle import Battle
from poke_bc.showdown.decision import TURN
from poke_bc.showdown.legal import item_of, moves_of, only_option
from poke_bc.showdown.protocol import NONE, UNKNOWN, other
from poke_bc.showdown.state import DYNAMAX, MEGA, TEAM, TERA, Mon, Side, Z

Json = dict[str, Any]

SLOTS = 4
AGE_MAX, TURN_MAX, COUNT_MAX, PP_MAX = 255, 1000, 31, 64
VOLATILES = tuple("""
    substitute confusion leechseed taunt encore disable torment attract yawn curse nightmare partiallytrapped
    trapped ingrain aquaring magnetrise healblock throatchop focusenergy charge saltcure destinybond perishsong
    flashfire slowstart mustrecharge charging locked transform smackdown
    """.split())
"""Order of `own_volatiles` and `opp_volatiles`."""
_PLACE = {name: place for place, name in enumerate(VOLATILES)} | {
    "perish": VOLATILES.index("perishsong"), "noretreat": VOLATILES.index("trapped")}
SCREENS = {"reflect": "reflect", "light_screen": "lightscreen", "aurora_veil": "auroraveil", "tailwind": "tailwind",
           "safeguard": "safeguard", "mist": "mist"}
ROOMS = {"trick_room": "trickroom", "magic_room": "magicroom", "wonder_room": "wonderroom", "gravity": "gravity"}


def observe(battle: Battle, player: str, phase: str, *, locked: str = "", can: tuple[bool, ...] | None = None) -> Json:
    """What `player` ("p1" or "p2") could know now.

    Args:
        battle: followed up to the moment of the decision; the player's own team has its sets (`Mon.own`).
        phase: "preview", "turn", "forced_faint", "forced_pivot" or "revival".
        locked: the only move that was open, where the request said so.
        can: which of mega, Z, dynamax, tera could be chosen, from the request; None: as far as the log tells.

    Returns:
        One value or list for each field of schema `singles`, but for the damage estimates
        (poke_bc.showdown.damage.add_damage, which works on many observations at once).
    """
    own, opp = battle.sides[player], battle.sides[other(player)]
    seen: Json = {
        "turn": min(battle.turn, TURN_MAX),
        "phase": phase,
        "own_can_gimmick": list(can) if can is not None else can_gimmick(battle, own, phase, locked),
        "weather": battle.weather,
        "weather_turns": _age(battle, battle.weather_since) if battle.weather != NONE else 0,
        "terrain": battle.terrain,
        "terrain_turns": _age(battle, battle.terrain_since) if battle.terrain != NONE else 0,
    }
    for name, room in ROOMS.items():
        seen[name] = _age(battle, battle.rooms[room]) if room in battle.rooms else 0
    _add_side(seen, "own", battle, own)
    _add_side(seen, "opp", battle, opp)
    _add_own_team(seen, battle, own)
    _add_opponent_team(seen, battle, opp)
    _add_active(seen, "own", battle, own, own.active, locked)
    _add_active(seen, "opp", battle, opp, opp.active, "")
    for name, side in (("own", own), ("opp", opp)):
        done = side.before if phase == TURN else side.now
        seen |= {f"{name}_previous_move": done.move, f"{name}_moved_first": done.moved_first,
                 f"{name}_switched": done.switched, f"{name}_crit": done.crit, f"{name}_missed": done.missed,
                 f"{name}_failed": done.failed}
    return seen


def _age(battle: Battle, since: int) -> int:
    return min(battle.age(since), AGE_MAX)


def _add_side(seen: Json, name: str, battle: Battle, side: Side) -> None:
    conditions = side.conditions
    seen[f"{name}_stealth_rock"] = "stealthrock" in conditions
    seen[f"{name}_spikes"] = conditions.get("spikes", 0)
    seen[f"{name}_toxic_spikes"] = conditions.get("toxicspikes", 0)
    seen[f"{name}_sticky_web"] = "stickyweb" in conditions
    inside = side.active.volatiles if side.active is not None and battle.gen == 1 else {}
    for field, condition in SCREENS.items():
        since = conditions.get(condition, inside.get(condition))
        seen[f"{name}_{field}"] = _age(battle, since) if since is not None else 0
    seen[f"{name}_wish"] = max(side.wish + 2 - battle.turn, 0) if side.wish else 0
    seen[f"{name}_future_sight"] = max(side.future + 3 - battle.turn, 0) if side.future else 0
    seen[f"{name}_alive"] = side.alive
    seen[f"{name}_gimmick_used"] = list(side.gimmick_used)
    seen[f"{name}_dynamax_turns"] = min(battle.age(side.dynamaxed), 3) if side.dynamaxed else 0


def _add_own_team(seen: Json, battle: Battle, side: Side) -> None:
    species, ability, item, last = [NONE] * TEAM, [NONE] * TEAM, [NONE] * TEAM, [NONE] * TEAM
    type1, type2, tera, status = [NONE] * TEAM, [NONE] * TEAM, [NONE] * TEAM, [NONE] * TEAM
    terastallized, active, fainted, shown = ([False] * TEAM for _ in range(4))
    level, turns, hp = [0] * TEAM, [0] * TEAM, [0.0] * TEAM
    moves, pp, moves_shown = [NONE] * (TEAM * SLOTS), [0] * (TEAM * SLOTS), [False] * (TEAM * SLOTS)
    item_shown, ability_shown = [False] * TEAM, [False] * TEAM
    for mon in side.mons:
        at = mon.slot
        if at < 0:
            continue
        now = mon.now
        species[at], level[at], last[at] = mon.shape, mon.details.level, mon.last_item
        item[at] = item_of(mon)
        ability[at] = now.ability if now is not None else own_ability(battle, mon)
        type1[at], type2[at] = mon.current_types(battle.dex)
        if battle.gen >= 9:
            tera[at] = mon.tera if mon.terastallized else mon.own.tera if mon.own else UNKNOWN
        terastallized[at] = mon.terastallized
        hp[at] = round(now.hp if now is not None else mon.hp, 4)
        status[at] = now.status if now is not None else mon.status
        if mon.status_turns:
            turns[at] = min(mon.status_turns, COUNT_MAX)
        active[at] = mon is side.active
        fainted[at] = now.fainted if now is not None else mon.fainted
        shown[at] = mon.seen
        item_shown[at], ability_shown[at] = mon.item_shown, mon.ability_shown
        used = mon.copied_moves if mon.copied is not None else mon.moves
        names = moves_of(battle, side.player, mon)[:SLOTS]
        moves[at * SLOTS:at * SLOTS + len(names)] = names
        if used:
            for place, move in enumerate(names, start=at * SLOTS):
                count = used.get(move)
                if count is not None:
                    moves_shown[place] = True
                    pp[place] = count if count < PP_MAX else PP_MAX
        if now is not None and now.pp_used is not None and mon is side.active and len(now.pp_used) == len(now.moves):
            exact = dict(zip(now.moves, now.pp_used, strict=True))
            for place in range(at * SLOTS, at * SLOTS + SLOTS):
                pp[place] = exact.get(moves[place], pp[place])
    seen |= {
        "own_species": species, "own_ability": ability, "own_item": item, "own_last_item": last,
        "own_type1": type1, "own_type2": type2, "own_tera": tera, "own_terastallized": terastallized,
        "own_level": level, "own_hp": hp, "own_status": status, "own_status_turns": turns, "own_active": active,
        "own_fainted": fainted, "own_seen": shown, "own_moves": moves, "own_pp_used": pp,
        "own_moves_shown": moves_shown, "own_item_shown": item_shown, "own_ability_shown": ability_shown,
    }


def own_ability(battle: Battle, mon: Mon) -> str:
    """What the log shows, else what a lasting forme has, else what the set says."""
    if mon.ability != UNKNOWN or mon.own is None:
        return mon.ability if battle.gen >= 3 else NONE
    if mon.forme != mon.details.species:
        species = battle.dex.species(mon.forme)
        if species is not None and len(species.abilities) == 1:
            return species.abilities[0]
    return mon.own.ability


def _add_opponent_team(seen: Json, battle: Battle, side: Side) -> None:
    species, ability, item, last = [NONE] * TEAM, [NONE] * TEAM, [NONE] * TEAM, [NONE] * TEAM
    type1, type2, tera, status = [NONE] * TEAM, [NONE] * TEAM, [NONE] * TEAM, [NONE] * TEAM
    active, fainted, shown = [False] * TEAM, [False] * TEAM, [False] * TEAM
    level, turns, hp = [0] * TEAM, [0] * TEAM, [0.0] * TEAM
    moves, pp = [NONE] * (TEAM * SLOTS), [0] * (TEAM * SLOTS)
    for at in range(min(side.size, TEAM)):
        mon = side.shown[at] if at < len(side.shown) else None
        # `who` stands there; under Illusion it is not what it is shown as.
        who = side.active if side.active is not None and side.active.disguise is mon and mon is not None else mon
        hp[at] = 1.0
        ability[at] = UNKNOWN if battle.gen >= 3 else NONE
        item[at] = UNKNOWN if battle.gen >= 2 else NONE
        tera[at] = UNKNOWN if battle.gen >= 9 else NONE
        moves[at * SLOTS:(at + 1) * SLOTS] = [UNKNOWN] * SLOTS
        if mon is None or who is None:
            species[at] = type1[at] = type2[at] = UNKNOWN
            continue
        species[at], level[at], shown[at] = mon.shape, mon.details.level, mon.seen
        if not mon.seen:
            species[at] = mon.previewed
            type1[at], type2[at] = types_of(battle, mon.previewed)
            continue
        type1[at], type2[at] = mon.current_types(battle.dex)
        if battle.gen >= 3:
            ability[at] = mon.ability
        if battle.gen >= 2:
            item[at] = mon.item
        last[at] = mon.last_item
        if battle.gen >= 9:
            tera[at] = mon.tera if mon.tera != UNKNOWN else who.tera
        last_shown = who.believed if who is mon and who.believed is not None else who.believe()
        hp[at], status[at] = round(last_shown.hp, 4), last_shown.status
        if last_shown.status_turns:
            turns[at] = min(last_shown.status_turns, COUNT_MAX)
        active[at] = who is side.active and (who is not mon or mon.disguise is None)
        fainted[at] = who.fainted
        used = shown_moves(mon, who)
        for place, (move, count) in zip(range(at * SLOTS, (at + 1) * SLOTS), used.items(), strict=False):
            moves[place], pp[place] = move, count if count < PP_MAX else PP_MAX
    seen |= {
        "opp_species": species, "opp_ability": ability, "opp_item": item, "opp_last_item": last,
        "opp_type1": type1, "opp_type2": type2, "opp_tera": tera, "opp_level": level, "opp_hp": hp,
        "opp_status": status, "opp_status_turns": turns, "opp_active": active, "opp_fainted": fainted,
        "opp_seen": shown, "opp_moves": moves, "opp_pp_used": pp,
    }


def types_of(battle: Battle, species: str) -> tuple[str, str]:
    """Both types of a species, "none" where there is one."""
    return battle.dex.both_types(species) or (UNKNOWN, NONE)


def shown_moves(mon: Mon, who: Mon) -> dict[str, int]:
    """Moves that the opponent credits to `mon`, where `who` really stands."""
    if who.copied is not None:
        return who.copied_moves
    if who is not mon:
        return mon.moves | mon.credited | {move: who.moves.get(move, 1) for move in sorted(who.stint_moves)}
    if mon.hidden or mon.credited:
        return {move: used for move, used in mon.moves.items() if move not in mon.hidden} | mon.credited
    return mon.moves


def _add_active(seen: Json, name: str, battle: Battle, side: Side, mon: Mon | None, locked: str) -> None:
    flags = [False] * len(VOLATILES)
    boosts, perish, stockpile, since, streak, last = [0] * 7, 0, 0, 0, 0, NONE
    if mon is not None and not mon.fainted:
        for effect in mon.volatiles:
            place = _PLACE.get(effect)
            if place is not None:
                flags[place] = True
        boosts = list(mon.boosts)
        perish, stockpile = min(mon.volatiles.get("perish", 0), 4), min(mon.volatiles.get("stockpile", 0), 3)
        since, streak, last = min(battle.turn - mon.came_in, TURN_MAX), min(mon.protect_streak, 15), mon.last_move
    if locked and locked not in ("struggle", "recharge"):
        flags[_PLACE["locked"]] = True
    elif locked == "recharge":
        flags[_PLACE["mustrecharge"]] = True
    seen |= {f"{name}_boosts": boosts, f"{name}_volatiles": flags, f"{name}_perish": perish,
             f"{name}_stockpile": stockpile, f"{name}_turns_active": max(since, 0), f"{name}_protect_streak": streak,
             f"{name}_last_move": last}


def can_gimmick(battle: Battle, side: Side, phase: str, locked: str = "") -> list[bool]:
    """Which of mega, Z, dynamax, tera the active one could use, as far as the log tells."""
    can = [False] * 4
    mon = side.active
    if mon is None or phase != TURN:
        return can
    if locked or only_option(battle, mon):
        return can
    item = battle.dex.items.get(item_of(mon))
    if battle.gen in (6, 7) and item is not None and not side.gimmick_used[MEGA]:
        can[MEGA] = mon.forme in item.mega
    if battle.gen == 7 and item is not None and not side.gimmick_used[Z]:
        can[Z] = bool(item.z_type or item.z_move)
    can[DYNAMAX] = battle.may_dynamax(side)
    can[TERA] = battle.gen == 9 and not side.gimmick_used[TERA] and "tera" not in battle.banned
    return can
