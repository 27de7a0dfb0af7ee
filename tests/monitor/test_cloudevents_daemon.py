"""A real daemon with a listener for payload loggers: events in all modes, joined, durable."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collectors.taps.standing import is_taken, is_tap, read_standing
from tests.monitor.daemon import eventually, running

pytestmark = pytest.mark.real

KSERVE = "org.kubeflow.serving.inference."
SELDON = "io.seldon.serving.inference."
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """End a process that a killed daemon left behind in a test that failed."""
    yield
    folder = tmp_path / "spool" / "cloudevents"
    standing = read_standing(folder)
    if standing is not None and is_taken(folder) and is_tap(standing.pid):
        os.kill(standing.pid, signal.SIGKILL)


@pytest.fixture
def config(tmp_path: Path, port: int) -> Path:
    path = tmp_path / "kedge.toml"
    path.write_text(
        f"""
        [model]
        name = "m"
        [[collect]]
        type = "cloudevents"
        listen = "127.0.0.1:{port}"
        columns.features = ["age", "income"]
        max_event_bytes = "64KiB"
        [store]
        commit_interval = "20ms"
        [http]
        listen = "127.0.0.1:0"
        """
    )
    return path


def send(port: int, headers: Mapping[str, str], body: object) -> tuple[int, str]:
    """Post a body, JSON unless it is bytes."""
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    client.request("POST", "/anything", data, dict(headers))
    answer = client.getresponse()
    found = answer.status, answer.read().decode()
    client.close()
    return found


def attributes(kind: str, number: object) -> dict[str, str]:
    now = datetime.now(UTC).isoformat()
    told = {"specversion": "1.0", "id": f"e{number}", "source": "/", "type": kind, "time": now}
    if kind.startswith(SELDON):
        # Seldon's events have an id each, and share the one of the request.
        told |= {"id": f"{kind}{number}", "requestid": f"r{number}", "modelid": "classifier"}
    return told


def binary(kind: str, number: object) -> dict[str, str]:
    return JSON | {f"Ce-{name}": value for name, value in attributes(kind, number).items()}


def test_requests_and_answers_in_any_mode_and_order_are_joined_and_count_once(
    config: Path, port: int, tmp_path: Path
) -> None:
    with running(config) as kedge:
        folder = tmp_path / "spool" / "cloudevents"
        eventually(lambda: read_standing(folder), what="the listener listens")
        asked, answered = {"instances": [[41, 52000.5]]}, {"predictions": [0.83]}
        for number in range(5):
            assert send(port, binary(f"{KSERVE}response", number), answered)[0] == 202
            assert send(port, binary(f"{KSERVE}request", number), asked)[0] == 202
        data = {"data": {"names": ["age", "income"], "ndarray": [[41, 52000.5]]}}
        for number in range(5):
            assert send(port, binary(f"{SELDON}request", number), data)[0] == 202
            assert send(port, binary(f"{SELDON}response", number), data)[0] == 202
        structured = {"Content-Type": "application/cloudevents+json"}
        one = attributes(f"{KSERVE}request", "s") | {"data": asked}
        assert send(port, structured, one)[0] == 202
        batch = [attributes(f"{KSERVE}response", "s") | {"data": answered}]
        batched = {"Content-Type": "application/cloudevents-batch+json"}
        assert send(port, batched, batch)[0] == 202

        kedge.counted(11)

        assert kedge.totals()["events"] == 11
        page = kedge.page("/metrics")
        assert 'kedge_joined_events_total{source="cloudevents"} 11.0' in page
        assert kedge.stop() == 0


def test_what_was_acknowledged_while_the_daemon_was_killed_is_counted_by_the_next(
    config: Path, port: int
) -> None:
    with running(config) as kedge:
        folder = config.parent / "spool" / "cloudevents"
        eventually(lambda: read_standing(folder), what="the listener listens")
        kedge.kill()

        for number in range(10):
            status, _ = send(port, binary(f"{KSERVE}request", number), {"instances": [[1, 2]]})
            assert status == 202
            status, _ = send(port, binary(f"{KSERVE}response", number), {"predictions": [0.5]})
            assert status == 202
    with running(config) as kedge:
        kedge.counted(10)

        assert kedge.totals()["events"] == 10
        assert kedge.stop() == 0


def test_what_is_no_event_is_refused_with_a_reason(config: Path, port: int) -> None:
    with running(config) as kedge:
        folder = config.parent / "spool" / "cloudevents"
        eventually(lambda: read_standing(folder), what="the listener listens")
        event = binary(f"{KSERVE}request", 1)

        answers = {
            "no attributes": send(port, JSON, {}),
            "no batch": send(port, {"Content-Type": "application/cloudevents-batch+json"}, {}),
            "too long": send(port, event, {"instances": [[0] * 100_000]}),
            "compressed": send(port, event | {"Content-Encoding": "gzip"}, b"x"),
        }

        assert {name: status for name, (status, _) in answers.items()} == {
            "no attributes": 400,
            "no batch": 400,
            "too long": 413,
            "compressed": 415,
        }
        assert all(reason for _, reason in answers.values())
        assert kedge.stop() == 0
