"""A TCP proxy that loses connections where it hurts: at a COMMIT, or at its answer."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from typing import Literal

Fault = Literal["before commit", "with commit", "after commit", "silence"]

_CHUNK = 1 << 16


class CuttingProxy:
    """Forwards to a port of this machine until told to do otherwise; a thread a connection."""

    def __init__(self, port: int) -> None:
        self._upstream = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._fault: Fault | None = None
        self._then_away = self._away = False
        self._open = True
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, fault: Fault, *, then_away: bool = False) -> None:
        """Let the next COMMIT meet with a fault; silence lasts until :meth:`heal`.

        With `then_away` there is no way to the server from the fault on until :meth:`heal`.
        """
        self._fault, self._then_away = fault, then_away

    def heal(self) -> None:
        """Forward again."""
        self._fault, self._away = None, False

    def close(self) -> None:
        """Take no more connections, and end those there are."""
        self._open = False
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            server = socket.create_connection(("127.0.0.1", self._upstream))
            with server, selectors.DefaultSelector() as ready:
                ready.register(client, selectors.EVENT_READ, server)
                ready.register(server, selectors.EVENT_READ, client)
                while self._open and not self._away and self._forward(ready, client, server):
                    pass

    def _forward(
        self, ready: selectors.BaseSelector, client: socket.socket, server: socket.socket
    ) -> bool:
        """Pass on what has come; False when the connection is to end."""
        for key, _ in ready.select(0.2):
            peer: socket.socket = key.data
            data = socket.socket.recv(key.fileobj, _CHUNK)  # type: ignore[arg-type] # what we registered
            if not data:
                return False
            if self._fault == "silence":
                continue
            if peer is server and b"COMMIT" in data and self._fault is not None:
                self._cut(data, server)
                return False
            peer.sendall(data)
        return True

    def _cut(self, data: bytes, server: socket.socket) -> None:
        fault, self._fault = self._fault, None
        self._away = self._then_away
        self.cuts += 1
        if fault != "before commit":
            server.sendall(data)
        if fault == "after commit":
            # It has answered, so it has committed; the answer goes no further.
            server.recv(_CHUNK)
