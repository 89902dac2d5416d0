"""What a player knew of the own team: from the requests, or from what the battle shows with gaps imputed.

Own Pokémon are ordered by species name and own moves by name, never by use: a slot must not tell when it is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from poke_bc.contract.actions import MOVE_SLOTS, TEAM_SLOTS
from poke_bc.dex import Dex, to_id
from poke_bc.showdown.corpus import ABILITIES, ITEMS, MOVES, TERAS, OtherBattles, ShownSet, chance, index_at
from poke_bc.showdown.lines import hidden_power
from poke_bc.showdown.power import may_power
from poke_bc.showdown.protocol import NONE, UNKNOWN, Details, read_condition, read_details
from poke_bc.showdown.record import SkippedBattle
from poke_bc.showdown.seen import NEVER_OWN, SeenMon, SeenTeam, move_name
from poke_bc.showdown.state import Mon, OwnSet, RequestedState, Side

FIRST_GEN = {"tera": 9, "ability": 3, "item": 2}
"""Generation from which a Pokémon has one."""


def inferred_team(team: SeenTeam, dex: Dex, others: OtherBattles, seed: str) -> list[Mon]:
    """A fresh team of `team.size` Pokémon, with what the battle never showed imputed and marked.

    The Pokémon shown come first, in the order of `team.mons`, so that the caller can match them.
    """
    mons = [impute(mon, dex, others, f"{seed}\0{place}") for place, mon in enumerate(team.mons)]
    taken = {mon.base for mon in mons}

    def is_free(species: str) -> bool:
        known = dex.species(species)
        return known is not None and known.base_species not in taken

    for place in range(len(mons), min(team.size, TEAM_SLOTS)):
        hidden = others.draw_pokemon(is_free, f"{seed}\0{place}")
        if hidden is None:
            break
        species, level = hidden
        base = dex.species(species).base_species  # type: ignore[union-attr] # is_free
        taken.add(base)
        mon = impute(SeenMon("", Details(species, level), base, ShownSet(species, level, ())), dex, others,
                     f"{seed}\0{place}")
        assert mon.own_set is not None
        mon.own_set = msgspec.structs.replace(mon.own_set, imputed=mon.own_set.imputed | {"species"})
        mons.append(mon)
    return give_slots(mons)


def impute(mon: SeenMon, dex: Dex, others: OtherBattles, seed: str) -> Mon:
    """A fresh Pokémon whose player knows what the battle showed of it, the rest imputed from other battles."""
    shown = mon.shown
    found = others.matching(shown.species, shown.moves)
    if mon.powered:  # its Z-Moves and Max Moves came from some of its moves
        found = [each for each in found if all(may_power(dex, each.moves, *how) for how in mon.powered)] or found
    full = [each for each in found if len(each.moves) == MOVE_SLOTS] or found
    chosen = full[_as_text(len(full))[index_at(chance(f"{seed}\0set"), len(full))]] if full else None
    moves = {*shown.moves, *(chosen.moves if chosen else ())}
    if len(moves) < MOVE_SLOTS:
        _add_moves(moves, shown.species, dex, others, seed)
    imputed = moves.difference(shown.moves)
    species = dex.species(shown.species)
    values = {}
    for what, usage, possible in (("item", ITEMS, ()), ("ability", ABILITIES, species.abilities if species else ()),
                                  ("tera", TERAS, species.types if species else ())):
        if dex.gen < FIRST_GEN[what]:
            values[what] = NONE
            continue
        value: str = getattr(shown, what)
        if value == UNKNOWN:
            imputed.add(what)
            value = getattr(chosen, what) if chosen else UNKNOWN
        if value == UNKNOWN:
            at = chance(f"{seed}\0{what}")
            # "unknown" would show that it is imputed
            value = (others.draw(usage, at, shown.species) or _draw_equally(possible, at)
                     or others.draw(usage, chance(f"{seed}\0{what}\0any")) or UNKNOWN)
        values[what] = value
    type_ = NONE
    if "hiddenpower" in moves:
        type_, *others_possible = mon.hidden_power or hidden_power.TYPES
        if others_possible:
            imputed.add("hiddenpowertype")
    own_set = OwnSet(tuple(sorted(moves)), values["item"], values["ability"], values["tera"], frozenset(imputed), type_)
    return Mon(mon.nick, mon.details, mon.base, mon.details.species, own_set)


def _add_moves(moves: set[str], species: str, dex: Dex, others: OtherBattles, seed: str) -> None:
    """Complete the moves with those used most by others of the species, then with any that it can learn."""
    at = chance(f"{seed}\0move")
    while len(moves) < MOVE_SLOTS:
        move = others.draw(MOVES, at, species, moves) or _draw_equally(dex.learnset(species) - NEVER_OWN - moves, at)
        if move is None:
            break
        moves.add(move)


def _draw_equally(names: Iterable[str], at: float) -> str | None:
    ordered = sorted({*names} - {NONE, UNKNOWN})
    return ordered[index_at(at, len(ordered))] if ordered else None


@lru_cache
def _as_text(count: int) -> list[int]:
    """The numbers below `count`, ordered as text: 0, 1, 10, 11, ..., 2, 20."""
    return sorted(range(count), key=str)


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
            tuple(sorted({move_name(dex, to_id(move)) for move in moves}))[:MOVE_SLOTS],
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

        def mismatch(mon: Mon) -> tuple[bool, bool, bool, int, bool]:
            moves = {move_name(dex, to_id(move)) for move in row["moves"]}  # noqa: B023 - called at once
            own = set(mon.own_set.moves) if mon.own_set else set()
            return (mon.nick != nick, mon.base != base, mon.details.level != details.level, len(own ^ moves),  # noqa: B023
                    bool(row.get("active")) != (mon is active))  # noqa: B023

        mon = min(free, key=mismatch, default=None)
        if mon is None or mon.nick != nick:
            raise SkippedBattle("inconsistent state", "a request names another team")
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
            tuple(move_name(dex, to_id(move)) for move in row["moves"]), pp,
        )
        mon.bench_changes += 1
    if not request.get("teamPreview"):
        for mon in side.mons:
            mon.brought = mon.own_set is None or mon in mons
    return mons
