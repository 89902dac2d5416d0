"""One user's connection to a Showdown server: challenges, and the lines of its battles.

    async with Connection(server, Account("my bot")) as user:
        await user.challenge("somebody", "gen9randombattle")
        room = await user.next_battle(60)
        lines = await user.next_lines(room, 60)

Whatever the server sends is read as data: names, chat and HTML are never looked into.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

from poke_bc.contract.errors import PlayError, UsageError
from poke_bc.dex import to_id
from poke_bc.play.session import Account, Session

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection


class Reconnected(Exception):
    """The connection was lost and is there again; what was said last may not have been heard."""


class Connection(Session):
    """A session with battles.

    Over a new connection it joins its battles again; the server then repeats each battle's lines and its open request.
    Whoever waits when the connection is given up gets a PlayError.
    """

    def __init__(self, server: str, account: Account) -> None:
        super().__init__(server, account)
        self.formats: frozenset[str] = frozenset()
        """Ids of those that the server offers."""
        self.challenges: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue()
        """(user id, format) of those who challenge this user; None: the connection is lost."""
        self._battles: asyncio.Queue[str | None] = asyncio.Queue()
        """Rooms; "": look at _popup and _is_new; None: the connection is lost."""
        self._rooms: dict[str, asyncio.Queue[tuple[ClientConnection, list[str]] | None]] = {}
        self._heard: dict[str, ClientConnection] = {}
        """Room -> the connection over which its last lines came."""
        self._seen: set[str] = set()
        """Rooms of all battles so far."""
        self._met: set[str] = set()
        """Those that next_battle has told of."""
        self._popup = ""
        """What the server last refused."""
        self._challenged = ""
        """Who was last."""
        self._renewals = 0
        self._is_new = False
        """Whether this is another connection than the one over which the last challenge went."""

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        await self._leave_old_battles()
        return self

    async def _leave_old_battles(self) -> None:
        """A server lets a user back into the battles that an earlier connection has left."""
        while not self._battles.empty():
            if room := self._battles.get_nowait():
                await self.leave(room)
        self._seen.clear()

    # --- saying ---------------------------------------------------------------------------------------------------

    async def challenge(self, user: str, format_: str, team: str = "") -> None:
        """Challenge a user to one battle, with a packed team or without."""
        self._popup, self._challenged = "", user
        await self.say(f"/utm {team or 'null'}")
        await self.say(f"/challenge {user}, {format_}")
        self._is_new = False

    async def accept(self, user: str, team: str = "") -> None:
        """Accept a user's challenge, with a packed team or without."""
        self._popup = ""
        await self.say(f"/utm {team or 'null'}")
        await self.say(f"/accept {user}")
        self._is_new = False
        for _ in range(self.challenges.qsize()):  # a new connection is told again of what waits
            if (challenge := self.challenges.get_nowait()) is None or challenge[0] != user:
                self.challenges.put_nowait(challenge)

    async def accept_all(self, user: str, team: str = "") -> None:
        """Accept whatever a user challenges this one to, until cancelled."""
        while (challenge := await self.challenges.get()) is not None:
            if challenge[0] == user:
                await self.accept(user, team)

    async def answer(self, text: str, room: str) -> None:
        """Answer what was said last in a battle; over a new connection, the server will ask again instead."""
        if self._heard[room] is self._socket:
            with contextlib.suppress(PlayError):
                await self._send(f"{room}|{text}")

    async def leave(self, room: str) -> None:
        """Leave a battle, and forget what is not read of it."""
        self._rooms.pop(room, None)
        self._heard.pop(room, None)
        await self.say("/noreply /leave", room)

    async def renewals(self) -> int:
        """How often the connection has been made again; waits if it is lost just now."""
        await self._open.wait()
        self.check()
        return self._renewals

    # --- listening ------------------------------------------------------------------------------------------------

    async def next_battle(self, wait_s: float) -> str:
        """The room of the battle that begins next. Raises PlayError if none does within the limit, and Reconnected."""
        try:
            async with asyncio.timeout(wait_s):
                room = await self._battles.get()
                while room in self._met or (room == "" and not self._popup and not self._is_new):
                    room = await self._battles.get()
        except TimeoutError:
            raise PlayError(f"no battle has begun within {wait_s:g} s",
                            hint="is the opponent there, and free?") from None
        if room is None:
            raise self._cut()
        if not room and self._is_new:
            self._is_new = False
            raise Reconnected
        if not room:
            raise UsageError(f"the server refuses the battle: {self._popup}",
                             hint="does --format need --teams, and does the team keep to its rules?")
        self._met.add(room)
        return room

    async def meet_in(self, room: str, wait_s: float) -> None:
        """Wait until a battle that another user has met this one in has begun for this one, too."""
        try:
            async with asyncio.timeout(wait_s):
                while room not in self._rooms and not self._lost:
                    await self._battles.get()
        except TimeoutError:
            raise PlayError(f"{self.account.name} has not come to the battle within {wait_s:g} s",
                            hint="the server may be too busy") from None
        self.check()
        self._met.add(room)

    async def next_lines(self, room: str, wait_s: float) -> list[str]:
        """What the server says next in a battle. Raises TimeoutError after the limit, PlayError without connection."""
        async with asyncio.timeout(wait_s):
            heard = await self._rooms[room].get()
        if heard is None:
            raise self._cut()
        self._heard[room], lines = heard
        return lines

    async def _take(self, message: str) -> None:
        if message.startswith(">"):
            room, _, text = message[1:].partition("\n")
            if text.startswith("|init|battle") and room not in self._seen:
                self._seen.add(room)
                self._rooms[room] = asyncio.Queue()
                self._battles.put_nowait(room)
            if room in self._rooms:
                self._rooms[room].put_nowait((self._socket, text.split("\n")))
            return
        first, *rest = message.split("\n")  # what follows may be somebody's words, but where the server greets
        await self._hear(first)
        for line in rest:
            if first.startswith("|updateuser|") and line.startswith("|formats|"):
                await self._hear(line)

    async def _hear(self, line: str) -> None:
        """Take in what is said outside battles."""
        _, kind, *fields = [*line.split("|"), ""]
        if kind == "formats":
            self.formats = frozenset(to_id(entry.rsplit(",", 1)[0]) for entry in fields if "," in entry[1:])
        elif kind == "pm" and len(fields) > 4 and fields[2].startswith("/challenge ") and fields[3]:
            if (user := to_id(fields[0])) != self.account.id:
                self.challenges.put_nowait((user, fields[3]))
        elif kind == "popup" and self._open.is_set():
            self._popup = " ".join(fields).replace("||", " ").strip()
            self._battles.put_nowait("")
        else:
            await self._hear_login(line)

    # --- over a new connection ------------------------------------------------------------------------------------

    def _to_catch_up(self) -> list[str]:
        joined = [f"|/join {room}" for room in self._rooms]  # the server lets the user only into those that go on
        return [*joined, *([f"|/cancelchallenge {self._challenged}"] if self._challenged else ())]

    def _reconnected(self) -> None:
        self._is_new, self._renewals = True, self._renewals + 1
        self._battles.put_nowait("")

    def _given_up(self) -> None:
        self._battles.put_nowait(None)
        self.challenges.put_nowait(None)
        for room in self._rooms.values():
            room.put_nowait(None)
