"""What a player knew of the own team: from its requests, or from what the whole battle shows and the corpus fills.

Own Pokémon are ordered by species name and own moves by name, never by use: a slot must not tell when it is used.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from poke_bc.dex import Dex, to_id
from poke_bc.showdown.corpus import Others, ShownSet, counted, pick
from poke_bc.showdown.power import may_power
from poke_bc.showdown.protocol import NONE, UNKNOWN, Details, read_condition, read_details
from poke_bc.showdown.record import SkippedBattle
from poke_bc.showdown.state import TEAM, Mon, OwnNow, OwnSet, Side

SLOTS = 4
NEVER = frozenset({"struggle", "recharge"})


def move_name(dex: Dex, move: str) -> str:
    """The move's id as the vocabulary has it: `return102` -> `return`."""
    known = dex.move(move)
    return known.name if known else move


def shown_set(mon: Mon, dex: Dex) -> ShownSet:
    """What the whole battle shows of one Pokémon."""
    return ShownSet(
        mon.details.species, mon.details.level, own_moves(mon, dex), mon.first_item, mon.brought_ability,
        mon.tera if mon.terastallized else UNKNOWN,
    )


def own_moves(mon: Mon, dex: Dex) -> tuple[str, ...]:
    """The moves it must have, ordered by name: at most four.

    More were credited to it where an Illusion never ended or the log hides who called a move; then those it could
    learn stay, and of these the ones used most.
    """
    used = dict.fromkeys(sorted(mon.told), 0) | mon.moves
    names = {move_name(dex, move): count for move, count in used.items() if move not in NEVER}
    if len(names) > SLOTS:
        learnt = dex.learnset(mon.details.species)
        ranked = sorted(names, key=lambda move: (move not in learnt and not move.startswith("hiddenpower"),
                                                 -names[move], move))
        names = dict.fromkeys(ranked[:SLOTS], 0)
    return tuple(sorted(names))


def inferred_team(side: Side, dex: Dex, others: Others, battle: str) -> list[Mon]:
    """A fresh team of `side.size` Pokémon from the end of the first pass; hidden things filled and marked.

    The Pokémon shown come first, in the order of `side.mons`, so that the caller can tell who is who.
    """
    seed = (battle, side.player)
    team = [fill(mon, dex, others, (*seed, place)) for place, mon in enumerate(side.mons)]
    taken = {mon.base for mon in team}
    for place in range(len(team), min(side.size, TEAM)):
        hidden = _never_seen(dex, others, taken, (*seed, place))
        if hidden is None:
            break
        taken.add(hidden.base)
        filled = fill(hidden, dex, others, (*seed, place))
        assert filled.own is not None
        filled.own = replace(filled.own, imputed=filled.own.imputed | {"species"})
        team.append(filled)
    return give_slots(team)


def _never_seen(dex: Dex, others: Others, taken: set[str], seed: tuple[object, ...]) -> Mon | None:
    """A Pokémon of the format that the team does not have."""
    weights = {f"{species}\0{level}": float(count) for (species, level), count in others.present().items()}
    while weights:
        found = pick(weights, *seed, len(weights))
        if found is None:
            return None
        species, level = found.split("\0")
        static = dex.species(species)
        if static is not None and static.base_species not in taken:
            return Mon("", Details(species, int(level)), static.base_species, species)
        del weights[found]
    return None


