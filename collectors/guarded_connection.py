"""A connection of an HTTP server whose client is cut off when it takes without end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from aiohttp import web


class Limits(Protocol):
    """Limits on clients."""

    @property
    def refused(self) -> Callable[[str], None]:
        """Is told which limit was reached."""

    @property
    def write_timeout_s(self) -> float:
        """How long a client may leave its answer unread, seconds."""

    @property
    def connections_max(self) -> int:
        """Connections at a time."""


class GuardedConnection(web.RequestHandler):
    """A connection that is cut off when there are too many, or when its client does not read."""

    def __init__(self, manager: web.Server, guard: Limits, **options: Any) -> None:  # noqa: ANN401 - aiohttp's own
        super().__init__(manager, **options)
        self._clients = manager
        self._guard = guard
        self._unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse the connection if there are too many."""
        super().connection_made(transport)
        if len(self._clients.connections) > self._guard.connections_max:
            self._cut("connections")

    def pause_writing(self) -> None:
        """Give the client its time to read."""
        super().pause_writing()
        wait_s = self._guard.write_timeout_s
        self._unread = asyncio.get_running_loop().call_later(wait_s, self._cut, "slow_reader")

    def resume_writing(self) -> None:
        """Stop waiting: the client reads."""
        super().resume_writing()
        self._stop_waiting()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop waiting."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _cut(self, reason: str) -> None:
        self._guard.refused(reason)
        if self.transport is not None:
            self.transport.abort()
