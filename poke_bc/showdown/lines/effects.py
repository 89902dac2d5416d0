"""Effects on one Pokémon, its formes, and the gimmicks."""

from __future__ import annotations

from poke_bc.dex import to_id
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.lines.order import HURRYING
from poke_bc.showdown.lines.reveals import has_ability, has_item, reveal, reveal_cause
from poke_bc.showdown.protocol import NONE, UNKNOWN, cause_of, effect_id, move_id, other, read_details, source_of
from poke_bc.showdown.state import DYNAMAX, MEGA, TERA, Mon, Z

BINDING_MOVES = frozenset("""
    bind clamp firespin gmaxcentiferno gmaxsandblast infestation magmastorm sandtomb snaptrap thundercage
    whirlpool wrap
    """.split())
PROTECTS = frozenset("""
    protect detect endure banefulbunker burningbulwark kingsshield maxguard obstruct silktrap spikyshield
    """.split())
BORROWED_ABILITY = frozenset({"mummy", "wanderingspirit", "lingeringaroma"})


def start(battle: Battle, mon: Mon, parts: list[str]) -> None:
    side, effect = battle.sides[parts[2][:2]], effect_id(parts[3])
    if effect == "typechange":
        source = battle.mon(source_of(parts))
        if source is not None and source is not mon and effect_id(cause_of(parts) or "") == "reflecttype":
            mon.types = tuple(kind for kind in source.current_types(battle.dex) if kind != NONE)
        elif len(parts) > 4 and not parts[4].startswith("["):
            mon.types = tuple(to_id(kind) or "typeless" for kind in parts[4].split("/"))
    elif effect == "typeadd":
        mon.added_type = to_id(parts[4])
    elif effect in ("futuresight", "doomdesire"):
        battle.sides[other(side.player)].future = battle.turn or 1
    elif effect == "dynamax":
        side.gimmick_used[DYNAMAX] = True
        side.dynamaxed = battle.turn or 1
    elif effect in ("reflect", "lightscreen") and battle.gen == 1:
        mon.volatiles[effect] = battle.turn
    elif effect[:6] == "perish" and effect[6:].isdigit():
        mon.volatiles["perish"] = int(effect[6:])
    elif effect[:9] == "stockpile" and effect[9:].isdigit():
        mon.volatiles["stockpile"] = int(effect[9:])
    elif effect == "mimic" and len(parts) > 4:
        mon.mimicked = move_id(parts[4])
    elif effect in BINDING_MOVES:
        mon.volatiles["partiallytrapped"] = battle.turn
    elif effect[:14] == "protosynthesis" or effect[:10] == "quarkdrive":
        mon.boosted_stat = effect[14:] if effect[0] == "p" else effect[10:]
    elif effect[:6] == "fallen" and effect[6:].isdigit():
        mon.fallen = min(int(effect[6:]), 5)
    elif effect == "octolock":
        mon.volatiles["trapped"] = battle.turn
    else:
        mon.volatiles[effect] = battle.turn
        if effect == "substitute":
            mon.substitute_hits = 0
    if effect == "disable" and len(parts) > 4:
        mon.disabled = move_id(parts[4])
        mon.use(mon.disabled, 0)
    elif effect == "encore":
        mon.encored = mon.last_move
    elif effect == "confusion" and "[fatigue]" in parts:
        mon.volatiles.pop("locked", None)
    if parts[3].startswith("ability: "):
        has_ability(mon, effect)
    reveal_cause(battle, parts, mon)


