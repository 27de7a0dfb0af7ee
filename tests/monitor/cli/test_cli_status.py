"""`kedge status` against a real daemon, and against what is none."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from monitor.cli import cli
from monitor.demo.mlflow_server import free_port

CONFIGURATION = """
[model]
name = "flight-delay"
[[collect]]
type = "tail"
path = "predictions.jsonl"
[reference]
from = "first"
events = 1000
[windows]
length = "1000 events"
[http]
listen = "127.0.0.1:{port}"
[[rules]]
name = "age-drift"
metric = "psi"
column = "age"
above = 0.25
for = "1 of 1"
"""


def kedge(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(one) for one in arguments], standalone_mode=False)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The configuration of a daemon that has seen a thousand shifted events."""
    folder = tmp_path_factory.mktemp("status")
    dice = random.Random(1)
    with (folder / "predictions.jsonl").open("w") as events:
        for i in range(2_000):
            age = dice.gauss(40.0 if i < 1_000 else 60.0, 5.0)
            event = {"ts": 1_772_618_400 + i * 0.1, "version": "[7]", "features": {"age": age}}
            events.write(json.dumps(event) + "\n")
    config = folder / "kedge.toml"
    config.write_text(CONFIGURATION.format(port=free_port()))
    root = Path(__file__).parents[3]
    with (folder / "daemon.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor.cli", "run", "-c", str(config)],
            env={**os.environ, "PYTHONPATH": str(root)},
            stderr=log,
        )
    try:
        _wait_for_breach(config, folder / "daemon.log")
        yield config
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait_for_breach(config: Path, log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        result = kedge("status", "-c", config, "--json")
        if result.exception is None and json.loads(result.stdout)["rules"][0]["state"] == "breach":
            return
        time.sleep(0.1)
    pytest.fail(f"no breach within a minute: {log.read_text()}")


@pytest.mark.real
def test_the_tables_show_what_the_daemon_sees(
    daemon: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")

    text = kedge("status", "-c", daemon).stdout

    assert "model flight-delay: version [7] serves (champion)" in text
    assert "2,000 events, 0 rejected, 0 late, 0 shed" in text
    assert "age-drift   breach" in text
    assert "psi of age" in text


@pytest.mark.real
def test_json_is_what_the_daemon_says(daemon: Path) -> None:
    status = json.loads(kedge("status", "-c", daemon, "--json").stdout)

    assert status["totals"]["tail"]["events"] == 2_000
    assert status["rules"][0]["low"] > status["rules"][0]["threshold"] == 0.25
    assert status["rollbacks"] == []


def test_a_daemon_that_does_not_answer_is_told_plainly() -> None:
    result = kedge("status", "--url", f"http://127.0.0.1:{free_port()}")

    assert "no daemon answers at http://127.0.0.1:" in str(result.exception)
    assert "Connection refused" in str(result.exception)
    assert "`kedge run` starts one" in str(result.exception)


@pytest.mark.parametrize(
    ("body", "error"),
    [(b"<html>", "no daemon answers"), (b"[]", "is not a Kedge"), (b"{}", "is not a Kedge")],
)
def test_another_server_is_not_taken_for_a_daemon(body: bytes, error: str) -> None:
    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is inherited
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        result = kedge("status", "--url", f"http://127.0.0.1:{server.server_port}")

        server.shutdown()
        thread.join()
    assert error in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--url", "localhost:9464"], "expected http://HOST:PORT"),
        (["--url", "http://x", "-c", "kedge.toml"], "give --config or --url, not both"),
    ],
)
def test_wrong_use_is_told(arguments: list[str], error: str) -> None:
    assert error in str(kedge("status", *arguments).exception)
