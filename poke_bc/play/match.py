"""Battles in the simulator, many side by side: whoever has requests waiting answers them in one batch.

A battle depends on its Setup alone, not on the battles beside it, but for the last bits of a network's output, which
may depend on the size of a batch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from poke_bc.contract.actions import GIMMICKS
from poke_bc.play.contestant import NAMES, Chair, Contestant
from poke_bc.play.simulator import Event, Simulator, shown_to
from poke_bc.showdown.choices import gimmick_in
from poke_bc.showdown.record import PLAYERS, SkippedBattle

SIDE_BY_SIDE = 32


@dataclass(frozen=True)
class Setup:
    """All that a battle depends on."""

    id: str
    """Such as gen9randombattle-17; also the seed of what the players draw."""
    format: str
    seed: Sequence[int]
    """Four numbers below 65536: the simulator's dice."""
    contestants: Mapping[str, Contestant]
    """Of p1 and p2."""
    teams: Mapping[str, Mapping[str, Any]]
    """Of p1 and p2: {"team": packed} or, for random teams, {"seed": four numbers}."""


@dataclass
class Played:
    """One battle, played to its end or broken off."""

    setup: Setup
    number: int
    """Its place among the setups."""
    winner: str = ""
    """p1, p2, or "" for a tie."""
    turns: int = 0
    error: str = ""
    """Why it was broken off; it has no winner then."""
    decisions: Counter[str] = field(default_factory=Counter)
    """By player."""
    refused: Counter[str] = field(default_factory=Counter)
    """Choices that the simulator called invalid, by player; there should be none."""
    unavailable: Counter[str] = field(default_factory=Counter)
    """Choices that something hidden from the player prevented (a trap), by player."""
    gimmicks: dict[str, Counter[str]] = field(default_factory=lambda: {player: Counter() for player in PLAYERS})
    """How often each of GIMMICKS but "none" went with a choice, by player."""
    record: dict[str, Any] = field(default_factory=dict)
    """The battle as `convert` reads it, with requests and choices."""


class Game:
    """A battle that goes on, as the contestants of its setup see it."""

    def __init__(self, number: int, setup: Setup) -> None:
        self.played = Played(setup, number)
        self.chairs: dict[str, Chair] = {
            player: one.sit(player, setup.format, f"{setup.id} {player}") for player, one in setup.contestants.items()}
        self.open: dict[str, str] = {}
        """Player -> the request that it has not answered, as JSON."""
        self.stuck: set[str] = set()
        """Players whose answer to the open request was refused: they leave it to the simulator."""
        self.spectator: list[str] = []
        self._decisions: dict[str, list[dict[str, Any]]] = {player: [] for player in PLAYERS}
        self.is_over = False

    def take(self, event: Event) -> None:
        """Take in what the simulator says. Raises SkippedBattle."""
        if event.error:
            self.end(f"simulator: {event.error}")
        for kind, text in event.messages:
            if kind == "update":
                lines = text.split("\n")
                self.spectator += shown_to("", lines)
                for player, chair in self.chairs.items():
                    chair.see(shown_to(player, lines))
            elif kind == "sideupdate":
                player, _, line = text.partition("\n")
                _, what, rest = line.split("|", 2)
                if what == "request":
                    self.ask(player, rest)
                elif what == "error":
                    self.refuse(player, rest)
            elif kind == "end":
                ended = json.loads(text)
                self.played.winner = next((player for player, name in NAMES.items() if name == ended["winner"]), "")
                self.played.turns = ended["turns"]
                self.end()

    def ask(self, player: str, request: str) -> None:
        """Take in a request. Raises SkippedBattle."""
        self.stuck.discard(player)
        if self.chairs[player].ask(request):
            self.open[player] = request
        else:
            self.open.pop(player, None)

    def refuse(self, player: str, why: str) -> None:
        """Note that the last answer was not accepted."""
        last = self._decisions[player][-1]
        last["rejected"] = True
        self.played.decisions[player] -= 1
        if why.startswith("[Unavailable choice]"):  # a new request follows
            self.played.unavailable[player] += 1
        else:
            self.played.refused[player] += 1
            self.open[player] = json.dumps(last["request"])
            self.stuck.add(player)

    def answer(self, player: str, choice: str) -> None:
        """Note the answer to the open request."""
        self._decisions[player].append({
            "after_line": len(self.spectator), "request": json.loads(self.open.pop(player)), "choice": choice})
        self.played.decisions[player] += 1
        gimmick = gimmick_in(choice.split()[2:])
        if gimmick != GIMMICKS[0]:
            self.played.gimmicks[player][gimmick] += 1

    def end(self, error: str = "") -> None:
        """The battle is over, or broken off."""
        self.is_over, self.played.error = True, error
        setup = self.played.setup
        self.played.record = {"id": setup.id, "format": setup.format, "spectator": self.spectator, **self._decisions}


def play(simulator: Simulator, setups: Iterable[Setup], *, side_by_side: int = SIDE_BY_SIDE) -> Iterator[Played]:
    """Play battles, in the order in which they end. Raises PlayError if the simulator ends or does not answer.

    A battle that the simulator or a player's view of it cannot go on with is broken off, and says why.

    Args:
        simulator: to play in; used by nobody else meanwhile.
        setups: the battles.
        side_by_side: how many at once.
    """
    waiting = enumerate(setups)
    games: dict[int, Game] = {}
    while True:
        while len(games) < side_by_side and (following := next(waiting, None)) is not None:
            number, setup = following
            games[number] = Game(number, setup)
            players = {player: {"name": NAMES[player], **setup.teams[player]} for player in PLAYERS}
            simulator.start(number, {"formatid": setup.format, "seed": setup.seed, **players})
        if not games:
            return
        told: dict[int, Game] = {}
        for event in simulator.events():
            if (game := games.get(event.battle)) is None:
                continue  # it was broken off
            told[event.battle] = game
            try:
                game.take(event)
            except SkippedBattle as error:
                simulator.drop(event.battle)
                game.end(str(error))
        _answer(simulator, {number: game for number, game in told.items() if not game.is_over})
        for number, game in told.items():
            if game.is_over:
                yield games.pop(number).played


def _answer(simulator: Simulator, games: Mapping[int, Game]) -> None:
    """Let everybody answer the requests that wait."""
    asked: dict[int, tuple[Contestant, list[tuple[int, str]]]] = {}
    choices: dict[int, dict[str, str]] = {}
    for number, game in sorted(games.items()):
        for player in sorted(game.open):
            if player in game.stuck:
                choices.setdefault(number, {})[player] = "default"
            else:
                contestant = game.played.setup.contestants[player]
                asked.setdefault(id(contestant), (contestant, []))[1].append((number, player))
    for contestant, places in asked.values():
        answers = contestant.answer([games[number].chairs[player] for number, player in places])
        for (number, player), choice in zip(places, answers, strict=True):
            choices.setdefault(number, {})[player] = choice
    for number, chosen in choices.items():
        for player, choice in sorted(chosen.items()):
            games[number].answer(player, choice)
        simulator.choose(number, chosen)
