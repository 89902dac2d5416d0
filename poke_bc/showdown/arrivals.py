"""First pass: which Pokémon comes in by which line, and what Illusion and Regenerator mean for earlier lines."""

from __future__ import annotations

from collections.abc import Sequence

from poke_bc.showdown.battle import Battle
from poke_bc.showdown.decision import OBSERVED, Arrival, OpenDecision
from poke_bc.showdown.lines import entry
from poke_bc.showdown.protocol import read_condition, read_details
from poke_bc.showdown.record import PLAYERS, SkippedBattle
from poke_bc.showdown.state import Mon


class Arrivals:
    """All arrivals of a battle so far."""

    def __init__(self, battle: Battle) -> None:
        self.battle = battle
        self.all: list[Arrival] = []
        self.illusions: dict[int, tuple[str, str]] = {}
        """Line of a switch -> nickname and details of the Pokémon that came in under Illusion."""
        self.returning_hp: dict[int, float] = {}
        """Line of a switch -> HP with which the Pokémon that left came back (Regenerator)."""
        self._last_line: dict[str, int] = {}
        self._last_decision: dict[str, OpenDecision | None] = dict.fromkeys(PLAYERS)
        self._left: dict[Mon, tuple[int, float]] = {}
        """Pokémon that left the field -> line, HP."""
        self._came_back: dict[str, tuple[Mon, int, float]] = {}

    def come_in(self, number: int, parts: list[str], decision: OpenDecision | None) -> None:
        """A Pokémon comes in by this line, which the tracker has not read yet; that resolves `decision`."""
        player = parts[2][:2]
        side = self.battle.sides[player]
        if side.active is not None and not side.active.fainted:
            self._left[side.active] = (number, side.active.hp)
        condition = read_condition(parts[4]) if len(parts) > 4 else None
        nick, details = parts[2].split(": ", 1)[1], read_details(parts[3])
        mon = entry.find(self.battle, side, nick, details, condition.hp if condition else None)
        if mon is not None and mon in self._left:
            line, hp = self._left.pop(mon)
            if condition is not None and condition.hp > hp + 1e-9:
                self.returning_hp[line] = condition.hp
            self._came_back[player] = (mon, line, hp)
        else:
            self._came_back.pop(player, None)
        mon = mon or entry.add(self.battle, side, nick, details)
        self.all.append(Arrival(player, number, mon, decision))
        if decision is not None:
            decision.label, decision.resolved, decision.mon = OBSERVED, True, mon
        self._last_line[player] = number
        self._last_decision[player] = decision

    def unmask(self, parts: list[str], decisions: Sequence[OpenDecision]) -> None:
        """Illusion ended: the player's last arrival, and all decisions since, were those of another Pokémon."""
        player = parts[2][:2]
        if player not in self._last_line:
            raise SkippedBattle("inconsistent state", "an Illusion without a Pokémon")
        line = self._last_line[player]
        self.illusions[line] = (parts[2].split(": ", 1)[1], parts[3])
        unmasked = self.battle.sides[player].active
        if player in self._came_back:  # the disguise did not come back
            disguise, left_at, hp = self._came_back.pop(player)
            self.returning_hp.pop(left_at, None)
            self._left[disguise] = (left_at, hp)
        decision = self._last_decision[player]
        if decision is not None:
            decision.mon = unmasked
        arrival = next(each for each in reversed(self.all) if each.player == player)
        arrival.mon = unmasked or arrival.mon
        for decision in decisions:
            if decision.player == player and decision.active is not None and decision.at > line:
                decision.active = unmasked
