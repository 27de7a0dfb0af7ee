"""Would going back help? A real daemon asks the rollback's target before it moves the alias."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest

from tests.collectors.registered import SOURCE, point, post
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append, lines
from tests.monitor.shadowing import MODEL
from tests.monitor.test_whole_loop import alias, rollback

pytestmark = pytest.mark.real

TOKEN = "s3cret-canary"
#: Versions of the registered model: what they say, and one that cannot be loaded.
PLAIN, OPPOSITE, GONE = "1", "2", ""


async def _register(uri: str, versions: tuple[str, ...]) -> str:
    """Register a model of its own, made of versions of another; the last one is the champion."""
    name = f"compared-{uuid4().hex}"
    await post(uri, "/registered-models/create", {"name": name})
    async with aiohttp.ClientSession() as session:
        for version in versions:
            body: dict[str, object] = {"name": name, "source": SOURCE}
            if version:
                query = f"{uri}/api/2.0/mlflow/model-versions/get?name={MODEL}&version={version}"
                async with session.get(query) as answer:
                    found = (await answer.json())["model_version"]
                source = str(found["source"])
                body |= {"source": source, "model_id": source.removeprefix("models:/")}
                body |= {"run_id": found["run_id"]}
            await post(uri, "/model-versions/create", body)
    await point(uri, name, "champion", str(len(versions)))
    return name


def configured(folder: Path, uri: str, versions: tuple[str, ...], gates: str, windows: int) -> Path:
    """Write the configuration of a daemon that acts on the distribution of answers."""
    (folder / "token").write_text(TOKEN)
    path = folder / "kedge.toml"
    path.write_text(
        f"""
[model]
name = "{asyncio.run(_register(uri, versions))}"
tracking_uri = "{uri}"

[[collect]]
type = "tail"
path = "predictions.jsonl"

[reference]
from = "first"
events = 1000

[windows]
length = "{windows} events"
min_events = 100

[store]
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"
token_file = "token"

[[rules]]
name = "prediction"
metric = "ks"
column = "prediction"
above = 0.3
for = "2 of 3"
action = "rollback"

[rollback]
mode = "act"
target = "previous"
verify_events_min = 100

[rollback.gates]
{gates}

