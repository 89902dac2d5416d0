"""Items and abilities: what lines say of them, also by the way (`[from] item: Leftovers`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from poke_bc.dex import to_id
from poke_bc.showdown.protocol import NONE, UNKNOWN, effect_id, other, tag
from poke_bc.showdown.state import Mon

if TYPE_CHECKING:
    from poke_bc.showdown.battle import Battle


def reveal_cause(battle: Battle, cause: str | None, parts: list[str], mon: Mon | None = None) -> None:
    """`[from] item: X|[of] WHO`: WHO has it, else `mon`, the one the line is about."""
    if cause is None:
        return
    of = tag(parts, "of")
    holder = (battle.mon(of) if of else None) or mon
    if holder is not None:
        reveal(battle, holder, cause)


def reveal(battle: Battle, mon: Mon, cause: str) -> None:
    if cause.startswith("item: "):
        has_item(battle, mon, effect_id(cause))
    elif cause.startswith("ability: "):
        has_ability(battle, mon, effect_id(cause))


def has_item(battle: Battle, mon: Mon, item: str) -> None:
    if mon.last_item == item and mon.item == NONE:
        return  # eaten or broken just now; the line only names the cause
    mon.item, mon.item_shown = item, True
    if mon.first_item == UNKNOWN:
        mon.first_item = item


def lost_item(battle: Battle, mon: Mon, item: str) -> None:
    if mon.first_item == UNKNOWN:
        mon.first_item = item
    mon.item, mon.last_item, mon.item_shown = NONE, item, True


def has_ability(battle: Battle, mon: Mon, ability: str, *, borrowed: bool = False) -> None:
    if ability == "asone":  # two abilities of one name
        ability = "asoneglastrier" if mon.forme == "calyrexice" else "asonespectrier"
    mon.ability, mon.ability_shown = ability, True
    if borrowed or mon.copied is not None:
        return
    if mon.first_ability == UNKNOWN:
        mon.first_ability = ability
        if mon.brought_ability == UNKNOWN and mon.forme == mon.details.species:
            mon.brought_ability = ability


def ability(battle: Battle, parts: list[str]) -> None:
    mon = battle.mon(parts[2])
    if mon is None:
        return
    ability, cause = to_id(parts[3]), tag(parts, "from")
    if cause is None:
        has_ability(battle, mon, ability)
        return
    if effect_id(cause) == "trace":
        has_ability(battle, mon, "trace")
        source = battle.mon(tag(parts, "of") or "")
        if source is not None and source is not mon:
            has_ability(battle, source, ability)
    has_ability(battle, mon, ability, borrowed=not cause.startswith("ability: ") or effect_id(cause) == "trace")


def end_ability(battle: Battle, parts: list[str]) -> None:
    mon = battle.mon(parts[2])
    if mon is not None:
        if len(parts) > 3 and parts[3] and not parts[3].startswith("["):
            has_ability(battle, mon, effect_id(parts[3]))
        mon.ability = NONE


def item(battle: Battle, parts: list[str]) -> None:
    mon = battle.mon(parts[2])
    if mon is None:
        return
    item, cause = to_id(parts[3]), tag(parts, "from")
    how = effect_id(cause) if cause else ""
    if how in ("trick", "switcheroo"):
        foe = battle.sides[other(parts[2][:2])].active
        if foe is not None and foe.first_item == UNKNOWN:
            foe.first_item = item
        mon.item, mon.item_shown, mon.choice_locked = item, True, ""
    elif how in ("magician", "pickpocket", "thief", "covet"):
        victim = battle.mon(tag(parts, "of") or "")
        if victim is not None and victim is not mon:
            lost_item(battle, victim, item)
        mon.item, mon.item_shown = item, True
        if mon.first_item == UNKNOWN:
            mon.first_item = NONE
        reveal(battle, mon, cause or "")
    elif how in ("harvest", "pickup", "recycle", "bestow", "cudchew"):
        mon.item, mon.item_shown = item, True
        reveal(battle, mon, cause or "")
    else:
        has_item(battle, mon, item)
        if how == "frisk":
            frisker = battle.mon(tag(parts, "of") or "")
            if frisker is not None:
                has_ability(battle, frisker, "frisk")


def end_item(battle: Battle, parts: list[str]) -> None:
    mon = battle.mon(parts[2])
    if mon is None or not parts[3]:
        return
    lost_item(battle, mon, to_id(parts[3]))
    cause = tag(parts, "from")
    if cause and cause.startswith("ability: "):
        reveal_cause(battle, cause, parts, mon)