def end(battle: Battle, mon: Mon, parts: list[str]) -> None:
    side, effect = battle.sides[parts[2][:2]], effect_id(parts[3])
    if effect in ("futuresight", "doomdesire"):
        side.future = 0
    elif effect == "dynamax":
        side.dynamaxed = 0
    elif effect in BINDING_MOVES or (len(parts) > 4 and "[partiallytrapped]" in parts):
        mon.volatiles.pop("partiallytrapped", None)
    elif effect[:6] == "perish":
        mon.volatiles.pop("perish", None)
    elif effect == "uproar":
        mon.volatiles.pop("locked", None)
    elif effect in ("protosynthesis", "quarkdrive"):
        mon.boosted_stat = NONE
    elif effect[:6] == "fallen":
        mon.fallen = 0
    else:
        mon.volatiles.pop(effect, None)
    if effect == "disable":
        mon.disabled = ""
    elif effect == "encore":
        mon.encored = ""
    elif effect == "typechange":
        mon.types = None


def activate(battle: Battle, mon: Mon, parts: list[str]) -> None:
    if len(parts) < 4:
        return
    effect = effect_id(parts[3])
    mover = battle.sides[battle.mover].active if battle.mover else None
    if effect in PROTECTS and mover is not None and mover.volatiles.get("locked") == battle.turn:
        del mover.volatiles["locked"]
    if effect == "substitute" and "[damage]" in parts:
        mon.substitute_hits += 1
    elif effect in HURRYING:
        battle.sides[parts[2][:2]].this_turn.hurried = True
    if effect in BINDING_MOVES and parts[3].startswith("move: "):
        mon.volatiles["partiallytrapped"] = battle.turn
    elif effect == "trapped":
        mon.volatiles["trapped"] = battle.turn
    elif effect == "mimic" and len(parts) > 4:
        mon.mimicked = move_id(parts[4])
    elif effect == "poltergeist" and len(parts) > 4:
        has_item(mon, to_id(parts[4]))
    elif effect == "skillswap" and len(parts) > 5 and not parts[4].startswith("["):
        foe = battle.mon(source_of(parts))
        has_ability(mon, to_id(parts[4]), borrowed=True)
        if foe is not None:
            has_ability(foe, to_id(parts[5]), borrowed=True)
    elif effect in BORROWED_ABILITY:
        has_ability(mon, effect)
        victim = battle.mon(source_of(parts))
        if victim is not None and victim is not mon:
            has_ability(victim, effect, borrowed=True)
    elif parts[3].startswith("ability: "):
        has_ability(mon, effect)
    elif parts[3].startswith("item: ") and mon.item == UNKNOWN:
        has_item(mon, effect)


def single(battle: Battle, mon: Mon, parts: list[str]) -> None:
    if effect_id(parts[3]) == "destinybond":
        mon.volatiles["destinybond"] = battle.turn


def transform(battle: Battle, mon: Mon, parts: list[str]) -> None:
    if (target := battle.mon(parts[3])) is None:
        return
    reveal(mon, cause_of(parts) or "")
    mon.copied, mon.copied_moves = target, {}
    mon.boosts = list(target.boosts)
    mon.volatiles["transform"] = battle.turn
    mon.ability = target.ability


def forme(battle: Battle, mon: Mon, parts: list[str]) -> None:
    details = read_details(parts[3])
    if parts[1] == "-formechange":
        mon.temporary_forme = details.species
    elif mon.forme != details.species:
        mon.forme, mon.temporary_forme, mon.types = details.species, "", None
        mon.ability = mon.first_ability = UNKNOWN
    reveal_cause(battle, parts, mon)


def mega(battle: Battle, parts: list[str]) -> None:
    mon, side = battle.mon(parts[2]), battle.sides[parts[2][:2]]
    side.gimmick_used[MEGA] = True
    if mon is not None:
        stone = to_id(parts[4]) if len(parts) > 4 and not parts[4].startswith("[") else ""
        if stone:
            has_item(mon, stone)


def zpower(battle: Battle, parts: list[str]) -> None:
    battle.sides[parts[2][:2]].gimmick_used[Z] = True
    battle.z_powered = parts[2][:2]


def terastallize(battle: Battle, parts: list[str]) -> None:
    mon, side = battle.mon(parts[2]), battle.sides[parts[2][:2]]
    side.gimmick_used[TERA] = True
    if mon is not None:
        mon.tera, mon.terastallized = to_id(parts[3]), True
