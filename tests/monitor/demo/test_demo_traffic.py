"""The demo's traffic against a real HTTP server that answers well, badly, or not at all."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from monitor.demo.rows import Request
from monitor.demo.traffic import Tally, Traffic

Handler = Callable[[web.Request], web.Response]

QUIET = [Request(b'{"row": "quiet yes"}', 1), Request(b'{"row": "quiet no"}', 0)]
SHIFTED = [Request(b'{"row": "shifted no"}', 0)]
HEADERS = {"X-Kedge-Model": "car-loan", "X-Kedge-Version": "2"}


def yes(_request: web.Request) -> web.Response:
    return web.json_response({"predictions": [0.9]}, headers=HEADERS)


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return handler(request)

    application = web.Application()
    application.router.add_post("/invocations", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/invocations"
    finally:
        await runner.cleanup()


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not happened():  # noqa: ASYNC110 - what happens is a count, not an event
            await asyncio.sleep(0.01)


async def flow_until(traffic: Traffic, happened: Callable[[], bool]) -> None:
    task = asyncio.create_task(traffic.flow())
    await until(happened)
    traffic.stop()
    await task


async def test_answers_are_counted_by_phase_and_version_with_what_the_labels_say() -> None:
    async with server(yes) as url:
        traffic = Traffic(url, QUIET, SHIFTED, rate=400)
        task = asyncio.create_task(traffic.flow())
        await until(lambda: traffic.counts.tally("quiet", "2").answers >= 40)
        traffic.begin_shift()
        await until(lambda: traffic.counts.tally("shifted", "2").answers >= 20)
        traffic.stop()
        await task

    quiet, shifted = (traffic.counts.tally(phase, "2") for phase in ("quiet", "shifted"))
    # Two rows in turn, of which "yes" is wrong for one.
    assert quiet.error_ratio == pytest.approx(0.5, abs=0.02)
    assert shifted.error_ratio == 1.0
    assert traffic.counts.requests == quiet.answers + shifted.answers
    assert (traffic.counts.failed, traffic.counts.serving) == (0, "2")
    assert traffic.counts.first_answer.keys() == {"2"}


async def test_the_rate_is_kept_by_schedule() -> None:
    async with server(yes) as url:
        traffic = Traffic(url, QUIET, SHIFTED, rate=100)
        begins = asyncio.get_running_loop().time()

        await flow_until(traffic, lambda: traffic.counts.requests >= 100)

        # Never faster; how much slower is the machine's affair.
        assert asyncio.get_running_loop().time() - begins >= 0.9


@pytest.mark.parametrize(
    ("response", "why"),
    [
        (lambda: web.Response(status=503, text="swapping"), "status 503: b'swapping'"),
        (lambda: web.json_response({"predictions": [0.9]}), "which model and version"),
        (lambda: web.Response(text="sorry", headers=HEADERS), "not an answer of one number"),
        (lambda: web.json_response({"predictions": []}, headers=HEADERS), "one number"),
        (lambda: web.json_response({"predictions": ["x"]}, headers=HEADERS), "one number"),
        (lambda: web.json_response([0.9], headers=HEADERS), "one number"),
        (lambda: web.json_response({"predictions": [1.5]}, headers=HEADERS), "probability: 1.5"),
        (
            lambda: web.Response(text=json.dumps({"predictions": [math.nan]}), headers=HEADERS),
            "not a probability: nan",
        ),
    ],
    ids=["503", "no version", "no JSON", "no row", "text", "no object", "above 1", "NaN"],
)
async def test_what_is_no_good_answer_is_a_failed_request(
    response: Callable[[], web.Response], why: str
) -> None:
    async with server(lambda _request: response()) as url:
        traffic = Traffic(url, QUIET, SHIFTED, rate=200)
        await flow_until(traffic, lambda: traffic.counts.failed >= 8)

    assert traffic.counts.failed == traffic.counts.requests
    assert why in traffic.counts.failures[0]
    assert len(traffic.counts.failures) == 5
    assert traffic.counts.tallies == {}


async def test_a_server_that_is_gone_fails_requests_and_ends_nothing() -> None:
    async with server(yes) as url:
        pass
    traffic = Traffic(url, QUIET, SHIFTED, rate=200)

    await flow_until(traffic, lambda: traffic.counts.failed >= 3)

    assert "Cannot connect" in traffic.counts.failures[0]


def test_no_answers_have_no_error_ratio() -> None:
    assert math.isnan(Tally().error_ratio)
