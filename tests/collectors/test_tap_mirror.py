"""Copies of requests, from a plain client, from a real NGINX and from a real Envoy."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from collectors.batch import STATUS_UNKNOWN, Decoded, PredictionBatch
from collectors.format import Format, Holding
from collectors.formats.mirrored import MIRRORED
from collectors.source import Source
from collectors.taps.mirror_source import MirrorSource
from collectors.taps.settings import MirrorSettings
from tests.collectors.mirroring import ENVOY, NGINX, NO_ENVOY, NO_NGINX, envoy, nginx
from tests.collectors.tapping import eventually, listening, model_server

ASKED = {"dataframe_split": {"columns": ["age"], "data": [[41]]}}
Fronts = Callable[[Path, str, str, Path], AbstractAsyncContextManager[str]]

FRONTS = [
    pytest.param(nginx, id="nginx", marks=pytest.mark.skipif(not NGINX, reason=NO_NGINX)),
    pytest.param(envoy, id="envoy", marks=pytest.mark.skipif(not ENVOY, reason=NO_ENVOY)),
]


async def scores(request: web.Request) -> web.StreamResponse:
    """Answer like a scoring server; fail where a row is of nobody."""
    asked = json.loads(await request.read())
    if asked["dataframe_split"]["data"] == [[None]]:
        return web.json_response({"error_code": "BAD_REQUEST"}, status=400)
    return web.json_response({"predictions": [0.25]})


class Reading:
    """Reads a source as the daemon does."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._format: Format = MIRRORED("m")
        self.batches: list[PredictionBatch] = []
        self.joined = self.rejected = 0

    def rows(self) -> int:
        for chunk in self._source.poll():
            self._take(self._format.decode(chunk.lines))
        return sum(batch.rows for batch in self.batches)

    def give_up(self) -> None:
        assert isinstance(self._format, Holding)
        self._take(self._format.expire(1e12, 1e12))

    def _take(self, decoded: Decoded) -> None:
        self.batches += decoded.batches
        self.joined += decoded.joined
        self.rejected += len(decoded.rejections)

    def statuses(self) -> list[int]:
        return sorted(int(one) for batch in self.batches for one in batch.status)


@contextlib.asynccontextmanager
async def receiving(folder: Path, log: Path | None = None) -> AsyncIterator[tuple[str, Reading]]:
    """Run the receiving end; yield its address and what reads it."""
    settings = MirrorSettings(
        listen="127.0.0.1:0",
        path=str(folder / "spool"),
        access_log_path=str(log or ""),
        max_event_bytes=10_000,
    )
    source: Any = settings.build("mirror")
    source.restore({})
    try:
        tap = await listening(source, folder / "spool")
        reading = Reading(source)
        reading.rows()  # the log is read from its end, as it stands now
        yield tap.url, reading
    finally:
        await asyncio.to_thread(source.close)


async def ask(url: str, age: float | None = 41, *, id_: str | None = None) -> int:
    headers = {"X-Request-Id": id_} if id_ else {}
    asked = {"dataframe_split": {"columns": ["age"], "data": [[age]]}}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/invocations", json=asked, headers=headers) as answer,
    ):
        await answer.read()
        return answer.status


async def test_a_copy_is_answered_at_once_and_becomes_a_row_of_unknown_status(
    tmp_path: Path,
) -> None:
    async with receiving(tmp_path) as (url, reading):
        assert await ask(url, id_="a") == 204
        await eventually(lambda: reading.rows() == 1, "the copy is a row")

    assert reading.statuses() == [STATUS_UNKNOWN]
    assert "age" in reading.batches[0].columns


async def test_a_copy_too_long_to_keep_counts_as_a_request(tmp_path: Path) -> None:
    async with receiving(tmp_path) as (url, reading):
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/invocations", data=b"x" * 100_000) as answer,
        ):
            assert answer.status == 204
        await eventually(lambda: reading.rows() == 1, "it is counted")

    assert reading.batches[0].requests_only


async def test_copies_of_what_is_no_scoring_request_are_not_recorded(tmp_path: Path) -> None:
    async with receiving(tmp_path) as (url, reading):
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/invocations") as answer:
                assert answer.status == 204
            async with session.post(f"{url}/login", data=b"secret") as answer:
                assert answer.status == 204
        await ask(url)
        await eventually(lambda: reading.rows() == 1, "the scoring request")

    assert reading.rejected == 0


@pytest.mark.real
@pytest.mark.parametrize("front", FRONTS)
async def test_copies_meet_their_lines_of_the_access_log(tmp_path: Path, front: Fronts) -> None:
    log = tmp_path / "access.log"
    async with (
        model_server(scores) as upstream,
        receiving(tmp_path, log) as (mirror, reading),
        front(tmp_path, upstream, mirror, log) as url,
    ):
        ages: list[float | None] = [*range(20), None]
        assert [await ask(url, age) for age in ages] == [200] * 20 + [400]
        assert await ask(url, id_="7f1d7e0c-9f6e-4f6e-8f6e-0123456789ab") == 200

        await eventually(lambda: reading.rows() == 22, "every request is a row")

    assert reading.joined == 22
    assert reading.statuses() == [200] * 21 + [400]
    assert reading.rejected == 0
    assert {batch.latency_kind for batch in reading.batches} == {"server"}
    assert all("age" in batch.columns for batch in reading.batches)


@pytest.mark.real
@pytest.mark.parametrize("front", FRONTS)
async def test_without_the_receiving_end_traffic_flows_and_the_log_counts(
    tmp_path: Path, front: Fronts
) -> None:
    log = tmp_path / "access.log"
    async with (
        model_server(scores) as upstream,
        receiving(tmp_path, log) as (_, reading),
        front(tmp_path, upstream, "http://127.0.0.1:1", log) as url,
    ):
        assert [await ask(url) for _ in range(5)] == [200] * 5

        def all_there() -> bool:
            reading.rows()
            reading.give_up()
            return reading.rows() == 5

        await eventually(all_there, "the lines of the log")

    assert reading.statuses() == [200] * 5
    assert reading.joined == 0


async def test_positions_of_both_parts_are_taken_up_again(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    settings = MirrorSettings(
        listen="127.0.0.1:0", path=str(tmp_path / "spool"), access_log_path=str(log)
    )
    line = {"status": 200, "msec": 1.0, "request_id": "a", "upstream_response_time": "0.01"}
    log.write_text("")
    first = MirrorSource("mirror", settings)
    first.restore({})
    positions: dict[str, Any] = {}

    def read(source: MirrorSource) -> list[bytes]:
        chunks = source.poll()
        positions.update({chunk.stream: chunk.position for chunk in chunks})
        return [line for chunk in chunks for line in chunk.lines.splitlines()]

    found: list[bytes] = []
    try:
        read(first)
        tap = await listening(first._tap, tmp_path / "spool")
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        await ask(tap.url, id_="a")

        def both() -> bool:
            found.extend(read(first))
            return len(found) == 2

        await eventually(both, "both halves")
    finally:
        await asyncio.to_thread(first.close)

    second = MirrorSource("mirror", settings)
    second.restore(positions)
    try:
        await listening(second._tap, tmp_path / "spool")
        assert read(second) == []
    finally:
        await asyncio.to_thread(second.close)
