"""Two daemons for one model: one works, one waits; the first is stopped, and wakes too late.

It is stopped where it hurts: it has read that the alias may be moved, and has not moved it yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from monitor.store.store import sqlite_path
from rollback.kubernetes.lease import LEASES
from tests.collectors.registered import register
from tests.monitor.daemon import Kedge, eventually
from tests.monitor.test_whole_loop import alias, rollback, serve_version_1
from tests.rollback.cluster import fake_cluster, kubeconfig_of
from tests.rollback.faulty_proxy import FaultyProxy

pytestmark = [pytest.mark.real, pytest.mark.slow]

TOKEN: Final = "of-a-test"
LEASE: Final = """
duration = "9s"
renew_deadline = "6s"
retry = "300ms"
"""


#: A daemon that stops itself: it has read where the alias is, and is about to move it.
STOPS_ITSELF: Final = """
import os, signal, sys, time
from pathlib import Path
from collectors.registry.client import MlflowRegistry
from monitor.cli import main

go_on, move = Path(sys.argv.pop(1)), MlflowRegistry.set_alias

async def stop_and_move(self, *where):
    while not go_on.exists():
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(0.01)
    await move(self, *where)

MlflowRegistry.set_alias = stop_and_move
main(sys.argv[1:])
"""


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
def started(folder: Path, name: str, model: str, settings: str, *program: str) -> Iterator[Daemon]:
    """Start a daemon; it need not come to work."""
    config = folder / f"{name}.toml"
    config.write_text(settings)
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *(program or ("-m", "monitor.cli")), "run", "-c", str(config)],
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


def stopped(daemon: Daemon, url: str) -> bool:
    """Whether a daemon has stopped itself, and not in the middle of a transaction of SQLite.

    There it would lock the file until somebody ends it; Postgres ends it by itself.
    """
    state = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
    path = sqlite_path(url)
    if state != "T" or path is None:
        return state == "T"
    with contextlib.closing(sqlite3.connect(path, timeout=0.2, isolation_level=None)) as store:
        try:
            store.execute("BEGIN IMMEDIATE")
            store.execute("ROLLBACK")
        except sqlite3.OperationalError:
            daemon.process.send_signal(signal.SIGCONT)
            return False
    return True


async def probe(waiting: Daemon, path: str) -> int:
    """Ask a daemon that waits, as Kubernetes does."""
    found = re.search(r"probes are answered on [\d.]+:(\d+)", waiting.said())
    assert found is not None, waiting.said()
    url = f"http://127.0.0.1:{found[1]}{path}"
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        return answer.status


async def two_actuators(folder: Path, registry: str, store: str, lease: str, model: str) -> None:
    await register(registry, model, 2, champion="2")
    log = folder / "predictions.jsonl"
    go_on = folder / "go-on"
    async with FaultyProxy(registry) as proxy:
        settings = settings_of(model, proxy.uri, store, lease)
        with contextlib.ExitStack() as processes:
            first = processes.enter_context(
                started(folder, "first", model, settings, "-c", STOPS_ITSELF, str(go_on))
            )
            await asyncio.to_thread(at_work, first)
            second = processes.enter_context(started(folder, "second", model, settings))
            await asyncio.to_thread(
                eventually, lambda: "waiting: " in second.said(), what="the second waits"
            )
            probed = [await probe(second, path) for path in ("/healthz", "/readyz", "/metrics")]

            await asyncio.to_thread(first.ask_for_rollback)
            await asyncio.to_thread(
                eventually, lambda: stopped(first, store), what="the first is stopped"
            )
            moved_by_first = list(proxy.writes)
            await asyncio.to_thread(at_work, second)
            await asyncio.to_thread(rollback, second, "VERIFYING")
            moved_by_second = list(proxy.writes)
            go_on.touch()
            first.process.send_signal(signal.SIGCONT)
            ended = await asyncio.to_thread(first.process.wait, 60)
            await asyncio.to_thread(serve_version_1, log)
            record = await asyncio.to_thread(rollback, second, "RESOLVED", "ESCALATED")

        assert probed == [200, 503, 200]
        assert moved_by_first == []
        assert len(moved_by_second) == 1
        assert proxy.writes == moved_by_second, "the first moved the alias when it woke"
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
