"""The scoring server's answers: MLflow's endpoints, metrics, and who answered what.

Start reading at `ScoringServer.submit`: it is the way of every request to score. Plain ones come
from `scoring.web.front`, all others through aiohttp's application.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib import metadata
from typing import Final, Literal, Protocol

import aiohttp
from aiohttp import web

from scoring.answering.live import Live, Served
from scoring.answering.score import Answer, refusal
from scoring.answering.scorer import Scorer
from scoring.answering.v2 import in_v2
from scoring.answering.warm import made_up_request
from scoring.log.ledger import Ledger
from scoring.log.metrics import ScoringMetrics
from scoring.log.prediction_log import PredictionLog
from scoring.protocol.protocol import JSON_TYPE, MediaType, ScoringError, media_type
from scoring.settings import BATCH_ROWS_MAX, BODY_BYTES_MAX, REQUEST_TIMEOUT_S
from scoring.web.keys import Gate
from scoring.web.openapi import description
from scoring.web.v2_routes import V2Routes

RETRY_AFTER_S: Final = 1
#: How long a body may take to come.
RECEIVE_TIMEOUT_S: Final = 60.0
SERVER_NAME: Final = "kedge"

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
#: Gets the version that answers, and its answer.
Reply = Callable[[Served, Answer], None]


class AskedHead(Protocol):
    """What of a request's head matters for its answer."""

    @property
    def content_type(self) -> str:
        """Empty if there is none."""

    @property
    def v2(self) -> bool:
        """Whether the body is one of the Open Inference Protocol."""

    @property
    def authorization(self) -> str:
        """Empty if there is none."""

    @property
    def api_key(self) -> str:
        """Empty if there is none."""


class ScoringServer:
    """Answers requests with the live version.

    Parameters
    ----------
    log
        Gets every answer to a request that was let in; None: no prediction log.
    gate
        Lets requests to score in; None: all of them.
    """

    def __init__(
        self,
        live: Live,
        metrics: ScoringMetrics,
        log: PredictionLog | None = None,
        *,
        body_bytes_max: int = BODY_BYTES_MAX,
        batch_rows_max: int = BATCH_ROWS_MAX,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        receive_timeout_s: float = RECEIVE_TIMEOUT_S,
        gate: Gate | None = None,
    ) -> None:
        self._live = live
        self._metrics = metrics
        self.ledger = Ledger(metrics, log)
        self._gate = gate
        #: Whether each answer is the last of its connection.
        self.leaving = False
        self._body_bytes_max = body_bytes_max
        self._receive_s = receive_timeout_s
        self._scorer = Scorer(batch_rows_max=batch_rows_max, timeout_s=request_timeout_s)
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
                web.get("/openapi.json", self._openapi, allow_head=False),
                web.post("/invocations", self._invocations),
                *V2Routes(self._live, self, _version_of("kedge") or "unknown").routes(),
            ]
        )
        app.on_response_prepare.append(self._sign)
        return app

    @property
    def current(self) -> Served:
        """The live version."""
        return self._live.current

    def close(self) -> None:
        """Let go of the scoring thread, once no request is left."""
        self._scorer.close()

    def refuses(self, head: AskedHead) -> Answer | None:
        """Return the answer to a request that is not let in; ask once a request."""
        if self._gate is None:
            return None
        error = self._gate.refuses(head.authorization, head.api_key)
        if error is None:
            return None
        self._metrics.refused.labels(str(error.status)).inc()
        return _refusal(head, error)

    def submit(self, head: AskedHead, body: bytes, reply: Reply) -> None:
        """Score a request whose body is in; `reply` is called once, now or later."""
        served = self._live.current
        try:
            media = _media(head)
        except ScoringError as error:
            reply(served, refusal(error))
            return

        def answered(answer: Answer) -> None:
            reply(served, answer)

        self._scorer.submit(served, media, body, answered)

    def hints(self, answer: Answer) -> Mapping[str, str]:
        """Return the headers that go with an answer's status."""
        if answer.status == HTTPStatus.UNAUTHORIZED:
            return {"WWW-Authenticate": "Bearer"}
        if answer.status in (HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.TOO_MANY_REQUESTS):
            return {"Retry-After": str(RETRY_AFTER_S)}
        return {}

    async def _ping(self, _: web.Request) -> web.Response:
        return web.Response(body=b"\n", content_type=JSON_TYPE)

    async def _version(self, _: web.Request) -> web.Response:
        version = _version_of("mlflow") or self._live.current.model.mlflow_version
        return web.Response(body=version.encode(), content_type=JSON_TYPE)

    async def _page_of_metrics(self, request: web.Request) -> web.Response:
        page, content_type = self._metrics.render(request.headers.get("Accept", ""))
        return web.Response(body=page, headers={"Content-Type": content_type})

    async def _openapi(self, _: web.Request) -> web.Response:
        model = self._live.current.model
        example = model.example or made_up_request(model.signature)
        told = None if example is None else json.loads(example)
        page = json.dumps(description(_version_of("kedge") or "unknown", told))
        return web.Response(body=page.encode(), content_type=JSON_TYPE)

    async def infer(self, request: web.Request) -> web.Response:
        """Answer a request of the Open Inference Protocol."""
        return await self._scored(request, _head(request, v2=True))

    async def _invocations(self, request: web.Request) -> web.Response:
        return await self._scored(request, _head(request, v2=False))

    async def _scored(self, request: web.Request, head: _Head) -> web.Response:
        arrival = self.ledger.arrival(
            request.headers.get("X-Request-Id"), request.headers.get("traceparent")
        )
        answer = self.refuses(head)
        if answer is not None:
            served = self._live.current
        else:
            served, answer = await self._answer(request, head)
            self.ledger.note(served, arrival, answer)
        headers = {
            **served.headers(),
            **self.hints(answer),
            "X-Request-Id": arrival.request_id,
            "Content-Type": answer.content_type,
        }
        return web.Response(status=answer.status, body=answer.body, headers=headers)

    async def _answer(self, request: web.Request, head: _Head) -> tuple[Served, Answer]:
        """Return the answer, and the version that gave it: the live one once the body is in."""
        try:
            # A type that is not served is told before a body is waited for.
            _media(head)
            async with asyncio.timeout(self._receive_s):
                body = await request.read()
        except TimeoutError:
            late = ScoringError("the body did not come in time", status=HTTPStatus.REQUEST_TIMEOUT)
            return self._live.current, _refusal(head, late)
        except ScoringError as error:
            return self._live.current, _refusal(head, error)
        except (web.RequestPayloadError, aiohttp.ClientError, ConnectionError) as error:
            # Half a body, a wrong chunk, a wrong gzip: nobody may be there to read the answer.
            reason = ScoringError(f"cannot read the body: {error or type(error).__name__}")
            return self._live.current, _refusal(head, reason)
        except web.HTTPRequestEntityTooLarge:
            return self._live.current, _refusal(
                head,
                ScoringError(
                    f"the body is over {self._body_bytes_max} bytes",
                    status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                ),
            )
        answered: asyncio.Future[tuple[Served, Answer]] = asyncio.get_running_loop().create_future()

        def reply(served: Served, answer: Answer) -> None:
            if not answered.done():
                answered.set_result((served, answer))

        self.submit(head, body, reply)
        return await answered

    async def _sign(self, request: web.Request, response: web.StreamResponse) -> None:
        """Put the headers on answers that did not come from a version, errors included."""
        for name, value in self._live.current.headers().items():
            response.headers.setdefault(name, value)
        if "X-Request-Id" not in response.headers:
            given = request.headers.get("X-Request-Id")
            response.headers["X-Request-Id"] = self.ledger.request_id(given)
        response.headers["Server"] = SERVER_NAME
        if self.leaving:
            response.headers["Connection"] = "close"
            response.force_close()


