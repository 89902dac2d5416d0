"""Who plays: contestants sit down at battles, see what a player sees, and answer requests, all that wait at once."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from poke_bc.contract.actions import GIMMICKS, MOVE_SLOTS, NUM_ACTIONS
from poke_bc.dex import dex, to_id
from poke_bc.showdown.asked import Asked
from poke_bc.showdown.decision import TURN
from poke_bc.showdown.seat import Seat

NAMES = {"p1": "Alpha", "p2": "Beta"}
"""What the players are called in the simulator; whoever they are, a log does not tell."""


class Chair(Protocol):
    """One player's place in one battle."""

    def see(self, lines: Iterable[str]) -> None:
        """Take in the next lines, as this player sees them."""

    def ask(self, request: str) -> bool:
        """Take in a request (JSON); whether it wants an answer."""


class Contestant(Protocol):
    """Somebody who plays any number of battles."""

    name: str

    def sit(self, player: str, format_: str, seed: str) -> Any:
        """A Chair.

        Args:
            player: "p1" or "p2".
            format_: id of the format.
            seed: of all that it draws in this battle, so that others beside it change nothing.
        """

    def answer(self, chairs: Sequence[Any]) -> list[str]:
        """The choices, such as "move 2 terastallize", for the chairs' open requests."""


class SeatChair:
    """A chair with a live view of the battle, and dice of its own."""

    def __init__(self, format_: str, seed: str) -> None:
        self.seat = Seat(format_)
        self.dice = random.Random(seed)
        self.asked: Asked | None = None

    def see(self, lines: Iterable[str]) -> None:
        """Take in the next lines. Raises SkippedBattle where they cannot be followed."""
        self.seat.see(lines)

    def ask(self, request: str) -> bool:
        """Take in a request. Raises SkippedBattle where it does not fit the lines."""
        self.asked = self.seat.ask(request)
        return self.asked is not None


class Random:
    """Draws one of the legal actions, and one of the ways to do it: plain, or with a gimmick that is offered."""

    name = "random"

    def sit(self, player: str, format_: str, seed: str) -> SeatChair:
        """A chair."""
        return SeatChair(format_, seed)

    def answer(self, chairs: Sequence[SeatChair]) -> list[str]:
        """Choices."""
        return [self._choose(chair.asked, chair.dice) for chair in chairs if chair.asked is not None]

    def _choose(self, asked: Asked, dice: random.Random) -> str:
        action = dice.choice([action for action in range(NUM_ACTIONS) if asked.legal[action]])
        ways = [gimmick for gimmick, is_open in zip(GIMMICKS, asked.ways(action), strict=True) if is_open]
        return asked.choice(action, dice.choice(ways or ["none"]))


class MaxPower(Random):
    """Uses the legal move with the highest base power, as poke-env's MaxBasePowerPlayer does, without gimmicks where it
    can; draws whom to bring in."""

    name = "max-power"

    def _choose(self, asked: Asked, dice: random.Random) -> str:
        moves = [action for action in range(MOVE_SLOTS) if asked.legal[action]]
        if asked.request.phase != TURN or not moves:
            return super()._choose(asked, dice)
        best = max(moves, key=lambda action: _power(asked, action))
        return asked.choice(best, plainest(asked.ways(best)))


def plainest(ways: Sequence[bool]) -> str:
    """No gimmick if the action is accepted without one, else the first with which it is."""
    return next((gimmick for gimmick, is_open in zip(GIMMICKS, ways, strict=True) if is_open), "none")


def _power(asked: Asked, action: int) -> int:
    if action not in asked.moves:
        return 0
    move = dex(asked.gen).move(to_id(asked.active["moves"][asked.moves.index(action)]["id"]))
    return move.power if move is not None else 0
