"""Two Kedges that have lived through what the dashboards show, scraped by a real Prometheus."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monitor.demo.mlflow_server import free_port
from tests.collectors.registered import register
from tests.dashboards.boards import FOLDER
from tests.monitor import shadowing
from tests.monitor.alerting_servers import PROMETHEUS, server
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append, events, lines
from tests.monitor.test_whole_loop import alias, rollback
from tests.monitor.test_whole_loop import configuration as loop_configuration

#: The model that is rolled back; that with a shadow is `shadowing.MODEL`.
MODEL = "dashboards"
TOKEN = "dashboards-canary"

_MORE = """
[[collect]]
type = "tail"
name = "labels"
path = "labels.jsonl"

[[collect]]
type = "http"

[[collect]]
type = "resources"
name = "server"
pid = {pid}
interval = "500ms"

[labels]
join = true

[segments]
keys = ["features.plan"]
events = 200

[alerts]
confirm = []

[[notify]]
type = "webhook"
url = "http://127.0.0.1:{closed}/"

[[rules]]
name = "any-drift"
metric = "drift"
false_alarms = "1 per 1000 windows"

[[rules]]
name = "each-plan"
metric = "psi"
column = "prediction"
above = 0.25
segments = "each"

[[rules]]
name = "psi"
metric = "psi"
column = "prediction"
above = 0.25

[[rules]]
name = "changes"
metric = "kswin"
column = "prediction"
above = 0

[[rules]]
name = "exact"
metric = "mae"
above = 100

[[rules]]
name = "slow"
metric = "latency_p99"
above = 5000

[[rules]]
name = "errors"
metric = "error_ratio"
above = 0.5
"""

_SHADOW_RULE = """
[segments]
keys = ["country"]

