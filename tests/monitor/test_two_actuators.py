"""Two daemons for one model: one works, one waits; the first is stopped, and wakes too late.

It is stopped where it hurts: it has read that the alias may be moved, and has not moved it yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from aiohttp import web

from monitor.store import sqlite_path
from rollback.kubernetes_lease import LEASES
from tests.collectors.registered import register
from tests.monitor.daemon import Kedge, eventually
from tests.monitor.test_whole_loop import alias, rollback, serve_version_1
from tests.rollback.cluster import fake_cluster
from tests.rollback.faulty_proxy import FaultyProxy

pytestmark = [pytest.mark.real, pytest.mark.slow]

TOKEN: Final = "of-a-test"
LEASE: Final = """
duration = "9s"
renew_deadline = "6s"
retry = "300ms"
"""


class Gate(FaultyProxy):
    """Passes calls on to MLflow, but keeps what a daemon reads of the alias once it acts.

    Its log says that it acts, and the very next that it reads is the precondition.
    """

    def __init__(self, target: str, log: Path) -> None:
        super().__init__(target)
        self._log = log
        self.held = threading.Event()
        self.release = asyncio.Event()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        answer = await super()._handle(request)
        if (
            request.path.endswith("registered-models/get")
            and b"-> ACTING" in self._log.read_bytes()
        ):
            self.held.set()
            await self.release.wait()
        return answer


@dataclass
class Daemon(Kedge):
    """One of the two."""

    def ask_for_rollback(self) -> None:
        body = json.dumps({"model": self.model, "reason": "a test asks"}).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1/rollbacks", body, headers)
        urllib.request.urlopen(request, timeout=60).close()

    model: str = ""

    def said(self) -> str:
        return self.log.read_text(errors="replace")


@contextlib.contextmanager
def started(folder: Path, name: str, model: str, settings: str) -> Iterator[Daemon]:
    """Start a daemon; it need not come to work."""
    config = folder / f"{name}.toml"
    config.write_text(settings)
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "monitor.cli", "run", "-c", str(config)],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        yield Daemon(process, "", log, model)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def settings_of(model: str, registry: str, store: str, lease: str) -> str:
    return f"""
[model]
name = "{model}"
tracking_uri = "{registry}"

[[collect]]
type = "tail"
path = "predictions.jsonl"

[windows]
length = "500 events"
min_events = 100

[store]
url = "{store}"

[http]
listen = "127.0.0.1:0"
token = "{TOKEN}"

[rollback]
mode = "act"
target = "previous"
verify_events_min = 100

[rollback.lease]
{lease}
{LEASE}
[[rollback.steps]]
type = "mlflow-alias"
"""


def at_work(daemon: Daemon) -> Daemon:
    """Wait until a daemon works, and return it with its address."""

    def ready() -> bool:
        if daemon.process.poll() is not None:
            raise AssertionError(f"the daemon ended:\n{daemon.said()}")
        found = re.search(r"listening on (http://[^\s\x22]+)", daemon.said())
        if found is None:
            return False
        daemon.url = found[1]
        with contextlib.suppress(OSError):
            return bool(daemon.get("/readyz")["status"] == "ok")
        return False

    eventually(ready, what="the daemon works")
    return daemon


def stop_beside_the_store(daemon: Daemon, url: str) -> None:
    """Stop a process for good, but not in the middle of a transaction of SQLite.

    There it would lock the file until somebody ends it; Postgres does that by itself.
    """
    path = sqlite_path(url)

    def stopped() -> bool:
        os.kill(daemon.process.pid, signal.SIGSTOP)
        if path is None:
            return True
        with contextlib.closing(sqlite3.connect(path, timeout=0.2, isolation_level=None)) as there:
            try:
                there.execute("BEGIN IMMEDIATE")
                there.execute("ROLLBACK")
            except sqlite3.OperationalError:
                os.kill(daemon.process.pid, signal.SIGCONT)
                return False
        return True

    eventually(stopped, what="stopped between two transactions")


def first_acts(daemon: Daemon, gate: Gate, url: str) -> None:
    """Let the first daemon come as far as its last look before it moves the alias; stop it."""
    daemon.ask_for_rollback()
    assert gate.held.wait(60), daemon.said()
    stop_beside_the_store(daemon, url)


async def two_actuators(folder: Path, registry: str, store: str, lease: str, model: str) -> None:
    await register(registry, model, 2, champion="2")
    log = folder / "predictions.jsonl"
    async with Gate(registry, folder / "first.log") as gate:
        settings = settings_of(model, gate.uri, store, lease)
        with contextlib.ExitStack() as processes:
            first = processes.enter_context(started(folder, "first", model, settings))
            await asyncio.to_thread(at_work, first)
            second = processes.enter_context(started(folder, "second", model, settings))
            await asyncio.to_thread(
                eventually, lambda: "waiting: " in second.said(), what="the second waits"
            )

            await asyncio.to_thread(first_acts, first, gate, store)
            moved_before = list(gate.writes)
            gate.release.set()
            await asyncio.to_thread(at_work, second)
            await asyncio.to_thread(rollback, second, "VERIFYING")
            moved_by_second = list(gate.writes)
            first.process.send_signal(signal.SIGCONT)
            ended = await asyncio.to_thread(first.process.wait, 60)
            await asyncio.to_thread(serve_version_1, log)
            record = await asyncio.to_thread(rollback, second, "RESOLVED", "ESCALATED")

        assert moved_before == []
        assert len(moved_by_second) == 1
        assert gate.writes == moved_by_second, "the first moved the alias when it woke"
        assert ended == 1, first.said()
        assert record["state"] == "RESOLVED"
        assert await asyncio.to_thread(alias, registry, model) == "1"


async def test_on_sqlite_a_stopped_actuator_is_replaced_and_changes_nothing_when_it_wakes(
    tmp_path: Path, mlflow_uri: str, sqlite_url: str
) -> None:
    await two_actuators(tmp_path, mlflow_uri, sqlite_url, 'kind = "store"', "two-sqlite")


async def test_on_postgres_a_stopped_actuator_is_replaced_and_changes_nothing_when_it_wakes(
    tmp_path: Path, mlflow_uri: str, postgres_url: str
) -> None:
    await two_actuators(tmp_path, mlflow_uri, postgres_url, 'kind = "store"', "two-postgres")


async def test_under_a_lease_a_stopped_actuator_is_replaced_and_changes_nothing_when_it_wakes(
    tmp_path: Path, mlflow_uri: str, postgres_url: str
) -> None:
    async with fake_cluster() as cluster:
        body = {"apiVersion": LEASES.version, "kind": "Lease", "metadata": {"name": "kedge"}}
        await cluster.admin.create(LEASES, cluster.namespace, body)
        kubeconfig = tmp_path / "kubeconfig"
        kubeconfig.write_text(kubeconfig_of(cluster.config.server))
        lease = f'kind = "kubernetes"\nkubeconfig_path = "{kubeconfig}"'

        await two_actuators(tmp_path, mlflow_uri, postgres_url, lease, "two-leased")

        found = await cluster.get(LEASES, "kedge")
    assert found["spec"]["leaseTransitions"] == 2


def kubeconfig_of(server: str) -> str:
    named = {
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": "first"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "ml"}}],
        "current-context": "x",
    }
    return json.dumps(named)
