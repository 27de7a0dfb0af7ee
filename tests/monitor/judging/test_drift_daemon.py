"""A rule of drift in a real daemon: quiet traffic keeps it silent, a shift makes it fire."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.monitor.daemon import eventually, running
from tests.monitor.events import append, events, lines
from tests.monitor.test_daemon import BEGIN, configuration, rule

pytestmark = pytest.mark.real

DRIFT_RULE = """
[[rules]]
name = "any-drift"
metric = "drift"
false_alarms = "1 per 1000 windows"
"""
WINDOWS = 'length = "1000 events"\nslide = "500 events"'


def config(folder: Path) -> Path:
    path = configuration(folder, windows=WINDOWS, more=DRIFT_RULE)
    path.write_text(path.read_text().replace("events = 1000", "events = 5000"))
    return path


def test_quiet_traffic_keeps_the_rule_silent_and_a_shift_makes_it_fire(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    append(log, lines(events(15_000, version="7", begins=BEGIN)))

    with running(config(tmp_path)) as kedge:
        kedge.counted(15_000)
        eventually(lambda: rule(kedge, "any-drift") == "ok", what="the rule is ok")
        quiet = kedge.get("/api/v1/incidents")["incidents"]
        found = kedge.get("/api/v1/measurements?metric=drift")["measurements"]
        append(log, lines(events(2_000, version="7", begins=BEGIN + 150, shift=0.5, seed=8)))
        eventually(lambda: rule(kedge, "any-drift") == "breach", what="the rule fires")
        (incident, *_) = kedge.get("/api/v1/incidents")["incidents"]
        page = kedge.page("/metrics")
        (status,) = kedge.get("/api/v1/status")["rules"]

    assert quiet == []
    assert {one["column"] for one in found} == {"age", "plan", "prediction", "(correlation)"}
    assert {one["threshold"] for one in found} == {0.0005}
    assert "breach" not in {one["verdict"] for one in found}
    assert incident["kind"] == "confirmed"
    assert incident["evidence"]["looks"] in (["window"], ["evidence", "window"])
    assert {one["column"] for one in incident["evidence"]["columns"]} == {"age", "prediction"}
    assert 'kedge_drift_statistic{column="age",metric="drift",model="m",version="7"}' in page
    assert 'kedge_drift_threshold{column="age",metric="drift",model="m"} 0.0005' in page
    assert (status["metric"], status["column"]) == ("drift", "age")
    assert status["low"] > status["threshold"]


def test_the_evidence_survives_a_kill(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    append(log, lines(events(8_000, version="7", begins=BEGIN)))

    with running(config(tmp_path)) as kedge:
        kedge.counted(8_000)
        eventually(lambda: rule(kedge, "any-drift") == "ok", what="the rule is ok")
        append(log, lines(events(3_000, version="7", begins=BEGIN + 80, shift=0.5, seed=8)))
        eventually(lambda: rule(kedge, "any-drift") == "breach", what="the rule fires")
        kedge.counted(11_000)
        kedge.kill()
    with running(config(tmp_path)) as kedge:
        stands = rule(kedge, "any-drift")
        append(log, lines(events(30_000, version="7", begins=BEGIN + 110, seed=9)))
        eventually(lambda: rule(kedge, "any-drift") == "ok", what="the rule recovers")
        kinds = [one["kind"] for one in kedge.get("/api/v1/incidents")["incidents"]]

    assert stands == "breach"
    assert kinds == ["cleared", "confirmed"]
