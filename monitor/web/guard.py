"""The daemon's listening socket, guarded against clients that take without end.

What bounds a client, besides the limits on bodies (:mod:`monitor.web.request_body`):

* a connection that has sent no whole request head for `IDLE_TIMEOUT_S` is closed, whether it is
  idle, sends nothing, or drips a header byte by byte, and one that drips after `HEAD_TIMEOUT_S`;
* a client that does not read its answer for `WRITE_TIMEOUT_S` is cut off;
* past `CONNECTIONS_MAX` connections new ones are refused at once.

aiohttp by itself keeps a connection for an hour, and has neither of the other two.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from collectors.taps.guarded_connection import GuardedConnection

IDLE_TIMEOUT_S: Final = 10.0
HEAD_TIMEOUT_S: Final = 5.0
WRITE_TIMEOUT_S: Final = 30.0
CONNECTIONS_MAX: Final = 200
#: How long a body that was refused is still read, so that its sender gets to read the answer.
LINGERING_S: Final = 2.0
#: How long requests under way have when the daemon stops.
SHUTDOWN_TIMEOUT_S: Final = 2.0


@dataclass(frozen=True, slots=True)
class Guard:
    """Limits on clients; `refused` is told which one was reached."""

    refused: Callable[[str], None]
    idle_timeout_s: float = IDLE_TIMEOUT_S
    head_timeout_s: float = HEAD_TIMEOUT_S
    write_timeout_s: float = WRITE_TIMEOUT_S
    connections_max: int = CONNECTIONS_MAX


class CannotListenError(OSError):
    """An address is taken, not ours, or unknown; the message names it."""


class Listening:
    """A server that listens, and its way to stop."""

    def __init__(self, runner: web.AppRunner, server: asyncio.Server) -> None:
        self._runner = runner
        self._server = server

    @property
    def addresses(self) -> Sequence[str]:
        """Where it listens, ``HOST:PORT`` as it stands in an address of the web."""
        return [shown(*one.getsockname()[:2]) for one in self._server.sockets]

    async def close(self) -> None:
        """Take no more connections, and end those that are open."""
        self._server.close()
        await self._runner.cleanup()


async def listen(app: web.Application, host: str, port: int, guard: Guard) -> Listening:
    """Serve an application.

    Bodies are left compressed: inflating them here would be work for anyone who asks.

    Raises
    ------
    CannotListenError
        The address cannot be listened on.
    """
    options: dict[str, Any] = {
        "keepalive_timeout": guard.idle_timeout_s,
        "lingering_time": LINGERING_S,
        "auto_decompress": False,
        "access_log": None,
    }
    runner = web.AppRunner(app, shutdown_timeout=SHUTDOWN_TIMEOUT_S, **options)
    await runner.setup()
    manager = runner.server
    if manager is None:
        raise RuntimeError("the server was not set up")
    loop = asyncio.get_running_loop()
    try:
        server = await loop.create_server(
            lambda: GuardedConnection(manager, guard, loop=loop, **options),
            host,
            port,
            reuse_address=True,
        )
    except OSError as error:
        await runner.cleanup()
        # Without a number it is the resolver that does not know the host.
        number = error.errno or 0
        why = os.strerror(number) if number > 0 else error.strerror
        raise CannotListenError(f"cannot listen on {shown(host, port)}: {why}") from error
    return Listening(runner, server)


def shown(host: str, port: int) -> str:
    """Write ``HOST:PORT``, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
