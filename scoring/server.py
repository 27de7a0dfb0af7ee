"""The scoring server's HTTP side: MLflow's endpoints, metrics, and who answered what.

Start reading at `ScoringServer._invocations`: it is the way of every request.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from importlib import metadata
from typing import Final, Literal

import aiohttp
from aiohttp import web

from scoring.live import Live, Served
from scoring.metrics import ScoringMetrics
from scoring.prediction_log import Answered, PredictionLog
from scoring.protocol import CSV_TYPE, JSON_TYPE, ScoringError, media_type
from scoring.score import Answer, refusal, score

BODY_BYTES_MAX: Final = 16 * 1024 * 1024
#: A longer body is parsed and scored in the thread, however quick the model is.
INLINE_BODY_BYTES_MAX: Final = 32 * 1024
#: Requests that wait for the scoring thread; one more is answered 503.
PENDING_MAX: Final = 1024
RETRY_AFTER_S: Final = 1

#: A request id that is taken over: it stands in logs and headers, and ``#`` separates the rows.
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_TRACE_PARENT: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ScoringServer:
    """Answers requests with the live version.

    Parameters
    ----------
    log
        Gets every answer of ``/invocations``; None: no prediction log.
    """

    def __init__(
        self,
        live: Live,
        metrics: ScoringMetrics,
        log: PredictionLog | None = None,
        *,
        body_bytes_max: int = BODY_BYTES_MAX,
    ) -> None:
        self._live = live
        self._metrics = metrics
        self._log = log
        self._body_bytes_max = body_bytes_max
        # One thread: a model need not be safe for two, and two would share one interpreter.
        self._scorer = ThreadPoolExecutor(1, thread_name_prefix="scorer")
        self._pending = 0
        metrics.build_info.labels(_version_of("kedge") or "unknown").set(1)

    def app(self) -> web.Application:
        """Return the application to run."""
        app = web.Application(client_max_size=self._body_bytes_max, middlewares=[_json_errors])
        app.add_routes(
            [
                web.get("/ping", self._ping, allow_head=False),
                web.get("/health", self._ping, allow_head=False),
                web.get("/version", self._version, allow_head=False),
                web.get("/metrics", self._page_of_metrics, allow_head=False),
                web.post("/invocations", self._invocations),
            ]
        )
        app.on_response_prepare.append(self._sign)
        return app

    def close(self) -> None:
        """Let go of the scoring thread, once no request is left."""
        self._scorer.shutdown(cancel_futures=True)

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(body=b"\n", content_type=JSON_TYPE)

    async def _version(self, _: web.Request) -> web.Response:
        version = _version_of("mlflow") or self._live.current.model.mlflow_version
        return web.Response(body=version.encode(), content_type=JSON_TYPE)

    async def _page_of_metrics(self, request: web.Request) -> web.Response:
        page, content_type = self._metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=page, headers={"Content-Type": content_type})

    async def _invocations(self, request: web.Request) -> web.Response:
        ts, began = time.time(), time.perf_counter()
        served, answer = await self._answer(request)
        latency_s = time.perf_counter() - began
        status = str(int(answer.status))
        self._metrics.predictions.labels(served.name, served.version, status).inc()
        self._metrics.latency.labels(served.name, served.version).observe(latency_s)
        request_id = _request_id(request)
        if self._log is not None:
            self._log.append(
                Answered(
                    request_id,
                    ts,
                    served.name,
                    served.version,
                    latency_s * 1000,
                    answer.status,
                    answer.table,
                    answer.predictions,
                    _trace_id(request),
                )
            )
        headers = served.headers() | {"X-Request-Id": request_id}
        if answer.status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = str(RETRY_AFTER_S)
        headers["Content-Type"] = answer.content_type
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    async def _answer(self, request: web.Request) -> tuple[Served, Answer]:
        """Return the answer, and the version that gave it: the live one once the body is in."""
        try:
            media = media_type(request.headers.get("Content-Type"))
            body = await request.read()
        except ScoringError as error:
            return self._live.current, refusal(error)
        except (web.RequestPayloadError, aiohttp.ClientError, ConnectionError) as error:
            # Half a body, a wrong chunk, a wrong gzip: nobody may be there to read the answer.
            reason = ScoringError(f"cannot read the body: {error or type(error).__name__}")
            return self._live.current, refusal(reason)
        except web.HTTPRequestEntityTooLarge:
            return self._live.current, refusal(
                ScoringError(
                    f"the body is over {self._body_bytes_max} bytes",
                    status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                )
            )
        served = self._live.current
        return served, await self._score(served, media, body)

    async def _score(
        self, served: Served, media: Literal["application/json", "text/csv"], body: bytes
    ) -> Answer:
        small = len(body) <= INLINE_BODY_BYTES_MAX and media != CSV_TYPE
        # While the thread is busy nobody overtakes it: the model sees one call at a time.
        if small and served.inline and not self._pending:
            return score(served.model, media, body)
        if self._pending >= PENDING_MAX:
            return refusal(
                ScoringError(
                    f"{PENDING_MAX} requests are waiting already: try again later",
                    status=HTTPStatus.SERVICE_UNAVAILABLE,
                )
            )
        self._pending += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._scorer, score, served.model, media, body)
        finally:
            self._pending -= 1

    async def _sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put the headers on answers that did not come from a version, errors included."""
        for name, value in self._live.current.headers().items():
            response.headers.setdefault(name, value)
        if "X-Request-Id" not in response.headers:
            response.headers["X-Request-Id"] = _request_id(request)


@web.middleware
async def _json_errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Give the errors of the router the body that MLflow's framework gives them."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        headers = {"Content-Type": JSON_TYPE}
        if "Allow" in error.headers:
            headers["Allow"] = error.headers["Allow"]
        body = b'{"detail":"%s"}' % HTTPStatus(error.status).phrase.encode()
        return web.Response(status=error.status, body=body, headers=headers)


def _request_id(request: web.Request) -> str:
    """Return the caller's request id if it is a sane one, else a new one."""
    given = request.headers.get("X-Request-Id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _trace_id(request: web.Request) -> str:
    """Return the trace id of a W3C ``traceparent`` header; empty without one."""
    found = _TRACE_PARENT.fullmatch(request.headers.get("traceparent", ""))
    return found.group(1) if found else ""


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
