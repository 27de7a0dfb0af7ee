"""``GET /api/v1/changes``: tells a page when there is something new to see, as server-sent events.

What changed is not told, only that something did: whoever listens asks again. One task looks at
the status for all who listen, once a second, and none does while nobody listens.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from aiohttp import web

#: Pages that may listen at a time; each holds a connection.
LISTENERS_MAX: Final = 20
#: Between two looks at the status.
LOOK_S: Final = 1.0
#: A listener is told the same again after so long: who hears nothing takes it for lost.
HEARTBEAT_S: Final = 10.0
#: How long a client waits before it connects again.
RETRY_MS: Final = 2_000
RETRY_AFTER_S: Final = 10


class Changes:
    """The route, and who listens.

    Parameters
    ----------
    status
        Body of ``/api/v1/status``.
    refused
        Is told when there are too many listeners.
    """

    def __init__(
        self,
        status: Callable[[], Mapping[str, Any]],
        *,
        refused: Callable[[str], None],
        listeners_max: int = LISTENERS_MAX,
        look_s: float = LOOK_S,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._status = status
        self._refused = refused
        self._listeners_max = listeners_max
        self._look_s = look_s
        self._heartbeat_s = heartbeat_s
        self._listeners: set[asyncio.Queue[bytes | None]] = set()
        self._looking: asyncio.Task[None] | None = None
        self._stopped = False

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what the application serves."""
        return [web.get("/api/v1/changes", self._listen)]

    async def stop(self, _app: web.Application) -> None:
        """Let every listener go: the daemon stops."""
        self._stopped = True
        for listener in self._listeners:
            # One that has not read what it was told last has no room for more.
            with contextlib.suppress(asyncio.QueueEmpty):
                listener.get_nowait()
            listener.put_nowait(None)
        if self._looking is not None:
            self._looking.cancel()

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        if self._stopped or len(self._listeners) >= self._listeners_max:
            self._refused("listeners")
            raise web.HTTPServiceUnavailable(
                text=f"{len(self._listeners)} pages listen already; ask again now and then",
                headers={"Retry-After": str(RETRY_AFTER_S)},
            )
        listener: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._listeners.add(listener)
        try:
            return await self._tell(request, listener)
        finally:
            self._listeners.discard(listener)
            if not self._listeners and self._looking is not None:
                self._looking.cancel()
                self._looking = None

    async def _tell(
        self, request: web.Request, listener: asyncio.Queue[bytes | None]
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-store",
                # Asks a proxy not to hold the lines back.
                "X-Accel-Buffering": "no",
            }
        )
        await response.prepare(request)
        try:
            await response.write(b"retry: %d\n\n" % RETRY_MS + self._event(self._status()))
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look(), name="looking for changes")
            while True:
                try:
                    event = await asyncio.wait_for(listener.get(), self._heartbeat_s)
                except TimeoutError:
                    event = self._event(self._status())
                if event is None:
                    break
                await response.write(event)
        except ConnectionError:
            pass  # the page was closed
        return response

    async def _look(self) -> None:
        before = b""
        while True:
            event = self._event(self._status())
            if event != before:
                before = event
                for listener in self._listeners:
                    # A slow one misses what came between: the next event says all that it did.
                    with contextlib.suppress(asyncio.QueueEmpty):
                        listener.get_nowait()
                    listener.put_nowait(event)
            await asyncio.sleep(self._look_s)

    def _event(self, status: Mapping[str, Any]) -> bytes:
        said = {
            "revision": revision(status, time.time()),
            "events": status["totals"]["all"]["events"],
        }
        return b"event: status\ndata: " + msgspec.json.encode(said) + b"\n\n"


def revision(status: Mapping[str, Any], now: float) -> str:
    """Return a text that is another one when a page would look another way.

    Counts of events go on all the time and are no reason to draw anything anew; that the last
    event is long ago is.
    """
    seen = max((one.get("last_window_end") or "" for one in status["versions"]), default="")
    shadow = status.get("shadow") or {}
    told = (
        status["model"],
        [one["version"] for one in status["versions"]],
        seen,
        status["rules"],
        status["rollback"],
        status["holds"],
        status.get("ready"),
        (shadow.get("window_end"), shadow.get("state")),
        # A page that says how long ago something was is drawn anew every minute.
        int(now // 60),
    )
    return hashlib.sha256(msgspec.json.encode(told)).hexdigest()[:16]
