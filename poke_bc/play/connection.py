"""One user's connection to a Showdown server: logging in, challenges, the lines of its battles, and logging in again.

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
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from poke_bc.contract.errors import PlayError, PokeBCError, UsageError
from poke_bc.dex import to_id

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

SERVER = "ws://localhost:8000/showdown/websocket"
LOGIN = "https://play.pokemonshowdown.com/action.php"
"""Where passwords are checked, whichever server one plays on."""
INSTALL = "pip install 'poke-bc[showdown]'"
LOGIN_S = 30.0
"""Seconds within which a server answers a new user; an idle one takes a hundredth."""
RECONNECT_S = 30.0
"""Seconds after which a lost connection is given up; servers forget who is away much later."""
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


class Reconnected(Exception):
    """The connection was lost and is there again; what was said last may not have been heard."""


class Connection:
    """A user of a server; a context manager that logs in and out.

    If the connection is cut, it logs in under the same name and joins its battles again, trying for RECONNECT_S; the
    server then repeats each battle's lines and its open request.

    Args:
        server: address, such as SERVER.
        account: a user who is not on that server yet.

    Entering raises UsageError if there is no server or the name cannot be had. Whoever waits when the connection is
    given up gets a PlayError.
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
        self._seen: set[str] = set()
        """Rooms of all battles so far."""
        self._lost = ""
        """Why there is no connection any more, and will be none."""
        self._why = ""
        """Why the last connection was lost, until there is a new one."""
        self._popup = ""
        """What the server last refused."""
        self._challenged = ""
        """Who was last."""
        self._is_new = False
        """Whether this is another connection than the one over which the last challenge went."""
        self._socket: ClientConnection
        self._reader: asyncio.Task[None]
        self._ready: asyncio.Future[None]
        """The user is logged in."""
        self._settled: asyncio.Future[None]
        """Everything that was said has been answered."""
        self._open = asyncio.Event()
        """There is a connection, or there will never be one again."""
        self._mending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._connect()
        self._open.set()
        await self._leave_old_battles()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        await self._close()

    async def _leave_old_battles(self) -> None:
        """A server lets a user back into the battles that an earlier connection has left."""
        while not self._battles.empty():
            if room := self._battles.get_nowait():
                await self.leave(room)
        self._seen.clear()

    async def _close(self) -> None:
        if self._mending is not None:
            self._mending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._mending
        await self._hang_up()

    async def _hang_up(self) -> None:
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._socket.close()

    # --- connecting -----------------------------------------------------------------------------------------------

    async def _connect(self) -> None:
        """Log in, and listen. Raises UsageError or PlayError, and leaves no connection then."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        hint = "is it running? `just showdown` starts one on this machine; --server gives the address"
        try:
            self._socket = await connect(self.server, max_size=None, max_queue=None, open_timeout=LOGIN_S)
        except (OSError, WebSocketException, ValueError) as error:
            reason = getattr(error, "strerror", None) or error or type(error).__name__
            raise UsageError(f"{self.server}: no Showdown server answers ({reason})", hint=hint) from None
        self._ready = self._settled = asyncio.get_running_loop().create_future()
        self._reader = asyncio.create_task(self._read(self._socket))
        try:
            async with asyncio.timeout(LOGIN_S):
                await self._ready
                await self._settle()
        except TimeoutError:
            await self._hang_up()
            raise UsageError(f"{self.server}: does not let {self.account.name} in, and does not say why", hint=hint
                             ) from None
        except BaseException:
            await self._hang_up()
            raise

    async def _settle(self) -> None:
        """Wait until the server has answered all that was said to it."""
        self._settled = asyncio.get_running_loop().create_future()
        await self._send(f"|/cmd userdetails {self.account.id}")
        await self._settled

    async def _reconnect(self) -> None:
        """Log in again, and join the battles that go on; or give up."""
        until, pause_s = time.monotonic() + RECONNECT_S, 0.25
        rooms = [*self._rooms]
        while True:
            try:
                await self._connect()
                async with asyncio.timeout(LOGIN_S):
                    for room in rooms:  # the server lets the user into those that go on; this is for the others
                        await self._send(f"|/join {room}")
                    if self._challenged:  # it will be made again
                        await self._send(f"|/cancelchallenge {self._challenged}")
                    await self._settle()
                if not self._reader.done():
                    break
            except (PokeBCError, TimeoutError):  # the name is taken until the server, too, has noticed the loss
                await self._hang_up()
            if time.monotonic() + pause_s > until:
                return self._give_up()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 5.0)
        self._is_new, self._why = True, ""
        self._battles.put_nowait("")
        self._open.set()

    def _lose(self, socket: ClientConnection, why: str) -> None:
        """Note that a connection is lost, and see to a new one if the user was logged in."""
        if socket is not self._socket:
            return
        self._why = self._why or why
        for waited in (self._ready, self._settled):
            if not waited.done():
                waited.set_exception(self._cut())
                waited.exception()  # nobody may be waiting
        if self._open.is_set() and not self._lost:
            self._open.clear()
            self._mending = asyncio.create_task(self._reconnect())

    def _give_up(self) -> None:
        """Let everybody know who waits now or later."""
        self._lost = self._why
        self._open.set()
        self._battles.put_nowait(None)
        self.challenges.put_nowait(None)
        for room in self._rooms.values():
            room.put_nowait(None)

    # --- saying ---------------------------------------------------------------------------------------------------

    async def say(self, text: str, room: str = "", *, is_repeated: bool = True) -> None:
        """Send a command. Raises PlayError if the connection is lost for good.

        Args:
            text: the command.
            room: where.
            is_repeated: send it over the next connection if this one is lost; not for answers to requests, which the
                server repeats.
        """
        while True:
            await self._open.wait()
            self.check()
            with contextlib.suppress(PlayError):
                return await self._send(f"{room}|{text}")
            if not is_repeated:
                return

    async def _send(self, text: str) -> None:
        from websockets.exceptions import WebSocketException

        socket = self._socket
        try:
            await socket.send(text)
        except (OSError, WebSocketException) as error:
            self._lose(socket, str(error))
            raise self._cut() from None

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

    async def accept_from(self, user: str, team: str = "") -> None:
        """Wait for a user's challenge, and accept it."""
        while (challenge := await self.challenges.get()) is not None and challenge[0] != user:
            pass
        self.check()
        await self.accept(user, team)

    async def leave(self, room: str) -> None:
        """Leave a battle, and forget what is not read of it."""
        self._rooms.pop(room, None)
        await self.say("/noreply /leave", room)

    def check(self) -> None:
        """Raise PlayError if the connection is lost for good."""
        if self._lost:
            raise self._cut()

    # --- listening ------------------------------------------------------------------------------------------------

    async def next_battle(self, wait_s: float) -> str:
        """The room of the battle that begins next. Raises PlayError if none does within the limit, and Reconnected."""
        try:
            async with asyncio.timeout(wait_s):
                room = await self._battles.get()
                while room == "" and not self._popup and not self._is_new:  # of something earlier
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
        return room

    async def next_lines(self, room: str, wait_s: float) -> list[str]:
        """What the server says next in a battle. Raises TimeoutError after the limit, PlayError without connection."""
        async with asyncio.timeout(wait_s):
            lines = await self._rooms[room].get()
        if lines is None:
            raise self._cut()
        return lines

    def _cut(self) -> PlayError:
        return PlayError(f"{self.server}: the connection is lost ({self._why})", hint="is the server still running?")

    async def _read(self, socket: ClientConnection) -> None:
        from websockets.exceptions import WebSocketException

        try:
            async for message in socket:
                await self._take(str(message))
            self._lose(socket, "the server closed it")
        except (OSError, WebSocketException) as error:
            self._lose(socket, str(error))
        except PlayError:  # while answering; noted there
            pass

    async def _take(self, message: str) -> None:
        if message.startswith(">"):
            room, _, text = message[1:].partition("\n")
            if text.startswith("|init|battle") and room not in self._seen:
                self._seen.add(room)
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
        elif kind == "queryresponse" and not self._settled.done():
            self._settled.set_result(None)
        elif kind == "nametaken":
            self._refuse(fields[1] if len(fields) > 1 else "")
        elif kind == "pm" and len(fields) > 4 and fields[2].startswith("/challenge ") and fields[3]:
            if (user := to_id(fields[0])) != self.account.id:
                self.challenges.put_nowait((user, fields[3]))
        elif kind == "popup" and self._open.is_set():
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
        await self._send(f"|/trn {self.account.name},0,{proof}")


def _proof(account: Account, challenge: str) -> str:
    """What the login server gives for the right password; "" or ";..." for a wrong one. Raises OSError, ValueError."""
    form = urllib.parse.urlencode({"act": "login", "name": account.name, "pass": account.password,
                                   "challstr": challenge})
    with urllib.request.urlopen(account.login, form.encode(), timeout=LOGIN_S / 2) as answer:
        found = json.loads(answer.read().decode().removeprefix("]"))
    if not isinstance(found, dict):
        raise ValueError("not an object")
    return str(found.get("assertion") or "") if found.get("actionsuccess", True) else ""
