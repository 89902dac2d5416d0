"""The fields of an observation that have values for each Pokémon of a team, kept from one observation to the next.

Few Pokémon change between two decisions: those on the field, and others where `Mon.bench_changes` says so. Only their
values are computed again, and only columns in which a value differs are replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import compress
from operator import ne
from typing import Any

from poke_bc.contract.actions import MOVE_SLOTS, TEAM_SLOTS
from poke_bc.showdown.battle import Battle
from poke_bc.showdown.own_pokemon import ability_of, item_of, moves_of
from poke_bc.showdown.own_pokemon import pp_used as own_pp_used
from poke_bc.showdown.power import count_powered
from poke_bc.showdown.protocol import NONE, UNKNOWN
from poke_bc.showdown.state import Mon, Side

Values = tuple[Any, ...]
"""One Pokémon's value of each field in the schema's order; a tuple of four for fields of moves."""

COUNT_MAX, PP_MAX = 31, 64
UNSEEN = (None,) * TEAM_SLOTS
NO_MOVES, UNKNOWN_MOVES = (NONE,) * MOVE_SLOTS, (UNKNOWN,) * MOVE_SLOTS
NO_PP, NOT_SHOWN = (0,) * MOVE_SLOTS, (False,) * MOVE_SLOTS
NO_OWN: Values = (*[NONE] * 7, False, 0, 0.0, NONE, 0, False, False, False, NO_MOVES, NO_PP, NOT_SHOWN, False, False)
"""Values of an empty own slot."""
NO_OPP: Values = (*[NONE] * 7, 0, 0.0, NONE, 0, False, False, False, NO_MOVES, NO_PP)


class TeamColumns:
    """One team's fields in order: lists of six values, or of four for each of the six.

    A list is copied before it changes, so that earlier observations keep theirs.
    """

    def __init__(self, nothing: Values) -> None:
        self.columns = [[*value] * TEAM_SLOTS if isinstance(value, tuple) else [value] * TEAM_SLOTS
                        for value in nothing]
        self._values = [nothing] * TEAM_SLOTS
        self.mons: list[Mon | None] = [None] * TEAM_SLOTS
        self.versions = [-1] * TEAM_SLOTS
        """Per slot, the Pokémon and its `bench_changes` when its values were computed."""
        self.active: Mon | None = None
        """The Pokémon on the field, whose values change without notice."""

    def put(self, slot: int, values: Values) -> None:
        """Set the values of one Pokémon."""
        old = self._values[slot]
        if values == old:
            return
        self._values[slot] = values
        columns = self.columns
        for index in compress(range(len(columns)), map(ne, old, values)):
            value = values[index]
            columns[index] = column = columns[index].copy()
            if type(value) is tuple:
                column[MOVE_SLOTS * slot:MOVE_SLOTS * (slot + 1)] = value
            else:
                column[slot] = value


def update_own(columns: TeamColumns, battle: Battle, side: Side) -> None:
    """Bring the columns of the own team up to date."""
    before, active, versions = columns.active, side.active, columns.versions
    for mon in side.mons:
        slot = mon.slot
        if slot >= 0 and (versions[slot] != mon.bench_changes or mon is active or mon is before):
            versions[slot] = mon.bench_changes
            columns.put(slot, _own_values(battle, side, mon))
    columns.active = active


def update_opponent(columns: TeamColumns, battle: Battle, side: Side) -> None:
    """Bring the columns of the opponent's team, as far as it was shown, up to date."""
    before, active, size, mons, versions = columns.active, side.active, side.places, columns.mons, columns.versions
    for slot, mon in enumerate((*side.shown[:size], *UNSEEN)[:TEAM_SLOTS]):
        version = mon.bench_changes if mon is not None else int(slot < size)
        if versions[slot] != version or mons[slot] is not mon or (mon is not None and (mon is active or mon is before)):
            mons[slot], versions[slot] = mon, version
            columns.put(slot, _opponent_values(battle, side, mon) if slot < size else NO_OPP)
    columns.active = active


def _own_values(battle: Battle, side: Side, mon: Mon) -> Values:
    requested, is_active = mon.requested, mon is side.active
    type1, type2 = mon.current_types(battle.dex)
    tera = NONE
    if battle.gen >= 9:
        tera = mon.tera if mon.terastallized else mon.own_set.tera if mon.own_set else UNKNOWN
    if requested is None:
        hp, status, fainted = mon.hp, mon.status, mon.fainted
    else:
        hp, status, fainted = requested.hp, requested.status, requested.fainted
    names = moves_of(battle, side.player, mon)
    moves = names if len(names) == MOVE_SLOTS else (*names, *NO_MOVES)[:MOVE_SLOTS]
    pp_used, moves_shown = NO_PP, NOT_SHOWN
    used: Mapping[str, int] = mon.known_moves()
    if used:
        counts = [used.get(move) for move in moves]
        pp_used = tuple([0 if count is None else count if count < PP_MAX else PP_MAX for count in counts])
        moves_shown = tuple([count is not None for count in counts])
    if mon.powered and mon.copied is None:
        used = own_pp_used(battle, side.player, mon)
        pp_used = tuple([min(used.get(move, 0), PP_MAX) for move in moves])
    if is_active and requested is not None and requested.pp_used is not None \
            and len(requested.pp_used) == len(requested.moves):
        exact = dict(zip(requested.moves, requested.pp_used, strict=True))
        pp_used = tuple([exact.get(move, pp) for move, pp in zip(moves, pp_used, strict=True)])
    return (mon.shape, ability_of(battle, mon), item_of(mon), mon.last_item, type1, type2, tera, mon.terastallized,
            mon.details.level, round(hp, 4), status, min(mon.status_turns, COUNT_MAX), is_active, fainted, mon.seen,
            moves, pp_used, moves_shown, mon.item_shown, mon.ability_shown)


def _opponent_values(battle: Battle, side: Side, mon: Mon | None) -> Values:
    gen = battle.gen
    ability = UNKNOWN if gen >= 3 else NONE
    item = UNKNOWN if gen >= 2 else NONE
    tera = UNKNOWN if gen >= 9 else NONE
    if mon is None:
        return (UNKNOWN, ability, item, NONE, UNKNOWN, UNKNOWN, tera, 0, 1.0, NONE, 0, False, False, False,
                UNKNOWN_MOVES, NO_PP)
    if not mon.seen:
        types = battle.dex.both_types(mon.previewed) or (UNKNOWN, NONE)
        return (mon.previewed, ability, item, NONE, *types, tera, mon.details.level, 1.0, NONE, 0, False, False, False,
                UNKNOWN_MOVES, NO_PP)
    used: Mapping[str, int] = mon.known_moves()
    moves, pp_used = UNKNOWN_MOVES, NO_PP
    if used:
        if mon.powered and mon.copied is None:
            used = count_powered(battle.dex, tuple(used), mon.powered, used)
        moves = (*used, *UNKNOWN_MOVES)[:MOVE_SLOTS]
        pp_used = tuple([count if count < PP_MAX else PP_MAX for count in (*used.values(), *NO_PP)[:MOVE_SLOTS]])
    if gen >= 9:
        tera = mon.tera
    return (mon.shape, mon.ability if gen >= 3 else NONE, mon.item if gen >= 2 else NONE, mon.last_item,
            *mon.current_types(battle.dex), tera, mon.details.level, round(mon.hp_shown, 4), mon.status,
            min(mon.status_turns, COUNT_MAX), mon is side.active, mon.fainted, True, moves, pp_used)
