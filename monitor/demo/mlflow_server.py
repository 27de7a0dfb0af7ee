"""A real `mlflow server` on SQLite, on loopback, for as long as a `with` block lasts."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from monitor.demo.processes import DemoError, end_group

#: A first start migrates an empty database: 20 s to 60 s of CPU on two busy cores.
START_TIMEOUT_S = 180.0
STOP_TIMEOUT_S = 15.0


class MlflowServerError(DemoError):
    """The server did not come up; the message ends with the last lines of its log."""


def free_port() -> int:
    """Return a loopback port that nobody listens on at this instant."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def mlflow_server(folder: Path, *, port: int | None = None) -> Iterator[str]:
    """Run an MLflow tracking server and registry; yield its URI.

    Parameters
    ----------
    folder
        Where the database, the artifacts and ``mlflow.log`` live; made if missing. A folder
        used before keeps its models, and starts five times as fast.
    port
        Port on 127.0.0.1; one that is free by default.

    Raises
    ------
    MlflowServerError
        It did not answer a registry call within three minutes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = port or free_port()
    uri = f"http://127.0.0.1:{port}"
    log = folder / "mlflow.log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            _command(folder, port),
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            env=_environment(),
            # A group of its own: the server is several processes, and they end together.
            start_new_session=True,
        )
        try:
            _wait_until_ready(process, uri, log)
            yield uri
        finally:
            end_group(process, STOP_TIMEOUT_S)


def _command(folder: Path, port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
        *("--artifacts-destination", str(folder / "artifacts")),
    ]


def _environment() -> dict[str, str]:
    """Return the server's environment: ours, without what would turn it into another server."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    return kept | {
        # With job execution on, the server is ten processes and 1.1 GiB.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        # uvicorn is found on PATH by the server's own shell command.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def _wait_until_ready(process: subprocess.Popen[bytes], uri: str, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    # /health answers before the registry does, so a registry call is what counts.
    probe = f"{uri}/api/2.0/mlflow/registered-models/search?max_results=1"
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, OSError):
            urllib.request.urlopen(probe, timeout=2).close()  # noqa: S310 - http on loopback
            return
        time.sleep(0.1)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    raise MlflowServerError(f"mlflow server did not come up on {uri}; end of {log}:\n{tail}")
