"""One user's connection to a Showdown server: logging in, challenges, and the lines of its battles.

    async with Connection(server, Account("my bot")) as user:
        await user.challenge("somebody", "gen9randombattle")
        room = await user.next_battle(60)
        lines = await user.next_lines(room, 60)

Whatever the server sends is read as data: names, chat and HTML are never looked into. Every wait has a limit. It uses
the package websockets, which comes with poke-env (the extra `showdown`). Source of the protocol: PROTOCOL.md
(smogon/pokemon-showdown).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from poke_bc.contract.errors import PlayError, UsageError
from poke_bc.dex import to_id

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

SERVER = "ws://localhost:8000/showdown/websocket"
LOGIN = "https://play.pokemonshowdown.com/action.php"
"""Where passwords are checked, whichever server one plays on."""
INSTALL = "pip install 'poke-bc[showdown]'"
LOGIN_S = 30.0
"""Seconds within which a server answers a new user; an idle one takes a hundredth."""
LONGEST_NAME = 18


@dataclass(frozen=True)
class Account:
    """Who plays."""

    name: str
    password: str = ""
    """"": the server asks for none, as one started with --no-security."""
    login: str = LOGIN

    def __post_init__(self) -> None:
        if not to_id(self.name) or len(self.name) > LONGEST_NAME or not self.name.isprintable() or "|" in self.name:
            raise UsageError(f"--name {self.name!r}: not a user name",
                             hint=f"up to {LONGEST_NAME} characters, among them a letter or digit")

    @property
    def id(self) -> str:
        """As servers compare names."""
        return to_id(self.name)


class Connection:
    """A user of a server; a context manager that logs in and out.

    Args:
        server: address, such as SERVER.
        account: a user who is not on that server yet.

    Entering raises UsageError if there is no server or the name cannot be had. Whoever waits when the connection is cut
    gets a PlayError.
    """

    def __init__(self, server: str, account: Account) -> None:
        try:
            import websockets  # noqa: F401
        except ImportError:
            raise UsageError("--via server needs poke-env and websockets, which are not installed",
                             hint=INSTALL) from None
        self.server, self.account = server, account
        self.formats: frozenset[str] = frozenset()
        """Ids of those that the server offers."""
        self.challenges: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue()
        """(user id, format) of those who challenge this user; None: the connection is lost."""
        self._battles: asyncio.Queue[str | None] = asyncio.Queue()
        self._rooms: dict[str, asyncio.Queue[list[str] | None]] = {}
        self._lost = ""
        """Why there is no connection any more."""
        self._popup = ""
        """What the server last refused."""
        self._ready: asyncio.Future[None]
        self._settled = asyncio.Event()

    async def __aenter__(self) -> Self:
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        hint = "is it running? `just showdown` starts one on this machine; --server gives the address"
        try:
            self._socket: ClientConnection = await connect(self.server, max_size=None, max_queue=None,
                                                           open_timeout=LOGIN_S)
        except (OSError, WebSocketException, ValueError) as error:
            reason = getattr(error, "strerror", None) or error or type(error).__name__
            raise UsageError(f"{self.server}: no Showdown server answers ({reason})", hint=hint) from None
        self._ready = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read())
        try:
            async with asyncio.timeout(LOGIN_S):
                await self._ready
                await self.say(f"/cmd userdetails {self.account.id}")
                await self._settled.wait()
            await self._leave_old_battles()
        except TimeoutError:
            await self._close()
            raise UsageError(f"{self.server}: does not let {self.account.name} in, and does not say why", hint=hint
                             ) from None
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self._close()

    async def _leave_old_battles(self) -> None:
        """A server lets a user back into the battles that an earlier connection has left."""
        while not self._battles.empty():
            if room := self._battles.get_nowait():
                await self.leave(room)

    async def _close(self) -> None:
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._socket.close()

    # --- saying ---------------------------------------------------------------------------------------------------

    async def say(self, text: str, room: str = "") -> None:
        """Send a command. Raises PlayError if the connection is lost."""
        from websockets.exceptions import WebSocketException

        try:
            await self._socket.send(f"{room}|{text}")
        except (OSError, WebSocketException) as error:
            self._lose(str(error))
            raise self._cut() from None

    async def challenge(self, user: str, format_: str, team: str = "") -> None:
        """Challenge a user to one battle, with a packed team or without."""
        self._popup = ""
        await self.say(f"/utm {team or 'null'}")
        await self.say(f"/challenge {user}, {format_}")

    async def accept(self, user: str, team: str = "") -> None:
        """Accept a user's challenge, with a packed team or without."""
        self._popup = ""
        await self.say(f"/utm {team or 'null'}")
        await self.say(f"/accept {user}")

    async def leave(self, room: str) -> None:
        """Leave a battle, and forget what is not read of it."""
        self._rooms.pop(room, None)
        await self.say("/noreply /leave", room)

    def check(self) -> None:
        """Raise PlayError if the connection is lost."""
        if self._lost:
            raise self._cut()

    # --- listening ------------------------------------------------------------------------------------------------

    async def next_battle(self, wait_s: float) -> str:
        """The room of the battle that begins next. Raises PlayError if none does within the limit."""
        try:
            async with asyncio.timeout(wait_s):
                room = await self._battles.get()
                while room == "" and not self._popup:  # refused something earlier
                    room = await self._battles.get()
        except TimeoutError:
            raise PlayError(f"no battle has begun within {wait_s:g} s",
                            hint="is the opponent there, and free?") from None
        if room is None:
            raise self._cut()
        if not room:
            raise UsageError(f"the server refuses the battle: {self._popup}",
                             hint="does --format need --teams, and does the team keep to its rules?")
        return room

    async def next_lines(self, room: str, wait_s: float) -> list[str]:
        """What the server says next in a battle. Raises TimeoutError after the limit, PlayError without connection."""
        async with asyncio.timeout(wait_s):
            lines = await self._rooms[room].get()
        if lines is None:
            raise self._cut()
        return lines

    def _cut(self) -> PlayError:
        return PlayError(f"{self.server}: the connection is lost ({self._lost})", hint="is the server still running?")

    async def _read(self) -> None:
        from websockets.exceptions import WebSocketException

        try:
            async for message in self._socket:
                await self._take(str(message))
            self._lose("the server closed it")
        except (OSError, WebSocketException) as error:
            self._lose(str(error))
        except PlayError:  # while answering; noted there
            pass

    def _lose(self, why: str) -> None:
        """Let everybody know who waits now or later."""
        self._lost = self._lost or why
        if not self._ready.done():
            self._ready.set_exception(self._cut())
        self._settled.set()
        self._battles.put_nowait(None)
        self.challenges.put_nowait(None)
        for room in self._rooms.values():
            room.put_nowait(None)

    async def _take(self, message: str) -> None:
        if message.startswith(">"):
            room, _, text = message[1:].partition("\n")
            if text.startswith("|init|battle") and room not in self._rooms:
                self._rooms[room] = asyncio.Queue()
                self._battles.put_nowait(room)
            if room in self._rooms:
                self._rooms[room].put_nowait(text.split("\n"))
            return
        first, *rest = message.split("\n")  # what follows may be somebody's words, but where the server greets
        await self._hear(first)
        for line in rest:
            if first.startswith("|updateuser|") and line.startswith("|formats|"):
                await self._hear(line)

    async def _hear(self, line: str) -> None:
        """Take in what is said outside battles."""
        _, kind, *fields = [*line.split("|"), ""]
        if kind == "challstr":
            await self._log_in("|".join(fields[:-1]))
        elif kind == "formats":
            self.formats = frozenset(to_id(entry.rsplit(",", 1)[0]) for entry in fields if "," in entry[1:])
        elif kind == "updateuser" and to_id(fields[0].split("@")[0]) == self.account.id and not self._ready.done():
            self._ready.set_result(None)
        elif kind == "queryresponse":  # all that the server says because somebody logs in has been said
            self._settled.set()
        elif kind == "nametaken":
            self._refuse(fields[1] if len(fields) > 1 else "")
        elif kind == "pm" and len(fields) > 4 and fields[2].startswith("/challenge ") and fields[3]:
            if (user := to_id(fields[0])) != self.account.id:
                self.challenges.put_nowait((user, fields[3]))
        elif kind == "popup":
            self._popup = " ".join(fields).replace("||", " ").strip()
            self._battles.put_nowait("")

    def _refuse(self, why: str) -> None:
        if not self._ready.done():
            hint = "is the password right?" if self.account.password else \
                "--name takes another one; one that is registered, or a server that wants accounts, needs --password"
            self._ready.set_exception(UsageError(f"{self.server}: {self.account.name} is refused: {why.strip()}",
                                                 hint=hint))

    async def _log_in(self, challenge: str) -> None:
        proof = ""
        if self.account.password:
            try:
                proof = await asyncio.to_thread(_proof, self.account, challenge)
            except (OSError, ValueError) as error:
                reason = getattr(error, "reason", None) or error
                self._ready.set_exception(UsageError(f"{self.account.login}: does not answer as a login server "
                                                     f"({reason})", hint="without --password no login is needed"))
                return
            if not proof or proof.startswith(";"):
                self._refuse(proof.strip(";") or "wrong name or password")
                return
        await self.say(f"/trn {self.account.name},0,{proof}")


def _proof(account: Account, challenge: str) -> str:
    """What the login server gives for the right password; "" or ";..." for a wrong one. Raises OSError, ValueError."""
    form = urllib.parse.urlencode({"act": "login", "name": account.name, "pass": account.password,
                                   "challstr": challenge})
    with urllib.request.urlopen(account.login, form.encode(), timeout=LOGIN_S / 2) as answer:
        found = json.loads(answer.read().decode().removeprefix("]"))
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return str(found.get("assertion") or "") if found.get("actionsuccess", True) else ""
