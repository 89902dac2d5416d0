"""A user's session on a Showdown server: logging in, saying something, hearing what is said, and logging in again.

Every wait has a limit. It uses the package websockets, which comes with poke-env (the extra `showdown`). Source of the
protocol: PROTOCOL.md (smogon/pokemon-showdown).
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


class Session:
    """A user of a server; a context manager that logs in and out. Subclasses take in what the server says.

    If the connection is cut, it logs in again under the same name, trying for RECONNECT_S.

    Args:
        server: address, such as SERVER.
        account: a user who is not on that server yet.

    Entering raises UsageError if there is no server or the name cannot be had.
    """

    def __init__(self, server: str, account: Account) -> None:
        try:
            import websockets  # noqa: F401
        except ImportError:
            raise UsageError("--via server needs poke-env and websockets, which are not installed",
                             hint=INSTALL) from None
        self.server, self.account = server, account
        self._lost = ""
        """Why there is no connection any more, and will be none."""
        self._why = ""
        """Why the last connection was lost, until there is a new one."""
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
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None,
                        trace: TracebackType | None) -> None:
        if self._mending is not None:
            self._mending.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._mending
        await self._hang_up()

    # --- for subclasses -------------------------------------------------------------------------------------------

    async def _take(self, message: str) -> None:
        """Take in a message."""
        raise NotImplementedError

    def _to_catch_up(self) -> list[str]:
        """What is said first over a new connection."""
        return []

    def _reconnected(self) -> None:
        """There is a new connection, and what was said first has been answered."""

    def _given_up(self) -> None:
        """There will be no connection any more."""

    # --- saying ---------------------------------------------------------------------------------------------------

    async def say(self, text: str, room: str = "") -> None:
        """Send a command, over the next connection if this one is lost. Raises PlayError if it is lost for good."""
        while True:
            await self._open.wait()
            self.check()
            with contextlib.suppress(PlayError):
                return await self._send(f"{room}|{text}")

    async def _send(self, text: str) -> None:
        from websockets.exceptions import WebSocketException

        socket = self._socket
        try:
            await socket.send(text)
        except (OSError, WebSocketException) as error:
            self._lose(socket, str(error))
            raise self._cut() from None

    def check(self) -> None:
        """Raise PlayError if the connection is lost for good."""
        if self._lost:
            raise self._cut()

    def _cut(self) -> PlayError:
        return PlayError(f"{self.server}: the connection is lost ({self._why})", hint="is the server still running?")

    # --- the connection -------------------------------------------------------------------------------------------

    async def _hang_up(self) -> None:
        self._reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._reader
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await self._socket.close()

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
        """Log in again, or give up."""
        until, pause_s = time.monotonic() + RECONNECT_S, 0.25
        first = self._to_catch_up()
        while True:
            try:
                await self._connect()
                async with asyncio.timeout(LOGIN_S):
                    for text in first:
                        await self._send(text)
                    await self._settle()
                if not self._reader.done():
                    break
            except (PokeBCError, TimeoutError):  # the name is taken until the server, too, has noticed the loss
                await self._hang_up()
            if time.monotonic() + pause_s > until:
                self._lost = self._why
                self._open.set()
                return self._given_up()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 5.0)
        self._why = ""
        self._reconnected()
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

    async def _hear_login(self, line: str) -> None:
        """Take in what is said because somebody logs in."""
        _, kind, *fields = [*line.split("|"), ""]
        if kind == "challstr":
            await self._log_in("|".join(fields[:-1]))
        elif kind == "updateuser" and to_id(fields[0].split("@")[0]) == self.account.id and not self._ready.done():
            self._ready.set_result(None)
        elif kind == "queryresponse" and not self._settled.done():
            self._settled.set_result(None)
        elif kind == "nametaken":
            self._refuse(fields[1] if len(fields) > 1 else "")

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
