"""A Kedge that waits for its place: alive and not ready, for whoever probes it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from monitor.deciding.leadership import Office
from monitor.metrics.lease import waiting_page
from monitor.store.store import Store
from monitor.web.guard import CannotListenError, Guard, listen

log = logging.getLogger("kedge.lease")

_REASON = "another Kedge works; this one waits for its place"


async def stand_by(
    address: tuple[str, int], model: str, office: Office, stop: asyncio.Event
) -> Store | None:
    """Wait for the place and take it; None if a signal came before."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with _probed(address, lambda: waiting_page(model, office)):
        return await office.enter(stop)


@contextlib.asynccontextmanager
async def _probed(address: tuple[str, int], page: Callable[[], bytes]) -> AsyncIterator[None]:
    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=page(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", _alive)
    app.router.add_get("/metrics", metrics)
    app.router.add_route("*", "/{path:.*}", _waiting)
    try:
        listening = await listen(app, *address, Guard(lambda _reason: None))
    except CannotListenError as error:
        # The one who works may be on this very machine.
        log.info("waiting without probes: %s", error)
        yield
        return
    log.info("waiting; probes are answered on %s", listening.addresses[0])
    try:
        yield
    finally:
        await listening.close()


async def _alive(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


async def _waiting(_request: web.Request) -> web.Response:
    return web.json_response({"status": "unavailable", "reason": _REASON}, status=503)
