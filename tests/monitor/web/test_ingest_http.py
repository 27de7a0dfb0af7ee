"""Events that are sent: what is answered, what is spooled, and what a hostile client gets."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import tracemalloc
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from collectors.spool.source import SpoolSettings, SpoolSource
from monitor.metrics.catalogue import Metrics
from monitor.store.queries import Queries
from monitor.store.store import Change, Store
from monitor.web.guard import Guard, listen
from monitor.web.web import Web
from tests.monitor.alerts_heard import Heard, alerts_to
from tests.monitor.web.test_web import TOKEN, Daemon

EVENT = {"id": "a", "ts": 1.0, "prediction": 0.5}
MAX_BODY, MAX_EVENT = 100_000, 10_000


@dataclass
class Served:
    """The daemon's HTTP side on a real socket, and the spools behind it."""

    session: aiohttp.ClientSession
    url: str
    port: int
    sources: Sequence[SpoolSource]
    metrics: Metrics

    async def post(
        self, path: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Any]:
        given = {"Authorization": f"Bearer {TOKEN}"} | dict(headers or {})
        async with self.session.post(self.url + path, data=body, headers=given) as answer:
            return answer.status, await answer.json(content_type=None)

    def spooled(self, source: int = 0) -> list[Any]:
        lines = b"".join(chunk.lines for chunk in self.sources[source].poll())
        return [json.loads(line) for line in lines.splitlines()]

    def refused(self, reason: str) -> float | None:
        name = "kedge_http_refused_total"
        return self.metrics.registry.get_sample_value(name, {"reason": reason})


@pytest.fixture
def formats() -> tuple[str, ...]:
    return ("kedge", "cloudevents")


@pytest.fixture
async def served(tmp_path: Path, formats: tuple[str, ...]) -> AsyncIterator[Served]:
    url = f"sqlite:///{tmp_path / 'kedge.db'}"
    store = Store.open(url)
    store.commit(Change())
    queries, metrics = Queries(url), Metrics(columns_max=10, versions_max=10)
    sources = [
        SpoolSource(name, SpoolSettings(str(tmp_path / name), name, max_event_bytes=MAX_EVENT))
        for name in formats
    ]
    for source in sources:
        source.restore({})
    web = Web(
        model="m",
        view=Daemon(),
        queries=queries,
        metrics=metrics,
        token=lambda: TOKEN,
        alerts=alerts_to(Heard()),
        max_body_bytes=MAX_BODY,
        sources=sources,
        body_timeout_s=0.5,
    )
    guard = Guard(
        web.count_refused,
        idle_timeout_s=1.0,
        head_timeout_s=0.5,
        write_timeout_s=1.0,
        connections_max=120,
    )
    listening = await listen(web.app, "127.0.0.1", 0, guard)
    port = int(listening.addresses[0].rpartition(":")[2])
    async with aiohttp.ClientSession() as session:
        yield Served(session, f"http://127.0.0.1:{port}/api/v1", port, sources, metrics)
    for source in sources:
        source.close()
    await listening.close()
    web.close()
    queries.close()
    store.close()


