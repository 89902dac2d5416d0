"""The own team and the field of a step against what was true.

Without requests (`exact=False`) some things cannot be known; they are counted apart, so that the plain names should
be right always: `(not shown)` where the log is silent or wrong about a benched Pokémon (Regenerator heals unseen),
`(disguised)` while the own active Pokémon stands under Illusion. Pokémon that never appear in the log are left out.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Any

from truth.decisions import Decision, Own, shown_of
from truth.names import NOBODY, closeness, pair_up, same
from truth.players_stream import Board
from truth.shown import GIMMICKS, LAYERS, ROOMS, SIDE_CONDITIONS, STATS, VOLATILES
from truth.tally import Tally

Observation = dict[str, Any]
SINGLES = tomllib.loads((files("poke_bc.contract") / "schemas" / "singles.toml").read_text("utf8"))
VOLATILE_FLAGS = next(field["doc"] for field in SINGLES["field"] if field["name"] == "own_volatiles").split(", ")
"""The order of own_volatiles and opp_volatiles in singles.toml."""


def grade_own(tally: Tally, truth: Decision, seen: Observation, end: Board, exact: bool,
              shows_exact_hp: bool) -> dict[int, int]:
    """Compare the own team; returns which slot each Pokémon of the request is in."""
    slots = pair_up(seen["own_species"], [_aliases(truth, mon) for mon in truth.own])
    tolerance = 1e-3 if exact or shows_exact_hp else 0.0101
    apart = "" if exact or not truth.disguised else " (disguised)"
    for index, mon in enumerate(truth.own):
        if not exact and shown_of(end, truth.player, mon) is None:
            continue
        slot = slots.get(index)
        tally.check("own_species" + apart, slot is not None, truth, mon.species, seen["own_species"])
        if slot is None:
            continue
        shown = truth.shown_of(mon)
        told = (shown.hp, shown.status, shown.fainted) if shown is not None else (1.0, "none", False)
        silent = not exact and (abs(told[0] - mon.hp) > 0.0101 or told[2] != mon.fainted
                                or (not mon.fainted and told[1] != mon.status))
        hidden = apart or (" (not shown)" if silent else "")
        tally.near("own_hp" + hidden, truth, mon.hp, seen["own_hp"][slot], tolerance)
        tally.equal("own_fainted" + hidden, truth, mon.fainted, bool(seen["own_fainted"][slot]))
        if not mon.fainted:
            tally.equal("own_status" + hidden, truth, mon.status, seen["own_status"][slot])
            tally.equal("own_terastallized" + apart, truth, mon.terastallized, bool(seen["own_terastallized"][slot]))
        if not (mon.active and mon.fainted):  # the fainted one that is being replaced may be flagged or not
            tally.equal("own_active" + apart, truth, mon.active, bool(seen["own_active"][slot]))
        tally.equal("own_level" + apart, truth, mon.level, seen["own_level"][slot])
        _grade_set(tally, truth, mon, seen, slot, end, exact)
    tally.equal("own_alive" + apart, truth, sum(not mon.fainted for mon in truth.own), seen["own_alive"])
    return slots


def _aliases(truth: Decision, mon: Own) -> list[str]:
    shown = truth.shown_of(mon)
    names = [mon.species]
    if shown is not None:
        names += [shown.formes[-1], *([shown.transformed_into] if shown.transformed_into else [])]
    return names


def _grade_set(tally: Tally, truth: Decision, mon: Own, seen: Observation, slot: int, end: Board, exact: bool) -> None:
    moves = [move for move in seen["own_moves"][4 * slot:4 * slot + 4] if move not in NOBODY]
    # Mimic may copy a move that it already has: then one name stands twice in the request.
    all_there = all(any(same(move, name) for name in moves) for move in mon.moves)
    right = all_there and len(moves) in (len(mon.moves), len(set(mon.moves)))
    known = "" if exact else " (guessed)"
    tally.check("own_moves" + known, right, truth, mon.moves, moves)
    tally.check("own_item" + known, same(mon.item, seen["own_item"][slot]), truth, mon.item, seen["own_item"][slot])
    if mon.ability not in ("noability", ""):
        ability = seen["own_ability"][slot]
        tally.check("own_ability" + known, same(mon.ability, ability), truth, mon.ability, ability)
    tally.check("own_tera" + known, same(mon.tera, seen["own_tera"][slot]), truth, mon.tera, seen["own_tera"][slot])
    later = shown_of(end, truth.player, mon)
    now = truth.shown_of(mon)
    if not exact and later is not None and not later.tricky and not (now and now.tricky):
        # A disguise that never fell lends its moves to a Pokémon that has none of them.
        used = [move for move in later.moves if any(same(move, name) for name in mon.moves)]
        missing = [move for move in used if not any(same(move, name) for name in moves)]
        tally.check("own_moves_of_the_battle", not missing, truth, used, moves)


def grade_field(tally: Tally, truth: Decision, seen: Observation, slots: dict[int, int], exact: bool) -> None:
    """Weather, terrain, rooms, both sides, boosts, volatiles, gimmicks."""
    board = truth.board
    tally.equal("weather", truth, board.weather, seen["weather"])
    if board.weather != "none":
        tally.equal("weather_turns", truth, board.age(board.weather_since), seen["weather_turns"])
    tally.equal("terrain", truth, board.terrain, seen["terrain"])
    if board.terrain != "none":
        tally.equal("terrain_turns", truth, board.age(board.terrain_since), seen["terrain_turns"])
    for name in ROOMS.values():
        tally.equal(name, truth, board.age(board.rooms[name]) if name in board.rooms else 0, seen[name])
    for who, player in (("own", truth.player), ("opp", truth.opponent)):
        side = board.sides[player]
        standing = side.active is not None and not side.active.fainted
        for name in SIDE_CONDITIONS.values():
            got = int(seen[f"{who}_{name}"])
            if name in LAYERS:
                tally.equal(f"{who}_{name}", truth, side.layers.get(name, 0), got)
            elif board.gen == 1 and standing:
                tied = side.since.get("volatile " + name.replace("_", ""))
                tally.equal(f"{who}_{name} (gen 1 volatile)", truth, 0 if tied is None else board.age(tied), got)
            elif board.gen > 1:
                tally.equal(f"{who}_{name}", truth, board.side_age(player, name), got)
        used = [name in side.gimmicks for name in GIMMICKS]
        tally.equal(f"{who}_gimmick_used", truth, used, [bool(x) for x in seen[f"{who}_gimmick_used"]])
        dynamaxed = 0 if side.dynamaxed_in is None else board.turn - side.dynamaxed_in
        tally.equal(f"{who}_dynamax_turns", truth, max(dynamaxed, int(side.dynamaxed_in is not None)),
                    seen[f"{who}_dynamax_turns"])
        if not standing or side.active is None:
            continue
        apart = " (disguised)" if who == "own" and truth.disguised and not exact else ""
        boosts = [side.boosts.get(stat, 0) for stat in STATS]
        tally.equal(f"{who}_boosts" + apart, truth, boosts, list(seen[f"{who}_boosts"]))
        flags = dict(zip(VOLATILE_FLAGS, seen[f"{who}_volatiles"], strict=True))
        for name in VOLATILES:
            if side.passed and name not in side.volatiles:
                continue
            tally.equal(f"{who}_volatiles.{name}", truth, name in side.volatiles, bool(flags[name]))
        tally.equal(f"{who}_volatiles.transform", truth, bool(side.active.transformed_into), bool(flags["transform"]))
    _grade_gimmicks_open(tally, truth, seen, exact)
    _grade_pp(tally, truth, seen, slots)


def _grade_gimmicks_open(tally: Tally, truth: Decision, seen: Observation, exact: bool) -> None:
    if truth.phase != "turn":
        return
    active = truth.request["active"][0]
    keys = (("canMegaEvo", "canUltraBurst", "canMegaEvoX", "canMegaEvoY"), ("canZMove",), ("canDynamax",),
            ("canTerastallize",))
    for name, words, got in zip(GIMMICKS, keys, seen["own_can_gimmick"], strict=True):
        known = "" if exact or name in ("dynamax", "tera") else " (guessed)"
        tally.equal(f"own_can_gimmick.{name}{known}", truth, any(active.get(word) for word in words), bool(got))


def _grade_pp(tally: Tally, truth: Decision, seen: Observation, slots: dict[int, int]) -> None:
    active = next((i for i, mon in enumerate(truth.own) if mon.active), None)
    if truth.phase != "turn" or active not in slots or truth.disguised:
        return
    shown = truth.shown_of(truth.own[active])
    if shown is not None and shown.tricky:
        return
    first = 4 * slots[active]
    for move, used in truth.pp_used.items():
        for slot in range(first, first + 4):
            if same(move, seen["own_moves"][slot]):
                tally.equal("own_pp_used", truth, used, seen["own_pp_used"][slot])


def slots_of(seen: Observation, species: str) -> list[int]:
    """The own slots that a species name of the truth means, closest first."""
    scored = sorted(((closeness(name, species), -slot) for slot, name in enumerate(seen["own_species"])), reverse=True)
    return [-slot for score, slot in scored if score and score == scored[0][0]]
