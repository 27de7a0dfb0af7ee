"""Routes that take events: predictions, labels and CloudEvents.

An answer of 202 says that the events are on disk (:mod:`collectors.spool.spool`); they are counted
a moment later, once, whatever happens in between. What is looked at here is whether there are JSON
objects at all, and how long they are; the source's format judges the rest, and what it cannot use
shows as rejected in the totals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from aiohttp import web

from collectors.cloud_event import cloud_events
from collectors.spool.files import SpoolError
from collectors.spool.posted_lines import Posted, UnreadableBodyError, posted
from collectors.spool.source import SpoolSource
from monitor.metrics.catalogue import Metrics
from monitor.web.request_body import RETRY_AFTER_S, Bodies

#: Formats that read the lines of :mod:`collectors.cloud_event`.
CLOUD_FORMATS: Final = ("cloudevents", "kserve", "seldon")
#: A format that recognises what it gets takes both.
ANY_FORMAT: Final = "auto"

#: Makes lines of a body, for a source that takes lines of at most so many bytes.
Reads = Callable[[bytes, int], Posted]


class Ingest:
    """The routes, over the sources of type "http".

    Parameters
    ----------
    sources
        Where events go; none where none is configured, and then every call answers 409.
    authorize
        Raises the HTTP error of a request that may not send events.
    """

    def __init__(
        self,
        sources: Sequence[SpoolSource],
        *,
        bodies: Bodies,
        metrics: Metrics,
        authorize: Callable[[web.Request], None],
    ) -> None:
        self._sources = sources
        self._bodies = bodies
        self._metrics = metrics
        self._authorize = authorize

    def routes(self) -> Sequence[web.RouteDef]:
        """Return what the application serves."""
        return [
            web.post("/api/v1/predictions", self._events),
            web.post("/api/v1/labels", self._events),
            web.post("/api/v1/cloudevents", self._cloud_events),
        ]

    async def _events(self, request: web.Request) -> web.Response:
        self._authorize(request)
        source = self._source_of_events()
        return await self._take(
            request, source, lambda body, most: posted(body, line_bytes_max=most)
        )

    async def _cloud_events(self, request: web.Request) -> web.Response:
        self._authorize(request)
        source = self._source_of_cloud_events()
        kind = request.content_type if "Content-Type" in request.headers else ""

        def reads(body: bytes, line_bytes_max: int) -> Posted:
            found = Posted()
            for line in cloud_events(request.headers, kind, body):
                found.take(line, line_bytes_max)
            return found

        return await self._take(request, source, reads)

    async def _take(self, request: web.Request, source: SpoolSource, reads: Reads) -> web.Response:
        line_bytes_max = source.settings.max_event_bytes
        async with self._bodies.read(request) as body:
            try:
                found = await self._bodies.off_loop(len(body), lambda: reads(body, line_bytes_max))
            except UnreadableBodyError as error:
                raise web.HTTPBadRequest(text=str(error)) from error
            if not found.accepted:
                raise _unusable(found, line_bytes_max)
            try:
                known = await source.append(found.batch)
            except SpoolError as error:
                raise web.HTTPServiceUnavailable(
                    text=str(error), headers={"Retry-After": str(RETRY_AFTER_S)}
                ) from error
        self._metrics.duplicates.labels(source.name).inc(known)
        answer = {"accepted": found.accepted, "rejected": found.rejected}
        return web.Response(
            body=msgspec.json.encode(answer),
            status=HTTPStatus.ACCEPTED,
            content_type="application/json",
        )

    def _source_of_events(self) -> SpoolSource:
        for source in self._sources:
            if source.settings.format not in CLOUD_FORMATS:
                return source
        raise web.HTTPConflict(
            text='no source takes events: the configuration has no [[collect]] with type = "http"'
            + (" and a format of events" if self._sources else "")
        )

    def _source_of_cloud_events(self) -> SpoolSource:
        for source in self._sources:
            if source.settings.format in (*CLOUD_FORMATS, ANY_FORMAT):
                return source
        raise web.HTTPConflict(
            text="no source takes CloudEvents: the configuration has no [[collect]] with "
            'type = "http" and format = "cloudevents"'
        )


def _unusable(found: Posted, line_bytes_max: int) -> web.HTTPException:
    """Return the refusal of a body of which nothing can be used: its sender has to know."""
    if found.malformed:
        count = found.malformed
        return web.HTTPBadRequest(text=f"none of {count} lines is a JSON object")
    return web.HTTPRequestEntityTooLarge(
        line_bytes_max, text=f"an event is longer than max_event_bytes: {line_bytes_max} bytes"
    )
