"""The server over HTTP, in this process: what it answers, says about itself, and survives."""

from __future__ import annotations

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TypeAlias

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from scoring.answering.live import Live, load_served
from scoring.log.log_file import LogFile
from scoring.log.metrics import LOG_SOURCE, ScoringMetrics
from scoring.log.prediction_log import PredictionLog
from scoring.web.server import ScoringServer
from tests.scoring.served import logged, until

Client: TypeAlias = TestClient[web.Request, web.Application]

ROW = {"dataframe_split": {"columns": list("abcd"), "data": [[1.0, 2.0, 3.0, 4.0]]}}
BODY_BYTES_MAX = 64 * 1024


@pytest.fixture
async def live(model_folders: Path) -> Live:
    return Live(load_served(model_folders / "plain", "flight delay", "2", checked=True))


@pytest.fixture
def log_path(tmp_path: Path) -> Path:
    return tmp_path / "predictions.jsonl"


@pytest.fixture
async def client(live: Live, log_path: Path) -> AsyncIterator[Client]:
    metrics = ScoringMetrics()
    log = PredictionLog(
        LogFile(log_path),
        shed=metrics.shed_events.labels(LOG_SOURCE),
        failures=metrics.log_failures,
    )
    log.start()
    server = ScoringServer(live, metrics, log, body_bytes_max=BODY_BYTES_MAX)
    async with TestClient(TestServer(server.app())) as client:
        yield client
    server.close()
    log.close(5)


@pytest.mark.parametrize("path", ["/ping", "/health"])
async def test_health_is_a_line_break(client: Client, path: str) -> None:
    response = await client.get(path)

    assert (response.status, await response.read()) == (200, b"\n")
    assert response.headers["Content-Type"] == "application/json"


async def test_version_is_bare(client: Client) -> None:
    response = await client.get("/version")

    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", await response.text())


async def test_every_answer_says_who_gave_it(client: Client) -> None:
    for path in ("/ping", "/version", "/metrics", "/nothing", "/invocations"):
        response = await client.get(path)

        assert response.headers["X-Kedge-Model"] == "flight delay"
        assert response.headers["X-Kedge-Version"] == "2"
        assert response.headers["X-Request-Id"]


@pytest.mark.parametrize("given", ["abc-1", "5f0c:1/2=+@_.", "x" * 128])
async def test_a_sane_request_id_is_taken_over(client: Client, log_path: Path, given: str) -> None:
    response = await client.post("/invocations", json=ROW, headers={"X-Request-Id": given})

    assert response.headers["X-Request-Id"] == given
    until(lambda: [event["id"] for event in logged(log_path)] == [given])


@pytest.mark.parametrize("given", ["", "a b", "a#1", "x" * 129, "é", '"; drop'])
async def test_another_request_id_is_replaced(client: Client, given: str) -> None:
    response = await client.post("/invocations", json=ROW, headers={"X-Request-Id": given})

    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["X-Request-Id"])


async def test_the_trace_id_of_the_caller_is_logged(client: Client, log_path: Path) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"

    await client.post(
        "/invocations", json=ROW, headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    )

    until(lambda: [event.get("trace_id") for event in logged(log_path)] == [trace])


async def test_requests_are_counted_by_status(client: Client) -> None:
    await client.post("/invocations", json=ROW)
    await client.post("/invocations", data=b"{", headers={"Content-Type": "application/json"})

    page = await (await client.get("/metrics")).text()

    labels = 'model="flight delay",status="{}",version="2"'
    assert f"kedge_predictions_total{{{labels.format(200)}}} 1.0" in page
    assert f"kedge_predictions_total{{{labels.format(400)}}} 1.0" in page
    assert 'kedge_prediction_latency_seconds_count{model="flight delay",version="2"} 2.0' in page
    assert re.search(r'kedge_build_info\{version="[^"]+"\} 1\.0', page)


async def test_metrics_are_openmetrics_when_asked_for(client: Client) -> None:
    response = await client.get(
        "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
    )

    assert response.headers["Content-Type"].startswith("application/openmetrics-text")
    assert (await response.text()).endswith("# EOF\n")


BAD = {
    "nothing": (b"", "application/json", 400),
    "no JSON": (b"{", "application/json", 400),
    "deep JSON": (b"[" * 20_000, "application/json", 400),
    "a missing column": (
        b'{"dataframe_records": [{"a": 1, "b": 2, "c": 3}]}',
        "application/json",
        400,
    ),
    "a word for a number": (
        b'{"dataframe_records": [{"a": "x", "b": 2, "c": 3, "d": 4}]}',
        "application/json",
        400,
    ),
    "no rows": (
        b'{"dataframe_split": {"columns": ["a", "b", "c", "d"], "data": []}}',
        "application/json",
        400,
    ),
    "a NaN that the model refuses": (
        b'{"dataframe_records": [{"a": NaN, "b": 2, "c": 3, "d": 4}]}',
        "application/json",
        400,
    ),
    "a long integer": (b'{"inputs": ' + b"9" * 5000 + b"}", "application/json", 400),
    "too many bytes": (b" " * (BODY_BYTES_MAX + 1), "application/json", 413),
    "another content type": (b"x", "text/plain", 415),
    "another charset": (b"{}", "application/json; charset=latin1", 415),
    "CSV that is none": (b"a,b\n1,2,3,4\n", "text/csv", 400),
    "CSV that is not UTF-8": (b"a,b,c,d\n\xff,2,3,4\n", "text/csv", 400),
}


