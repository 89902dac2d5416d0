"""A battle's room on a server, as one user sees it: what the server says there -> a Game with one contestant."""

from __future__ import annotations

import json
from typing import Any

from poke_bc.contract.errors import PlayError
from poke_bc.dex import to_id
from poke_bc.play.batches import Batches
from poke_bc.play.connection import Connection
from poke_bc.play.contestant import NAMES
from poke_bc.play.match import Game, Played, Setup
from poke_bc.showdown.public import PublicLines
from poke_bc.showdown.record import SkippedBattle
from poke_bc.showdown.tracker import HANDLERS, IGNORED
from poke_bc.showdown.user_names import UserNames

QUIET = frozenset("""
    -block -candynamax -center -combine -hint -hitcount -message -nothing -ohko -waiting -zbroken clearpoke gen message
    tier
    """.split())
"""Lines of the simulator that change nothing in the battle, but belong to it."""

LEAVING, ARRIVING = ("l", "L", "leave"), ("j", "J", "join")
REFUSALS = ("[Unavailable choice]", "[Invalid choice]")


def is_of_battle(line: str) -> bool:
    """Whether a line is the simulator's; all others are the room's: chat, timers, who comes and goes.

    >>> [is_of_battle(line) for line in ("|turn|2", "|-crit|p1a: A", "|c|Ash||turn|3", "|inactive|Ash has 30 seconds")]
    [True, True, False, False]
    """
    kind = line[1:].split("|", 1)[0] if line.startswith("|") else ""
    return kind in QUIET or (kind not in IGNORED and (kind in HANDLERS or kind.startswith("-")))


class Room:
    """Follows one battle, with a contestant in the user's place.

    User names become NAMES, so that neither the contestant nor a saved log meets them.

    Args:
        user: id of the user who plays.
        answers: who answers for the user.
        number: of the battle in its series.
        id: of the battle.
        format_: its format.
    """

    def __init__(self, user: str, answers: Batches, number: int, id: str, format_: str) -> None:
        self._user, self._answers = user, answers
        self._number, self._id, self._format = number, id, format_
        self._sides: dict[str, str] = {}
        self._names = UserNames(lambda name: NAMES[self._side(name)])
        self._early: list[str] = []
        """Lines before the one that names the user."""
        self._public: PublicLines
        self.player = ""
        """p1 or p2, once it is known."""
        self.game: Game | None = None
        self._gone: set[str] = set()
        """Ids of users who have left the room."""
        self._lines: list[str] = []
        """Of the battle, so far."""
        self._place = 0
        """How many of them the connection has brought: after a lost one, all are sent again."""
        self._request_id: int | None = None
        self._said = ""
        """The last answer."""
        self._is_unheard = False
        """Whether the server asks again for what has been answered."""

    @property
    def has_opponent_left(self) -> bool:
        """Whether the other player is not in the room any more."""
        return any(side != self.player and name in self._gone for name, side in self._sides.items())

    def take(self, line: str) -> None:
        """Take in a line. Raises SkippedBattle if the battle cannot be followed."""
        _, kind, *fields = [*line.split("|", 2), "", ""]
        rest = fields[0]
        if kind == "init":
            self._place = 0
        elif kind == "noinit":
            raise SkippedBattle("the server has no such battle any more")
        elif kind == "player":
            player, name, *_ = [*rest.split("|"), ""]
            if to_id(name) and player not in self._sides.values():  # else somebody leaves or comes back
                self._seat(player, name)
                self._follow(self._names.replaced(line))
        elif kind in LEAVING:
            self._gone.add(to_id(rest))
        elif kind in ARRIVING:
            self._gone.discard(to_id(rest.split("@!")[0]))
        elif self.game is not None and kind == "request" and rest not in ("", "null"):
            self._ask(self.game, json.loads(rest))
        elif kind == "sentchoice":
            self._is_unheard = False
        elif self.game is not None and kind == "error" and rest.startswith(REFUSALS):
            self.game.refuse(self.player, rest)
        elif is_of_battle(line):
            self._follow_once(line)

    async def answer(self) -> str:
        """The command that answers the open request; "" if there is none."""
        if self._is_unheard:
            self._is_unheard = False
            return self._said
        if self.game is None or self.player not in self.game.open:
            return ""
        stuck = self.player in self.game.stuck
        choice = "default" if stuck else await self._answers.choose(self.game.chairs[self.player])
        self.game.answer(self.player, choice)
        self._said = f"/choose {choice}|{self._request_id}"
        return self._said

    def finish(self, error: str = "") -> Played:
        """The battle as far as it went; `error`: why it was broken off, if it was."""
        game = self.game or Game(self._number, Setup(self._id, self._format, (), {}, {}))
        if error:
            game.end(error)
        return game.played

    def _side(self, name: str) -> str:
        """Whose name it is; others than the user's own and the opponent's do not occur."""
        other = "p1" if self.player == "p2" else "p2"
        return self._sides.get(to_id(name), other)

    def _seat(self, player: str, name: str) -> None:
        self._sides[to_id(name)] = player
        if player in NAMES and to_id(name) == self._user and self.game is None:
            self.player = player
            self._public = PublicLines(player)
            self.game = Game(self._number, Setup(self._id, self._format, (), {player: self._answers.contestant}, {}))

    def _ask(self, game: Game, request: dict[str, Any]) -> None:
        """Take in a request, unless it was taken in before a connection was lost."""
        number = request.get("rqid", "")
        if number != self._request_id:
            self._request_id = number
            if "side" in request:
                request["side"]["name"] = NAMES[self.player]
            game.ask(self.player, json.dumps(request))
        elif self.player not in game.open:
            self._is_unheard = self._said.endswith(f"|{number}")

    def _follow_once(self, line: str) -> None:
        """Take in a line of the battle, unless it was taken in before a connection was lost."""
        if self._place == len(self._lines):
            self._lines.append(line)
            self._follow(self._names.replaced(line))
        elif line != self._lines[self._place]:
            raise SkippedBattle("after a lost connection, the server tells of another battle")
        self._place += 1

    def _follow(self, line: str) -> None:
        if self.game is None:
            self._early.append(line)
            return
        lines, self._early = [*self._early, line], []
        self.game.chairs[self.player].see(lines)
        self.game.spectator += self._public.of(lines)
        _, kind, *fields = line.split("|")
        if kind == "turn" and fields[0].isdecimal():
            self.game.played.turns = int(fields[0])
        elif kind in ("win", "tie"):
            won = fields[0] if kind == "win" else ""
            self.game.played.winner = next((player for player, name in NAMES.items() if name == won), "")
            self.game.end()


async def follow(user: Connection, room: str, battle: Room, wait_s: float) -> Played:
    """Play a battle to its end, or break it off and say why.

    Args:
        user: whose connection it is.
        room: id of the battle's room.
        battle: what is known of it; nothing yet.
        wait_s: longest silence, in seconds.
    """
    is_timed = False
    try:
        try:
            while battle.game is None or not battle.game.is_over:
                for line in await user.next_lines(room, wait_s):
                    battle.take(line)
                if command := await battle.answer():
                    await user.answer(command, room)
                if battle.has_opponent_left and not is_timed:  # the server lets those lose who do not come back
                    is_timed = True
                    await user.say("/timer on", room)
            await user.leave(room)
            return battle.finish()
        except TimeoutError:
            error = f"nothing has happened for {wait_s:g} s"
        except SkippedBattle as skipped:
            error = str(skipped)
        await user.say("/forfeit", room)
        await user.leave(room)
    except PlayError as lost:
        error = lost.what
    return battle.finish(error)
