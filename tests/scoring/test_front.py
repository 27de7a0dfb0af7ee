"""The listening side with bare sockets: what clients do to it, byte by byte."""

# ruff: noqa: ASYNC110 - connections are polled, as a caller would see them end

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest
from aiohttp import web

from scoring.answering.live import Live, load_served
from scoring.log.log_file import LogFile
from scoring.log.metrics import CLIENT_LIMITS, LOG_SOURCE, ScoringMetrics
from scoring.log.prediction_log import PredictionLog
from scoring.web.clients import ClientLimits, Fallback
from scoring.web.front import Front
from scoring.web.server import ScoringServer
from tests.collectors.dripping import drip
from tests.scoring.served import logged, until

ROW, MANY_ROWS = (
    json.dumps({"dataframe_split": {"columns": list("abcd"), "data": [[1, 2, 3, 4]] * n}}).encode()
    for n in (1, 1_000)
)


def post(body: bytes = ROW, *headers: bytes) -> bytes:
    lines = [
        b"POST /invocations HTTP/1.1",
        b"Host: x",
        b"Content-Type: application/json",
        b"Content-Length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


GET_PING = b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n"


class Caller:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(20):
            status = int((await self.reader.readline()).split()[1])
            headers = {}
            while (line := (await self.reader.readline()).strip()) != b"":
                name, _, value = line.decode().partition(": ")
                headers[name.lower()] = value
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return status, headers, body

    async def ended_somehow(self) -> bytes:
        """Return what came until the end, which may be a reset."""
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(20):
                return await self.reader.read()
        return b""

    async def ended(self) -> bool:
        async with asyncio.timeout(20):
            return await self.reader.read(1) == b""


def unread(port: int) -> socket.socket:
    """Return a connection whose answers have hardly any room until they are read."""
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.connect(("127.0.0.1", port))
    return caller


class Listening:
    def __init__(self, front: Front, metrics: ScoringMetrics, port: int, log: Path) -> None:
        self.front = front
        self.metrics = metrics
        self.port = port
        self.log = log
        self.callers: list[Caller] = []

    async def call(self, data: bytes = b"") -> Caller:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", self.port))
        self.callers.append(caller)
        caller.writer.write(data)
        return caller

    def refused(self) -> dict[str, float]:
        """Return how many connections each limit has ended, without those that ended none."""
        page = self.metrics.render("")[0].decode().splitlines()
        counts = {
            reason: float(line.rpartition(" ")[2])
            for reason in CLIENT_LIMITS
            for line in page
            if line.startswith(f'kedge_http_refused_total{{reason="{reason}"}}')
        }
        assert list(counts) == list(CLIENT_LIMITS)
        return {reason: count for reason, count in counts.items() if count}

    async def hang_up(self) -> None:
        for caller in self.callers:
            caller.writer.close()
            with contextlib.suppress(ConnectionError):
                await caller.writer.wait_closed()


@pytest.fixture
def limited() -> Mapping[str, Any]:
    """Return the limits on callers that a test sets; the others are the server's own."""
    return {}


@pytest.fixture
async def listening(
    model_folders: Path, tmp_path: Path, limited: Mapping[str, Any]
) -> AsyncIterator[Listening]:
    metrics = ScoringMetrics()
    log = PredictionLog(
        LogFile(tmp_path / "log.jsonl"),
        shed=metrics.shed_events.labels(LOG_SOURCE),
        failures=metrics.log_failures,
    )
    log.start()
    live = Live(load_served(model_folders / "plain", "flight delay", "2", checked=True))
    server = ScoringServer(live, metrics, log, body_bytes_max=100_000)
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    assert runner.server is not None
    limits = ClientLimits(metrics.count_cut_off, **limited)
    fallback = Fallback(runner.server, limits, logging.getLogger(__name__))
    front = Front(server, fallback, limits)
    listener = await asyncio.get_running_loop().create_server(front.connect, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    listening = Listening(front, metrics, port, tmp_path / "log.jsonl")
    yield listening
    await listening.hang_up()
    listener.close()
    await front.drain(1)
    await runner.cleanup()
    server.close()
    log.close(5)


async def test_a_plain_request_is_answered_and_logged(listening: Listening) -> None:
    caller = await listening.call(post(ROW, b"X-Request-Id: r-1"))

    status, headers, body = await caller.answer()

    assert (status, json.loads(body)) == (200, {"predictions": [1]})
    assert headers["x-kedge-model"] == "flight delay"
    assert headers["x-kedge-version"] == "2"
    assert headers["x-request-id"] == "r-1"
    assert headers["content-type"] == "application/json"
    until(lambda: [event["id"] for event in logged(listening.log)] == ["r-1"])
    assert logged(listening.log)[0]["features"] == {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}
    assert listening.front.connections


async def test_requests_on_one_connection_are_answered_in_their_order(
    listening: Listening,
) -> None:
    signs = [1, -1, -1, 1] * 25
    bodies = [
        json.dumps({"dataframe_records": [dict.fromkeys("abcd", float(sign))]}).encode()
        for sign in signs
    ]

    caller = await listening.call(b"".join(post(body) for body in bodies))

    answers = [json.loads((await caller.answer())[2])["predictions"] for _ in signs]
    assert answers == [[int(sign > 0)] for sign in signs]


async def test_a_request_may_come_in_any_pieces(listening: Listening) -> None:
    caller = await listening.call()

    for byte in post():
        caller.writer.write(bytes([byte]))
        await caller.writer.drain()
        await asyncio.sleep(0)

    assert (await caller.answer())[0] == 200


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", 200),
        (b"POST /invocations HTTP/1.0\r\nContent-Type: application/json\r\n"
         b"Content-Length: %d\r\n\r\n" % len(ROW) + ROW, 200),
        (b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
         b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(ROW) + ROW + b"\r\n0\r\n\r\n", 200),
        (post(b"[" + b" " * 40_000 + b"]"), 400),
        (post(b" " * 200_000), 413),
        (post(b"{"), 400),
        (post(ROW).replace(b"application/json", b"text/plain"), 415),
        (b"nonsense\r\n\r\n", 400),
        (b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n", 400),
        (b"POST /invocations HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n", 400),
    ],
    ids=[
        *("ping", "metrics", "HTTP/1.0", "chunks", "a long body", "too long a body", "no JSON"),
        *("another type", "nonsense", "no length", "a huge header"),
    ],
)  # fmt: skip
async def test_every_kind_of_request_gets_its_answer(
    listening: Listening, request_bytes: bytes, status: int
) -> None:
    caller = await listening.call(request_bytes)

    assert (await caller.answer())[0] == status
    assert (await (await listening.call(post())).answer())[0] == 200


async def test_a_connection_goes_on_after_it_changed_hands(listening: Listening) -> None:
    caller = await listening.call(post())
    first = await caller.answer()
    caller.writer.write(b"GET /ping HTTP/1.1\r\nHost: x\r\n\r\n")
    second = await caller.answer()
    caller.writer.write(post())
    third = await caller.answer()

    assert [answer[0] for answer in (first, second, third)] == [200, 200, 200]
    assert first[2] == third[2]


async def test_a_caller_that_says_close_is_hung_up_on(listening: Listening) -> None:
    caller = await listening.call(post(ROW, b"Connection: close"))

    status, headers, _ = await caller.answer()

    assert (status, headers["connection"]) == (200, "close")
    assert await caller.ended()


async def test_a_caller_that_has_said_all_still_gets_its_answer(listening: Listening) -> None:
    caller = await listening.call(post())
    caller.writer.write_eof()

    assert (await caller.answer())[0] == 200


@pytest.mark.parametrize("limited", [{"idle_s": 0.05, "head_timeout_s": 0.1}])
async def test_a_silent_caller_is_hung_up_on(listening: Listening) -> None:
    silent = await listening.call()
    halfway = await listening.call(post()[:-5])
    earlier = await listening.call(post()[:20])

    assert await silent.ended()
    assert await halfway.ended()
    assert await earlier.ended()
    assert listening.refused() == {"slow_body": 1, "slow_head": 1}


@pytest.mark.parametrize("limited", [{"head_timeout_s": 0.3}])
@pytest.mark.parametrize("lines", [0, 2], ids=["short", "over 8 KiB"])
@pytest.mark.parametrize("first", [b"", post(), GET_PING], ids=["new", "plain", "other"])
async def test_a_caller_whose_head_drips_is_hung_up_on(
    listening: Listening, first: bytes, lines: int
) -> None:
    caller = await listening.call(first)
    if first:
        assert (await caller.answer())[0] == 200

    await drip(caller.writer, lines=lines)

    assert listening.refused() == {"slow_head": 1}
    assert (await (await listening.call(post())).answer())[0] == 200


@pytest.mark.parametrize("limited", [{"head_timeout_s": 0.2, "write_timeout_s": 0.2}])
@pytest.mark.parametrize("asked", [post(MANY_ROWS), GET_PING], ids=["plain", "other"])
async def test_a_caller_who_does_not_read_is_hung_up_on(listening: Listening, asked: bytes) -> None:
    def flood() -> None:
        with unread(listening.port) as caller, contextlib.suppress(ConnectionError):
            caller.settimeout(60)
            while True:
                caller.sendall(asked * 100)

    await asyncio.to_thread(flood)

    assert listening.refused() == {"slow_reader": 1}


async def test_what_a_caller_sends_ahead_does_not_pile_up(listening: Listening) -> None:
    much, asked = 64 * 1024 * 1024, post() * 1_000
    sent = 0

    def flood() -> None:
        nonlocal sent
        with unread(listening.port) as caller, contextlib.suppress(TimeoutError):
            caller.settimeout(2)
            while sent < much:
                sent += caller.send(asked)

    await asyncio.to_thread(flood)

    # What the kernel keeps for the two is less.
    assert sent < much / 2


@pytest.mark.parametrize("limited", [{"connections_max": 3}])
async def test_one_connection_too_many_is_told_503_and_the_others_go_on(
    listening: Listening,
) -> None:
    plain, other, idle = [await listening.call(request) for request in (post(), GET_PING, b"")]
    assert [(await caller.answer())[0] for caller in (plain, other)] == [200, 200]

    asking, silent = await listening.call(post()), await listening.call()
    refused, headers, body = await asking.answer()

    assert (refused, headers["retry-after"], headers["connection"]) == (503, "1", "close")
    assert json.loads(body)["error_code"] == "BAD_REQUEST"
    assert (await silent.answer())[0] == 503
    assert await silent.ended()
    assert listening.refused() == {"connections": 2}
    for caller in (plain, idle):
        caller.writer.write(post())
        assert (await caller.answer())[0] == 200
    other.writer.close()
    async with asyncio.timeout(20):
        while listening.front.fallback.connections:
            await asyncio.sleep(0.01)
    assert (await (await listening.call(post())).answer())[0] == 200


@pytest.mark.parametrize("limited", [{"connections_max": 1}])
async def test_a_flood_of_connections_is_let_go_and_takes_no_files(listening: Listening) -> None:
    first = await listening.call(post())
    assert (await first.answer())[0] == 200
    before = psutil.Process().num_fds()

    flood = [await listening.call() for _ in range(200)]
    ends = [await caller.ended_somehow() for caller in flood]

    assert len(ends) == 200
    assert listening.refused() == {"connections": 200}
    async with asyncio.timeout(20):
        while psutil.Process().num_fds() > before + len(flood) + 8:
            await asyncio.sleep(0.01)
    first.writer.write(post())
    assert (await first.answer())[0] == 200


async def test_draining_lets_go_of_idle_callers(listening: Listening) -> None:
    caller = await listening.call(post())
    await caller.answer()

    await listening.front.drain(5)

    assert await caller.ended()
    assert not listening.front.connections


async def test_a_caller_that_hangs_up_halfway_is_forgotten(listening: Listening) -> None:
    caller = await listening.call(post()[:-5])
    await caller.writer.drain()
    caller.writer.close()

    assert (await (await listening.call(post())).answer())[0] == 200
    async with asyncio.timeout(20):
        while len(listening.front.connections) > 1:
            await asyncio.sleep(0.01)
