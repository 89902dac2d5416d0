"""Who a user can meet on a server: poke-env's players, another contestant, or whoever challenges it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from poke_bc.contract.errors import PlayError, UsageError
from poke_bc.play.batches import Batches
from poke_bc.play.connection import Connection, Reconnected
from poke_bc.play.contestant import Contestant
from poke_bc.play.match import Played
from poke_bc.play.room import Room, follow
from poke_bc.play.session import INSTALL, LOGIN, LOGIN_S, Account

if TYPE_CHECKING:
    from poke_env.player import Player

BOTS = {"random": "RandomPlayer", "max-power": "MaxBasePowerPlayer", "heuristics": "SimpleHeuristicsPlayer"}
"""Name -> class of poke-env."""
HUMAN = "human"
SILENT = logging.CRITICAL + 1
"""poke-env would print what it receives."""


class Opponent:
    """Meets a user, battle after battle; a context manager.

    Args:
        user: whom it meets.
        format_: of the battles.
        teams: packed teams that both draw from; none: the format's random ones.
        dice: for drawing teams.
        wait_s: how long a battle may take to begin.
    """

    name = ""

    def __init__(self, user: Connection, format_: str, teams: Sequence[str], dice: Random, wait_s: float) -> None:
        self.user, self.format, self.teams, self.dice, self.wait_s = user, format_, teams, dice, wait_s
        self._met = 0
        self.gone: list[asyncio.Task[None]] = []
        """Done when the opponent has left for good."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        """Nothing to end."""

    async def meet(self) -> str:
        """The room of a battle that has begun. They take turns at challenging, and who challenges is p1.

        Raises PlayError if none begins.
        """
        self._met += 1
        while True:
            renewals = await self.renewals()
            try:
                return await (self.challenged() if self._met % 2 else self.challenge())
            except Reconnected:
                pass
            except UsageError:  # nobody can challenge whose connection is lost, nor accept what was lost with it
                if await self.renewals() == renewals:
                    raise

    async def renewals(self) -> int:
        """How often connections have been made again; waits for those that are lost."""
        return await self.user.renewals()

    async def challenged(self) -> str:
        """Let the user challenge it; the room."""
        raise NotImplementedError

    async def challenge(self) -> str:
        """Challenge the user; the room."""
        raise NotImplementedError

    async def follow(self, room: str, number: int, id: str) -> Played | None:
        """Play the opponent's side of a battle, if it is played from here."""
        return None

    @property
    def told_gone(self) -> str:
        """In words."""
        return f"{self.name} has lost its connection"

    def team(self) -> str:
        """A packed team, or ""."""
        return self.dice.choice(self.teams) if self.teams else ""


class Person(Opponent):
    """Whoever challenges the user; all but `accept` are turned away, as are other formats."""

    name = HUMAN

    def __init__(self, *given: Any, accept: str = "") -> None:
        super().__init__(*given)
        self._only = accept

    async def meet(self) -> str:
        """Wait for a challenge, and accept it."""
        while True:
            await self._accept()
            with contextlib.suppress(Reconnected):  # they challenge again
                return await self.user.next_battle(LOGIN_S)

    async def _accept(self) -> None:
        try:
            async with asyncio.timeout(self.wait_s):
                while (challenge := await self.user.challenges.get()) is not None:
                    who, format_ = challenge
                    if format_ == self.format and self._only in ("", who):
                        return await self.user.accept(who, self.team())
                    await self.user.say(f"/reject {who}")
        except TimeoutError:
            raise PlayError(f"nobody has challenged {self.user.account.name} within {self.wait_s:g} s",
                            hint="--wait gives people more time") from None
        self.user.check()


class Bot(Opponent):
    """A player of poke-env."""

    def __init__(self, *given: Any, kind: str, account: Account) -> None:
        super().__init__(*given)
        try:
            import poke_env.player
        except ImportError:
            raise UsageError(f"{kind} plays by poke-env, which is not installed", hint=INSTALL) from None
        self.name, self._account = kind, account
        self._class: type[Player] = getattr(poke_env.player, BOTS[kind])

    async def __aenter__(self) -> Self:
        from poke_env import AccountConfiguration, ServerConfiguration
        from poke_env.teambuilder import Teambuilder

        draw = self.team

        class Drawn(Teambuilder):
            def yield_team(self) -> str:
                return draw()

        self._player = self._class(
            AccountConfiguration(self._account.name, None), battle_format=self.format, log_level=SILENT,
            max_concurrent_battles=0, server_configuration=ServerConfiguration(self.user.server, LOGIN),
            loop=asyncio.get_running_loop(), team=Drawn() if self.teams else None)
        try:
            async with asyncio.timeout(LOGIN_S):
                await self._player.ps_client.logged_in.wait()
        except TimeoutError:
            raise PlayError(f"{self.name} cannot log in to {self.user.server}",
                            hint="a server that wants passwords has none of poke-env's players") from None
        self.gone = [asyncio.create_task(self._player.ps_client.websocket.wait_closed())]
        self._accepting = asyncio.create_task(self._player.accept_challenges(self.user.account.id, 1 << 30))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        """Log out."""
        for task in (self._accepting, *self.gone):
            task.cancel()
            with contextlib.suppress(Exception, asyncio.CancelledError):
                await task
        with contextlib.suppress(Exception, TimeoutError):
            async with asyncio.timeout(5):
                await self._player.ps_client.websocket.close()

    async def challenged(self) -> str:
        """Let the user challenge it; it accepts."""
        await self.user.challenge(self._account.id, self.format, self.team())
        return await self.user.next_battle(self.wait_s)

    async def challenge(self) -> str:
        """Let it challenge the user."""
        accepting = asyncio.create_task(self.user.accept_all(self._account.id, self.team()))
        try:
            await self._player.ps_client.challenge(self.user.account.id, self.format, self.team() or None)
            return await self.user.next_battle(self.wait_s)
        finally:
            accepting.cancel()


class Other(Opponent):
    """A contestant who is another user of the same server."""

    def __init__(self, *given: Any, contestant: Contestant, account: Account) -> None:
        super().__init__(*given)
        self.name, self._answers = contestant.name, Batches(contestant)
        self._other = Connection(self.user.server, account)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self._other)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        """Log out."""
        await self._stack.aclose()

    async def challenged(self) -> str:
        """Let the user challenge it; it accepts."""
        return await self._between(self.user, self._other)

    async def challenge(self) -> str:
        """Let it challenge the user."""
        return await self._between(self._other, self.user)

    async def renewals(self) -> int:
        """How often either connection has been made again."""
        return await self.user.renewals() + await self._other.renewals()

    async def _between(self, one: Connection, two: Connection) -> str:
        """The room of the battle to which one challenges two."""
        accepting = asyncio.create_task(two.accept_all(one.account.id, self.team()))
        try:
            await one.challenge(two.account.id, self.format, self.team())
            room = await one.next_battle(self.wait_s)
        finally:
            accepting.cancel()
        await two.meet_in(room, self.wait_s)
        return room

    async def follow(self, room: str, number: int, id: str) -> Played | None:
        """Play the other side."""
        battle = Room(self._other.account.id, self._answers, number, id, self.format)
        return await follow(self._other, room, battle, self.wait_s)
