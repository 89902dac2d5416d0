"""Showdown's simulator as a process: simulator.js runs the npm package pokemon-showdown under Node.

    with Simulator() as simulator:
        simulator.start(1, {"formatid": "gen9randombattle", "seed": [1, 2, 3, 4], "p1": {...}, "p2": {...}})
        for event in simulator.events(): ...

The package is looked for in $SHOWDOWN, then in ./node_modules/pokemon-showdown. Every wait has a limit.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import IO, Any

import msgspec

from poke_bc.contract.closing import Closing
from poke_bc.contract.errors import PlayError, UsageError

PACKAGE, VERSION = "pokemon-showdown", "0.11.11"
"""What the tests play with; other releases of 0.11 are accepted."""
VARIABLE = "SHOWDOWN"
INSTALL = f"npm install {PACKAGE}@{VERSION} --omit=optional"
WAIT_S = 60.0
"""Seconds without an answer after which the simulator counts as hung; a turn takes a few milliseconds."""
START_S = 120.0
"""Seconds to load, which takes one or two on an idle machine."""


class Event(msgspec.Struct, gc=False):
    """What the simulator says about a battle, or about teams that it was asked to read."""

    battle: int = -1
    messages: list[tuple[str, str]] = []
    """Kind ("update", "sideupdate", "end") and text, in order."""
    error: str = ""
    """Why the battle cannot go on."""
    version: str = ""
    teams: list[dict[str, Any]] | None = None


_DECODER = msgspec.json.Decoder(Event)


def find_showdown(given: str | Path | None = None) -> Path:
    """The folder of the npm package: `given`, $SHOWDOWN, or ./node_modules/pokemon-showdown. Raises UsageError."""
    named = given or os.environ.get(VARIABLE)
    folder = Path(named) if named else Path("node_modules") / PACKAGE
    if (folder / "node_modules" / PACKAGE).is_dir():  # where npm was run
        folder = folder / "node_modules" / PACKAGE
    try:
        package = json.loads((folder / "package.json").read_text("utf-8"))
        name, version = str(package["name"]), str(package["version"])
    except (OSError, ValueError, KeyError, TypeError):
        hint = f"{INSTALL}, here or anywhere with {VARIABLE}=FOLDER/node_modules/{PACKAGE}"
        raise UsageError(f"{folder}: Showdown's simulator is not there", hint=hint) from None
    if name != PACKAGE or version.split(".")[:2] != VERSION.split(".")[:2]:
        raise UsageError(f"{folder}: {name} {version}, but poke-bc plays with {PACKAGE} {VERSION}", hint=INSTALL)
    if not (folder / "dist" / "sim" / "index.js").is_file():
        raise UsageError(f"{folder}: {PACKAGE} without dist/sim, so it was never built", hint=INSTALL)
    return folder.resolve()


def find_node(node: str = "node") -> str:
    """The program that runs Showdown. Raises UsageError."""
    program = shutil.which(node)
    if program is None:
        raise UsageError(f"{node}: not found, and Showdown needs it",
                         hint="install Node.js 18 or newer (https://nodejs.org), then: " + INSTALL)
    return program


class Simulator(Closing):
    """The process; a context manager that ends it.

    Args:
        showdown: see `find_showdown`.
        node: the program that runs it.
        wait_s: how long `events` waits for the next answer.

    Raises UsageError if Node or the package is not there, PlayError whenever it ends or does not answer.
    """

    def __init__(self, showdown: str | Path | None = None, *, node: str = "node", wait_s: float = WAIT_S) -> None:
        self._wait_s = wait_s
        folder = find_showdown(showdown)
        program = find_node(node)
        with resources.as_file(resources.files("poke_bc.play").joinpath("simulator.js")) as script:
            self.process = subprocess.Popen(
                [program, str(script), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, start_new_session=os.name != "nt")  # Ctrl-C is for poke-bc to handle
            self._errors: deque[str] = deque(maxlen=20)
            self._events: queue.SimpleQueue[Event | None] = queue.SimpleQueue()
            self._readers = [threading.Thread(target=read, args=(stream,), daemon=True) for read, stream in (
                (self._read, self.process.stdout), (self._read_errors, self.process.stderr))]
            for reader in self._readers:
                reader.start()
            try:
                self.version = self._next(START_S).version
                """Of the npm package."""
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """End the process; does nothing if it has ended."""
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for reader in self._readers:
            reader.join(timeout=5)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def start(self, battle: int, options: Mapping[str, Any]) -> None:
        """Begin a battle: formatid, seed (four numbers below 65536); for p1 and p2 name, and seed or packed team."""
        self._tell({"battle": battle, "start": options})

    def choose(self, battle: int, choices: Mapping[str, str]) -> None:
        """Answer for one or both players, in the words of a choice without "/choose"."""
        self._tell({"battle": battle, "choose": choices})

    def drop(self, battle: int) -> None:
        """Forget a battle that is not to be played on."""
        self._tell({"battle": battle, "drop": True})

    def read_teams(self, format_: str, text: str) -> list[dict[str, Any]]:
        """Teams as Showdown exports them (several under `=== name ===`), packed or JSON: for each "packed", as `start`
        takes it, and "problems" with the rules of the format. Not while battles are being played."""
        self._tell({"teams": format_, "text": text})
        event = self._next(self._wait_s)
        while event.battle >= 0:  # of a battle that was broken off
            event = self._next(self._wait_s)
        if event.teams is None:
            raise UsageError(f"{format_}: the simulator cannot check teams for it ({event.error})",
                             hint="give the id of a format, such as gen9ou")
        return event.teams

    def events(self) -> Iterator[Event]:
        """Everything that has been said by now; waits until there is something. Raises PlayError after the limit."""
        yield self._next(self._wait_s)
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._checked(self._events.get_nowait())

    def _tell(self, value: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(msgspec.json.encode(value) + b"\n")
            self.process.stdin.flush()
        except OSError:
            raise self._ended() from None

    def _next(self, wait_s: float) -> Event:
        try:
            return self._checked(self._events.get(timeout=wait_s))
        except queue.Empty:
            raise PlayError(f"the simulator has not answered for {wait_s:g} s",
                            hint="the machine may be too busy: play fewer battles side by side") from None

    def _checked(self, event: Event | None) -> Event:
        if event is None:
            raise self._ended()
        return event

    def _ended(self) -> PlayError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)
        for reader in self._readers:
            reader.join(timeout=5)
        why = next((line for line in self._errors if "Error" in line), "")
        return PlayError(f"the simulator has ended (exit code {self.process.poll()}){': ' if why else ''}{why}",
                         hint=f"is Node.js 18 or newer, and the package complete? {INSTALL}")

    def _read(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(ValueError, OSError):  # closed
            for line in stream:
                try:
                    self._events.put(_DECODER.decode(line))
                except msgspec.DecodeError:
                    self._errors.append(line.decode(errors="replace").strip())  # a print of the package
        self._events.put(None)

    def _read_errors(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(ValueError, OSError):
            for line in stream:
                self._errors.append(line.decode(errors="replace").strip())


def shown_to(viewer: str, lines: Iterable[str]) -> list[str]:
    """What a player ("p1", "p2"), or a spectator (""), sees of an update; without times, which differ from run to run.

    >>> shown_to("p2", ["|split|p1", "|-heal|p1a: A|9/90", "|-heal|p1a: A|10/100", "|t:|1"])
    ['|-heal|p1a: A|10/100']
    """
    shown, rest = [], iter(lines)
    for line in rest:
        if line.startswith("|split|"):
            secret, public = next(rest), next(rest)
            line = secret if line[7:] == viewer else public
            if not line:
                continue
        if not line.startswith("|t:|"):
            shown.append(line)
    return shown
