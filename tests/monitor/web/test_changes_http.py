"""Pages that listen are told of what changed, are bounded, and are let go when the daemon stops."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from monitor.web.changes import Changes, revision
from monitor.web.web import problems


class Standing:
    """What the changes look at, and how often somebody was refused."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {
            "model": {"name": "m", "live_version": "7"},
            "versions": [],
            "rules": [],
            "rollback": {"state": "WATCHING"},
            "holds": [],
            "totals": {"all": {"events": 0}},
        }
        self.looks = 0
        self.refused: list[str] = []

    def look(self) -> dict[str, Any]:
        self.looks += 1
        return self.status


@pytest.fixture
def standing() -> Standing:
    return Standing()


@pytest.fixture
async def client(standing: Standing) -> AsyncIterator[TestClient[Any, Any]]:
    changes = Changes(
        standing.look,
        refused=standing.refused.append,
        listeners_max=2,
        look_s=0.01,
        heartbeat_s=0.05,
    )
    app = web.Application(middlewares=[problems])
    app.router.add_routes(changes.routes())
    app.on_shutdown.append(changes.stop)
    async with TestClient(TestServer(app)) as client:
        yield client


async def told(answer: ClientResponse) -> dict[str, Any]:
    """Return what the next event says."""
    while True:
        line = await asyncio.wait_for(answer.content.readline(), 30)
        assert line, "the daemon let go"
        if line.startswith(b"data: "):
            found: dict[str, Any] = json.loads(line[6:])
            return found


async def test_a_listener_is_told_at_once_and_when_something_changes(
    client: TestClient[Any, Any], standing: Standing
) -> None:
    answer = await client.get("/api/v1/changes")
    first = await told(answer)

    standing.status = {**standing.status, "rollback": {"state": "ACTING"}}
    changed = first
    while changed["revision"] == first["revision"]:
        changed = await told(answer)

    assert answer.content_type == "text/event-stream"
    assert changed["revision"] != first["revision"]


async def test_silence_is_filled_with_heartbeats(client: TestClient[Any, Any]) -> None:
    answer = await client.get("/api/v1/changes")

    heard = [await told(answer) for _ in range(4)]

    assert len({one["events"] for one in heard}) == 1


async def test_one_listener_too_many_is_refused_and_counted(
    client: TestClient[Any, Any], standing: Standing
) -> None:
    listening = [await client.get("/api/v1/changes") for _ in range(2)]

    refused = await client.get("/api/v1/changes")
    listening[0].close()
    for _ in range(200):
        again = await client.get("/api/v1/changes")
        if again.status == 200:
            break
        await asyncio.sleep(0.02)

    assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
    assert standing.refused[0] == "listeners"
    assert again.status == 200


async def test_nobody_looks_while_nobody_listens(
    client: TestClient[Any, Any], standing: Standing
) -> None:
    answer = await client.get("/api/v1/changes")
    await told(answer)
    answer.close()
    tasks = "looking for changes"
    for _ in range(500):
        if tasks not in {task.get_name() for task in asyncio.all_tasks()}:
            break
        await asyncio.sleep(0.02)

    assert tasks not in {task.get_name() for task in asyncio.all_tasks()}


async def test_listeners_are_let_go_when_the_daemon_stops(standing: Standing) -> None:
    changes = Changes(standing.look, refused=standing.refused.append)
    app = web.Application()
    app.router.add_routes(changes.routes())
    app.on_shutdown.append(changes.stop)
    async with TestClient(TestServer(app)) as client:
        answer = await client.get("/api/v1/changes")
        await told(answer)

        await changes.stop(app)
        rest = await asyncio.wait_for(answer.content.read(), 30)

    assert b"event" not in rest.partition(b"\n\n")[2]


def test_counting_alone_changes_no_revision(standing: Standing) -> None:
    before = revision(standing.status, 0.0)

    standing.status["totals"]["all"]["events"] += 1_000

    assert revision(standing.status, 0.0) == before
