"""The registry client in bad weather: servers on loopback that fail in every way we know of."""

from __future__ import annotations

import asyncio
import gzip
import logging
import socket
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Self

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from collectors.registry import answers as registry_answers
from collectors.registry.client import (
    ANSWER_BYTES_MAX,
    REASONS,
    MlflowRegistry,
    RegistryError,
    RegistryPermanentError,
    RegistryTransientError,
)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
MODEL = {"registered_model": {"name": "m", "aliases": [{"alias": "champion", "version": "2"}]}}


class Server:
    """Answers every call as the handler does, and keeps the requests."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.requests: list[web.Request] = []

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app)
        await self._server.start_server()
        self.uri = str(self._server.make_url("")).rstrip("/")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        return await self._handler(request)


def answering(status: int, body: object, **headers: str) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status, headers=headers)

    return answer


async def _never(request: web.Request) -> web.StreamResponse:
    await asyncio.sleep(60)
    return web.Response()


async def _hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b'{"registered')
    assert request.transport is not None
    request.transport.close()
    return response


async def _not_json(request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>Sign in</html>")


async def _flood(request: web.Request) -> web.StreamResponse:
    body = gzip.compress(b"[" + b" " * (ANSWER_BYTES_MAX + 1) + b"]")
    return web.Response(body=body, headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    ("handler", "reason", "calls"),
    [
        (_never, "timeout", 3),
        (_hangs_up, "connection", 3),
        (_half, "connection", 3),
        (answering(503, {"error_code": "TEMPORARILY_UNAVAILABLE", "message": "x"}), "server", 3),
        (answering(429, {}), "rate", 3),
        (answering(401, {}), "auth", 1),
        (answering(403, {"error_code": "PERMISSION_DENIED", "message": "x"}), "auth", 1),
        (answering(404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "x"}), "missing", 1),
        (answering(400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "x"}), "invalid", 1),
        (answering(302, {}, Location="http://login/"), "redirect", 1),
        (answering(200, []), "answer", 1),
        (answering(200, {"registered_model": 7}), "answer", 1),
        (answering(200, {"registered_model": {"name": "m", "aliases": {}}}), "answer", 1),
        (_not_json, "answer", 1),
        (_flood, "answer", 1),
    ],
    ids=[
        *("silence", "hang-up", "half an answer", "503", "429", "401", "403", "404", "400"),
        *("redirect", "a list", "a number", "strange aliases", "a login page", "a gzip bomb"),
    ],
)
async def test_every_failure_has_a_reason_and_reads_are_tried_again_only_in_bad_weather(
    handler: Handler, reason: str, calls: int
) -> None:
    # Only silence is to take longer than it may, however busy the machine is.
    timeout_s = 0.3 if handler is _never else 60.0
    async with (
        Server(handler) as server,
        MlflowRegistry(server.uri, timeout_s=timeout_s) as registry,
    ):
        with pytest.raises(RegistryError) as caught:
            await registry.model("m")

    assert caught.value.reason == reason
    assert reason in REASONS
    # aiohttp itself asks once more where a kept connection was closed before an answer.
    assert calls <= len(server.requests) <= (2 * calls if handler is _hangs_up else calls)
    assert isinstance(caught.value, RegistryTransientError) == (calls == 3)
    assert "/registered-models/get" in str(caught.value) or reason == "answer"


async def test_a_read_that_works_at_the_second_try_works() -> None:
    answers = iter([answering(502, {}), answering(200, MODEL)])

    async def handler(request: web.Request) -> web.StreamResponse:
        return await next(answers)(request)

    async with Server(handler) as server, MlflowRegistry(server.uri) as registry:
        model = await registry.model("m")

    assert model.aliases == {"champion": "2"}


@pytest.mark.parametrize("handler", [_never, answering(503, {})], ids=["silence", "503"])
async def test_a_write_is_tried_once(handler: Handler) -> None:
    timeout_s = 0.3 if handler is _never else 60.0
    async with (
        Server(handler) as server,
        MlflowRegistry(server.uri, timeout_s=timeout_s) as registry,
    ):
        with pytest.raises(RegistryTransientError):
            await registry.set_alias("m", "champion", "1")

    assert len(server.requests) == 1


async def test_two_first_writes_that_meet_are_a_race() -> None:
    body = {
        "error_code": "BAD_REQUEST",
        "message": "(sqlite3.IntegrityError) UNIQUE constraint failed: registered_model_aliases",
    }

    async with Server(answering(400, body)) as server, MlflowRegistry(server.uri) as registry:
        with pytest.raises(RegistryTransientError) as caught:
            await registry.set_alias("m", "champion", "1")

    assert caught.value.reason == "race"


async def test_the_version_is_sent_as_a_string_and_no_origin_is_sent() -> None:
    bodies: list[object] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.json())
        return web.json_response({})

    async with Server(handler) as server, MlflowRegistry(server.uri) as registry:
        await registry.set_alias("m", "champion", "3")

    assert bodies == [{"name": "m", "alias": "champion", "version": "3"}]
    assert "Origin" not in server.requests[0].headers


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("", "Bearer s3cret"),
        ("kedge:p%40ss@", "Basic a2VkZ2U6cEBzcw=="),
    ],
    ids=["token", "user and password in the address"],
)
async def test_credentials_are_sent_and_never_shown(
    user: str, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(status=403, text=f"bad: {request.headers['Authorization']}")

    caplog.set_level(logging.DEBUG)
    async with Server(echo) as server:
        uri = server.uri.replace("http://", f"http://{user}") + "/"
        async with MlflowRegistry(uri, token=None if user else "s3cret") as registry:
            with pytest.raises(RegistryPermanentError) as caught:
                await registry.model("m")
            shown = f"{registry!r} {''.join(traceback.format_exception(caught.value))}"

    assert server.requests[0].headers["Authorization"] == expected
    for secret in ("s3cret", "p@ss", "p%40ss", expected.split()[1]):
        assert secret not in shown
        assert secret not in caplog.text


async def test_a_server_that_is_not_there_says_what_to_look_at() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        # Bound but not listening: nobody else takes the port, and nobody answers.
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        async with MlflowRegistry(uri) as registry:
            with pytest.raises(RegistryTransientError, match="tracking_uri") as caught:
                await registry.model("m")

    assert caught.value.reason == "connection"


async def test_silence_is_borne_for_a_bounded_time() -> None:
    async with Server(_never) as server, MlflowRegistry(server.uri, timeout_s=0.2) as registry:
        begun = time.monotonic()
        with pytest.raises(RegistryTransientError):
            await registry.versions("m")
        took_s = time.monotonic() - begun

    # Attempts of 0.2 s, and pauses of at most 0.15 and 0.3 s: far less than the silence.
    assert len(server.requests) == 3
    assert took_s < 30


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "file:///x", "mlruns", "databricks", ""])
def test_an_address_without_a_rest_api_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="http://HOST:PORT"):
        MlflowRegistry(uri)


def test_every_reason_is_of_the_closed_set() -> None:
    assert len(REASONS) == len(set(REASONS)) == 13
    assert registry_answers.RegistryError("x", "host").reason in REASONS
