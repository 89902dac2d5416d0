"""A player's own team from the requests, and the order of every own team.

Own Pokémon are ordered by species name and own moves by name, never by use: a slot must not tell when it is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from poke_bc.contract.actions import MOVE_SLOTS, TEAM_SLOTS
from poke_bc.dex import Dex, to_id
from poke_bc.showdown.protocol import NONE, UNKNOWN, read_condition, read_details
from poke_bc.showdown.record import SkippedBattle
from poke_bc.showdown.seen import move_name
from poke_bc.showdown.state import Mon, OwnSet, RequestedState, Side


def give_slots(team: list[Mon]) -> list[Mon]:
    """Number the own slots by species name."""
    order = sorted(team, key=lambda mon: (mon.details.species, mon.nick, mon.own_set.moves if mon.own_set else ()))
    for slot, mon in enumerate(order):
        mon.slot = slot
    return team


# --- from requests --------------------------------------------------------------------------------------------------


def requested_team(requests: Sequence[Mapping[str, Any]], dex: Dex) -> list[Mon]:
    """The own team as the requests list it; moves as listed on the bench, where nothing is transformed."""
    benched: dict[str, Sequence[str]] = {}
    for request in requests:
        for row in request["side"]["pokemon"]:
            if not row.get("active"):
                benched.setdefault(row["ident"], row["moves"])
    names = Counter(row["ident"] for row in requests[0]["side"]["pokemon"])
    team = []
    for row in requests[0]["side"]["pokemon"]:
        details = read_details(row["details"])
        species = dex.species(details.species)
        alone = row.get("active") and names[row["ident"]] == 1
        moves = benched.get(row["ident"], row["moves"]) if alone else row["moves"]
        own_set = OwnSet(
            _own_moves(moves, dex),
            to_id(row.get("item") or "") or NONE,
            to_id(row.get("baseAbility") or row.get("ability") or "") or NONE if dex.gen >= 3 else NONE,
            to_id(row.get("teraType") or "") or NONE if dex.gen >= 9 else NONE,
            hidden_power=hidden_power_type(moves),
        )
        team.append(Mon(row["ident"].split(": ", 1)[1], details, species.base_species if species else details.species,
                        details.species, own_set))
    if len(team) > TEAM_SLOTS:
        raise SkippedBattle("inconsistent state", "a team of more than six")
    return give_slots(team)


def learn_moves(mon: Mon, moves: Sequence[str], dex: Dex) -> None:
    """Take an own Pokémon's moves from a request that has it on the bench, where nothing is transformed."""
    assert mon.own_set is not None
    mon.own_set = msgspec.structs.replace(mon.own_set, moves=_own_moves(moves, dex),
                                          hidden_power=hidden_power_type(moves))
    mon.bench_changes += 1


def _own_moves(moves: Iterable[str], dex: Dex) -> tuple[str, ...]:
    return tuple(sorted({move_name(dex, to_id(move)) for move in moves}))[:MOVE_SLOTS]


def hidden_power_type(moves: Iterable[str]) -> str:
    """`hiddenpowerfire70` -> `fire`; "none" without Hidden Power."""
    found = next((to_id(move)[11:].rstrip("0123456789") for move in moves if to_id(move)[:11] == "hiddenpower"), NONE)
    return found or UNKNOWN


def find_requested(
    team: Sequence[Mon], rows: Sequence[Mapping[str, Any]], dex: Dex, active: Mon | None = None
) -> list[Mon]:
    """The Pokémon of each row of a request, whose list Showdown reorders at every switch.

    Args:
        active: who is active by the log, to tell Pokémon apart that are otherwise alike.
    """
    free = list(team)
    found = []
    for row in rows:
        details, nick = read_details(row["details"]), row["ident"].split(": ", 1)[1]
        species = dex.species(details.species)
        base = species.base_species if species else details.species

        def mismatch(mon: Mon) -> tuple[bool, bool, int, bool]:
            moves = {move_name(dex, to_id(move)) for move in row["moves"]}  # noqa: B023 - called at once
            own = set(mon.own_set.moves) if mon.own_set else set()
            return (mon.base != base, mon.details.level != details.level, len(own ^ moves),  # noqa: B023
                    bool(row.get("active")) != (mon is active))  # noqa: B023

        named = [mon for mon in free if mon.nick == nick]
        if not named:
            raise SkippedBattle("inconsistent state", "a request names another team")
        mon = named[0] if len(named) == 1 else min(named, key=mismatch)
        free.remove(mon)
        found.append(mon)
    return found


def take_request(side: Side, request: Mapping[str, Any], dex: Dex) -> list[Mon]:
    """Store the request's state of each own Pokémon; returns them in the request's order."""
    rows = request["side"]["pokemon"]
    mons = find_requested([mon for mon in side.mons if mon.own_set is not None], rows, dex, side.active)
    active = (request.get("active") or [None])[0]
    for mon, row in zip(mons, rows, strict=True):
        condition = read_condition(row["condition"])
        if condition is None:
            raise SkippedBattle("damaged request", "condition")
        pp = None
        if row.get("active") and active and all("pp" in move for move in active.get("moves", ())):
            pp = tuple(min(max(move["maxpp"] - move["pp"], 0), 64) for move in active.get("moves", ()))
        dynamaxed = bool(side.dynamaxed) and bool(row.get("active"))
        if not condition.fainted and row.get("stats"):
            mon.stats = {"hp": condition.scale // 2 if dynamaxed else condition.scale, **row["stats"]}
        mon.requested = RequestedState(
            condition.hp, condition.status, condition.fainted, to_id(row.get("item") or "") or NONE,
            to_id(row["ability"]) if row.get("ability") else UNKNOWN,
            tuple(move_name(dex, to_id(move)) for move in row["moves"]), pp, hidden_power_type(row["moves"]),
        )
        mon.bench_changes += 1
    if not request.get("teamPreview"):
        for mon in side.mons:
            mon.brought = mon.own_set is None or mon in mons
    return mons