def ndjson(*events: Mapping[str, Any]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


@pytest.mark.parametrize(
    "body",
    [
        ndjson(EVENT, EVENT | {"id": "b"}),
        ndjson(EVENT, EVENT | {"id": "b"}).replace(b"\n", b"\r\n\r\n"),
        json.dumps([EVENT, EVENT | {"id": "b"}]).encode(),
        json.dumps([EVENT, EVENT | {"id": "b"}], indent=2).encode(),
        b"\xef\xbb\xbf" + ndjson(EVENT, EVENT | {"id": "b"}),
    ],
    ids=["lines", "lines of Windows", "an array", "an indented array", "a byte order mark"],
)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_what_was_accepted_is_spooled(served: Served, body: bytes, encoding: str) -> None:
    sent = gzip.compress(body) if encoding == "gzip" else body

    answer = await served.post("/predictions", sent, {"Content-Encoding": encoding})

    assert answer == (202, {"accepted": 2, "rejected": 0})
    assert served.spooled() == [EVENT, EVENT | {"id": "b"}]


async def test_one_event_over_several_lines_is_one_event(served: Served) -> None:
    answer = await served.post("/predictions", json.dumps(EVENT, indent=2).encode())

    assert answer == (202, {"accepted": 1, "rejected": 0})
    assert served.spooled() == [EVENT]


async def test_lines_that_cannot_be_used_are_told_and_left_to_the_quarantine(
    served: Served,
) -> None:
    long = b'{"id": "' + b"x" * MAX_EVENT + b'"}\n'

    answer = await served.post(
        "/predictions", ndjson(EVENT) + b"not json\n[1]\n" + long + b'{"ts": }\n'
    )
    (chunk,) = served.sources[0].poll()

    assert answer == (202, {"accepted": 1, "rejected": 4})
    assert chunk.lines.splitlines()[1:] == [b"not json", b"[1]", b'{"ts": }']
    assert chunk.skipped == (long[:4096],)


async def test_events_without_what_is_required_are_told_and_left_to_the_quarantine(
    served: Served,
) -> None:
    lacking: list[Mapping[str, Any]] = [
        {"id": "b", "prediction": 1},
        {"ts": 1.0},
        {"ts": None, "features": {"x": 1}},
        {},
    ]

    answer = await served.post("/predictions", ndjson(EVENT, *lacking))
    refused, problem = await served.post("/predictions", ndjson(*lacking))

    assert answer == (202, {"accepted": 1, "rejected": 4})
    assert served.spooled() == [EVENT, *lacking]
    assert refused == 400
    assert "ts" in problem["detail"]


async def test_labels_go_the_same_way(served: Served) -> None:
    label = {"id": "a", "label": 1, "ts": 2.0}
    await served.post("/predictions", ndjson(EVENT))

    answer = await served.post("/labels", ndjson(label, label | {"label": 0}))

    assert answer == (202, {"accepted": 2, "rejected": 0})
    assert served.spooled() == [EVENT, label, label | {"label": 0}]


async def test_the_same_request_twice_is_spooled_once(served: Served) -> None:
    body = ndjson(EVENT, EVENT | {"id": "b"})

    first, second = await served.post("/predictions", body), await served.post("/predictions", body)

    assert first == second == (202, {"accepted": 2, "rejected": 0})
    assert len(served.spooled()) == 2
    name, label = "kedge_duplicate_events_total", {"source": "kedge"}
    assert served.metrics.registry.get_sample_value(name, label) == 2


async def test_two_halves_and_the_shadow_of_one_request_are_events_of_their_own(
    served: Served,
) -> None:
    halves = [{"id": "r", "ts": 1, "features": {"x": 1}}, {"id": "r", "ts": 1, "prediction": 1}]
    shadow = {"id": "r", "ts": 1, "prediction": 1, "role": "shadow", "version": "8"}

    await served.post("/predictions", ndjson(*halves, shadow, shadow | {"version": "9"}))

    assert len(served.spooled()) == 4


KSERVE = {
    "Ce-Id": "r1",
    "Ce-Source": "http://localhost:9081/",
    "Ce-Specversion": "1.0",
    "Ce-Type": "org.kubeflow.serving.inference.request",
    "Ce-Time": "2026-03-04T10:00:00.078952900Z",
    "Ce-Inferenceservicename": "credit-default",
    "Ce-Metadata": '{"X-Tenant":["100%25"]}',
    "Content-Type": "application/json",
}


async def test_a_cloud_event_in_binary_mode_keeps_its_attributes_and_data(served: Served) -> None:
    answer = await served.post("/cloudevents", b'{"instances":\n[[41,52000.5]]}\n', KSERVE)

    (line,) = served.spooled(1)
    assert answer == (202, {"accepted": 1, "rejected": 0})
    assert line["data"] == {"instances": [[41, 52000.5]]}
    assert line["ce"]["type"] == "org.kubeflow.serving.inference.request"
    assert line["ce"]["inferenceservicename"] == "credit-default"
    assert line["ce"]["metadata"] == '{"X-Tenant":["100%"]}'
    assert line["ce"]["datacontenttype"] == "application/json"


async def test_request_and_response_of_one_id_are_two_cloud_events(served: Served) -> None:
    response = KSERVE | {"Ce-Type": "org.kubeflow.serving.inference.response"}

    for headers in (KSERVE, response, KSERVE):
        await served.post("/cloudevents", b'{"predictions":[0.83]}', headers)

    assert [line["ce"]["type"] for line in served.spooled(1)] == [
        "org.kubeflow.serving.inference.request",
        "org.kubeflow.serving.inference.response",
    ]


async def test_structured_and_batched_cloud_events_become_the_same_lines(served: Served) -> None:
    event = {"specversion": "1.0", "id": "s", "type": "t", "source": "/", "data": {"x": 1}}
    encoded = {key: event[key] for key in ("specversion", "type", "source")} | {
        "id": "b64",
        "data_base64": base64.b64encode(b'{"x": 1}').decode(),
    }

    one = await served.post(
        "/cloudevents",
        json.dumps(event, indent=1).encode(),
        {"Content-Type": "application/cloudevents+json; charset=utf-8"},
    )
    many = await served.post(
        "/cloudevents",
        json.dumps([event | {"id": "s2"}, encoded]).encode(),
        {"Content-Type": "application/cloudevents-batch+json"},
    )

    assert (one[1]["accepted"], many[1]["accepted"]) == (1, 2)
    assert [(line["ce"]["id"], line["data"]) for line in served.spooled(1)] == [
        ("s", {"x": 1}),
        ("s2", {"x": 1}),
        ("b64", {"x": 1}),
    ]


async def test_data_that_is_not_json_is_kept_as_it_came(served: Served) -> None:
    data = bytes(range(256))

    await served.post("/cloudevents", data, KSERVE | {"Content-Type": "application/octet-stream"})

    (line,) = served.spooled(1)
    assert base64.b64decode(line["data_base64"]) == data


@pytest.mark.parametrize("path", ["/predictions", "/labels", "/cloudevents"])
@pytest.mark.parametrize("given", ["", "Bearer wrong", f"Basic {TOKEN}"])
async def test_without_the_token_nothing_is_taken(served: Served, path: str, given: str) -> None:
    status, problem = await served.post(path, ndjson(EVENT), {"Authorization": given})

    assert (status, problem["status"]) == (401, 401)
    assert served.spooled() == []


@pytest.mark.parametrize("formats", [()], ids=["no source"])
@pytest.mark.parametrize("path", ["/predictions", "/labels", "/cloudevents"])
async def test_without_a_source_the_answer_says_what_to_configure(
    served: Served, path: str
) -> None:
    status, problem = await served.post(path, ndjson(EVENT))

    assert status == 409
    assert 'type = "http"' in problem["detail"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "said"),
    [
        (b"", {}, 400, "empty"),
        (b"\n \n", {}, 400, "empty"),
        (b"hello", {}, 400, "none of 1 lines"),
        (b"{}", {}, 400, "features or prediction"),
        (b"[1, 2]", {}, 400, "none of 2 lines"),
        (b'[{"id": "a"}', {}, 400, "not a JSON array"),
        (b"[" * 90_000, {}, 400, "not a JSON array"),
        (b'{"a":' * 1900, {}, 400, "none of 1 lines"),
        (b"\xff\xfe\x00", {}, 400, "none of 1 lines"),
        (b'{"id": "' + b"x" * MAX_EVENT + b'"}', {}, 413, "max_event_bytes"),
        (b" " * (MAX_BODY + 1), {}, 413, "max_body"),
        (gzip.compress(bytes(MAX_BODY + 1)), {"Content-Encoding": "gzip"}, 413, "max_body"),
        (gzip.compress(b"{}")[:-4], {"Content-Encoding": "gzip"}, 400, "not gzip"),
        (b"{}", {"Content-Encoding": "gzip"}, 400, "not gzip"),
        (gzip.compress(b"") * 101, {"Content-Encoding": "gzip"}, 400, "members"),
        (b"{}", {"Content-Encoding": "br"}, 415, "gzip"),
    ],
    ids=[
        *(
            "nothing",
            "blanks",
            "no json",
            "no event",
            "numbers",
            "torn array",
            "deep array",
            "deep object",
        ),
        *("not utf-8", "long event", "long body", "gzip bomb", "torn gzip", "no gzip"),
        *("many members", "brotli"),
    ],
)
async def test_a_body_that_cannot_be_used_is_refused_with_a_reason(
    served: Served, body: bytes, headers: Mapping[str, str], status: int, said: str
) -> None:
    answer, problem = await served.post("/predictions", body, headers)

    assert answer == status
    assert said in problem["detail"]
    assert served.spooled() == []


