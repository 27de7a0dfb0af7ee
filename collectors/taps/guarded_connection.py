"""A connection of an HTTP server whose client is cut off when it takes or gives without end."""

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
    def head_timeout_s(self) -> float:
        """How long a request's head may take to come, from its first byte on, seconds."""

    @property
    def write_timeout_s(self) -> float:
        """How long a client may leave its answer unread, seconds."""

    @property
    def connections_max(self) -> int:
        """Connections at a time."""


class GuardedConnection(web.RequestHandler):
    """A connection that is cut off when there are too many, or when its client is too slow."""

    def __init__(self, manager: web.Server, guard: Limits, **options: Any) -> None:  # noqa: ANN401 - aiohttp's own
        super().__init__(manager, **options)
        self._clients = manager
        self._guard = guard
        self._unread: asyncio.TimerHandle | None = None
        self._half_head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Refuse the connection if there are too many."""
        super().connection_made(transport)
        if len(self._clients.connections) > self._guard.connections_max:
            self._cut("connections")

    def data_received(self, data: bytes) -> None:
        """Take what came, and give half a head its time to become whole."""
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            self._forget_half_head()
        elif self._half_head is None and self._awaits_head():
            wait_s = self._guard.head_timeout_s
            loop = asyncio.get_running_loop()
            self._half_head = loop.call_later(wait_s, self._cut, "slow_head")

    def _awaits_head(self) -> bool:
        """Tell whether what comes now is a head: no body, no request that goes on.

        aiohttp has a timer of its own for this, but it is the one for idle connections: longer,
        and it does not tell the two apart.
        """
        waiter = self._waiter
        return not self._request_count or (waiter is not None and not waiter.done())

    def pause_writing(self) -> None:
        """Give the client its time to read."""
        super().pause_writing()
        wait_s = self._guard.write_timeout_s
        self._unread = asyncio.get_running_loop().call_later(wait_s, self._cut, "slow_reader")

    def resume_writing(self) -> None:
        """Stop waiting: the client reads."""
        super().resume_writing()
        self._forget_unread()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop waiting."""
        self._forget_unread()
        self._forget_half_head()
        super().connection_lost(exc)

    def _forget_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _forget_half_head(self) -> None:
        if self._half_head is not None:
            self._half_head.cancel()
            self._half_head = None

    def _cut(self, reason: str) -> None:
        self._guard.refused(reason)
        if self.transport is not None:
            self.transport.abort()
