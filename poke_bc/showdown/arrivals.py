"""First pass: which Pokémon comes in by which line, and what Illusion and Regenerator mean for earlier lines."""

from __future__ import annotations

from collections.abc import Sequence

from poke_bc.showdown.battle import Battle
from poke_bc.showdown.decision import OBSERVED, Arrival, OpenDecision
from poke_bc.showdown.lines import entry
from poke_bc.showdown.protocol import read_condition
from poke_bc.showdown.record import SkippedBattle
from poke_bc.showdown.state import Mon


class Arrivals:
    """All arrivals of a battle so far."""

    def __init__(self, battle: Battle) -> None:
        self.battle = battle
        self.all: list[Arrival] = []
        self.illusions = dict(battle.illusions)
        """Line of a switch -> nickname and details of the Pokémon that came in under Illusion."""
        self.returning_hp: dict[int, float] = {}
        """Line of a switch -> HP with which the Pokémon that left came back (Regenerator)."""
        self._current: dict[str, Arrival] = {}
        self._left: dict[Mon, tuple[int, float]] = {}
        """Pokémon that left the field -> line, HP."""
        self._came_back: dict[str, tuple[Mon, int, float]] = {}

    def come_in(self, number: int, parts: list[str], decision: OpenDecision | None) -> None:
        """A Pokémon comes in by this line, which the tracker has not read yet; that resolves `decision`."""
        player = parts[2][:2]
        side = self.battle.sides[player]
        if side.active is not None and not side.active.fainted:
            self._left[side.active] = (number, side.active.hp)
        self.leave(player)
        condition = read_condition(parts[4]) if len(parts) > 4 else None
        shown, mon = entry.who_comes_in(self.battle, side, number, parts)
        if mon in self._left:
            line, hp = self._left.pop(mon)
            if condition is not None and condition.hp > hp + 1e-9:
                self.returning_hp[line] = condition.hp
            self._came_back[player] = (mon, line, hp)
        else:
            self._came_back.pop(player, None)
        arrival = Arrival(player, number, mon, decision, shown, condition.hp if condition else 1.0)
        self.all.append(arrival)
        self._current[player] = arrival
        if decision is not None:
            decision.label, decision.resolved, decision.mon = OBSERVED, True, mon

    def leave(self, player: str) -> None:
        """The stint of the player's active Pokémon ends."""
        active = self.battle.sides[player].active
        if active is not None and player in self._current:
            self._current[player].left_hp, self._current[player].fainted = active.hp, active.fainted

    def of(self, player: str) -> list[Arrival]:
        """Those of one player, in order."""
        return [arrival for arrival in self.all if arrival.player == player]

    def unmask(self, parts: list[str], decisions: Sequence[OpenDecision]) -> None:
        """Illusion ended: the player's last arrival, and all decisions since, were those of another Pokémon."""
        player = parts[2][:2]
        if player not in self._current:
            raise SkippedBattle("inconsistent state", "an Illusion without a Pokémon")
        arrival = self._current[player]
        line = arrival.at
        self.illusions[line] = (parts[2].split(": ", 1)[1], parts[3])
        unmasked = self.battle.sides[player].active
        if player in self._came_back:  # the disguise did not come back
            disguise, left_at, hp = self._came_back.pop(player)
            self.returning_hp.pop(left_at, None)
            self._left[disguise] = (left_at, hp)
        if arrival.decision is not None:
            arrival.decision.mon = unmasked
        arrival.mon = unmasked or arrival.mon
        for decision in decisions:
            if decision.player == player and decision.active is not None and decision.at > line:
                decision.active = unmasked
