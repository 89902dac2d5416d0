"""A battle's room on a server, as one user sees it: what the server says there -> a Game with one contestant."""

from __future__ import annotations

import json

from poke_bc.contract.errors import PlayError
from poke_bc.dex import to_id
from poke_bc.play.connection import Connection
from poke_bc.play.contestant import NAMES, Contestant
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
        contestant: who answers for the user.
        number: of the battle in its series.
        id: of the battle.
        format_: its format.
    """

    def __init__(self, user: str, contestant: Contestant, number: int, id: str, format_: str) -> None:
        self._user, self._contestant = user, contestant
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

    @property
    def has_opponent_left(self) -> bool:
        """Whether the other player is not in the room any more."""
        return any(side != self.player and name in self._gone for name, side in self._sides.items())

    def take(self, line: str) -> None:
        """Take in a line. Raises SkippedBattle if the battle cannot be followed."""
        _, kind, *fields = [*line.split("|", 2), "", ""]
        rest = fields[0]
        if kind == "player":
            player, name, *_ = [*rest.split("|"), ""]
            if not to_id(name):  # somebody leaves
                return
            self._seat(player, name)
        elif kind in LEAVING:
            self._gone.add(to_id(rest))
        elif kind in ARRIVING:
            self._gone.discard(to_id(rest.split("@!")[0]))
        elif self.game is not None and kind == "request" and rest not in ("", "null"):
            request = json.loads(rest)
            if "side" in request:
                request["side"]["name"] = NAMES[self.player]
            self.game.ask(self.player, json.dumps(request))
        elif self.game is not None and kind == "error" and rest.startswith(REFUSALS):
            self.game.refuse(self.player, rest)
        if is_of_battle(line):
            self._follow(self._names.replaced(line))

    def answer(self) -> str:
        """The command that answers the open request; "" if there is none."""
        if self.game is None or self.player not in self.game.open:
            return ""
        rqid = json.loads(self.game.open[self.player]).get("rqid", "")
        stuck = self.player in self.game.stuck
        choice = "default" if stuck else self._contestant.answer([self.game.chairs[self.player]])[0]
        self.game.answer(self.player, choice)
        return f"/choose {choice}|{rqid}"

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
            self.game = Game(self._number, Setup(self._id, self._format, (), {player: self._contestant}, {}))

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
                if command := battle.answer():
                    await user.say(command, room)
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
