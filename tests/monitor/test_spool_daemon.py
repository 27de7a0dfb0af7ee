"""A real daemon that events are sent to: killed, stalled, flooded, and none is lost unseen."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import http.client
import json
import re
import socket
import sqlite3
import time
import urllib.error
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import events, lines
from tests.monitor.test_daemon import BEGIN

pytestmark = pytest.mark.real


def configuration(folder: Path, more: str = "") -> Path:
    path = folder / "kedge.toml"
    path.write_text(
        f"""
[model]
name = "m"

[[collect]]
type = "http"
{more}

[store]
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"
token = "t"
"""
    )
    return path


def post(
    kedge: Kedge, body: bytes, path: str = "/api/v1/predictions", headers: Iterable[Any] = ()
) -> tuple[int, Mapping[str, Any]]:
    place = urlsplit(kedge.url)
    with contextlib.closing(http.client.HTTPConnection(str(place.netloc), timeout=60)) as client:
        client.request("POST", path, body, {"Authorization": "Bearer t", **dict(headers)})
        answer = client.getresponse()
        return answer.status, json.load(answer)


def sample(kedge: Kedge, name: str) -> float:
    found = [line for line in kedge.page("/metrics").splitlines() if line.startswith(name)]
    return sum(float(line.rsplit(" ", 1)[1]) for line in found)


def test_killed_right_after_the_answer_it_counts_what_it_acknowledged(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    body = lines(events(500, version="7", begins=BEGIN))

    with running(config) as kedge:
        answer = post(kedge, body)
        kedge.kill()
    with running(config) as kedge:
        kedge.counted(500)
        again = post(kedge, body)
        post(kedge, lines(events(10, version="7", begins=BEGIN + 10)))
        kedge.counted(510)
        totals = kedge.totals()

    assert answer == again == (202, {"accepted": 500, "rejected": 0})
    assert totals == {"events": 510, "rejected": 0, "late": 0, "shed": 0}


def test_killed_again_and_again_while_events_are_sent_it_counts_each_once(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    rows = [lines(iter([row])) for row in events(400, version="7", begins=BEGIN)]
    sent = 0

    for killed_at in (60, 150, 290, 400):
        with running(config) as kedge:
            # What was sent last may have been kept although its answer never came.
            for row in rows[max(0, sent - 1) : killed_at]:
                assert post(kedge, row)[0] == 202
            sent = killed_at
            kedge.kill()
    with running(config) as kedge:
        # Behind everything that was spooled before, and so counted last.
        post(kedge, lines(events(1, version="last", begins=BEGIN)))
        eventually(lambda: "last" in versions(kedge), what="the last event")
        totals = kedge.totals()

    assert totals == {"events": 401, "rejected": 0, "late": 0, "shed": 0}


def versions(kedge: Kedge) -> set[str]:
    return {row["version"] for row in kedge.get("/api/v1/status")["versions"]}


def test_with_a_stalled_store_events_are_taken_and_the_oldest_shed(tmp_path: Path) -> None:
    config = configuration(tmp_path, 'bytes_max = "256KiB"\nmax_event_bytes = "16KiB"')
    with running(config) as kedge:
        post(kedge, lines(events(10, version="7", begins=BEGIN)))
        kedge.counted(10)
        with contextlib.closing(sqlite3.connect(tmp_path / "kedge.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            post(kedge, lines(events(10, version="7", begins=BEGIN + 10)))
            eventually(lambda: not ready(kedge), what="the commit fails")
            answers = [
                post(kedge, lines(events(100, version="7", begins=BEGIN + 20 + number)))
                for number in range(40)
            ]
            size = sum(path.stat().st_size for path in (tmp_path / "spool/http").glob("*.spool"))
            other.rollback()
        eventually(lambda: settled(kedge) == 4020, what="all events are counted or shed")
        totals, shed = kedge.totals(), sample(kedge, "kedge_shed_events_total")

    assert {status for status, _ in answers} == {202}
    assert size <= 256 * 1024
    assert 0 < totals["shed"] < 4000
    assert shed == totals["shed"]
    assert totals["events"] + totals["shed"] == 4020


def ready(kedge: Kedge) -> bool:
    place = urlsplit(kedge.url)
    with contextlib.closing(http.client.HTTPConnection(str(place.netloc), timeout=60)) as client:
        client.request("GET", "/readyz")
        return client.getresponse().status == 200


def settled(kedge: Kedge) -> int:
    totals = kedge.totals()
    return totals["events"] + totals["rejected"] + totals["shed"]


def test_what_cannot_be_used_is_rejected_counted_and_quarantined(tmp_path: Path) -> None:
    with running(configuration(tmp_path, 'max_event_bytes = "1KiB"')) as kedge:
        body = lines(events(3, version="7", begins=BEGIN)) + b"nonsense\n" + b"x" * 2000
        answer = post(kedge, body)
        kedge.counted(5)
        totals = kedge.totals()
        page = kedge.page("/metrics")

    assert answer == (202, {"accepted": 3, "rejected": 2})
    assert (totals["events"], totals["rejected"]) == (3, 2)
    assert 'kedge_rejected_events_total{reason="malformed",source="http"} 1.0' in page
    assert 'kedge_rejected_events_total{reason="too_long",source="http"} 1.0' in page
    assert len((tmp_path / "quarantine.jsonl").read_text().splitlines()) == 2


def test_a_gzip_bomb_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(1 << 30), 9)
    with running(configuration(tmp_path)) as kedge:
        process = psutil.Process(kedge.process.pid)
        before = process.memory_info().rss
        answers = [post(kedge, bomb, headers=[("Content-Encoding", "gzip")]) for _ in range(3)]
        grown = process.memory_info().rss - before

    assert {status for status, _ in answers} == {413}
    assert grown < 40 << 20


def test_a_hundred_slow_clients_are_closed_while_metrics_answer(tmp_path: Path) -> None:
    with running(configuration(tmp_path)) as kedge, contextlib.ExitStack() as open_sockets:
        place = urlsplit(kedge.url)
        address = (str(place.hostname), int(place.port or 0))
        slow = []
        for number in range(100):
            one = open_sockets.enter_context(socket.create_connection(address, timeout=60))
            one.sendall(b"POST /api/v1/predictions HTTP/1.1\r\nHost: x\r\n")
            if number % 2:
                one.sendall(b"Authorization: Bearer t\r\nContent-Length: 100\r\n\r\n{")
            slow.append(one)
        began = time.monotonic()

        page = kedge.page("/metrics")
        answered_s = time.monotonic() - began
        ends = [_read_to_end(one) for one in slow]
        closed_s = time.monotonic() - began

    assert "kedge_build_info" in page
    # The slow ones are given 10 s, and the answer does not wait for them.
    assert answered_s < 10
    assert closed_s < 60
    assert [b" 408 " in end for end in ends] == [bool(number % 2) for number in range(100)]


def _read_to_end(one: socket.socket) -> bytes:
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := one.recv(65536):
            data += piece
    return data


@pytest.mark.parametrize(("token", "status"), [("", 403), ('token = "t"', 409)])
def test_without_a_token_or_a_source_the_call_says_so(
    tmp_path: Path, token: str, status: int
) -> None:
    config = tmp_path / "kedge.toml"
    config.write_text(
        '[model]\nname = "m"\n[[collect]]\ntype = "tail"\npath = "x.jsonl"\n'
        f'[http]\nlisten = "127.0.0.1:0"\n{token}\n'
    )
    with running(config) as kedge:
        answer, problem = post(kedge, b"{}")

    assert (answer, problem["status"]) == (status, status)


def test_events_are_taken_at_an_address_of_their_own(tmp_path: Path) -> None:
    config = configuration(tmp_path)
    config.write_text(
        config.read_text().replace("[http]\n", '[http]\ningest_listen = "127.0.0.1:0"\n')
    )

    with running(config) as kedge:
        taking = re.search(r"taking events on (http://[^\s\x22]+)", kedge.log.read_text())
        assert taking is not None
        apart = dataclasses.replace(kedge, url=taking[1])
        sent = post(apart, lines(events(10, version="7", begins=BEGIN)))
        kedge.counted(10)
        refused = post(kedge, b"{}")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            apart.page("/metrics")
        stopped = kedge.stop()

    assert sent == (202, {"accepted": 10, "rejected": 0})
    assert refused[0] == 404
    assert stopped == 0