def fill(mon: Mon, dex: Dex, others: Others, seed: tuple[object, ...]) -> Mon:
    """A fresh Pokémon that knows what this one showed, with the rest filled from other battles."""
    shown = shown_set(mon, dex)
    species, known = shown.species, frozenset(shown.moves)
    found = others.matching(species, known)
    if mon.powered:  # its Z-Moves and Max Moves came from some move
        found = [each for each in found if all(may_power(dex, each.moves, *how) for how in mon.powered)] or found
    full = [each for each in found if len(each.moves) == SLOTS] or found
    names = {str(place): 1.0 for place in range(len(full))}
    lot = pick(names, *seed, "set")
    chosen = full[int(lot)] if lot is not None else None
    moves = set(known | set(chosen.moves if chosen else ()))
    usage = {move: float(count) for move, count in others.usage(species, "moves").items()}
    for weights in (usage, counted(dex.learnset(species) - NEVER)):
        while len(moves) < SLOTS:
            move = pick({name: weight for name, weight in weights.items() if name not in moves}, *seed, "move")
            if move is None:
                break
            moves.add(move)
    imputed = moves - known
    static = dex.species(species)
    values = {}
    for what, place, plain in (
        ("item", "items", {}),
        ("ability", "abilities", counted(static.abilities if static else ())),
        ("tera", "teras", counted(static.types if static else ())),
    ):
        value = getattr(shown, what)
        if value == UNKNOWN:
            imputed.add(what)
            value = getattr(chosen, what) if chosen else UNKNOWN
        if value == UNKNOWN:
            counts = {name: float(count) for name, count in others.usage(species, place).items()}
            value = pick(counts, *seed, what) or pick(plain, *seed, what)
            if value is None:  # "unknown" would tell that it was filled
                common = {name: float(count) for name, count in others.overall(place).items()}
                value = pick(common, *seed, what, "any") or UNKNOWN
        values[what] = value
    if dex.gen < 9:
        values["tera"] = NONE
        imputed.discard("tera")
    if dex.gen < 3:
        values["ability"] = NONE
        imputed.discard("ability")
    if dex.gen < 2:
        values["item"] = NONE
        imputed.discard("item")
    own = OwnSet(tuple(sorted(moves)), values["item"], values["ability"], values["tera"], frozenset(imputed))
    return Mon(mon.nick, mon.details, mon.base, mon.details.species, own)


def give_slots(team: list[Mon]) -> list[Mon]:
    """Number the six own slots by species name."""
    order = sorted(team, key=lambda mon: (mon.details.species, mon.nick, mon.own.moves if mon.own else ()))
    for slot, mon in enumerate(order):
        mon.slot = slot
    return team


# --- from requests ------------------------------------------------------------------------------------------------


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
        own = OwnSet(
            tuple(sorted({move_name(dex, to_id(move)) for move in moves})),
            to_id(row.get("item") or "") or NONE,
            to_id(row.get("baseAbility") or row.get("ability") or "") or NONE if dex.gen >= 3 else NONE,
            to_id(row.get("teraType") or "") or NONE if dex.gen >= 9 else NONE,
        )
        team.append(Mon(row["ident"].split(": ", 1)[1], details, species.base_species if species else details.species,
                        details.species, own))
    if len(team) > TEAM:
        raise SkippedBattle("inconsistent state", "a team of more than six")
    return give_slots(team)


def find_requested(team: Sequence[Mon], rows: Sequence[Mapping[str, Any]], dex: Dex) -> list[Mon]:
    """The Pokémon of each row of a request, whose list Showdown reorders at every switch."""
    free = list(team)
    found = []
    for row in rows:
        details, nick = read_details(row["details"]), row["ident"].split(": ", 1)[1]
        species = dex.species(details.species)
        base = species.base_species if species else details.species

        def mismatch(mon: Mon) -> tuple[bool, bool, bool, int]:
            moves = {move_name(dex, to_id(move)) for move in row["moves"]}  # noqa: B023 - called at once
            own = set(mon.own.moves) if mon.own else set()
            return (mon.nick != nick, mon.base != base, mon.details.level != details.level, len(own ^ moves))  # noqa: B023

        mon = min(free, key=mismatch, default=None)
        if mon is None or mon.nick != nick:
            raise SkippedBattle("inconsistent state", "a request names another team")
        free.remove(mon)
        found.append(mon)
    return found


def take_request(side: Side, request: Mapping[str, Any], dex: Dex) -> list[Mon]:
    """Note on each own Pokémon what the request says of it; returns them in the request's order."""
    rows = request["side"]["pokemon"]
    mons = find_requested([mon for mon in side.mons if mon.own is not None], rows, dex)
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
        mon.now = OwnNow(
            condition.hp, condition.status, condition.fainted, to_id(row.get("item") or "") or NONE,
            to_id(row.get("ability") or row.get("baseAbility") or "") or NONE if dex.gen >= 3 else NONE,
            tuple(move_name(dex, to_id(move)) for move in row["moves"]), pp,
        )
    return mons