[[rollback.steps]]
type = "mlflow-alias"
"""
    )
    return path


def traffic(
    count: int, version: str, begins: float, *, positive: float = 0.8, opposite: bool = False
) -> Iterator[Mapping[str, Any]]:
    """Yield what a version answered: whether ``a + b`` is positive, or the opposite."""
    for number in range(count):
        above = number % 10 < 10 * positive
        size = (1.0 if above else -1.0) * (4.0 + number % 7 / 10)
        yield {
            "id": f"{version}-{begins}-{number}",
            "ts": begins + number * 0.01,
            "version": version,
            "latency_ms": 4.0,
            "features": {"a": size, "b": size, "c": number % 5 / 5, "d": number % 3 / 3},
            "prediction": int(above != opposite),
        }


def model_of(config: Path) -> str:
    return config.read_text().split('name = "')[1].split('"')[0]


def gate(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next(one for one in record["gates"] if one["gate"] == name)


def serve(config: Path, *parts: Iterator[Mapping[str, Any]]) -> None:
    for part in parts:
        append(config.parent / "predictions.jsonl", lines(part))


def healthy_then_version_2(kedge: Kedge, config: Path, **how: Any) -> None:  # noqa: ANN401 - as traffic
    """Serve healthy traffic by version 1, then by version 2."""
    now = time.time()
    serve(config, traffic(2500, "1", now - 45))
    kedge.counted(2500)
    serve(config, traffic(2000, "2", now - 19, **how))
    kedge.counted(4500)


def test_a_version_whose_target_answers_otherwise_is_left_and_the_evidence_says_so(
    tmp_path: Path, registry_uri: str
) -> None:
    gates = 'better_on_shadow = "require"'
    config = configured(tmp_path, registry_uri, (PLAIN, OPPOSITE), gates, 500)

    with running(config) as kedge:
        healthy_then_version_2(kedge, config, opposite=True)
        record = rollback(kedge, "VERIFYING", "REFUSED")
        shadow = record["evidence"]["shadow"]

        assert record["state"] == "VERIFYING", record["gates"]
        assert alias(registry_uri, model_of(config)) == "1"
        assert (shadow["verdict"], shadow["to_version"]) == ("apart", "1")
        assert shadow["n"] >= 200
        assert "version 1 answers otherwise" in gate(record, "better_on_shadow")["detail"]
        # The process of the target ends with the comparison.
        pid = kedge.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        eventually(lambda: not children.read_text(), what="the target's process has ended")
        assert kedge.stop() == 0


def test_a_world_that_drifts_is_refused_because_the_target_would_answer_the_same(
    tmp_path: Path, registry_uri: str
) -> None:
    gates = 'better_on_shadow = "require"\nworld_or_model = false'
    config = configured(tmp_path, registry_uri, (PLAIN, PLAIN), gates, 500)

    with running(config) as kedge:
        healthy_then_version_2(kedge, config, positive=0.2)
        record = rollback(kedge, "VERIFYING", "REFUSED")
        serve(config, traffic(600, "2", time.time() + 5, positive=0.2))

        def cause() -> Mapping[str, Any] | None:
            (rule,) = kedge.get("/api/v1/status")["rules"]
            return rule["cause"] if "another version" in str(rule["cause"]) else None

        found = eventually(cause, what="the comparison tells the cause")
        assert kedge.stop() == 0

    assert record["state"] == "REFUSED"
    assert not gate(record, "better_on_shadow")["passed"]
    assert "version 1 is no better on" in gate(record, "better_on_shadow")["detail"]
    assert record["evidence"]["shadow"]["verdict"] == "alike"
    assert alias(registry_uri, model_of(config)) == "2"
    assert found is not None
    assert found["origin"] == "world"


@pytest.mark.parametrize(
    ("policy", "state", "serving"),
    [("require", "REFUSED", "2"), ("if-available", "VERIFYING", "1")],
)
def test_a_target_that_does_not_load_is_refused_only_where_a_comparison_is_required(
    tmp_path: Path, registry_uri: str, policy: str, state: str, serving: str
) -> None:
    gates = f'better_on_shadow = "{policy}"'
    config = configured(tmp_path, registry_uri, (GONE, OPPOSITE), gates, 500)

    with running(config) as kedge:
        healthy_then_version_2(kedge, config, opposite=True)
        record = rollback(kedge, "VERIFYING", "REFUSED")
        assert kedge.stop() == 0

    assert record["state"] == state
    told = gate(record, "better_on_shadow")["detail"]
    assert told.startswith("the target was not compared: version 1 cannot be scored: ")
    assert alias(registry_uri, model_of(config)) == serving


def under_way(kedge: Kedge) -> Mapping[str, Any] | None:
    record = kedge.get("/api/v1/status")["rollback"]["last"]
    found = (record or {}).get("evidence", {}).get("shadow", {})
    return record if found.get("verdict") == "pending" else None


def suspected(kedge: Kedge, config: Path) -> None:
    """Serve by version 2 until the gate waits: so few requests that more are waited for."""
    now = time.time()
    serve(config, traffic(2000, "1", now - 25))
    kedge.counted(2000)
    serve(config, traffic(20, "2", now - 4), traffic(190, "2", now - 3, opposite=True))
    eventually(lambda: under_way(kedge), what="the comparison is under way")


def test_a_hold_during_the_comparison_is_answered_at_once_and_nothing_moves(
    tmp_path: Path, registry_uri: str
) -> None:
    gates = "world_or_model = false"
    config = configured(tmp_path, registry_uri, (PLAIN, OPPOSITE), gates, 100)

    with running(config) as kedge:
        suspected(kedge, config)
        body = json.dumps({"model": model_of(config), "for": "1h", "reason": "wait"}).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        ask = urllib.request.Request(f"{kedge.url}/api/v1/holds", body, headers, method="POST")
        began = time.monotonic()
        with urllib.request.urlopen(ask, timeout=60) as answer:
            assert answer.status < 300
        took_s = time.monotonic() - began
        record = rollback(kedge, "REFUSED")
        assert kedge.stop() == 0

    assert record["gates"][-1]["gate"] == "hold"
    assert took_s < 5
    assert alias(registry_uri, model_of(config)) == "2"


def test_a_daemon_killed_during_the_comparison_compares_anew_before_it_moves_the_alias(
    tmp_path: Path, registry_uri: str
) -> None:
    gates = "world_or_model = false"
    config = configured(tmp_path, registry_uri, (PLAIN, OPPOSITE), gates, 100)
    with running(config) as kedge:
        suspected(kedge, config)
        kedge.kill()
    before = alias(registry_uri, model_of(config))

    with running(config) as kedge:
        serve(config, traffic(400, "2", time.time(), opposite=True))
        record = rollback(kedge, "VERIFYING", "REFUSED")
        assert kedge.stop() == 0

    assert before == "2"
    assert record["state"] == "VERIFYING"
    assert record["evidence"]["shadow"]["verdict"] == "apart"
    assert record["evidence"]["shadow"]["n"] >= 200
    assert alias(registry_uri, model_of(config)) == "1"