async def test_a_cloud_event_without_a_type_is_refused(served: Served) -> None:
    headers = {key: value for key, value in KSERVE.items() if key != "Ce-Type"}

    status, problem = await served.post("/cloudevents", b"{}", headers)

    assert (status, "type" in problem["detail"]) == (400, True)


async def test_a_bomb_costs_no_more_memory_than_a_body_may_have(served: Served) -> None:
    bomb = gzip.compress(bytes(64 << 20), 9)
    tracemalloc.start()
    try:
        status, _ = await served.post("/predictions", bomb, {"Content-Encoding": "gzip"})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert status == 413
    assert peak < 4 << 20


async def test_a_closed_spool_asks_to_come_again(served: Served) -> None:
    served.sources[0].close()

    async with served.session.post(
        served.url + "/predictions",
        data=ndjson(EVENT),
        headers={"Authorization": f"Bearer {TOKEN}"},
    ) as answer:
        retry = answer.headers.get("Retry-After")

    assert (answer.status, retry) == (503, "1")


async def test_many_senders_at_once_are_all_kept(served: Served) -> None:
    answers = await asyncio.gather(
        *(served.post("/predictions", ndjson(EVENT | {"id": f"{n}"})) for n in range(200))
    )

    assert {status for status, _ in answers} == {202}
    assert {line["id"] for line in served.spooled()} == {f"{n}" for n in range(200)}


