"""A daemon with a proxy in front of a model server, killed, stopped and restarted under traffic."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from collectors.taps.standing import is_taken, is_tap, read_standing
from tests.monitor.daemon import eventually, running

pytestmark = pytest.mark.real

CONFIG = """
[model]
name = "m"
[[collect]]
type = "proxy"
listen = "127.0.0.1:{port}"
upstream = "{upstream}"
{more}
[http]
listen = "127.0.0.1:0"
"""
ASKED = json.dumps({"dataframe_split": {"columns": ["age"], "data": [[41]]}}).encode()


class Scoring(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        body = b'{"predictions": [0.25]}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """End a process that a killed daemon left behind in a test that failed."""
    yield
    for folder in (tmp_path / "spool").glob("*"):
        standing = read_standing(folder)
        if standing is not None and is_taken(folder) and is_tap(standing.pid):
            os.kill(standing.pid, signal.SIGKILL)


@pytest.fixture
def upstream() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scoring) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def config_of(folder: Path, upstream: str, port: int, more: str = "") -> Path:
    path = folder / "kedge.toml"
    path.write_text(CONFIG.format(upstream=upstream, port=port, more=more))
    return path


def spool_of(config: Path) -> Path:
    return config.parent / "spool" / "proxy"


def pid_of(config: Path) -> int:
    standing = eventually(lambda: read_standing(spool_of(config)), what="the proxy listens")
    assert standing is not None
    return standing.pid


def ask(port: int, times: int = 1) -> None:
    for _ in range(times):
        request = urllib.request.Request(f"http://127.0.0.1:{port}/invocations", data=ASKED)
        with urllib.request.urlopen(request, timeout=60) as answer:
            assert answer.read() == b'{"predictions": [0.25]}'


def test_traffic_flows_on_while_the_daemon_is_killed_and_is_counted_once_after(
    tmp_path: Path, upstream: str, port: int
) -> None:
    config = config_of(tmp_path, upstream, port)

    with running(config) as kedge:
        pid = pid_of(config)
        ask(port, 20)
        kedge.counted(20)
        kedge.kill()
        ask(port, 20)
    with running(config) as kedge:
        ask(port, 20)
        kedge.counted(60)

        assert kedge.totals() == {"events": 60, "rejected": 0, "late": 0, "shed": 0}
        assert pid_of(config) == pid
        assert kedge.stop() == 0

    eventually(lambda: not is_taken(spool_of(config)), what="the proxy ended with the daemon")


def test_other_settings_replace_the_proxy_that_runs(
    tmp_path: Path, upstream: str, port: int
) -> None:
    config = config_of(tmp_path, upstream, port)
    with running(config) as kedge:
        pid = pid_of(config)
        kedge.kill()

    config_of(tmp_path, upstream, port, more='timeout = "30s"')
    with running(config) as kedge:
        eventually(lambda: pid_of(config) != pid, what="the proxy is another one")
        ask(port)
        kedge.counted(1)
        assert kedge.stop() == 0


def test_traffic_flows_on_while_the_daemon_hangs_and_nothing_is_lost_below_the_limit(
    tmp_path: Path, upstream: str, port: int
) -> None:
    config = config_of(tmp_path, upstream, port)

    with running(config) as kedge:
        pid_of(config)
        kedge.process.send_signal(signal.SIGSTOP)
        ask(port, 50)
        kedge.process.send_signal(signal.SIGCONT)

        kedge.counted(50)
        assert kedge.totals()["shed"] == 0
        assert kedge.stop() == 0


def test_a_spool_that_is_full_sheds_and_the_metrics_say_so(
    tmp_path: Path, upstream: str, port: int
) -> None:
    config = config_of(
        tmp_path, upstream, port, more='max_event_bytes = "1KiB"\nbytes_max = "16KiB"'
    )

    with running(config) as kedge:
        pid_of(config)
        kedge.process.send_signal(signal.SIGSTOP)
        ask(port, 200)
        kedge.process.send_signal(signal.SIGCONT)

        def told() -> bool:
            totals = kedge.totals()
            return totals["events"] + totals["shed"] == 200

        eventually(told, what="every request is counted or shed")
        shed = kedge.totals()["shed"]
        assert shed > 0
        page = eventually(
            lambda: kedge.page("/metrics") if "kedge_shed" in kedge.page("/metrics") else "",
            what="the metrics",
        )
        assert f'kedge_shed_events_total{{source="proxy"}} {float(shed)}' in page
        assert kedge.stop() == 0


def test_an_address_that_is_taken_is_told_and_counting_goes_on(
    tmp_path: Path, upstream: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = config_of(tmp_path, upstream, taken.getsockname()[1])

        with running(config) as kedge:
            eventually(
                lambda: 'kedge_unreadable_files{source="proxy"} 1.0' in kedge.page("/metrics"),
                what="the trouble shows",
            )
            assert b"address already in use" in kedge.log.read_bytes()
            os.kill(kedge.process.pid, signal.SIGTERM)
            assert kedge.process.wait(60) == 0


def test_mirrored_copies_and_their_access_log_count_once(tmp_path: Path, port: int) -> None:
    config = tmp_path / "kedge.toml"
    config.write_text(
        f"""
        [model]
        name = "m"
        [[collect]]
        type = "mirror"
        listen = "127.0.0.1:{port}"
        access_log = "access.log"
        [http]
        listen = "127.0.0.1:0"
        """
    )
    log = tmp_path / "access.log"

    with running(config) as kedge:
        folder = tmp_path / "spool" / "mirror"
        eventually(lambda: read_standing(folder), what="the mirror's end listens")
        for number in range(20):
            headers = {"X-Request-Id": str(number), "Content-Type": "application/json"}
            url = f"http://127.0.0.1:{port}/invocations"
            request = urllib.request.Request(url, data=ASKED, headers=headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert answer.status == 204
            line = {"msec": time.time(), "request_id": str(number), "status": 200}
            with log.open("a") as file:
                file.write(json.dumps(line | {"upstream_response_time": "0.010"}) + "\n")

        kedge.counted(20)
        assert kedge.totals()["events"] == 20
        assert 'kedge_joined_events_total{source="mirror"} 20.0' in kedge.page("/metrics")
        assert kedge.stop() == 0
