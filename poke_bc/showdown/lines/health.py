"""Hit points, status, fainting."""

from __future__ import annotations

from poke_bc.showdown.battle import Battle
from poke_bc.showdown.lines import hidden_power
from poke_bc.showdown.lines.reveals import reveal, reveal_cause
from poke_bc.showdown.protocol import NONE, cause_of, effect_id, read_condition
from poke_bc.showdown.record import PLAYERS, SkippedBattle
from poke_bc.showdown.state import Mon


def set_condition(battle: Battle, mon: Mon, text: str) -> None:
    condition = read_condition(text)
    if condition is None:
        return
    mon.hp, percent, pixels, scale, status, fainted = condition
    mon.hp_shown = percent if battle.percent else pixels
    if scale == 100 and not battle.percent:
        battle.percent = True
    if fainted:
        mon.status = NONE
        return
    mon.fainted = False
    if status != mon.status:
        mon.status, mon.status_turns = status, 0


def damage(battle: Battle, mon: Mon, parts: list[str]) -> None:
    before = mon.hp_shown
    set_condition(battle, mon, parts[3])
    cause = cause_of(parts)
    if cause is None:
        if battle.hidden_power is not None:
            hidden_power.learn(battle, 0)
        if battle.mover is not None and battle.mover != parts[2][:2]:
            battle.sides[battle.mover].this_turn.damage += max(before - mon.hp_shown, 0.0)
        return
    if cause in ("psn", "tox") and mon.status == "tox":
        mon.status_turns += 1
    reveal_cause(battle, parts, mon)


def heal(battle: Battle, mon: Mon, parts: list[str]) -> None:
    side = battle.sides[parts[2][:2]]
    if mon.fainted:  # Revival Blessing
        side.fallen -= 1
        side.revived = True
    set_condition(battle, mon, parts[3])
    cause = cause_of(parts)
    if cause is not None:
        if effect_id(cause) == "wish":
            side.wish = 0
        elif effect_id(cause) == "lunardance":
            mon.moves = dict.fromkeys(mon.moves, 0)
        reveal(mon, cause)


def set_hp(battle: Battle, parts: list[str]) -> None:
    for ident, condition in zip(parts[2::2], parts[3::2], strict=False):
        mon = battle.mon(ident) if ident[:2] in PLAYERS else None
        if mon is not None:
            set_condition(battle, mon, condition)


def status(battle: Battle, mon: Mon, parts: list[str]) -> None:
    mon.status, mon.status_turns = parts[3], 0
    if mon.status == "slp":
        mon.volatiles.pop("yawn", None)
        if mon.rampage not in ("rollout", "iceball"):
            mon.volatiles.pop("locked", None)
        if battle.gen == 1:
            mon.volatiles.pop("mustrecharge", None)
    reveal_cause(battle, parts, mon)


def cure(battle: Battle, mon: Mon, parts: list[str]) -> None:
    if parts[3] == "confusion":
        mon.volatiles.pop("confusion", None)
    else:
        mon.status, mon.status_turns = NONE, 0


def cure_team(battle: Battle, parts: list[str]) -> None:
    for mon in battle.sides[parts[2][:2]].mons:
        mon.status, mon.status_turns = NONE, 0
        mon.bench_changes += 1


def faint(battle: Battle, parts: list[str]) -> None:
    mon = battle.mon(parts[2])
    if mon is None:
        raise SkippedBattle("inconsistent state", "a faint without a Pokémon")
    if not mon.fainted:
        battle.sides[parts[2][:2]].fallen += 1
    mon.fainted, mon.hp, mon.hp_shown, mon.status = True, 0.0, 0.0, NONE
    mon.terastallized = False
    mon.change_back()
    foe = battle.foe_of(parts[2][:2])
    if foe is not None:
        for held in ("trapped", "attract"):
            foe.volatiles.pop(held, None)
