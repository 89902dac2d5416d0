"""A TCP proxy on this machine that cuts the connections through it."""

from __future__ import annotations

import contextlib
import socket
import threading

from poke_bc.contract.closing import Closing


class Proxy(Closing):
    """Passes bytes on to a port of this machine; a context manager."""

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.connections = 0
        """All that there have been."""
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def address(self) -> str:
        """For --server."""
        return f"ws://127.0.0.1:{self.port}/showdown/websocket"

    def cut(self) -> None:
        """Cut what is connected now; new connections are let through."""
        while self._open:
            one = self._open.pop()
            with contextlib.suppress(OSError):  # closed by one of its ends
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Cut everything, and let nobody through any more."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
                far = socket.create_connection(self._target)
            except OSError:
                return
            self.connections += 1
            self._open += (near, far)
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._pass, args=(source, target), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        source.close()
