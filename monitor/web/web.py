"""The daemon's HTTP side: pages for people, metrics for Prometheus, an API for programs.

Everything here reads; what changes state (:mod:`monitor.web.operate`, and the routes that take
events) asks for the bearer token. Errors are
``application/problem+json`` (RFC 9457). The store is read on threads of its own, so that a slow
query holds up neither a probe nor the counting.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import msgspec
from aiohttp import web

from collectors.spool.source import SpoolSource
from monitor.deciding.alerts import Alerts
from monitor.metrics.catalogue import Metrics
from monitor.settings.secret import SecretUnreadableError
from monitor.store.errors import StoreUnavailable
from monitor.store.queries import LIMIT_DEFAULT, LIMIT_MAX, Filter, Queries
from monitor.web import openapi
from monitor.web.alerts import AlertRoute
from monitor.web.changes import Changes
from monitor.web.columns import Columns, ColumnsView
from monitor.web.ingest import Ingest
from monitor.web.operate import Operating, Operator
from monitor.web.page import Page
from monitor.web.request_body import BODY_TIMEOUT_S, Bodies

log = logging.getLogger("kedge.web")

#: Threads that read the store for the API.
READERS = 2

#: Headers of a refusal that tell a program what to do.
_KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class View(Operator, ColumnsView, Protocol):
    """What the pages show of the running daemon, and what a person may ask of it."""

    def ready(self) -> str | None:
        """None when ready, otherwise the reason why not."""

    def alive(self) -> str | None:
        """None when the counting goes on, otherwise what stopped it."""


class Web:
    """The routes, over a view of the daemon and the store's queries.

    Parameters
    ----------
    token
        Gives the bearer token that a change of state needs, read anew at each call (it may be
        a file that is rotated); None where no token is configured.
    max_body_bytes
        Longest request body; more is 413.
    alerts
        What posted alerts go to.
    sources
        What posted events go to.
    body_timeout_s
        Longest time for a request body to arrive; more is 408.
    ingest_apart
        Whether events are posted to an address of their own.

    Attributes
    ----------
    app
        All routes, but for those that take events if these are apart.
    ingest_app
        The routes that take events; None where they are not apart.
    """

    def __init__(
        self,
        *,
        model: str,
        view: View,
        queries: Queries,
        metrics: Metrics,
        token: Callable[[], str | None],
        max_body_bytes: int,
        alerts: Alerts,
        sources: Sequence[SpoolSource] = (),
        body_timeout_s: float = BODY_TIMEOUT_S,
        ingest_apart: bool = False,
    ) -> None:
        self._view = view
        self._queries = queries
        self._metrics = metrics
        self._token = token
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="kedge-reader")
        self._bodies = Bodies(max_body_bytes, timeout_s=body_timeout_s, refused=self.count_refused)
        operating = Operating(model, view, bodies=self._bodies, authorize=self._authorize)
        alerting = AlertRoute(
            alerts, alerts.settings, bodies=self._bodies, authorize=self._authorize
        )
        changes = Changes(view.status, refused=self.count_refused)
        ingest = Ingest(sources, bodies=self._bodies, metrics=metrics, authorize=self._authorize)
        self.app = web.Application(client_max_size=max_body_bytes, middlewares=[problems])
        self.app.router.add_routes(
            [
                *Page(view, queries, self._read).routes(),
                web.get("/metrics", self._metrics_page),
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/api/v1/status", self._status),
                web.get("/api/v1/measurements", self._measurements),
                web.get("/api/v1/windows", self._windows),
                web.get("/api/v1/incidents", self._incidents),
                web.get("/api/v1/rollbacks", self._rollbacks),
                web.get("/api/v1/rollbacks/{id}", self._rollback),
                web.get("/api/v1/holds", self._holds),
                *Columns(view).routes(),
                *changes.routes(),
                *operating.routes(),
                *alerting.routes(),
                web.get("/api/v1/openapi.json", self._openapi),
            ]
        )
        self.app.on_shutdown.append(changes.stop)
        self.ingest_app: web.Application | None = None
        if ingest_apart:
            self.ingest_app = web.Application(
                client_max_size=max_body_bytes, middlewares=[problems]
            )
        app = self.app if self.ingest_app is None else self.ingest_app
        app.router.add_routes(ingest.routes())

    def close(self) -> None:
        """Let the reading threads go."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        self._bodies.close()

    def count_refused(self, reason: str) -> None:
        """Count a client that reached a limit."""
        self._metrics.refused_clients.labels(reason).inc()

    async def _metrics_page(self, request: web.Request) -> web.Response:
        accept = request.headers.get("Accept", "")
        body, content_type = await self._read(lambda: self._metrics.page.render(accept))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return _probe(self._view.alive())

    async def _readyz(self, _request: web.Request) -> web.Response:
        return _probe(self._view.alive() or self._view.ready())

    async def _status(self, _request: web.Request) -> web.Response:
        return _json(self._view.status())

    async def _measurements(self, request: web.Request) -> web.Response:
        wanted = _of_segment(request, "model", "version", "column", "metric")
        return _json({"measurements": await self._read(lambda: self._queries.measurements(wanted))})

    async def _windows(self, request: web.Request) -> web.Response:
        wanted = _of_segment(request, "model", "version")
        return _json({"windows": await self._read(lambda: self._queries.windows(wanted))})

    async def _incidents(self, request: web.Request) -> web.Response:
        wanted = _of_segment(request, "model", "version", unsaid="*")
        return _json({"incidents": await self._read(lambda: self._queries.incidents(wanted))})

    async def _rollbacks(self, request: web.Request) -> web.Response:
        wanted = filter_of(request.query, "model")
        return _json({"rollbacks": await self._read(lambda: self._queries.rollbacks(wanted))})

    async def _rollback(self, request: web.Request) -> web.Response:
        identity = request.match_info["id"]
        found = await self._read(lambda: self._queries.rollback(identity))
        if found is None:
            raise web.HTTPNotFound(text=f"there is no rollback {identity[:64]!r}")
        return _json(found)

    async def _holds(self, _request: web.Request) -> web.Response:
        return _json({"holds": self._view.status()["holds"]})

    async def _openapi(self, _request: web.Request) -> web.Response:
        return _json(openapi.description())

    def _authorize(self, request: web.Request) -> None:
        try:
            expected = self._token()
        except SecretUnreadableError as error:
            log.error("a change over HTTP was refused: %s", error)
            raise web.HTTPServiceUnavailable(
                text="the token that this needs cannot be read just now; the log says why"
            ) from error
        if expected is None:
            raise web.HTTPForbidden(
                text="no token is configured, so nothing can be changed over HTTP; "
                "set [http] token_file"
            )
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(
            given.strip().encode(), expected.encode()
        ):
            raise web.HTTPUnauthorized(
                text="this needs the header Authorization: Bearer <token>",
                headers={"WWW-Authenticate": "Bearer"},
            )

    async def _read(self, query: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, query)


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every refusal into ``application/problem+json``; keep inner errors to ourselves."""
    try:
        return await handler(request)
    except StoreUnavailable as error:
        problem = {"type": "about:blank", "title": "Service Unavailable", "status": 503}
        return _json({**problem, "detail": str(error)}, 503, "application/problem+json")
    except web.HTTPException as error:
        if error.status < web.HTTPBadRequest.status_code:
            raise
        problem = {"type": "about:blank", "title": error.reason, "status": error.status}
        if error.text:
            problem["detail"] = error.text
        kept = {k: v for k, v in error.headers.items() if k in _KEPT_HEADERS}
        return _json(problem, error.status, "application/problem+json", kept)


def _of_segment(request: web.Request, *names: str, unsaid: str = "") -> Filter:
    """Read a filter of one segment, of any (``*``), or of all traffic (nothing)."""
    wanted = filter_of(request.query, *names, "segment")
    segment = unsaid if wanted.segment is None else wanted.segment
    return replace(wanted, segment=None if segment == "*" else segment)


def filter_of(query: Mapping[str, str], *names: str) -> Filter:
    """Read a filter from a request's query.

    Raises
    ------
    web.HTTPBadRequest
        A parameter is unknown, or is not what it has to be; says which.
    """
    unknown = sorted(set(query) - {*names, "since", "until", "limit"})
    if unknown:
        known = ", ".join([*names, "since", "until", "limit"])
        raise web.HTTPBadRequest(text=f"unknown parameter {unknown[0][:64]!r}; known: {known}")
    try:
        limit = int(query.get("limit", LIMIT_DEFAULT))
    except ValueError as error:
        raise web.HTTPBadRequest(text="limit: expected a whole number") from error
    if not 1 <= limit <= LIMIT_MAX:
        raise web.HTTPBadRequest(text=f"limit: expected 1 to {LIMIT_MAX}")
    return Filter(
        **{name: query[name] for name in names if name in query},
        since=_moment(query, "since"),
        until=_moment(query, "until"),
        limit=limit,
    )


def _moment(query: Mapping[str, str], name: str) -> float | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = _rfc3339(text, name)
    if not math.isfinite(seconds):
        raise web.HTTPBadRequest(text=f"{name}: expected a finite time")
    return seconds


def _rfc3339(text: str, name: str) -> float:
    try:
        # A plus sign in a query that was not escaped arrives as a space.
        moment = datetime.fromisoformat(text.replace(" ", "+"))
    except ValueError as error:
        raise web.HTTPBadRequest(
            text=f"{name}: expected seconds since the epoch or RFC 3339, got {text[:64]!r}"
        ) from error
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _probe(reason: str | None) -> web.Response:
    if reason is None:
        return _json({"status": "ok"})
    return _json({"status": "unavailable", "reason": reason}, status=503)


def _json(
    body: object,
    status: int = 200,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(body), status=status, content_type=content_type, headers=headers
    )
