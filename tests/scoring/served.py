"""The scoring server as a real process, for as long as a `with` block lasts."""

# ruff: noqa: ANN401 - settings and answers are any JSON

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
ROOT = Path(__file__).parents[2]

_PROGRAM = """
import json, logging, sys
from pathlib import Path
from scoring.serve import ServeSettings, run
from scoring.serve_error import ServeError
settings = json.loads(sys.argv[1])
for key in ("log", "cache", "api_keys"):
    settings[key] = Path(settings[key]) if settings.get(key) else None
logging.basicConfig(level=logging.INFO)
try:
    sys.exit(run(ServeSettings(**settings)))
except ServeError as error:
    sys.exit(f"kedge serve: {error}")
"""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    url: str,
    body: object = None,
    *,
    content_type: str | None = "application/json",
    headers: dict[str, str] | None = None,
    method: str | None = None,
) -> Reply:
    """Send a request; a body that is not bytes goes as JSON."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    sent = {**({"Content-Type": content_type} if content_type and data is not None else {})}
    request = urllib.request.Request(url, data, sent | (headers or {}), method=method)
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return Reply(response.status, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, error.headers, error.read())


@dataclass(slots=True)
class Served:
    """A running server."""

    process: subprocess.Popen[bytes]
    line: str
    url: str
    errors: Path

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Tell it to stop; return its exit status."""
        self.process.send_signal(number)
        return self.process.wait(STOP_TIMEOUT_S)

    def metric(self, sample: str) -> float:
        """Return the value of a sample of /metrics, 0 if it is not there."""
        for line in ask(f"{self.url}/metrics").body.decode().splitlines():
            name, _, value = line.rpartition(" ")
            if name == sample:
                return float(value)
        return 0.0


def start(folder: Path, **settings: Any) -> subprocess.Popen[bytes]:
    """Start the process; its standard error goes to a file in `folder`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PROMETHEUS_"))}
    stated = {"port": 0, "poll_s": 0.1} | settings
    with (folder / "serve.err").open("wb") as errors:
        return subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, json.dumps(stated, default=str)],
            stdout=subprocess.PIPE,
            stderr=errors,
            stdin=subprocess.DEVNULL,
            cwd=ROOT,
            env=kept | {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"},
        )


@contextlib.contextmanager
def serving(folder: Path, **settings: Any) -> Iterator[Served]:
    """Run the server until the block ends, and wait until it serves."""
    process = start(folder, **settings)
    assert process.stdout is not None
    try:
        line = process.stdout.readline().decode().strip()
        errors = folder / "serve.err"
        assert line, f"it did not start: {errors.read_text()[-2000:]}"
        yield Served(process, line, line.rpartition(" on ")[2], errors)
    finally:
        if process.poll() is None:
            process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
        process.kill()
        process.wait()
        process.stdout.close()


def children(served: Served) -> list[int]:
    """Return the numbers of the processes that it has started."""
    path = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children")
    return [int(pid) for pid in path.read_text().split()]


def until(holds: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
    """Wait until something holds."""
    ends = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < ends, "it did not come to hold in time"
        time.sleep(0.02)


def logged(path: Path) -> list[dict[str, Any]]:
    """Return the events of a prediction log."""
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]
