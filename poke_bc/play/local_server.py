"""Showdown's own server on this machine, for playing and for tests: on loopback only, and without passwords.

    with LocalServer() as server: ...               on a free port; server.address
    python -m poke_bc.play.local_server 8000        until Ctrl-C

It is the npm package pokemon-showdown, whose configuration lies in the package's folder: one is written there if there
is none.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from poke_bc.contract.closing import Closing
from poke_bc.contract.errors import PlayError, UsageError
from poke_bc.play.simulator import find_node, find_showdown

HOST = "127.0.0.1"
START_S = 120.0
"""Seconds to start, which takes two or three on an idle machine."""
CONFIG = f"""// Written by poke-bc: a server for this machine alone.
exports.bindaddress = '{HOST}';
exports.repl = false;
exports.backdoor = false;
exports.watchconfig = false;
"""


class LocalServer(Closing):
    """The server as a process; a context manager that ends it.

    Args:
        port: 0 finds a free one.
        showdown: folder of the npm package, see `find_showdown`.

    Raises UsageError if Node or the package is not there, or if the package is configured for more than this machine;
    PlayError if the server does not start.
    """

    def __init__(self, port: int = 0, *, showdown: str | Path | None = None) -> None:
        folder = find_showdown(showdown)
        program = find_node()
        configure(folder)
        self.port = port or _free_port()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self.process = subprocess.Popen(
            [program, "pokemon-showdown", "start", "--no-security", "--skip-build", str(self.port)], cwd=folder,
            stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            self._wait()
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        """For --server."""
        return f"ws://{HOST}:{self.port}/showdown/websocket"

    def close(self) -> None:
        """End the server and the processes that it started; does nothing if that is done."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=5)
        self._output.close()

    def _wait(self) -> None:
        until = time.monotonic() + START_S
        while True:
            if self.process.poll() is not None:
                raise PlayError(f"Showdown's server has ended (exit code {self.process.returncode}): {self._told()}",
                                hint=f"is port {self.port} free?")
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1):
                return
            if time.monotonic() > until:
                raise PlayError(f"Showdown's server has not started within {START_S:g} s: {self._told()}",
                                hint="the machine may be too busy")
            time.sleep(0.1)

    def _told(self) -> str:
        """The last thing it said about an error."""
        self._output.seek(0)
        lines = [line.strip() for line in self._output.read().decode(errors="replace").splitlines() if line.strip()]
        return next((line for line in reversed(lines) if "Error" in line), lines[-1] if lines else "it said nothing")


def configure(folder: Path) -> None:
    """Let a package's server listen on loopback only. Raises UsageError if it is configured for more."""
    for needed in ("config/chat-plugins", "databases", "logs/repl"):
        (folder / needed).mkdir(parents=True, exist_ok=True)
    config = folder / "config" / "config.js"
    try:
        with open(config, "x") as file:
            file.write(CONFIG)
    except FileExistsError:
        if f"bindaddress = '{HOST}'" not in config.read_text("utf-8"):
            raise UsageError(f"{config}: does not say exports.bindaddress = '{HOST}', and a server without passwords "
                             "is for this machine alone", hint="change the file, or remove it") from None


def _free_port() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        return int(one.getsockname()[1])


def main() -> None:
    """Start a server, and keep it until Ctrl-C or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m poke_bc.play.local_server", description=main.__doc__)
    parser.add_argument("port", type=int, nargs="?", default=8000)
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell starts jobs in the background with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt), LocalServer(parser.parse_args().port) as server:
        print(f"{server.address} (in a browser: http://localhost:{server.port}); Ctrl-C ends it", flush=True)
        server.process.wait()


if __name__ == "__main__":
    main()
