"""A listening socket, all connections to it, and how they change hands."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from scoring.processes.assignment import Pinned
from scoring.processes.swap import AliasFollower
from scoring.settings import LINGER_S
from scoring.web.clients import Fallback
from scoring.web.front import Front
from scoring.web.handover import Heir, Successor
from scoring.web.server import ScoringServer

#: Connections that wait to be accepted: a burst must not be refused.
BACKLOG_CONNECTIONS: Final = 1024
#: Turns of the event loop that asyncio needs for a connection that it has accepted; one is enough.
SET_UP_ROUNDS: Final = 3


class Place:
    """The port of a process, and all connections to it.

    Parameters
    ----------
    fallback
        Takes the connections whose requests are not of the plain kind.
    """

    def __init__(
        self,
        *,
        server: ScoringServer,
        front: Front,
        fallback: Fallback,
        served: Pinned,
    ) -> None:
        self._server, self._front, self._fallback = server, front, fallback
        self._listener: asyncio.Server | None = None
        self._socket: socket.socket | None = None
        self._opening: asyncio.Task[None] | None = None
        self.served = served
        self.line = ""
        self.follower: AliasFollower | None = None

    async def open(self, own: socket.socket) -> None:
        """Take connections on a socket, which is closed in the end."""
        self._socket = own
        self._listener = await asyncio.get_running_loop().create_server(
            self._front.connect, sock=own, backlog=BACKLOG_CONNECTIONS
        )

    def inherit(self, path: Path, took: Callable[[], None]) -> Heir:
        """Take the port and the connections that a predecessor passes; say when that begins."""

        async def opened(passed: socket.socket) -> None:
            await self.open(passed)
            took()

        def listening(passed: socket.socket) -> None:
            self._opening = asyncio.get_running_loop().create_task(opened(passed))

        return Heir(path, listening, self._front.adopt)

    async def hand_over(self, path: Path) -> None:
        """Pass all that to the process that waits at a path; return when nothing is left here.

        Plain connections go at once, each when it is not waiting for an answer. Those that aiohttp
        has cannot go: each gets one more answer here, which tells the caller that it is the last.

        Raises
        ------
        OSError
            Nobody took the port: it stays here.
        """
        if self._socket is None:
            raise OSError("there is no port to hand over yet")
        successor = Successor(path)
        try:
            successor.give_listening(self._socket.fileno())
            # asyncio drops connections that it has accepted and not set up when their server
            # closes: stop accepting, and let it set those up first.
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._socket.fileno())
            for _ in range(SET_UP_ROUNDS):
                await asyncio.sleep(0)
            self.close()
            self._server.leaving = True
            await self._front.leave_to(successor, LINGER_S)
        finally:
            successor.close()
        self._front.draining = True
        ends = asyncio.get_running_loop().time() + LINGER_S
        while self._fallback.connections and asyncio.get_running_loop().time() < ends:  # noqa: ASYNC110 - aiohttp tells nobody
            await asyncio.sleep(0.05)

    def close(self) -> None:
        """Take no connections any more."""
        if self._listener is not None:
            self._listener.close()
        if self._socket is not None:
            self._socket.close()
