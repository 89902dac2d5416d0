"""The opponent in a step: as it was shown, and nothing that was not."""

from __future__ import annotations

from typing import Any

from poke_bc.dex import dex
from truth.decisions import Decision
from truth.names import NOBODY, closeness, pair_up, same, toid
from truth.shown import Shown
from truth.tally import Tally

Observation = dict[str, Any]


def grade_opponent(tally: Tally, truth: Decision, seen: Observation) -> None:
    """Compare what was shown, and report as `leak.FIELD` whatever no line up to this moment tells."""
    side = truth.board.sides[truth.opponent]
    shown = side.team
    slots = pair_up(seen["opp_species"], [_aliases(mon) for mon in shown])
    for index, mon in enumerate(shown):
        slot = slots.get(index)
        if not mon.uncertain:
            tally.check("opp_species", slot is not None, truth, mon.formes[-1], seen["opp_species"])
        if slot is not None:
            _grade_shown(tally, truth, mon, seen, slot, mon is side.active)
    for slot in set(range(6)) - set(slots.values()):
        told = {name: [seen[name][slot]] for name in ("opp_species", "opp_item", "opp_last_item", "opp_ability",
                                                      "opp_status", "opp_tera")}
        told["opp_moves"] = seen["opp_moves"][4 * slot:4 * slot + 4]
        for name, values in told.items():
            empty = all(value in NOBODY for value in values)
            # A disguise that is counted no more keeps its slot in some views.
            tally.check(f"leak.{name}", empty, truth, "nothing in an empty slot", values)
    alive = side.size - sum(mon.fainted for mon in shown)
    tally.equal("opp_alive", truth, alive, seen["opp_alive"])


def _aliases(mon: Shown) -> list[str]:
    return [name for name in (mon.formes[-1], mon.formes[0], mon.transformed_into) if name]


def _grade_shown(tally: Tally, truth: Decision, mon: Shown, seen: Observation, slot: int, active: bool) -> None:
    who = f"{mon.formes[-1]}:"
    name = seen["opp_species"][slot]
    told = any(closeness(name, forme) for forme in [*mon.formes, mon.transformed_into])
    tally.check("leak.opp_species", told, truth, mon.formes, name)
    tally.equal("opp_active", truth, active and not mon.fainted,
                bool(seen["opp_active"][slot]) and not mon.fainted)
    tally.equal("opp_level", truth, (who, mon.level), (who, seen["opp_level"][slot]))
    if not mon.uncertain:
        tally.near("opp_hp", truth, mon.hp, seen["opp_hp"][slot], 1e-3)
        tally.equal("opp_fainted", truth, mon.fainted, bool(seen["opp_fainted"][slot]))
        if not mon.fainted:
            tally.equal("opp_status", truth, (who, mon.status), (who, seen["opp_status"][slot]))
    _grade_moves(tally, truth, mon, seen["opp_moves"][4 * slot:4 * slot + 4])
    item = seen["opp_item"][slot]
    if item == "none":
        tally.check("leak.opp_item", mon.lost_item or truth.board.gen == 1, truth, f"{who} item unknown", item)
    else:
        tally.check("leak.opp_item", item == "unknown" or toid(item) in mon.named, truth, f"{who} item unknown", item)
    last = seen["opp_last_item"][slot]
    tally.check("leak.opp_last_item", last in NOBODY or toid(last) in mon.named, truth, f"{who} nothing", last)
    ability = seen["opp_ability"][slot]
    told = ability == "unknown" or toid(ability) in mon.named or (ability in NOBODY and truth.board.gen <= 2)
    told = told or (ability == "regenerator" and mon.regenerated) or _only_ability(truth, mon) == ability
    told = told or (ability.startswith("asone") and "asone" in mon.named)  # "As One" stands for two abilities
    if mon.transformed_into:
        told = told or any(same(ability, own.ability) for own in truth.own)
    tally.check("leak.opp_ability", told or toid(ability) == "noability", truth, f"{who} ability unknown", ability)
    tera = seen["opp_tera"][slot]
    if mon.tera_used:
        tally.equal("opp_tera", truth, toid(mon.tera), toid(tera))
    else:
        tally.check("leak.opp_tera", tera in NOBODY, truth, f"{who} unknown", tera)


def _only_ability(truth: Decision, mon: Shown) -> str:
    """Of a forme that it has taken in battle."""
    species = dex(truth.board.gen).species(toid(mon.formes[-1])) if len({*mon.formes}) > 1 else None
    return species.abilities[0] if species is not None and len(species.abilities) == 1 else ""


def _grade_moves(tally: Tally, truth: Decision, mon: Shown, held: list[str]) -> None:
    allowed = set(mon.moves) | mon.lent
    if mon.transformed_into:
        allowed |= {move for own in truth.own for move in own.moves}
    told = [move for move in held if move not in NOBODY]
    extra = [move for move in told if not any(same(move, name) for name in allowed)]
    tally.check("leak.opp_moves", not extra, truth, (mon.formes[-1], sorted(allowed)), extra)
    if not mon.tricky and not mon.uncertain and len(mon.moves) <= 4:
        missing = [move for move in mon.moves if not any(same(move, name) for name in told)]
        tally.check("opp_moves", not missing, truth, (mon.formes[-1], mon.moves), told)
