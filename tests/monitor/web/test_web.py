"""The daemon's HTTP side: it reads for everybody, changes for nobody without the token."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from monitor.metrics.catalogue import Metrics
from monitor.pictures.last_windows import Held
from monitor.settings.secret import Secret
from monitor.store.queries import Queries
from monitor.store.store import Change, Store
from monitor.web.openapi import description
from monitor.web.web import Web
from rollback.observation import Word
from tests.monitor.alerts_heard import Heard, alerts_to

TOKEN = "s3cret-canary"
UNREADABLE = "a file that is not there"


def secret(folder: Path) -> Secret:
    return Secret(file=folder / "no-such-token")


class Daemon:
    """A daemon that stands still: what the pages show is what the test says."""

    def __init__(self) -> None:
        self.unready: str | None = None
        self.dead: str | None = None
        self.requested: list[tuple[str | None, str, bool]] = []
        self.said: list[Word] = []

    def status(self) -> Mapping[str, Any]:
        rule = {"name": "<script>drift</script>", "metric": "psi", "action": "alert"}
        standing = {"state": "breach", "since": None, "column": "prediction", "segment": None}
        figures = {"value": 0.4, "low": 0.3, "high": 0.5, "threshold": 0.25}
        return {
            "model": {"name": "m", "alias": "champion", "live_version": "7"},
            "versions": [
                {"version": "7", "events": 10, "last_seen": None, "last_window_end": None}
            ],
            "rules": [rule | standing | figures],
            "rollback": {"mode": "dry-run", "state": "WATCHING", "last": None},
            "totals": {"all": {"events": 10, "rejected": 0, "late": 0, "shed": 0}},
            "holds": [],
        }

    def last_windows(self) -> Mapping[str, Held]:
        return {}

    def ready(self) -> str | None:
        return self.unready

    def alive(self) -> str | None:
        return self.dead

    async def request_rollback(
        self, to_version: str | None, reason: str, *, dry_run: bool, by: str
    ) -> str:
        assert "127.0.0.1" in by
        self.requested.append((to_version, reason, dry_run))
        return "r-1"

    async def say(self, word: Word) -> None:
        self.said.append(word)


@pytest.fixture
def daemon() -> Daemon:
    return Daemon()


@pytest.fixture
def token() -> list[str | None]:
    return [TOKEN]


@pytest.fixture
async def client(
    tmp_path: Path, daemon: Daemon, token: list[str | None]
) -> AsyncIterator[TestClient[Any, Any]]:
    url = f"sqlite:///{tmp_path / 'kedge.db'}"
    store = Store.open(url)
    store.commit(Change())
    queries = Queries(url)
    web = Web(
        model="m",
        view=daemon,
        queries=queries,
        metrics=Metrics(columns_max=10, versions_max=10),
        token=lambda: secret(tmp_path).reveal() if token[0] is UNREADABLE else token[0],
        max_body_bytes=1000,
        alerts=alerts_to(Heard()),
    )
    async with TestClient(TestServer(web.app)) as client:
        yield client
    web.close()
    queries.close()
    store.close()


async def test_every_described_path_answers_and_every_route_is_described(
    client: TestClient[Any, Any],
) -> None:
    paths = description()["paths"]
    described = set(paths) | {"/", "/pages/{name}", "/api/v1/openapi.json"}
    takes_only = {path for path, methods in paths.items() if "get" not in methods}

    for path in described:
        answer = await client.get(path.replace("{id}", "none").replace("{model}", "m"))
        of_nothing = ("{id}", "{column}", "{name}")
        expected = 405 if path in takes_only else 404 if path.endswith(of_nothing) else 200
        assert answer.status == expected, path
    routed = {route.resource.canonical for route in client.app.router.routes() if route.resource}
    assert routed == described


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("limit=many", "limit"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("since=yesterday", "since"),
        ("until=nan", "until"),
        ("colour=red", "colour"),
    ],
)
async def test_a_parameter_that_makes_no_sense_is_named(
    client: TestClient[Any, Any], query: str, said: str
) -> None:
    answer = await client.get(f"/api/v1/measurements?{query}")

    assert answer.status == 400
    assert answer.content_type == "application/problem+json"
    assert said in (await answer.json())["detail"]


@pytest.mark.parametrize(
    "since", ["1772618400", "2026-03-04T10:00:00Z", "2026-03-04T11:00:00+01:00"]
)
async def test_a_time_may_be_seconds_or_rfc_3339(client: TestClient[Any, Any], since: str) -> None:
    answer = await client.get(f"/api/v1/windows?since={since}")

    assert answer.status == 200
    assert await answer.json() == {"windows": []}


async def test_without_a_configured_token_nothing_can_be_changed(
    client: TestClient[Any, Any], daemon: Daemon, token: list[str | None]
) -> None:
    token[0] = None

    answer = await client.post("/api/v1/rollbacks", json={"model": "m", "reason": "test"})

    assert answer.status == 403
    assert daemon.requested == []


async def test_a_token_that_cannot_be_read_opens_nothing(
    client: TestClient[Any, Any], daemon: Daemon, token: list[str | None], tmp_path: Path
) -> None:
    token[:] = [UNREADABLE]

    answer = await client.post("/api/v1/rollbacks", json={"model": "m", "reason": "test"})

    assert answer.status == 503
    assert daemon.requested == []


@pytest.mark.parametrize("header", [None, "Bearer wrong", f"Basic {TOKEN}", "Bearer", TOKEN])
async def test_a_change_needs_the_token(
    client: TestClient[Any, Any], daemon: Daemon, header: str | None
) -> None:
    headers = {"Authorization": header} if header else {}

    answer = await client.post(
        "/api/v1/rollbacks", json={"model": "m", "reason": "test"}, headers=headers
    )

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert TOKEN not in await answer.text()
    assert daemon.requested == []


async def test_with_the_token_a_rollback_is_asked_for(
    client: TestClient[Any, Any], daemon: Daemon
) -> None:
    answer = await client.post(
        "/api/v1/rollbacks",
        json={"model": "m", "reason": "by hand", "to_version": "6", "dry_run": True},
        headers={"Authorization": f"Bearer {TOKEN}"},
    )

    assert answer.status == 202
    assert await answer.json() == {"id": "r-1"}
    assert daemon.requested == [("6", "by hand", True)]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[" * 900, 400),
        (b"\xff\xfe", 400),
        (b'{"model": "m"}', 400),
        (b'{"model": "m", "reason": "x", "force": true}', 400),
        (b'{"model": "other", "reason": "x"}', 404),
        (b'{"model": "m", "reason": "' + b"x" * 2000 + b'"}', 413),
    ],
    ids=["not json", "deep", "not utf-8", "no reason", "unknown key", "other model", "too large"],
)
async def test_a_body_that_is_no_request_is_refused_with_a_reason(
    client: TestClient[Any, Any], daemon: Daemon, body: bytes, status: int
) -> None:
    answer = await client.post(
        "/api/v1/rollbacks", data=body, headers={"Authorization": f"Bearer {TOKEN}"}
    )

    assert answer.status == status
    assert answer.content_type == "application/problem+json"
    assert daemon.requested == []


async def test_the_probes_tell_dead_from_not_ready(
    client: TestClient[Any, Any], daemon: Daemon
) -> None:
    daemon.unready = "the disk is full"

    health, ready = await client.get("/healthz"), await client.get("/readyz")

    assert (health.status, ready.status) == (200, 503)
    assert (await ready.json())["reason"] == "the disk is full"


async def test_the_page_shows_names_from_data_as_text(client: TestClient[Any, Any]) -> None:
    page = await (await client.get("/")).text()

    assert "&lt;script&gt;drift" in page
    assert "<script>" not in page


async def test_the_page_and_its_files_allow_no_inline_script_or_style(
    client: TestClient[Any, Any],
) -> None:
    for path in ("/", "/pages/page.css", "/pages/page.js", "/pages/theme.js", "/pages/kedge.svg"):
        answer = await client.get(path)
        text = await answer.text()

        assert answer.status == 200, path
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "style=" not in text, path


async def test_a_page_that_did_not_change_is_not_sent_again(client: TestClient[Any, Any]) -> None:
    first = await client.get("/pages/page.css")

    again = await client.get("/pages/page.css", headers={"If-None-Match": first.headers["ETag"]})

    assert again.status == 304
    assert await again.read() == b""


@pytest.mark.parametrize("path", ["/pages/status.html", "/pages/..%2Fweb.py", "/pages/nothing"])
async def test_no_other_file_is_served(client: TestClient[Any, Any], path: str) -> None:
    assert (await client.get(path)).status == 404


async def test_metrics_speak_openmetrics_when_asked(client: TestClient[Any, Any]) -> None:
    plain = await client.get("/metrics")
    asked = await client.get(
        "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )

    assert plain.content_type == "text/plain"
    assert asked.content_type == "application/openmetrics-text"
    assert (await asked.text()).endswith("# EOF\n")


async def test_an_unknown_path_is_a_problem_and_not_a_page(client: TestClient[Any, Any]) -> None:
    answer = await client.get("/api/v1/nothing")

    assert answer.status == 404
    assert answer.content_type == "application/problem+json"
