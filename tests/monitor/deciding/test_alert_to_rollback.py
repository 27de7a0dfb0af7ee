"""From a metric that Kedge exports, over a real Prometheus and Alertmanager, to a moved alias."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.collectors.registered import register
from tests.monitor.alerting_servers import (
    ALERTMANAGER,
    PROMETHEUS,
    alertmanager,
    program,
    prometheus,
)
from tests.monitor.daemon import eventually, running
from tests.monitor.test_whole_loop import (
    alias,
    break_version_2,
    configuration,
    rollback,
    serve_version_1,
)

MISSING = [names[0] for names in (PROMETHEUS, ALERTMANAGER) if program(names) is None]

pytestmark = [
    pytest.mark.real,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]

#: The lower bound of a distance that Kedge exports, by model and version, passes a threshold.
RULE = """
groups:
  - name: model
    rules:
      - alert: PredictionsMoved
        expr: kedge_drift_low{metric="ks", column="prediction", version="2"} > 0.4
        annotations: {summary: "predictions of version {{ $labels.version }} moved"}
"""


def alerted(folder: Path, uri: str, model: str, *, confirm: str) -> Path:
    """A configuration whose own rule only alerts, so that nothing but an alert can confirm."""
    path = configuration(folder, uri, model, "act")
    (folder / "alerts-token").write_text("alerts-canary")
    text = path.read_text().replace('action = "rollback"', 'action = "alert"')
    path.write_text(f'{text}\n[alerts]\ntoken_file = "alerts-token"\nconfirm = [{confirm}]\n')
    return path


def test_a_metric_that_breaches_comes_back_as_an_alert_and_moves_a_real_alias(
    tmp_path: Path, mlflow_uri: str
) -> None:
    asyncio.run(register(mlflow_uri, "alerted", 2, champion="2"))
    config = alerted(tmp_path, mlflow_uri, "alerted", confirm='"PredictionsMoved"')
    log = tmp_path / "predictions.jsonl"

    with (
        running(config) as kedge,
        alertmanager(tmp_path, f"{kedge.url}/api/v1/alerts", tmp_path / "alerts-token") as manager,
        prometheus(tmp_path, scrapes=kedge.url, alertmanager=manager, rule=RULE),
    ):
        break_version_2(kedge, log)
        eventually(lambda: alias(mlflow_uri, "alerted") == "1", what="the alias at version 1")
        rollback(kedge, "VERIFYING")
        serve_version_1(log)
        record = rollback(kedge, "RESOLVED", "ESCALATED")
        everything = kedge.get("/api/v1/rollbacks")["rollbacks"]
        page = kedge.page("/metrics")

    assert record["state"] == "RESOLVED"
    assert record["evidence"]["alert"]["name"] == "PredictionsMoved"
    assert record["evidence"]["breached"] == ["prediction"]
    assert record["reason"] == "version 2: alert PredictionsMoved"
    assert all(gate["passed"] for gate in record["gates"])
    assert len(everything) == 1
    assert 'kedge_alerts_total{model="alerted",outcome="evidence"} 1.0' in page


def test_the_same_alert_without_the_permission_is_a_hint_and_moves_nothing(
    tmp_path: Path, mlflow_uri: str
) -> None:
    asyncio.run(register(mlflow_uri, "hinted", 2, champion="2"))
    config = alerted(tmp_path, mlflow_uri, "hinted", confirm="")

    with (
        running(config) as kedge,
        alertmanager(tmp_path, f"{kedge.url}/api/v1/alerts", tmp_path / "alerts-token") as manager,
        prometheus(tmp_path, scrapes=kedge.url, alertmanager=manager, rule=RULE),
    ):
        break_version_2(kedge, tmp_path / "predictions.jsonl")
        eventually(
            lambda: kedge.get("/api/v1/status")["rollback"]["state"] == "SUSPECT",
            what="the alert opens SUSPECT",
        )
        everything = kedge.get("/api/v1/rollbacks")["rollbacks"]
        log = kedge.log.read_text()

    assert everything == []
    assert alias(mlflow_uri, "hinted") == "2"
    assert "alert PredictionsMoved: predictions of version 2 moved" in log
