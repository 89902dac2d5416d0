"""Who may hit whom with what, as arrays.

Letters: R observations, P = 2 * R * 6 Pokémon (fields.py), N pairs of attacker, move and defender. An observation has
up to 60: each own move of each own Pokémon against the opponent's active one (24), then the opponent's four shown moves
and two typical ones against each own Pokémon (36). Pairs whose damage is certainly zero are left out: of Pokémon that
are not there or fainted, and of status moves, except for those of the own active Pokémon, whose type effectiveness is a
field of its own.
"""

from __future__ import annotations

import numpy as np

from poke_bc.showdown.damage.pokemon import Pokemon, is_one_of
from poke_bc.showdown.damage.tables import SPECIAL, STATUS, Floats, Ints

OWN_PAIRS, OPP_PAIRS = 24, 36
PAIRS = OWN_PAIRS + OPP_PAIRS


class Pairs:
    """All pairs; rules change power, type, category and the factors before they are multiplied."""

    def __init__(self, pokemon: Pokemon) -> None:
        self.pokemon = pokemon
        tables = pokemon.tables
        self.rows = rows = len(pokemon.observations)
        own = np.arange(6 * rows).reshape(rows, 6)
        opp = pokemon.active[1][:, None]
        attacker = np.empty((rows, PAIRS), np.intp)
        defender = np.empty((rows, PAIRS), np.intp)
        attacker[:, :OWN_PAIRS] = own.repeat(4, axis=1)
        attacker[:, OWN_PAIRS:] = defender[:, :OWN_PAIRS] = opp
        defender[:, OWN_PAIRS:] = own.repeat(6, axis=1)
        moves, self.moves = pokemon.fields.moves(tables.moves)
        if "hiddenpower" in self.moves:
            self._give_type(moves)
        active_moves = moves[pokemon.active]
        self.own_active_moves: Ints = active_moves[0]
        """[R, 4]"""
        move = np.empty((rows, PAIRS), np.intp)
        move[:, :OWN_PAIRS] = moves[:6 * rows].reshape(rows, OWN_PAIRS)
        move[:, OWN_PAIRS:] = np.tile(np.hstack([active_moves[1], self._typical()]), 6)
        alive = ((pokemon.species > 0) & ~pokemon.fainted)[:6 * rows].reshape(rows, 6) & pokemon.has_active[1][:, None]
        counts = tables.category[move] != STATUS
        counts[:, :OWN_PAIRS] |= attacker[:, :OWN_PAIRS] == pokemon.active[0][:, None]
        counts &= np.hstack([alive.repeat(4, axis=1), alive.repeat(6, axis=1)])
        self.place: Ints = np.flatnonzero(counts)
        """[N]: place among all R * 60."""
        self.row: Ints = self.place // PAIRS
        """[N]: the observation."""
        self.attacker: Ints = attacker.ravel()[self.place]
        self.defender: Ints = defender.ravel()[self.place]
        self.move: Ints = move.ravel()[self.place]
        self.defending: Ints = pokemon.types.take(self.defender, axis=1)
        """[2, N]: the defender's types."""
        self.power: Floats = tables.power[self.move]
        self.type: Ints = tables.type[self.move]
        self.category: Ints = tables.category[self.move]
        self.attack_slot: Ints = tables.attack_slot[self.move]
        self.defence_slot: Ints = tables.defence_slot[self.move]
        self.hits: Floats = tables.hits[self.move]

    def _give_type(self, moves: Ints) -> None:
        """Replace the own Pokémon's Hidden Power in `moves` [P, 4] by that of its type."""
        pokemon, tables = self.pokemon, self.pokemon.tables
        types = [tables.types[name] for each in pokemon.observations for name in each.own_hidden_power]
        typed = tables.hidden_power[types]
        own = moves[:pokemon.count]
        own[:] = np.where(own == tables.moves["hiddenpower"], typed[:, None], own)

    def _typical(self) -> Ints:
        """[R, 2]: a typical attack of each type of the opponent's active Pokémon."""
        pokemon, tables = self.pokemon, self.pokemon.tables
        types = pokemon.types[:, pokemon.active[1]].T
        if tables.gen <= 3:
            return tables.typical[types, tables.typical_category[types]]
        stats = pokemon.stats[pokemon.active[1]]
        return tables.typical[types, np.where(stats[:, 3] > stats[:, 1], SPECIAL, 0)[:, None]]

    def of(self, *moves: str) -> Ints | None:
        """Places among the N of the moves of these names; None if none of them occurs."""
        if self.moves.isdisjoint(moves):
            return None
        return np.flatnonzero(is_one_of(self.move, [self.pokemon.tables.moves[name] for name in self.moves & {*moves}]))

    def spread(self, values: Floats) -> Floats:
        """[N] -> [R, 60], zero for the pairs left out."""
        everywhere = np.zeros(self.rows * PAIRS)
        everywhere[self.place] = values
        return everywhere.reshape(self.rows, PAIRS)