async def connect(served: Served, data: bytes) -> tuple[asyncio.StreamReader, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
    writer.write(data)
    return reader, writer


def head(length: str) -> bytes:
    lines = ["POST /api/v1/predictions HTTP/1.1", "Host: x", f"Authorization: Bearer {TOKEN}"]
    return "\r\n".join([*lines, length, "", ""]).encode()


@pytest.mark.parametrize(
    "length", ["Content-Length: 100", "Transfer-Encoding: chunked"], ids=["length", "chunked"]
)
async def test_a_body_that_drips_is_given_up(served: Served, length: str) -> None:
    loop = asyncio.get_running_loop()

    async def drip(drops: socket.socket) -> None:
        while True:
            await loop.sock_sendall(drops, b"1\r\n \r\n" if "chunked" in length else b" ")
            await asyncio.sleep(0.05)

    # TCP answers a drop that comes after the end with a reset. A stream would then fail as a
    # whole; the socket still gives what arrived before.
    with socket.create_connection(("127.0.0.1", served.port)) as sender:
        sender.setblocking(False)  # noqa: FBT003 - the standard library's
        await loop.sock_sendall(sender, head(length))
        dripping = asyncio.create_task(drip(sender))
        answer = await asyncio.wait_for(loop.sock_recv(sender, 4_096), 60)
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            await asyncio.wait_for(dripping, 60)

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert served.refused("slow_body") == 1


async def test_a_hundred_slow_clients_are_closed_while_metrics_answer(served: Served) -> None:
    slow = [await connect(served, b"POST /api/v1/predictions HTTP/1.1\r\nHo") for _ in range(100)]
    before = [not reader.at_eof() for reader, _ in slow]

    metrics = served.url.replace("/api/v1", "/metrics")
    async with served.session.get(metrics) as answer:
        status = answer.status
    rests = await asyncio.wait_for(asyncio.gather(*(reader.read() for reader, _ in slow)), 60)
    for _, writer in slow:
        writer.close()

    assert all(before)
    assert status == 200
    assert len(rests) == 100


async def test_half_a_head_on_a_used_connection_is_closed_too(served: Served) -> None:
    reader, writer = await connect(served, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    answer = await reader.readline()
    writer.write(b"GET /he")

    await asyncio.wait_for(reader.read(), 60)
    writer.close()

    assert b" 200 " in answer
    assert served.refused("slow_head") == 1


async def test_past_the_cap_connections_are_refused_and_counted(served: Served) -> None:
    held = [await connect(served, b"") for _ in range(120)]
    refused = await connect(served, b"")

    answer = await asyncio.wait_for(refused[0].read(), 60)
    for _, writer in [*held, refused]:
        writer.close()

    assert answer == b""
    assert served.refused("connections") == 1


async def test_a_client_that_does_not_read_is_cut_off(served: Served) -> None:
    _, writer = await connect(served, b"")
    request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n"

    async def ask() -> None:
        while True:
            writer.write(request * 20)
            await writer.drain()
            await asyncio.sleep(0.01)

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(ask(), 60)
    writer.close()

    assert served.refused("slow_reader") == 1