@dataclass(frozen=True, slots=True)
class _Head:
    content_type: str
    authorization: str
    api_key: str
    v2: bool


def _head(request: web.Request, *, v2: bool) -> _Head:
    headers = request.headers
    return _Head(
        headers.get("Content-Type", ""),
        headers.get("Authorization", ""),
        headers.get("X-API-Key", ""),
        v2,
    )


def _refusal(head: AskedHead, error: ScoringError) -> Answer:
    return refusal(in_v2(error) if head.v2 else error)


def _media(head: AskedHead) -> MediaType | Literal["v2"]:
    # The other protocol is told by the path, and speaks JSON whatever the header says.
    return "v2" if head.v2 else media_type(head.content_type)


@web.middleware
async def _json_errors(request: web.Request, handler: _Handler) -> web.StreamResponse:
    """Give the errors of the router the body that MLflow's framework gives them."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        if error.status == HTTPStatus.NOT_FOUND and await _is_known(request, request.path[:-1]):
            return web.Response(
                status=HTTPStatus.TEMPORARY_REDIRECT,
                headers={
                    "Location": str(request.url.with_path(request.path[:-1], keep_query=True))
                },
            )
        headers = {"Content-Type": JSON_TYPE}
        if "Allow" in error.headers:
            headers["Allow"] = error.headers["Allow"]
        body = b'{"detail":"%s"}' % HTTPStatus(error.status).phrase.encode()
        return web.Response(status=error.status, body=body, headers=headers)


async def _is_known(request: web.Request, path: str) -> bool:
    """Whether a path that was asked for with a slash at its end is one without."""
    if not request.path.endswith("/") or not path.strip("/"):
        return False
    found = await request.app.router.resolve(request.clone(rel_url=path))
    return found.http_exception is None or found.http_exception.status != HTTPStatus.NOT_FOUND


def _version_of(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
