"""From a log that somebody else writes to an alias moved in a real registry, and verified."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.collectors.registered import register
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append, events, lines

pytestmark = pytest.mark.real


def configuration(folder: Path, uri: str, model: str, mode: str) -> Path:
    path = folder / "kedge.toml"
    path.write_text(
        f"""
[model]
name = "{model}"
tracking_uri = "{uri}"

[[collect]]
type = "tail"
path = "predictions.jsonl"

[reference]
from = "first"
events = 1000

[windows]
length = "500 events"
min_events = 100

[store]
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"

[[rules]]
name = "prediction"
metric = "ks"
column = "prediction"
above = 0.4
for = "2 of 3"
action = "rollback"

[rollback]
mode = "{mode}"
target = "previous"
verify_events_min = 100

[[rollback.steps]]
type = "mlflow-alias"
"""
    )
    return path


def alias(uri: str, model: str) -> str:
    query = f"{uri}/api/2.0/mlflow/registered-models/alias?name={model}&alias=champion"
    with urllib.request.urlopen(query, timeout=60) as answer:
        return str(json.load(answer)["model_version"]["version"])


def rollback(kedge: Kedge, *states: str) -> dict[str, Any]:
    """Wait until the newest rollback is in one of the states."""

    def found() -> dict[str, Any] | None:
        rollbacks = kedge.get("/api/v1/rollbacks")["rollbacks"]
        return rollbacks[0] if rollbacks and rollbacks[0]["state"] in states else None

    record = eventually(found, what=f"a rollback in state {' or '.join(states)}")
    assert record is not None
    return record


def break_version_2(kedge: Kedge, log: Path) -> None:
    """Serve healthy traffic by version 1, then the same traffic by a version that got worse."""
    append(log, lines(events(2500, version="1", begins=time.time() - 45)))
    kedge.counted(2500)
    append(log, lines(events(2000, version="2", begins=time.time() - 20, regress=2.0, seed=8)))
    kedge.counted(4500)


def serve_version_1(log: Path) -> None:
    append(log, lines(events(1600, version="1", begins=time.time() + 0.5, seed=9)))


def test_a_shift_moves_a_real_alias_and_the_recovery_is_verified(
    tmp_path: Path, mlflow_uri: str
) -> None:
    asyncio.run(register(mlflow_uri, "loop", 2, champion="2"))
    log = tmp_path / "predictions.jsonl"

    with running(configuration(tmp_path, mlflow_uri, "loop", "act")) as kedge:
        break_version_2(kedge, log)
        eventually(lambda: alias(mlflow_uri, "loop") == "1", what="the alias at version 1")
        rollback(kedge, "VERIFYING")
        serve_version_1(log)
        record = rollback(kedge, "RESOLVED", "ESCALATED")
        status = kedge.get("/api/v1/status")
        page = kedge.page("/metrics")
        whole = kedge.get(f"/api/v1/rollbacks/{record['id']}")

    assert record["state"] == "RESOLVED"
    assert (record["from"], record["to"], record["dry_run"]) == ("2", "1", False)
    assert all(gate["passed"] for gate in record["gates"])
    assert record["evidence"]["cause"]["origin"] == "model"
    assert status["model"]["live_version"] == "1"
    history = {one["version"]: one for one in status["rollback"]["versions"]}
    assert history["1"]["healthy_windows"] >= 1
    assert history["2"]["breached_windows"] >= 1
    assert 'kedge_rollbacks_total{model="loop",outcome="resolved"} 1.0' in page
    told = [transition["after"] for transition in whole["transitions"]]
    assert told[-4:] == ["INTENDED", "ACTING", "VERIFYING", "RESOLVED"]


def test_a_dry_run_says_what_it_would_have_done_and_does_not(
    tmp_path: Path, mlflow_uri: str
) -> None:
    asyncio.run(register(mlflow_uri, "rehearsed", 2, champion="2"))
    log = tmp_path / "predictions.jsonl"

    with running(configuration(tmp_path, mlflow_uri, "rehearsed", "dry-run")) as kedge:
        break_version_2(kedge, log)
        record = rollback(kedge, "GATED")

    assert record["dry_run"]
    assert record["outcome"] == "would have acted"
    assert (record["from"], record["to"]) == ("2", "1")
    assert alias(mlflow_uri, "rehearsed") == "2"


def test_a_world_that_drifts_moves_no_alias_and_every_refusal_is_counted(
    tmp_path: Path, mlflow_uri: str
) -> None:
    asyncio.run(register(mlflow_uri, "drifting", 2, champion="2"))
    log = tmp_path / "predictions.jsonl"

    with running(configuration(tmp_path, mlflow_uri, "drifting", "act")) as kedge:
        append(log, lines(events(2500, version="1", begins=time.time() - 90)))
        append(log, lines(events(4000, version="2", begins=time.time() - 65, seed=8)))
        kedge.counted(6500)
        append(log, lines(events(2000, version="2", begins=time.time() - 20, shift=2.0, seed=9)))
        record = rollback(kedge, "REFUSED")
        page = eventually(lambda: refusals(kedge) >= 2 and kedge.page("/metrics"), what="a second")
        told = kedge.get("/api/v1/incidents")["incidents"]

    (refused,) = [gate for gate in record["gates"] if not gate["passed"]]
    assert refused["gate"] == "world_or_model"
    assert "version 1 would see the same in age (100%)" in refused["detail"]
    assert record["evidence"]["cause"]["columns"][0]["column"] == "age"
    assert 'kedge_rollbacks_total{model="drifting",outcome="refused"} 1.0' in str(page)
    assert "refused" in {one["kind"] for one in told}
    assert alias(mlflow_uri, "drifting") == "2"


def refusals(kedge: Kedge) -> float:
    name = 'kedge_gate_refusals_total{gate="world_or_model",model="drifting"} '
    found = [line for line in kedge.page("/metrics").splitlines() if line.startswith(name)]
    return float(found[0].removeprefix(name)) if found else 0.0


def test_killed_in_the_middle_of_a_rollback_it_goes_on_and_verifies(
    tmp_path: Path, mlflow_uri: str
) -> None:
    asyncio.run(register(mlflow_uri, "interrupted", 2, champion="2"))
    log = tmp_path / "predictions.jsonl"
    config = configuration(tmp_path, mlflow_uri, "interrupted", "act")

    with running(config) as kedge:
        break_version_2(kedge, log)
        rollback(kedge, "VERIFYING")
        kedge.kill()
    with running(config) as kedge:
        serve_version_1(log)
        record = rollback(kedge, "RESOLVED", "ESCALATED")
        everything = kedge.get("/api/v1/rollbacks")["rollbacks"]

    assert record["state"] == "RESOLVED"
    assert len(everything) == 1
    assert alias(mlflow_uri, "interrupted") == "1"


def test_an_alias_that_a_person_moved_meanwhile_is_left_where_it_is(
    tmp_path: Path, mlflow_uri: str
) -> None:
    asyncio.run(register(mlflow_uri, "moved", 3, champion="3"))
    log = tmp_path / "predictions.jsonl"

    with running(configuration(tmp_path, mlflow_uri, "moved", "act")) as kedge:
        # Version 2 is what drifts; the alias has long been at 3.
        break_version_2(kedge, log)
        record = rollback(kedge, "REFUSED")

    assert [gate["gate"] for gate in record["gates"] if not gate["passed"]] == ["alias"]
    assert alias(mlflow_uri, "moved") == "3"
