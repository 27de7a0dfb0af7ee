"""The end that takes copies of requests: of NGINX' ``mirror``, Envoy's and the Gateway API's
request mirroring, and GoReplay.

Whoever copies throws the answer away and never sends a copy twice. So it is answered at once, with
204, and what is too long or comes too slowly is counted or forgotten, never refused for good.
"""  # noqa: D205 - the first sentence is longer than a line

from __future__ import annotations

import asyncio
import fnmatch
import re
import time
from collections.abc import Callable

from aiohttp import web

from collectors.taps.lines import Body, Seen
from collectors.taps.settings import MirrorSettings


class Mirror:
    """Takes copies.

    Parameters
    ----------
    offer
        Takes what was seen of a request that is recorded.
    """

    def __init__(self, settings: MirrorSettings, offer: Callable[[Seen], None]) -> None:
        self._settings = settings
        self._offer = offer
        self._scoring = re.compile("|".join(map(fnmatch.translate, settings.paths)) or r"(?!)")

    async def close(self) -> None:
        """Do nothing: there is nobody behind a mirror."""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Take a copy."""
        ts = time.time()
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                data, large = await self._read(request)
        except TimeoutError:
            return web.Response(status=408)
        if request.method == "POST" and self._scoring.fullmatch(request.path):
            given = request.headers
            encoding = given.get("Content-Encoding", "").strip().lower()
            id_ = given.get("X-Request-Id", "")
            body = None if large else Body(data, given.get("Content-Type", ""), encoding)
            joins = bool(id_ and self._settings.access_log_path)
            self._offer(Seen("mirror", ts, id_, body, large=large, joins=joins))
        return web.Response(status=204)

    async def _read(self, request: web.BaseRequest) -> tuple[bytes, bool]:
        """Return the body, and whether it is too long to be kept."""
        parts: list[bytes] = []
        left = self._settings.max_event_bytes
        async for data in request.content.iter_any():
            left -= len(data)
            if left < 0:
                parts.clear()
            else:
                parts.append(data)
        return b"".join(parts), left < 0
