"""The routes of the status page: the page itself, and the few files that it is shown with."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from aiohttp import web

from monitor.page.facts import gather
from monitor.page.status_page import PAGES, render
from monitor.store.queries import Queries
from monitor.web.changes import revision
from monitor.web.columns import ColumnsView

#: No inline script or style, nothing from elsewhere, no other site around it.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    # Kept by nobody without asking whether it is still so.
    "Cache-Control": "no-cache",
}
FILES: Final = {
    "charts.css": "text/css",
    "page.css": "text/css",
    "page.js": "text/javascript",
    "theme.js": "text/javascript",
    "kedge.svg": "image/svg+xml",
}
#: A page is drawn at most so often, however many people look at it.
FRESH_S: Final = 2.0
#: Pages that are kept: the one without a column, and with those that were asked for last.
KEPT_MAX: Final = 8

Read = Callable[[Callable[[], str]], Awaitable[str]]


class Page:
    """``/`` and ``/pages/…``.

    Parameters
    ----------
    read
        Runs on a thread that may wait for the store.
    """

    def __init__(
        self,
        view: ColumnsView,
        queries: Queries,
        read: Read,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._view = view
        self._queries = queries
        self._read = read
        self._now = now
        self._drawing = asyncio.Lock()
        # By column: of what revision, when, and the page.
        self._drawn: OrderedDict[str | None, tuple[str, float, str]] = OrderedDict()

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what the application serves."""
        return [web.get("/", self._page), web.get("/pages/{name}", self._file)]

    async def _page(self, request: web.Request) -> web.Response:
        unknown = sorted(set(request.query) - {"column"})
        if unknown:
            raise web.HTTPBadRequest(text=f"unknown parameter {unknown[0][:64]!r}; known: column")
        text = await self._text(request.query.get("column"))
        return _answer(request, text.encode(), "text/html")

    async def _file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in FILES:
            raise web.HTTPNotFound(text=f"there is no {name[:64]!r} here")
        # A few kB, from the page cache of the machine.
        return _answer(request, (PAGES / name).read_bytes(), FILES[name])

    async def _text(self, column: str | None) -> str:
        async with self._drawing:
            status = self._view.status()
            now, wanted = self._now(), revision(status, time.time())
            kept = self._drawn.get(column)
            if kept is not None and kept[0] == wanted and now - kept[1] < FRESH_S:
                return kept[2]
            last_windows = self._view.last_windows()
            text = await self._read(
                lambda: render(gather(status, self._queries, last_windows), column)
            )
            self._drawn[column] = wanted, now, text
            self._drawn.move_to_end(column)
            while len(self._drawn) > KEPT_MAX:
                self._drawn.popitem(last=False)
            return text


def _answer(request: web.Request, body: bytes, content_type: str) -> web.Response:
    tag = hashlib.sha256(body).hexdigest()[:32]
    if any(given.value == tag for given in request.if_none_match or ()):
        answer = web.Response(status=304, headers=HEADERS)
    else:
        answer = web.Response(
            body=body, content_type=content_type, charset="utf-8", headers=HEADERS
        )
    answer.etag = tag
    return answer
