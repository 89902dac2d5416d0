"""What the battle never showed of an own Pokémon, imputed: from published sets where teams are given, else from others.

One set is drawn, in proportion to how often it comes up, among those that agree with everything shown and with what
would have shown itself. A draw, not the most likely set: if rare moves stood in a slot only where they were shown, the
slot would tell that they are going to be used.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence, Set
from functools import lru_cache
from itertools import accumulate
from operator import attrgetter
from typing import TypeVar

import msgspec

from poke_bc.contract.actions import MOVE_SLOTS, TEAM_SLOTS
from poke_bc.dex import Dex
from poke_bc.dex.published import PublishedSet, published_sets, random_sets
from poke_bc.showdown.corpus import ABILITIES, ITEMS, MOVES, TERAS, OtherBattles, ShownSet, chance, index_at
from poke_bc.showdown.lines import hidden_power
from poke_bc.showdown.power import may_power
from poke_bc.showdown.protocol import NONE, UNKNOWN, Details
from poke_bc.showdown.seen import NEVER_OWN, SeenMon, SeenTeam
from poke_bc.showdown.state import Mon, OwnSet
from poke_bc.showdown.team import give_slots

FIRST_GEN = {"tera": 9, "ability": 3, "item": 2}
"""Generation from which a Pokémon has one."""
USAGE_OF = {"item": ITEMS, "ability": ABILITIES, "tera": TERAS}
WITH_PAST = ("nationaldex", "natdex", "hackmons", "custom")
"""Words in the ids of formats that bring back moves of earlier generations."""
AnySet = TypeVar("AnySet", PublishedSet, ShownSet)


def inferred_team(team: SeenTeam, dex: Dex, others: OtherBattles, seed: str) -> list[Mon]:
    """A fresh team of `team.size` Pokémon, with what the battle never showed imputed and marked.

    The Pokémon shown come first, in the order of `team.mons`, so that the caller can match them.
    """
    published = published_sets(others.format, dex.gen)
    single = published.single if published else ()
    has = [{*mon.shown.moves, mon.shown.item} for mon in team.mons]
    mons = []
    for place, seen in enumerate(team.mons):
        used = has[:place] + has[place + 1:]
        gone = {name for group in single if any(not group.isdisjoint(names) for names in used) for name in group}
        mons.append(impute(seen, dex, others, f"{seed}\0{place}", gone))
        own_set = mons[-1].own_set
        assert own_set is not None
        has[place] = {*own_set.moves, own_set.item}
    taken = {mon.base for mon in mons}

    def is_free(species: str) -> bool:
        known = dex.species(species)
        return known is not None and known.base_species not in taken

    for place in range(len(mons), min(team.size, TEAM_SLOTS)):
        species, level = others.draw_pokemon(is_free, f"{seed}\0{place}") or _any_pokemon(
            team, filter(is_free, (published or random_sets(dex.gen)).species), f"{seed}\0{place}")
        base = dex.species(species).base_species  # type: ignore[union-attr] # is_free
        taken.add(base)
        mon = impute(SeenMon("", Details(species, level), base, ShownSet(species, level, ())), dex, others,
                     f"{seed}\0{place}")
        assert mon.own_set is not None
        mon.own_set = msgspec.structs.replace(mon.own_set, imputed=mon.own_set.imputed | {"species"})
        mons.append(mon)
    return give_slots(mons)


def _any_pokemon(team: SeenTeam, species: Iterable[str], seed: str) -> tuple[str, int]:
    """One where no other battle shows any: a player has six, whoever they are, and may switch to each."""
    drawn = _draw_equally(species, chance(f"{seed}\0species"))
    assert drawn is not None  # there are more species than places
    return drawn, team.mons[0].shown.level if team.mons else 100


def impute(mon: SeenMon, dex: Dex, others: OtherBattles, seed: str, gone: Set[str] = frozenset()) -> Mon:
    """A fresh Pokémon whose player knows what the battle showed of it; the rest is imputed.

    Args:
        mon: what the battle showed.
        dex, others: what exists; what other battles showed.
        seed: decides every draw.
        gone: what it cannot have because others of its team have it.
    """
    shown = mon.shown
    drawn: PublishedSet | ShownSet | None = _drawn_published(mon, dex, others.format, seed, gone)
    if drawn is None:
        drawn = _drawn_shown(mon, dex, others, seed)
    moves = {*shown.moves, *(drawn.moves if drawn else ())}
    if len(moves) < MOVE_SLOTS:
        _add_moves(moves, shown.species, dex, others, seed)
    imputed = moves.difference(shown.moves)
    values = {}
    for what, first in FIRST_GEN.items():
        value: str = getattr(shown, what)
        if dex.gen < first:
            value = NONE
        elif value == UNKNOWN:
            imputed.add(what)
            value = getattr(drawn, what) if drawn else UNKNOWN
            if value == UNKNOWN or value in mon.absent:
                value = _value(what, mon, dex, others, seed)
        values[what] = value
    type_ = NONE
    if "hiddenpower" in moves:
        type_, *others_possible = mon.hidden_power or hidden_power.TYPES
        if others_possible:
            imputed.add("hiddenpowertype")
            if isinstance(drawn, PublishedSet) and drawn.hidden_power != NONE:
                type_ = drawn.hidden_power
    own_set = OwnSet(tuple(sorted(moves)), values["item"], values["ability"], values["tera"], frozenset(imputed), type_)
    return Mon(mon.nick, mon.details, mon.base, mon.details.species, own_set)


def _drawn_published(mon: SeenMon, dex: Dex, format_: str, seed: str, gone: Set[str]) -> PublishedSet | None:
    published = published_sets(format_, dex.gen)
    if published is None:
        return None
    found = [each for each in published.of(mon.shown.species) if each.moves.issuperset(mon.shown.moves)]
    if mon.hidden_power:
        found = [each for each in found if each.hidden_power in (*mon.hidden_power, NONE)] or found
    free = [each for each in found if each.moves.isdisjoint(gone) and each.item not in gone]
    found = _agreeing(mon, dex, free or found)
    ends = [*accumulate(each.weight for each in found)]
    return found[bisect_right(ends, index_at(chance(f"{seed}\0set"), ends[-1]))] if found else None


def _drawn_shown(mon: SeenMon, dex: Dex, others: OtherBattles, seed: str) -> ShownSet | None:
    found = _agreeing(mon, dex, others.matching(mon.shown.species, mon.shown.moves))
    full = [each for each in found if len(each.moves) == MOVE_SLOTS] or found
    return full[_as_text(len(full))[index_at(chance(f"{seed}\0set"), len(full))]] if full else None


def _agreeing(mon: SeenMon, dex: Dex, sets: Sequence[AnySet]) -> list[AnySet]:
    """Those of the sets that contradict least of what is known; all of them contain the moves shown."""
    if mon.powered:  # its Z-Moves and Max Moves came from some of its moves
        sets = [each for each in sets if all(may_power(dex, tuple(each.moves), *how) for how in mon.powered)] or sets
    agreeing = list(sets)
    for what in FIRST_GEN:
        value, get = getattr(mon.shown, what), attrgetter(what)
        if value != UNKNOWN:
            agreeing = [each for each in agreeing if get(each) in (value, UNKNOWN)]
        elif mon.absent:
            agreeing = [each for each in agreeing if get(each) not in mon.absent]
    return agreeing if agreeing or not sets else _least_contrary(mon, sets)


def _least_contrary(mon: SeenMon, sets: Sequence[AnySet]) -> list[AnySet]:
    conflicts = [sum(value != shown if UNKNOWN not in (shown, value) else value in mon.absent
                     for shown, value in ((getattr(mon.shown, what), getattr(each, what)) for what in FIRST_GEN))
                 for each in sets]
    least = min(conflicts)
    return [each for each, number in zip(sets, conflicts, strict=True) if number == least]


def _value(what: str, mon: SeenMon, dex: Dex, others: OtherBattles, seed: str) -> str:
    """An item, ability or tera type as others of the species have it; "unknown" would show that it is imputed."""
    species, at = dex.species(mon.shown.species), chance(f"{seed}\0{what}")
    possible: Iterable[str] = ()
    if species is not None and what != "item":
        possible = species.abilities if what == "ability" else species.types
    usage, absent = USAGE_OF[what], mon.absent
    return (others.draw(usage, at, mon.shown.species, absent) or _draw_equally({*possible} - absent, at)
            or _draw_equally(possible, at) or others.draw(usage, chance(f"{seed}\0{what}\0any"), "", absent) or UNKNOWN)


def _add_moves(moves: set[str], species: str, dex: Dex, others: OtherBattles, seed: str) -> None:
    """Complete the moves with those used most by others of the species, then with any that it can learn."""
    at = chance(f"{seed}\0move")
    gone = NEVER_OWN if any(word in others.format for word in WITH_PAST) else NEVER_OWN | dex.past_moves
    while len(moves) < MOVE_SLOTS:
        move = others.draw(MOVES, at, species, moves) or _draw_equally(dex.learnset(species) - gone - moves, at)
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
