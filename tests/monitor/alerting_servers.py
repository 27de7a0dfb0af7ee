"""A real Prometheus and a real Alertmanager, as processes that end with the block."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path

from monitor.demo.mlflow_server import free_port
from tests.monitor.daemon import eventually

#: Programs as Debian's packages call them, and as their makers do.
PROMETHEUS, ALERTMANAGER = ("prometheus",), ("prometheus-alertmanager", "alertmanager")


def program(names: Sequence[str]) -> str | None:
    """Return the first of the programs that is installed."""
    return next((found for name in names if (found := shutil.which(name))), None)


@contextlib.contextmanager
def alertmanager(folder: Path, webhook: str, token_file: Path) -> Iterator[str]:
    """Start an Alertmanager that sends everything to a webhook; yield its address."""
    config = folder / "alertmanager.yml"
    config.write_text(
        f"""
route:
  receiver: kedge
  group_by: [alertname]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 5m
receivers:
  - name: kedge
    webhook_configs:
      - url: {webhook}
        http_config:
          authorization:
            credentials_file: {token_file}
"""
    )
    port = free_port()
    arguments = [
        f"--config.file={config}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with server(ALERTMANAGER, arguments, folder / "alertmanager.log", port) as address:
        yield address


@contextlib.contextmanager
def prometheus(folder: Path, *, scrapes: str, alertmanager: str, rule: str) -> Iterator[str]:
    """Start a Prometheus that scrapes one page and has one alerting rule; yield its address."""
    (folder / "rules.yml").write_text(rule)
    config = folder / "prometheus.yml"
    config.write_text(
        f"""
global:
  scrape_interval: 500ms
  evaluation_interval: 500ms
rule_files: [rules.yml]
alerting:
  alertmanagers:
    - static_configs: [{{targets: ["{alertmanager.removeprefix("http://")}"]}}]
scrape_configs:
  - job_name: kedge
    static_configs: [{{targets: ["{scrapes.removeprefix("http://")}"]}}]
"""
    )
    port = free_port()
    arguments = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with server(PROMETHEUS, arguments, folder / "prometheus.log", port) as address:
        yield address


@contextlib.contextmanager
def server(names: Sequence[str], arguments: Sequence[str], log: Path, port: int) -> Iterator[str]:
    """Start a program with arguments that make it listen on a port; yield its address."""
    found = program(names)
    assert found is not None
    address = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen([found, *arguments], stdout=output, stderr=output)
    try:
        eventually(lambda: _ready(process, address, log), what=f"{names[0]} is ready")
        yield address
    finally:
        process.kill()
        process.wait()


def _ready(process: subprocess.Popen[bytes], address: str, log: Path) -> bool:
    if process.poll() is not None:
        raise AssertionError(f"it ended with {process.returncode}:\n{log.read_text()}")
    try:
        with urllib.request.urlopen(f"{address}/-/ready", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, ConnectionError):
        return False
