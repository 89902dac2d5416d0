"""Effects on one Pokémon, its formes, and the gimmicks."""

from __future__ import annotations

from poke_bc.dex import to_id
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.lines.order import HURRYING, change_speed
from poke_bc.showdown.lines.reveals import borrow, has_ability, has_item, reveal, reveal_cause
from poke_bc.showdown.protocol import NONE, UNKNOWN, cause_of, effect_id, move_id, other, read_details, source_of
from poke_bc.showdown.state import DYNAMAX, MEGA, TERA, Mon, Z

BINDING_MOVES = frozenset("""
    bind clamp firespin gmaxcentiferno gmaxsandblast infestation magmastorm sandtomb snaptrap thundercage
    whirlpool wrap
    """.split())
PROTECTS = frozenset("""
    protect detect endure banefulbunker burningbulwark kingsshield maxguard obstruct silktrap spikyshield
    """.split())
SPREADING = frozenset({"mummy", "lingeringaroma"})
SWAPPING = frozenset({"skillswap", "wanderingspirit"})
RESTORED_PP = {"leppaberry": 10, "mysteryberry": 5}
TAKEN_PP = {"spite": 4, "eeriespell": 3, "gmaxdepletion": 2}
"""Where the line does not say how many."""


def start(battle: Battle, mon: Mon, parts: list[str]) -> None:
    side, effect = battle.sides[parts[2][:2]], effect_id(parts[3])
    if effect == "typechange":
        mon.added_type = ""
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
    elif effect in ("reflect", "lightscreen", "mist") and battle.gen == 1:
        mon.volatiles[effect] = battle.upkeeps
    elif effect[:6] == "perish" and effect[6:].isdigit():
        mon.volatiles["perish"] = int(effect[6:])
    elif effect[:9] == "stockpile" and effect[9:].isdigit():
        mon.volatiles["stockpile"] = int(effect[9:])
    elif effect == "mimic" and len(parts) > 4:
        _mimic(battle, mon, parts)
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
    if effect in PROTECTS and mover is not None:
        mover.volatiles.pop("locked", None)
    if effect == "substitute" and "[damage]" in parts:
        mon.substitute_hits += 1
    elif effect in HURRYING:
        battle.sides[parts[2][:2]].this_turn.hurried = True
    if effect in BINDING_MOVES and parts[3].startswith("move: "):
        mon.volatiles["partiallytrapped"] = battle.turn
    elif effect == "trapped":
        mon.volatiles["trapped"] = battle.turn
    elif effect == "mimic" and len(parts) > 4:
        _mimic(battle, mon, parts)
    elif effect == "sketch" and len(parts) > 4:
        mon.sketched = move_id(parts[4])
        mon.moves = {mon.sketched if name == "sketch" else name: 0 if name == "sketch" else used
                     for name, used in mon.moves.items()}
    elif effect in RESTORED_PP and len(parts) > 4:
        has_item(mon, effect)
        mon.restore_pp(move_id(parts[4]), RESTORED_PP[effect] * (2 if mon.ability == "ripen" else 1))
    elif effect in TAKEN_PP and len(parts) > 4:
        taken = parts[5] if len(parts) > 5 else ""
        mon.use(move_id(parts[4]), int(taken) if taken.isdecimal() else TAKEN_PP[effect])
    elif effect == "grudge" and len(parts) > 4:
        move = move_id(parts[4])
        known = battle.dex.move(move)
        mon.use(move, known.pp if known is not None else 0)
    elif effect in ("trick", "switcheroo"):  # lines say what each has got; in old logs no line says that it is nothing
        for each in (mon, battle.mon(source_of(parts))):
            if each is not None:
                each.item, each.item_shown, each.choice_locked = NONE, True, ""
    elif effect == "poltergeist" and len(parts) > 4:
        has_item(mon, to_id(parts[4]))
    elif effect in SWAPPING:
        _swap_abilities(mon, battle.mon(source_of(parts)), parts)
    elif effect in SPREADING:
        has_ability(mon, effect)
        victim = battle.mon(source_of(parts) or parts[4])
        if victim is not None and victim is not mon:
            borrow(victim, effect, next((to_id(part[9:]) for part in parts[5:] if part.startswith("[ability]")), ""))
    elif parts[3].startswith("ability: "):
        has_ability(mon, effect)
    elif parts[3].startswith("item: ") and mon.item == UNKNOWN:
        has_item(mon, effect)