@pytest.mark.parametrize(("body", "content_type", "status"), BAD.values(), ids=BAD.keys())
async def test_bad_input_gets_its_error_and_is_logged_and_the_server_stays_up(
    client: Client, log_path: Path, body: bytes, content_type: str, status: int
) -> None:
    response = await client.post(
        "/invocations", data=body, headers={"Content-Type": content_type, "X-Request-Id": "bad"}
    )

    assert response.status == status
    text = await response.text()
    assert "Traceback" not in text
    if status != 415:
        assert json.loads(text).keys() == {"error_code", "message", "sqlstate", "error_class"}
    until(lambda: [(e["id"], e["status"]) for e in logged(log_path)] == [("bad", status)])
    assert (await client.post("/invocations", json=ROW)).status == 200


async def test_a_body_without_a_content_type_is_refused(client: Client) -> None:
    response = await client.post("/invocations", data=b"{}", skip_auto_headers=["Content-Type"])

    assert response.status == 415


async def test_a_body_is_limited_after_inflation(client: Client) -> None:
    bomb = gzip.compress(b" " * 10 * BODY_BYTES_MAX)

    response = await client.post(
        "/invocations",
        data=bomb,
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )

    assert response.status == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/invocations", 405),
        ("POST", "/ping", 405),
        ("HEAD", "/ping", 405),
    ],
)
async def test_what_is_not_served_is_told_as_mlflow_does(
    client: Client, method: str, path: str, status: int
) -> None:
    response = await client.request(method, path)

    assert response.status == status
    if method != "HEAD":
        phrase = {404: "Not Found", 405: "Method Not Allowed"}[status]
        assert await response.json() == {"detail": phrase}


async def test_a_caller_that_hangs_up_halfway_harms_nobody(
    client: Client, log_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = client.server
    _, writer = await asyncio.open_connection(server.host, server.port)

    writer.write(
        b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 100\r\n\r\n{"
    )
    await writer.drain()
    writer.close()

    assert (await client.post("/invocations", json=ROW)).status == 200
    until(lambda: any(event["status"] == 200 for event in logged(log_path)))
    assert "Traceback" not in caplog.text


async def test_a_body_that_does_not_come_is_not_waited_for(live: Live) -> None:
    server = ScoringServer(live, ScoringMetrics(), receive_timeout_s=0.1)
    async with TestClient(TestServer(server.app())) as client:
        reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
        writer.write(
            b"POST /invocations HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )

        assert (await reader.readline()).split()[1] == b"408"
        writer.close()
    server.close()


async def test_a_version_that_is_replaced_signs_from_the_next_request_on(
    client: Client, live: Live, model_folders: Path, log_path: Path
) -> None:
    before = await client.post("/invocations", json=ROW)
    live.replace(load_served(model_folders / "inverted", "flight delay", "3", checked=True))
    after = await client.post("/invocations", json=ROW)

    assert [r.headers["X-Kedge-Version"] for r in (before, after)] == ["2", "3"]
    assert [await r.json() for r in (before, after)] == [{"predictions": [1]}, {"predictions": [0]}]
    until(lambda: [e["version"] for e in logged(log_path)] == ["2", "3"])


async def test_health_does_not_wait_for_a_slow_model(model_folders: Path) -> None:
    slow = Live(load_served(model_folders / "slow", "slow", "1", checked=True))
    server = ScoringServer(slow, ScoringMetrics())
    async with TestClient(TestServer(server.app())) as client:
        scoring = asyncio.create_task(client.post("/invocations", json=ROW))
        await asyncio.sleep(0.05)
        for _ in range(5):
            assert (await client.get("/ping")).status == 200

        assert not scoring.done()
        assert (await scoring).status == 200
    server.close()


async def test_requests_beyond_the_limit_are_shed_with_a_hint(
    model_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scoring.answering.scorer.PENDING_MAX", 2)
    slow = Live(load_served(model_folders / "slow", "slow", "1", checked=True))
    server = ScoringServer(slow, ScoringMetrics())
    async with TestClient(TestServer(server.app())) as client:
        answers = await asyncio.gather(*(client.post("/invocations", json=ROW) for _ in range(4)))
    server.close()

    assert sorted(answer.status for answer in answers) == [200, 200, 503, 503]
    assert all(a.headers["Retry-After"] == "1" for a in answers if a.status == 503)


async def test_answers_to_concurrent_callers_are_their_own(client: Client) -> None:
    async def ask(session: ClientSession, sign: int) -> bool:
        row = {"dataframe_records": [{"a": 5.0 * sign, "b": 5.0 * sign, "c": 0, "d": 0}]}
        async with session.post(client.make_url("/invocations"), json=row) as response:
            answer = await response.json()
        return bool(answer == {"predictions": [int(sign > 0)]})

    async with ClientSession() as session:
        right = await asyncio.gather(*(ask(session, (-1) ** n) for n in range(200)))

    assert all(right)
