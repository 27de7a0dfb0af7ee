"""A real proxy process between a real client and a real server."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import hashlib
import io
import json
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
from aiohttp import web

from collectors.batch import Decoded
from collectors.formats.logged_bodies import MLFLOW, V2
from collectors.kinds import FORMATS
from tests.collectors.dripping import drip
from tests.collectors.tapping import (
    Tap,
    eventually,
    listening,
    model_server,
    settings_for,
    tapping,
)

ASKED = {"dataframe_split": {"columns": ["age", "income"], "data": [[41, 52.5], [23, 31.0]]}}
ANSWERED = {"predictions": [0.25, 0.75]}


async def predict(request: web.Request) -> web.StreamResponse:
    """Answer like a scoring server: predictions, or what the path asks for."""
    body = await request.read()
    match request.path:
        case "/invocations":
            return web.json_response(ANSWERED, headers={"X-Kedge-Version": "7"})
        case "/echo":
            return web.Response(body=body, headers={"X-Asked": str(dict(request.headers))})
        case "/fails/predict":
            return web.json_response({"error_code": "BAD_REQUEST"}, status=400)
        case "/headers":
            return web.json_response(list(request.headers.items()))
        case _:
            return web.Response(status=404, text="no such path")


@pytest.fixture
async def tap(tmp_path: Path) -> AsyncIterator[Tap]:
    """A proxy before a scoring server."""
    async with (
        model_server(predict) as upstream,
        tapping(
            settings_for(upstream, paths=("/invocations", "/echo", "*/predict")), tmp_path / "spool"
        ) as tap,
    ):
        yield tap


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        yield session


def decoded(records: list[dict[str, object]], format_: str = "mlflow") -> Decoded:
    lines = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    return FORMATS[format_]("m").decode(lines)


async def test_a_request_is_answered_as_by_the_server_and_recorded(
    tap: Tap, session: aiohttp.ClientSession
) -> None:
    headers = {"X-Request-Id": "loan-7", "Authorization": "Bearer secret", "Cookie": "a=b"}

    async with session.post(f"{tap.url}/invocations", json=ASKED, headers=headers) as answer:
        body = await answer.json()

    assert (answer.status, body) == (200, ANSWERED)
    assert answer.headers["X-Request-Id"] == "loan-7"
    (record,) = await tap.records(1)
    assert record["id"] == "loan-7"
    assert record["version"] == "7"
    assert json.loads(record["body"]) == ASKED
    assert "secret" not in json.dumps(record)
    assert "a=b" not in json.dumps(record)


async def test_what_is_recorded_becomes_rows_with_features_and_predictions(
    tap: Tap, session: aiohttp.ClientSession
) -> None:
    async with session.post(
        f"{tap.url}/invocations", json=ASKED, headers={"X-Request-Id": "loan-7"}
    ):
        pass

    found = decoded(await tap.records(1))

    (batch,) = found.batches
    assert batch.version == "7"
    assert batch.rows == len(ANSWERED["predictions"])
    assert batch.latency_kind == "server"
    assert not found.rejections


async def test_csv_is_recorded_with_the_names_of_its_header(
    tap: Tap, session: aiohttp.ClientSession
) -> None:
    headers = {"Content-Type": "text/csv"}

    async with session.post(
        f"{tap.url}/invocations", data="age,town\n41,Bonn\n23,\n", headers=headers
    ):
        pass

    found = decoded(await tap.records(1))
    assert not found.rejections
    (batch,) = found.batches
    assert set(batch.columns) >= {"age", "town"}


async def test_a_failed_request_counts_with_its_status_and_without_bodies(
    tap: Tap, session: aiohttp.ClientSession
) -> None:
    async with session.post(f"{tap.url}/fails/predict", json=ASKED) as answer:
        assert answer.status == 400

    (record,) = await tap.records(1)

    assert record["status"] == 400
    assert record.keys() & {"body", "response_body"} == set()
    for format_ in ("mlflow", "v2"):
        (batch,) = decoded([record], format_).batches
        assert batch.status.tolist() == [400]


async def test_paths_that_are_not_for_scoring_are_passed_on_and_not_recorded(
    tap: Tap, session: aiohttp.ClientSession
) -> None:
    async with session.get(f"{tap.url}/nowhere?a=%2Fb&c") as answer:
        assert (answer.status, await answer.text()) == (404, "no such path")
    async with session.post(f"{tap.url}/invocations", json=ASKED):
        pass

    (record,) = await tap.records(1)

    assert "body" in record


async def test_headers_are_passed_on_and_those_of_one_hop_are_cut(
    tap: Tap, session: aiohttp.ClientSession
) -> None:
    headers = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "Connection": "keep-alive, X-Hop",
        "X-Hop": "1",
        "TE": "trailers",
        "X-Forwarded-For": "10.0.0.1",
        "Authorization": "Bearer t",
    }

    async with session.get(f"{tap.url}/headers", headers=headers) as answer:
        seen = {name.lower(): value for name, value in await answer.json()}

    assert seen["traceparent"] == headers["traceparent"]
    assert seen["authorization"] == "Bearer t"
    assert seen["x-forwarded-for"] == "10.0.0.1, 127.0.0.1"
    assert seen["x-forwarded-proto"] == "http"
    assert seen["host"] == seen["x-forwarded-host"] == urlsplit(tap.url).netloc
    assert len(seen["x-request-id"]) == 32
    assert seen.keys() & {"x-hop", "te"} == set()


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 3_000_000])
@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_come_through_byte_for_byte(
    tap: Tap, session: aiohttp.ClientSession, size: int, *, chunked: bool
) -> None:
    body = os.urandom(size)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, size, 50_000):
            yield body[at : at + 50_000]

    data = pieces() if chunked else io.BytesIO(body)
    async with session.post(f"{tap.url}/echo", data=data) as answer:
        assert await answer.read() == body


async def test_a_compressed_answer_stays_compressed_and_is_read_inflated(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    packed = gzip.compress(json.dumps(ANSWERED).encode())

    async def answers(request: web.Request) -> web.StreamResponse:
        await request.read()
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
        return web.Response(body=packed, headers=headers)

    async with model_server(answers) as upstream, tapping(settings_for(upstream), tmp_path) as tap:
        async with session.post(f"{tap.url}/invocations", json=ASKED) as answer:
            assert await answer.read() == packed
        (record,) = await tap.records(1)

    assert json.loads(record["response_body"]) == ANSWERED


async def test_connections_are_kept_alive(tap: Tap) -> None:
    place = urlsplit(tap.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)

    for number in range(3):
        body = b"x" * number
        writer.write(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % number + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert await reader.readexactly(number) == body

    writer.close()


async def test_expect_100_continue_is_answered(tap: Tap) -> None:
    place = urlsplit(tap.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    writer.write(
        b"POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    )

    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100")
    writer.write(b"abc")

    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
    assert await reader.readexactly(3) == b"abc"
    writer.close()


async def test_100_mb_pass_both_ways_in_bounded_memory(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    size, piece = 100 << 20, os.urandom(1 << 20)
    expected = hashlib.sha256(piece * (size // len(piece))).hexdigest()

    async def echoes(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        async for data in request.content.iter_any():
            await response.write(data)
        return response

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(size // len(piece)):
            yield piece

    async with model_server(echoes) as upstream, tapping(settings_for(upstream), tmp_path) as tap:
        standing = tap.standing()
        assert standing is not None
        process = psutil.Process(standing.pid)
        before, most, found = process.memory_info().rss, 0, hashlib.sha256()
        async with session.post(f"{tap.url}/invocations", data=pieces()) as answer:
            async for data in answer.content.iter_any():
                found.update(data)
                most = max(most, process.memory_info().rss)
        (record,) = await tap.records(1)

        def counted() -> bool:
            there = tap.standing()
            return there is not None and there.counts.get("large_tapped_bodies") == 1

        await eventually(counted, "the large body is counted")

    assert found.hexdigest() == expected
    assert most - before < 20 << 20
    assert record["status"] == 200
    assert "body" not in record


async def test_an_upstream_that_is_down_is_a_502_and_an_error_in_the_record(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with tapping(settings_for("http://127.0.0.1:1"), tmp_path) as tap:
        async with session.post(f"{tap.url}/invocations", json=ASKED) as answer:
            assert answer.status == 502
            assert "could not be reached" in await answer.text()
        (record,) = await tap.records(1)

    assert record["status"] == 502


async def test_an_upstream_that_is_silent_is_a_504(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async def hangs(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.Response()

    async with (
        model_server(hangs) as upstream,
        tapping(settings_for(upstream, timeout_s=0.3), tmp_path) as tap,
    ):
        async with session.post(f"{tap.url}/invocations", json=ASKED) as answer:
            assert answer.status == 504
        (record,) = await tap.records(1)

    assert record["status"] == 504
    assert record["latency_ms"] >= 300


async def test_an_answer_that_breaks_off_is_cut_off_for_the_caller_too(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async def breaks(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        await response.write(b"x" * 70_000)
        assert request.transport is not None
        request.transport.close()
        return response

    async with model_server(breaks) as upstream, tapping(settings_for(upstream), tmp_path) as tap:
        with pytest.raises(aiohttp.ClientError):
            async with session.post(f"{tap.url}/invocations", json=ASKED) as answer:
                await answer.read()
        (record,) = await tap.records(1)

    assert record["status"] == 502


async def test_a_caller_that_goes_away_is_noted_as_such(tmp_path: Path) -> None:
    asked = asyncio.Event()

    async def hangs(_request: web.Request) -> web.StreamResponse:
        asked.set()
        await asyncio.sleep(60)
        return web.Response()

    async with model_server(hangs) as upstream, tapping(settings_for(upstream), tmp_path) as tap:
        place = urlsplit(tap.url)
        _, writer = await asyncio.open_connection(place.hostname, place.port)
        writer.write(b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
        await asked.wait()
        writer.transport.abort()
        (record,) = await tap.records(1)

    assert record["status"] == 499


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(1_000)) + b"\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["long header", "many headers", "two framings", "two lengths", "another host", "TLS"],
)
async def test_what_is_no_decent_request_is_a_400(tap: Tap, sent: bytes) -> None:
    place = urlsplit(tap.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)

    writer.write(sent)

    assert (await reader.read(12)).endswith(b" 400")
    writer.close()


async def test_slow_clients_are_cut_off(tmp_path: Path) -> None:
    async with (
        model_server(predict) as upstream,
        tapping(settings_for(upstream, idle_s=0.5, timeout_s=0.5), tmp_path) as tap,
    ):
        place = urlsplit(tap.url)
        head_reader, head_writer = await asyncio.open_connection(place.hostname, place.port)
        head_writer.write(b"POST /invocations HTTP/1.1\r\nHos")
        body_reader, body_writer = await asyncio.open_connection(place.hostname, place.port)
        body_writer.write(b"POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc")

        async with asyncio.timeout(20):
            assert not (await head_reader.read()).startswith(b"HTTP/1.1 2")
            assert (await body_reader.read(12)) == b"HTTP/1.1 408"

        head_writer.close()
        body_writer.close()


async def test_a_head_that_drips_is_cut_off_and_counted(tmp_path: Path) -> None:
    async with (
        model_server(predict) as upstream,
        tapping(settings_for(upstream, idle_s=2.0), tmp_path) as tap,
    ):
        place = urlsplit(tap.url)
        _, writer = await asyncio.open_connection(place.hostname, place.port)

        await drip(writer)

        await eventually(lambda: tap.source.costs().get("tap_slow_head"), "it is counted")
        writer.close()


async def test_more_connections_than_allowed_are_refused_and_counted(tmp_path: Path) -> None:
    async with (
        model_server(predict) as upstream,
        tapping(settings_for(upstream, connections_max=2), tmp_path) as tap,
    ):
        place = urlsplit(tap.url)
        open_ = [await asyncio.open_connection(place.hostname, place.port) for _ in range(3)]

        with contextlib.suppress(ConnectionError):
            assert await open_[2][0].read() == b""

        await eventually(lambda: tap.source.costs().get("tap_connections"), "it is counted")
        for _, writer in open_:
            writer.close()


async def test_when_nobody_reads_the_oldest_are_shed_and_counted_exactly(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    """The daemon hangs: nothing is polled while requests are passed on."""
    requests, text = 400, "x" * 2_000
    settings = {"paths": ("/echo",), "max_event_bytes": 8_000, "max_bytes": 200_000}
    async with (
        model_server(predict) as upstream,
        tapping(settings_for(upstream, **settings), tmp_path) as tap,
    ):
        for number in range(requests):
            body = json.dumps({"instances": [{"n": number, "text": text}]})
            async with session.post(f"{tap.url}/echo", data=body) as answer:
                assert answer.status == 200

        # Whoever reads while the last ones are still being written makes room for them.
        last = rf"\"n\": {requests - 1},".encode()

        await eventually(lambda: _is_on_disk(last, tmp_path), "the last request is on disk")
        found: list[dict[str, object]] = []

        def all_told() -> bool:
            found.extend(tap.read())
            return len(found) + tap.shed >= requests

        await eventually(all_told, "every request is recorded or counted")

    assert len(found) + tap.shed == requests
    assert tap.shed > 0
    numbers = [json.loads(str(one["body"]))["instances"][0]["n"] for one in found]
    assert numbers == list(range(requests - len(found), requests))


async def test_a_killed_proxy_is_started_again_and_nothing_counts_twice(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with model_server(predict) as upstream:
        # A port of its own, because the next process has to have the same one.
        with_port = settings_for(upstream, listen=f"127.0.0.1:{_free_port()}")
        async with tapping(with_port, tmp_path) as tap:
            async with session.post(f"{tap.url}/invocations", json=ASKED):
                pass
            await tap.records(1)
            standing = tap.standing()
            assert standing is not None

            os.kill(standing.pid, signal.SIGKILL)
            await listening(tap.source, tmp_path, other_than=standing.pid)

            async with session.post(f"{tap.url}/invocations", json=ASKED) as answer:
                assert answer.status == 200
            assert len(await tap.records(1)) == 1
            assert tap.shed == 0


def _is_on_disk(text: bytes, folder: Path) -> bool:
    """Look for a text in the files of a folder, from which any may vanish meanwhile."""
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            if text in path.read_bytes():
                return True
    return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_formats_take_lines_of_taps_without_bodies_and_no_others() -> None:
    told = b'{"tap": "proxy", "ts": 1.0, "id": "a", "status": 502, "latency_ms": 3.5}\n'
    other = b'{"ts": 1.0, "id": "a", "status": 502}\n'

    for kind in (MLFLOW, V2):
        assert [batch.rows for batch in kind("m").decode(told).batches] == [1]
        assert not kind("m").decode(other).batches
