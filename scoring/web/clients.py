"""What bounds the connections of callers: how many there are, and how slow they may be."""

from __future__ import annotations

import asyncio
import logging
import resource
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, cast

from aiohttp import web

from collectors.taps.guarded_connection import GuardedConnection
from scoring.answering.score import refusal
from scoring.protocol.protocol import ScoringError
from scoring.settings import CONNECTIONS_MAX

logger = logging.getLogger("kedge.scoring.clients")

#: Connections beyond the limit that are told so at a time; further ones are closed at once.
TOLD_MAX: Final = 64
#: How long such a caller has to read why.
TOLD_S: Final = 1.0
#: Files that a process may have open besides its connections: logs, counters, the model's own.
OTHER_FILES: Final = 128


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Limits on callers.

    Parameters
    ----------
    refused
        Is told which limit was reached: one of `scoring.log.metrics.CLIENT_LIMITS`.
    connections_max
        Connections at a time.
    idle_s
        A connection that has been idle for so long is closed. No limit was reached then.
    head_timeout_s
        How long a request's head, or all of a plain request, may take from its first byte on.
    write_timeout_s
        How long a caller may leave its answer unread.
    """

    refused: Callable[[str], None]
    connections_max: int = CONNECTIONS_MAX
    idle_s: float = 75.0
    head_timeout_s: float = 20.0
    write_timeout_s: float = 60.0


class Fallback:
    """Makes aiohttp's protocol for the connections whose requests are not of the plain kind."""

    def __init__(self, manager: web.Server, limits: ClientLimits, faults: logging.Logger) -> None:
        self._manager = manager
        self._limits = limits
        self._faults = faults

    def connect(self) -> asyncio.Protocol:
        """Return the protocol of a connection that is passed to aiohttp."""
        return GuardedConnection(
            self._manager,
            self._limits,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=self._limits.idle_s,
            access_log=None,
            logger=self._faults,
        )

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._manager.connections)


class Turnstile:
    """Lets connections beyond the limit go, and counts them."""

    def __init__(self, limits: ClientLimits) -> None:
        self._limits = limits
        self._told: set[asyncio.Protocol] = set()

    def turn_away(self) -> asyncio.Protocol:
        """Return the protocol of a connection that is one too many."""
        self._limits.refused("connections")
        return _TurnedAway(self._told)


class _TurnedAway(asyncio.Protocol):
    """A connection that is told 503, whatever it asks.

    It is closed when its caller has hung up: closed at once, with a request unread, TCP would
    reset it, and the caller might not see the answer.
    """

    def __init__(self, told: set[asyncio.Protocol]) -> None:
        self._told = told
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Of a stream it always is one, though other event loops' do not say so.
        connection = cast("asyncio.Transport", transport)
        if len(self._told) >= TOLD_MAX:
            connection.abort()
            return
        self._told.add(self)
        connection.write(_ONE_TOO_MANY)
        connection.write_eof()
        self._timer = asyncio.get_running_loop().call_later(TOLD_S, connection.abort)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - of the interface
        self._told.discard(self)
        if self._timer is not None:
            self._timer.cancel()


def _one_too_many() -> bytes:
    error = ScoringError(
        "too many connections are open already: try again later",
        status=HTTPStatus.SERVICE_UNAVAILABLE,
    )
    answer = refusal(error)
    head = (
        f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}\r\n"
        f"Content-Type: {answer.content_type}\r\nContent-Length: {len(answer.body)}\r\n"
        "Retry-After: 1\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + answer.body


_ONE_TOO_MANY: Final = _one_too_many()


def room_for(connections: int) -> int:
    """Allow the process enough open files; return how many connections it has room for."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + OTHER_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return connections
    if hard != resource.RLIM_INFINITY and hard < needed:
        needed = hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    room = max(1, needed - OTHER_FILES)
    if room < connections:
        logger.warning(
            "%d open files are allowed, which is enough for %d connections, not for %d",
            *(needed, room, connections),
        )
    return min(room, connections)