[[rules]]
name = "challenger-differs"
metric = "shadow_disagreement"
above = 0.2
"""


@dataclass(frozen=True)
class Prometheus:
    """A running server, and what may be asked of it."""

    url: str

    def now(self, query: str) -> list[Mapping[str, Any]]:
        return list(self._get("query", query=query)["result"])

    def lately(self, query: str, seconds: float = 240.0) -> list[Mapping[str, Any]]:
        now = time.time()
        found = self._get("query_range", query=query, start=now - seconds, end=now, step=1)
        return list(found["result"])

    def targets(self) -> list[Mapping[str, Any]]:
        return list(self._get("targets")["activeTargets"])

    def _get(self, path: str, **parameters: object) -> dict[str, Any]:
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return dict(json.load(answer)["data"])
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{parameters}: {error.read().decode()}") from error


@contextlib.contextmanager
def prometheus(folder: Path, config: str) -> Iterator[Prometheus]:
    """Start a Prometheus with a configuration."""
    path = folder / "prometheus.yml"
    path.write_text(config)
    port = free_port()
    arguments = [
        f"--config.file={path}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with server(PROMETHEUS, arguments, folder / "prometheus.log", port) as address:
        yield Prometheus(address)


def configuration(folder: Path, uri: str) -> Path:
    path = loop_configuration(folder, uri, MODEL, "act")
    (folder / "token").write_text(TOKEN)
    text = path.read_text().replace("[http]", '[http]\ntoken_file = "token"')
    path.write_text(text + _MORE.format(pid=os.getpid(), closed=free_port()))
    return path


def live_through_a_rollback(kedge: Kedge, server_: Prometheus, folder: Path, uri: str) -> None:
    """Version 1 does well, 2 does not, Kedge goes back to 1; labels, junk and people besides."""
    log = folder / "predictions.jsonl"
    now = time.time()
    first = list(events(2500, version="1", begins=now - 60))
    append(log, lines(iter(first)))
    append(
        folder / "labels.jsonl",
        lines({"id": one["id"], "ts": one["ts"] + 1, "label": one["prediction"]} for one in first),
    )
    kedge.counted(2500)
    append(log, lines(events(2000, version="2", begins=now - 30, regress=2.0, seed=8)))
    append(log, b"not a prediction\n")
    eventually(lambda: alias(uri, MODEL) == "1", what="the alias at version 1")
    rollback(kedge, "VERIFYING")
    verifying = f'kedge_rollback_state{{model="{MODEL}", state="VERIFYING"}} == 1'
    eventually(lambda: server_.now(verifying), what="Prometheus has seen VERIFYING")
    append(log, lines(events(1600, version="1", begins=time.time() + 0.5, seed=9)))
    rollback(kedge, "RESOLVED", "ESCALATED")


def be_spoken_to(kedge: Kedge) -> None:
    """An alert comes, an event comes twice; a person holds, and asks for a rollback anyway."""
    labels = {"alertname": "ModelErrorRate", "model": MODEL, "version": "1"}
    alert = {"status": "firing", "labels": labels, "startsAt": "2026-11-01T00:00:00Z"}
    alert |= {"annotations": {}, "fingerprint": "a", "endsAt": "0001-01-01T00:00:00Z"}
    post(kedge, "/api/v1/alerts", {"version": "4", "status": "firing", "alerts": [alert]})
    (event,) = events(1, version="1", begins=time.time(), seed=11)
    for _ in range(2):
        post(kedge, "/api/v1/predictions", [event])
    hold = {"model": MODEL, "for": "1h", "reason": "the dashboards are looked at"}
    post(kedge, "/api/v1/holds", hold)
    post(kedge, "/api/v1/rollbacks", {"model": MODEL, "reason": "to see it refused"})


def post(kedge: Kedge, path: str, body: object) -> None:
    request = urllib.request.Request(
        kedge.url + path,
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status in {200, 201, 202}


@contextlib.contextmanager
def lived(folder: Path, uri: str) -> Iterator[tuple[Prometheus, Kedge]]:
    """Start everything, let it all happen, and yield a Prometheus that has seen it."""
    (folder / "a").mkdir()
    (folder / "b").mkdir()
    asyncio.run(register(uri, MODEL, 2, champion="2"))
    first = configuration(folder / "a", uri)
    second = shadowing.configuration(folder / "b", uri, 'version = "2"', _SHADOW_RULE)
    shadowing.write(folder / "b" / "predictions.jsonl", shadowing.live_events(60))
    with running(first) as kedge, running(second) as beside:
        targets = [one.url.removeprefix("http://") for one in (kedge, beside)]
        config = f"""
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{FOLDER / "prometheus"}/kedge.*.yaml"]
scrape_configs:
  - job_name: kedge
    static_configs: [{{targets: {json.dumps(targets)}}}]
"""
        with prometheus(folder, config) as server_:
            eventually(lambda: len(server_.now("kedge_build_info")) == 2, what="both scraped")
            live_through_a_rollback(kedge, server_, folder / "a", uri)
            be_spoken_to(kedge)
            live_on(kedge, beside, folder)
            last = f'kedge_hold_until_timestamp_seconds{{model="{MODEL}"}} > 0'
            eventually(lambda: server_.now(last), what="Prometheus has seen the hold")
            shown = "kedge_shadow_disagreement_ratio"
            eventually(lambda: server_.now(shown), what="Prometheus has seen the shadow")
            yield server_, kedge


def live_on(kedge: Kedge, beside: Kedge, folder: Path) -> None:
    """More traffic, in which version 1 changes: rules see it, and the hold keeps Kedge still."""
    log, other = folder / "a" / "predictions.jsonl", folder / "b" / "predictions.jsonl"
    append(log, lines(events(1, version="1", begins=time.time() + 3600)))
    for step in range(4):
        changed = events(300, version="1", begins=time.time(), regress=2.0, seed=20 + step)
        append(log, lines({**one, "extra": 1} for one in changed))
        shadowing.write(other, shadowing.live_events(20, first=100 + 20 * step))
        time.sleep(1.0)  # a scrape apart; nothing is waited for
    assert beside.totals()["events"] > 0
