"""Who may hit whom with what, as arrays.

Letters: R rows (observations), P = 2 * R * 6 Pokémon (pokemon.py), N = R * 60 pairs: per row first 24, each own
move of each own Pokémon against the opponent's active, then 36, the opponent's four shown moves and two typical ones
against each own Pokémon.
"""

from __future__ import annotations

from itertools import chain

import numpy as np

from poke_bc.showdown.damage.pokemon import Pokemon, is_one_of
from poke_bc.showdown.damage.tables import SPECIAL, Floats, Ints

OWN_PAIRS, OPP_PAIRS = 24, 36
PAIRS = OWN_PAIRS + OPP_PAIRS


class Pairs:
    """Who hits whom with what; rules change power, type, category and the factors before they are multiplied."""

    def __init__(self, pokemon: Pokemon) -> None:
        self.pokemon = pokemon
        tables, rows = pokemon.tables, pokemon.rows
        count = len(rows)
        own = np.arange(6 * count).reshape(count, 6)
        opp = pokemon.active[1][:, None]
        self.attacker: Ints = np.empty((count, PAIRS), np.intp)
        self.defender: Ints = np.empty((count, PAIRS), np.intp)
        self.attacker[:, :OWN_PAIRS] = own.repeat(4, axis=1)
        self.attacker[:, OWN_PAIRS:] = self.defender[:, :OWN_PAIRS] = opp
        self.defender[:, OWN_PAIRS:] = own.repeat(6, axis=1)
        slots = pokemon.active_slot[1].tolist()
        own_moves = [*chain.from_iterable([row["own_moves"] for row in rows])]
        opp_moves = [*chain.from_iterable([row["opp_moves"][4 * slot:4 * slot + 4]
                                           for row, slot in zip(rows, slots, strict=True)])]
        self.moves = frozenset(own_moves).union(opp_moves)
        """Names of all moves that occur."""
        self.move: Ints = np.empty((count, PAIRS), np.intp)
        self.move[:, :OWN_PAIRS] = pokemon.look_up(tables.moves, own_moves).reshape(count, 24)
        shown = pokemon.look_up(tables.moves, opp_moves).reshape(count, 4)
        self.move[:, OWN_PAIRS:] = np.tile(np.hstack([shown, self._typical()]), 6)
        alive = pokemon.species[:6 * count].reshape(count, 6) > 0
        alive &= pokemon.numbers("fainted")[:6 * count].reshape(count, 6) == 0
        alive &= pokemon.has_active[1][:, None]
        self.is_on = np.hstack([alive.repeat(4, axis=1), alive.repeat(6, axis=1)]).ravel()
        """[N]: both are there and stand."""
        self.attacker, self.defender, self.move = self.attacker.ravel(), self.defender.ravel(), self.move.ravel()
        self.defending: Ints = pokemon.types.take(self.defender, axis=1)
        """[2, N]: the defender's types."""
        self.power: Floats = tables.power[self.move]
        self.type: Ints = tables.type[self.move]
        self.category: Ints = tables.category[self.move]
        self.attack_slot: Ints = tables.attack_slot[self.move]
        self.defence_slot: Ints = tables.defence_slot[self.move]
        self.hits: Floats = tables.hits[self.move]

    def _typical(self) -> Ints:
        """[R, 2]: a typical attack of each type of the opponent's active."""
        pokemon, tables = self.pokemon, self.pokemon.tables
        types = pokemon.types[:, pokemon.active[1]].T
        if tables.gen <= 3:
            return tables.typical[types, tables.typical_category[types]]
        stats = pokemon.stats[pokemon.active[1]]
        return tables.typical[types, np.where(stats[:, 3] > stats[:, 1], SPECIAL, 0)[:, None]]

    def of(self, *moves: str) -> Ints | None:
        """Places among the N of the moves of these names; None if there are none."""
        if self.moves.isdisjoint(moves):
            return None
        return np.flatnonzero(is_one_of(self.move, [self.pokemon.tables.moves[name] for name in self.moves & {*moves}]))
