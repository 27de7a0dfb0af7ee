"""The reverse proxy in front of a model server.

Bodies up to `WHOLE_BYTES` of known length are passed on in one piece, all others as a stream, in
memory of a few buffers. A copy is kept as long as request and answer together are not longer than
what is recorded. Nothing here waits for the recording.
"""

from __future__ import annotations

import asyncio
import fnmatch
import logging
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from collectors.taps.headers import forwarded, passed_on, request_id
from collectors.taps.lines import Body, Seen
from collectors.taps.settings import ProxySettings

log = logging.getLogger("kedge.tap")

#: Bodies up to so many bytes are read before they are passed on: one write instead of several.
WHOLE_BYTES: Final = 64 << 10
#: Connections to the model server that have rested for so long are not used again: a server that
#: closes one just then would cost a request. Servers close them after 2 s (gunicorn) or later.
UPSTREAM_IDLE_S: Final = 1.5
#: Longest header of an answer.
HEADER_BYTES: Final = 64 << 10
#: What a request counts as whose caller went away before it was answered; as in nginx' logs.
CLIENT_GONE: Final = 499


class _Copy:
    """The bytes of bodies as they pass, as long as they are few enough."""

    def __init__(self, bytes_max: int) -> None:
        self._left = bytes_max
        self._parts: dict[str, list[bytes]] = {"request": [], "response": []}

    @property
    def large(self) -> bool:
        """Whether there were too many."""
        return self._left < 0

    def take(self, side: str, data: bytes) -> None:
        if self._left < 0:
            return
        self._left -= len(data)
        if self._left < 0:
            self._parts.clear()
        else:
            self._parts[side].append(data)

    def body(self, side: str, headers: web.BaseRequest | aiohttp.ClientResponse) -> Body | None:
        if self.large:
            return None
        given = headers.headers
        encoding = given.get("Content-Encoding", "").strip().lower()
        return Body(b"".join(self._parts[side]), given.get("Content-Type", ""), encoding)


@dataclass(slots=True)
class _Passing:
    """A request under way."""

    request: web.BaseRequest
    id: str
    copy: _Copy
    ts: float
    began: float
    recorded: bool
    status: int | None = None
    answer: aiohttp.ClientResponse | None = None
    answered: float | None = None


class Proxy:
    """Passes requests on.

    Parameters
    ----------
    offer
        Takes what was seen of a request that is recorded.
    """

    def __init__(self, settings: ProxySettings, offer: Callable[[Seen], None]) -> None:
        self._settings = settings
        self._offer = offer
        self._base = settings.upstream.rstrip("/")
        self._scoring = re.compile("|".join(map(fnmatch.translate, settings.paths)) or r"(?!)")
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=UPSTREAM_IDLE_S),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=settings.connect_timeout_s, sock_read=settings.timeout_s
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            auto_decompress=False,
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
        )

    async def close(self) -> None:
        """Close the connections to the model server."""
        await self._session.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request with what the model server answers."""
        if not request.raw_path.startswith("/") or request.method == "CONNECT":
            return _refusal(400, "this proxy passes requests on to one server only")
        passing = _Passing(
            request,
            request_id(request.headers),
            _Copy(self._settings.max_event_bytes),
            ts=time.time(),
            began=time.perf_counter(),
            recorded=request.method == "POST" and bool(self._scoring.fullmatch(request.path)),
        )
        try:
            response = await self._pass(passing)
        except asyncio.CancelledError:
            passing.status = CLIENT_GONE
            raise
        finally:
            if passing.recorded:
                self._record(passing)
        return response

    async def _pass(self, passing: _Passing) -> web.StreamResponse:
        request = passing.request
        try:
            body = await self._body(passing)
        except TimeoutError:
            return self._trouble(passing, 408, "the request took too long to come")
        url = URL(self._base + request.raw_path, encoded=True)
        headers = forwarded(request.headers, id_=passing.id, remote=request.remote)
        sent: web.StreamResponse | None = None
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                passing.answer, passing.status = answer, answer.status
                sent = self._response(passing, answer)
                await self._answer(passing, sent, answer)
                return sent
        except TimeoutError:
            trouble = self._trouble(passing, 504, "the model server did not answer in time")
        except (aiohttp.ClientError, OSError) as error:
            log.debug("%s %s: %r", request.method, url, error)
            why = "the model server could not be reached, or broke off"
            trouble = self._trouble(passing, 502, why)
        if sent is None or not sent.prepared:
            return trouble
        # The caller has a part of the answer; only a cut connection says that it is no more.
        if request.transport is not None:
            request.transport.abort()
        return sent

    @staticmethod
    def _trouble(passing: _Passing, status: int, why: str) -> web.Response:
        passing.status = status
        refusal = _refusal(status, why)
        refusal.headers["X-Request-Id"] = passing.id
        return refusal

    async def _body(self, passing: _Passing) -> bytes | AsyncIterator[bytes] | None:
        """Return the body to send: whole if it is short, else as it comes."""
        request = passing.request
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
        if not request.body_exists:
            return None
        length = request.content_length
        if length is None or length > WHOLE_BYTES:
            return self._stream(passing)
        async with asyncio.timeout(self._settings.timeout_s):
            body = await request.content.read(length)
            while len(body) < length:
                more = await request.content.read(length - len(body))
                if not more:
                    break
                body += more
        passing.began = time.perf_counter()  # the caller's upload is not the server's time
        if passing.recorded:
            passing.copy.take("request", body)
        return body

    async def _stream(self, passing: _Passing) -> AsyncIterator[bytes]:
        content = passing.request.content
        while True:
            async with asyncio.timeout(self._settings.timeout_s):
                data = await content.readany()
            if not data:
                return
            if passing.recorded:
                passing.copy.take("request", data)
            yield data

    @staticmethod
    def _response(passing: _Passing, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        headers = passed_on(answer.headers)
        headers.setdefault("X-Request-Id", passing.id)
        return web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)

    async def _answer(
        self, passing: _Passing, sent: web.StreamResponse, answer: aiohttp.ClientResponse
    ) -> None:
        """Send the answer on as it comes; its end together with its last bytes if it is short."""
        length = answer.content_length
        if length is not None and length <= WHOLE_BYTES and passing.request.method != "HEAD":
            body = await answer.read()
            passing.answered = time.perf_counter()
            if passing.recorded:
                passing.copy.take("response", body)
            await sent.prepare(passing.request)
            await sent.write_eof(body)
            return
        await sent.prepare(passing.request)
        async for data in answer.content.iter_any():
            if passing.recorded:
                passing.copy.take("response", data)
            await sent.write(data)
        passing.answered = time.perf_counter()
        await sent.write_eof()

    def _record(self, passing: _Passing) -> None:
        answer, copy = passing.answer, passing.copy
        ends = passing.answered or time.perf_counter()
        version = answer.headers.get(self._settings.version_header, "") if answer else ""
        self._offer(
            Seen(
                "proxy",
                passing.ts,
                passing.id,
                copy.body("request", passing.request),
                copy.body("response", answer) if answer is not None else None,
                status=passing.status,
                latency_ms=(ends - passing.began) * 1000,
                version=version,
                large=copy.large,
            )
        )


def _refusal(status: int, why: str) -> web.Response:
    return web.Response(status=status, text=f"{status}: {why}\n")
