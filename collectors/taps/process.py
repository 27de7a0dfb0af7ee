"""The process of a tap: takes traffic, and writes a spool. Started by :mod:`collectors.taps.watch`.

    python -m collectors.taps.process < settings.json

It is a process of its own, so that nothing that Kedge counts or waits for delays a request, and
so that requests are passed on while Kedge is killed, stopped or restarted by somebody. What it
needs to know comes on standard input; what it has to tell stands in ``tap.json`` beside the spool.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web

from collectors import log_output
from collectors.spool.files import Place, SpoolError
from collectors.spool.spool import Spool
from collectors.taps.cloudevents import CloudEvents, Keeper
from collectors.taps.guarded_connection import GuardedConnection
from collectors.taps.mirror import Mirror
from collectors.taps.proxy import Proxy
from collectors.taps.recorder import Recorder
from collectors.taps.settings import (
    CloudEventsSettings,
    ProxySettings,
    TapSettings,
    split_address,
)
from collectors.taps.standing import Errand, Standing, digest, write_standing

log = logging.getLogger("kedge.tap")

#: How long the head of a request may take to come; at most half the time of an idle connection.
HEAD_TIMEOUT_S = 20.0
#: How long a caller may leave its answer unread.
WRITE_TIMEOUT_S = 30.0
#: How long requests under way have when the tap stops.
DRAIN_S = 8.0
#: Longest stretch of the recording thread before the traffic has its turn; 5 ms by default.
SWITCH_S = 0.0005
#: New objects after which Python's garbage collector looks for cycles.
GARBAGE_OBJECTS = 10_000


@dataclass(frozen=True, slots=True)
class _Limits:
    refused: Callable[[str], None]
    head_timeout_s: float
    connections_max: int
    write_timeout_s: float = WRITE_TIMEOUT_S


async def serve(errand: Errand) -> None:
    """Take traffic until SIGTERM or SIGINT.

    Raises
    ------
    OSError
        The address cannot be listened on.
    SpoolError
        The spool cannot be used.
    """
    settings = errand.settings
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    folder = Path(settings.path)
    after = Place.of(errand.after) if errand.after is not None else None
    spool = Spool(folder, bytes_max=settings.max_bytes, ids_max=0, after=after)
    standing = Standing(os.getpid(), digest(errand), "", {})

    def tell(counts: Mapping[str, int]) -> None:
        write_standing(folder, msgspec.structs.replace(standing, counts=dict(counts)))

    handler, recorder, does = _parts(settings, spool, tell)
    try:
        server, manager = await _listen(settings, handler.handle, recorder.refuse)
        host, port = server.sockets[0].getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        standing = msgspec.structs.replace(standing, address=address)
        tell({})
        log.info("%s: %s %s", errand.name, address, does)
        recorder.start()
        await stop.wait()
        server.close()
        manager.pre_shutdown()
        await manager.shutdown(DRAIN_S)
        recorder.stop()
    finally:
        await handler.close()
    log.info("%s: stopped", errand.name)


def _parts(
    settings: TapSettings, spool: Spool, tell: Callable[[Mapping[str, int]], None]
) -> tuple[Proxy | Mirror | CloudEvents, Recorder | Keeper, str]:
    """Return what takes requests, what writes them, and what that is, for the log."""
    if isinstance(settings, CloudEventsSettings):
        keeper = Keeper(spool, tell)
        return CloudEvents(settings, keeper), keeper, "takes CloudEvents"
    recorder = Recorder(spool, settings.max_event_bytes, tell)
    if isinstance(settings, ProxySettings):
        return Proxy(settings, recorder.offer), recorder, f"passes on to {settings.upstream}"
    return Mirror(settings, recorder.offer), recorder, "takes copies of requests"


async def _listen(
    settings: TapSettings,
    handle: Callable[[web.BaseRequest], Any],
    refused: Callable[[str], None],
) -> tuple[asyncio.Server, web.Server]:
    options: dict[str, Any] = {
        "keepalive_timeout": settings.idle_s,
        "lingering_time": 2.0,
        "auto_decompress": False,
        "access_log": None,
        "read_bufsize": 64 << 10,
    }
    manager = web.Server(handle, handler_cancellation=True, **options)
    head_timeout_s = min(HEAD_TIMEOUT_S, settings.idle_s / 2)
    limits = _Limits(refused, head_timeout_s, settings.connections_max)
    host, port = split_address(settings.listen)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: GuardedConnection(manager, limits, loop=loop, **options), host, port, backlog=1024
    )
    return server, manager


def main() -> int:
    """Run the tap that standard input describes; return the exit status."""
    log_output.configure_alike(service="kedge-tap")
    errand = msgspec.json.decode(sys.stdin.buffer.read(), type=Errand)
    sys.setswitchinterval(SWITCH_S)
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS)
    try:
        asyncio.run(serve(errand))
    except (OSError, SpoolError) as error:
        log.error("%s: %s", errand.name, error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