def _mimic(battle: Battle, mon: Mon, parts: list[str]) -> None:
    mon.mimicked = move_id(parts[4])
    mon.copied_moves.pop(mon.mimicked, None)
    if battle.gen == 1 and (foe := battle.foe_of(parts[2][:2])) is not None:  # later it may be one that the foe called
        foe.use(mon.mimicked, 0)


def _swap_abilities(mon: Mon, foe: Mon | None, parts: list[str]) -> None:
    """`|-activate|MON|Skill Swap|ability that it got|ability that the other got|[of] OTHER`, perhaps without names."""
    if foe is None:
        return
    got, given = (to_id(part) if not part.startswith("[") else "" for part in (*parts[4:6], "", "")[:2])
    if got:
        borrow(mon, got, given)
        borrow(foe, given, got)
    else:
        before = [each.ability if each.ability != UNKNOWN else "" for each in (mon, foe)]
        borrow(foe, before[0])
        borrow(mon, before[1])


def single(battle: Battle, mon: Mon, parts: list[str]) -> None:
    if effect_id(parts[3]) == "destinybond":
        mon.volatiles["destinybond"] = battle.turn


def transform(battle: Battle, mon: Mon, parts: list[str]) -> None:
    if (target := battle.mon(parts[3])) is None:
        return
    reveal(mon, cause_of(parts) or "")
    mon.temporary_forme, mon.added_type = target.shape, target.added_type  # as they are now: they may change later
    mon.types = tuple(kind for kind in target.types_below_tera(battle.dex) if kind not in (NONE, UNKNOWN)) or None
    mon.copied, mon.copied_moves, mon.mimicked = target.copied or target, {}, ""
    mon.boosts = list(target.boosts)
    mon.volatiles["transform"] = battle.turn
    if battle.gen >= 3:
        borrow(mon, target.ability if target.ability != UNKNOWN else "")


def forme(battle: Battle, mon: Mon, parts: list[str]) -> None:
    details, before = read_details(parts[3]), mon.shape
    if parts[1] == "-formechange":
        mon.temporary_forme = details.species
    elif mon.forme != details.species:
        mon.forme, mon.temporary_forme, mon.types, mon.added_type = details.species, "", None, ""
        species = battle.dex.species(mon.forme)
        only = species.abilities[0] if species is not None and len(species.abilities) == 1 else UNKNOWN
        mon.first_ability = mon.brought_ability if mon.forme == mon.details.species else only
        mon.ability, mon.ability_changed = mon.first_ability, False
        mon.ability_shown |= only != UNKNOWN
    change_speed(battle, mon, before)
    reveal_cause(battle, parts, mon)


def mega(battle: Battle, parts: list[str]) -> None:
    mon, side = battle.mon(parts[2]), battle.sides[parts[2][:2]]
    side.gimmick_used[MEGA] = True
    if mon is not None:
        stone = to_id(parts[4]) if len(parts) > 4 and not parts[4].startswith("[") else ""
        if stone:
            has_item(mon, stone)
        elif mon.base == "rayquaza":
            mon.implied_moves.add("dragonascent")  # which it needs in place of a stone


def zpower(battle: Battle, parts: list[str]) -> None:
    battle.sides[parts[2][:2]].gimmick_used[Z] = True
    battle.z_powered = parts[2][:2]


def terastallize(battle: Battle, parts: list[str]) -> None:
    mon, side = battle.mon(parts[2]), battle.sides[parts[2][:2]]
    side.gimmick_used[TERA] = True
    if mon is not None:
        mon.tera, mon.terastallized, mon.added_type = to_id(parts[3]), True, ""
