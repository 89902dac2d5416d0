"""Items and abilities: what lines show of them, directly or as a cause (`[from] item: Leftovers`)."""

from __future__ import annotations

from poke_bc.dex import to_id
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.lines.order import forget_order
from poke_bc.showdown.protocol import NONE, UNKNOWN, cause_of, effect_id, source_of
from poke_bc.showdown.state import Mon


def reveal_cause(battle: Battle, parts: list[str], mon: Mon | None = None) -> None:
    """`[from] item: X|[of] HOLDER`: HOLDER has the item or ability; without `[of]`, `mon` has it."""
    cause = cause_of(parts)
    if cause is None:
        return
    of = source_of(parts)
    holder = (battle.mon(of) if of else None) or mon
    if holder is not None:
        reveal(holder, cause)


def reveal(mon: Mon, cause: str) -> None:
    """`item: X` and `ability: X` are known from now on."""
    if cause.startswith("item: "):
        has_item(mon, effect_id(cause))
    elif cause.startswith("ability: "):
        has_ability(mon, effect_id(cause))


def has_item(mon: Mon, item: str) -> None:
    if mon.last_item == item and mon.item == NONE:
        return  # just eaten or broken; the line only names the cause
    mon.item, mon.item_shown = item, True
    if mon.first_item == UNKNOWN:
        mon.first_item = item


def lost_item(mon: Mon, item: str) -> None:
    if mon.first_item == UNKNOWN:
        mon.first_item = item
    mon.item, mon.last_item, mon.item_shown = NONE, item, True


def has_ability(mon: Mon, ability: str, *, borrowed: bool = False) -> None:
    if ability == "asone":  # two abilities share this name
        ability = "asoneglastrier" if mon.forme == "calyrexice" else "asonespectrier"
    elif mon.ability.startswith("asone") and ability in ("unnerve", "chillingneigh", "grimneigh"):
        return  # As One acts under the names of its parts
    mon.ability, mon.ability_shown = ability, True
    mon.ability_changed |= borrowed
    if mon.ability_changed:
        return
    if mon.first_ability == UNKNOWN:
        mon.first_ability = ability
        if mon.brought_ability == UNKNOWN and mon.forme == mon.details.species:
            mon.brought_ability = ability


def ability(battle: Battle, mon: Mon, parts: list[str]) -> None:
    ability, cause = to_id(parts[3]), cause_of(parts)
    if cause is None:
        has_ability(mon, ability)
        return
    mon.volatiles.pop("gastroacid", None)
    had = "trace" if effect_id(cause) == "trace" else to_id(parts[4]) if not parts[4].startswith("[") else ""
    source = battle.mon(source_of(parts))
    if source is not None and source is not mon:
        has_ability(source, ability)
    borrow(mon, ability, had)


def borrow(mon: Mon, ability: str, had: str = "") -> None:
    """It has another's ability until it leaves, and had its own before; "" where the line does not say which."""
    if had and not mon.ability_changed:
        has_ability(mon, had)
    if ability:
        has_ability(mon, ability, borrowed=True)
    else:
        mon.ability, mon.ability_changed = UNKNOWN, True


def end_ability(battle: Battle, mon: Mon, parts: list[str]) -> None:
    if len(parts) > 3 and parts[3] and not parts[3].startswith("["):
        has_ability(mon, effect_id(parts[3]))
    mon.volatiles["gastroacid"] = battle.turn


def item(battle: Battle, mon: Mon, parts: list[str]) -> None:
    item, cause = to_id(parts[3]), cause_of(parts)
    how = effect_id(cause) if cause else ""
    if how in ("trick", "switcheroo"):
        foe = battle.foe_of(parts[2][:2])
        if foe is not None and foe.first_item == UNKNOWN:
            foe.first_item = item
        mon.item, mon.item_shown, mon.choice_locked = item, True, ""
        forget_order(battle, mon)
    elif how in ("magician", "pickpocket", "thief", "covet"):
        victim = battle.mon(source_of(parts))
        if victim is not None and victim is not mon:
            lost_item(victim, item)
        mon.item, mon.item_shown = item, True
        if mon.first_item == UNKNOWN:
            mon.first_item = NONE
        reveal(mon, cause or "")
    elif how in ("harvest", "pickup", "recycle", "bestow", "cudchew"):
        mon.item, mon.item_shown = item, True
        reveal(mon, cause or "")
    else:
        has_item(mon, item)
        if how == "frisk":
            frisker = battle.mon(source_of(parts))
            if frisker is not None:
                has_ability(frisker, "frisk")


def end_item(battle: Battle, mon: Mon, parts: list[str]) -> None:
    if not parts[3]:
        return
    lost_item(mon, to_id(parts[3]))
    if (cause_of(parts) or "").startswith("ability: "):
        reveal_cause(battle, parts, mon)
