"""The daemon with rules on changes: a latency that jumps, over a crash, as a process."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append

BEGIN = 1_772_618_400.0

pytestmark = pytest.mark.real

CONFIGURATION = """
[model]
name = "m"

[[collect]]
type = "tail"
path = "predictions*.jsonl"

[windows]
length = "5s"
lateness = "0s"
min_events = 100
idle = "1s"

[store]
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"

[[rules]]
name = "slower"
metric = "adwin"
of = "latency"

[[rules]]
name = "failing"
metric = "ddm"
of = "errors"
"""


def rows(count: int, *, begins: float, latency_ms: float, seed: int = 5) -> Iterator[bytes]:
    chance = random.Random(seed)
    for number in range(count):
        row = {
            "ts": begins + number / 100,
            "version": "7",
            "latency_ms": latency_ms * chance.lognormvariate(0, 0.3),
            "prediction": chance.random(),
        }
        yield json.dumps(row).encode() + b"\n"


def state_of(kedge: Kedge, rule: str) -> str:
    rules = kedge.get("/api/v1/status")["rules"]
    return next(str(one["state"]) for one in rules if one["name"] == rule)


def configured(folder: Path) -> Path:
    path = folder / "kedge.toml"
    path.write_text(CONFIGURATION)
    return path


def test_a_latency_jump_breaches_and_clears_once_windows_hold_no_change(tmp_path: Path) -> None:
    config, log = configured(tmp_path), tmp_path / "predictions.jsonl"
    append(log, b"".join(rows(4_000, begins=BEGIN, latency_ms=10)))

    with running(config) as kedge:
        kedge.counted(4_000)
        eventually(lambda: state_of(kedge, "slower") == "ok", what="the rule is fine")
        append(log, b"".join(rows(600, begins=BEGIN + 40, latency_ms=30)))
        eventually(lambda: state_of(kedge, "slower") == "breach", what="the jump breaches")
        page = kedge.page("/metrics")
        measured = kedge.get("/api/v1/measurements?metric=adwin_latency&limit=100")["measurements"]
        append(log, b"".join(rows(4_000, begins=BEGIN + 46, latency_ms=30)))
        eventually(lambda: state_of(kedge, "slower") == "ok", what="the breach is over")
        incidents = kedge.get("/api/v1/incidents")["incidents"]
        failing = state_of(kedge, "failing")

    found = 'kedge_changes_total{column="",direction="up",metric="adwin_latency",model="m"'
    assert found in page
    breaching = [one for one in measured if one["verdict"] == "breach"]
    assert [(one["value"], one["threshold"]) for one in breaching] == [(1.0, 0.0)]
    assert {one["kind"] for one in incidents if one["rule"] == "slower"} == {"confirmed", "cleared"}
    assert failing == "ok"


def test_what_a_detector_remembers_outlives_a_kill(tmp_path: Path) -> None:
    config, log = configured(tmp_path), tmp_path / "predictions.jsonl"
    append(log, b"".join(rows(2_000, begins=BEGIN, latency_ms=10)))

    with running(config) as kedge:
        kedge.counted(2_000)
        eventually(lambda: state_of(kedge, "slower") == "ok", what="the rule is fine")
        kedge.kill()
    append(log, b"".join(rows(150, begins=BEGIN + 20, latency_ms=40)))
    with running(config) as kedge:
        kedge.counted(2_150)
        eventually(lambda: state_of(kedge, "slower") == "breach", what="the jump breaches")

    # A detector that began anew would still be learning: 150 values are fewer than it needs.
    said = (tmp_path / "kedge.log").read_text()
    assert "adwin found 1 change(s) of latency of version 7; the last one up" in said


def test_a_daemon_without_such_a_rule_does_not_import_river(tmp_path: Path) -> None:
    config = configured(tmp_path)
    config.write_text(CONFIGURATION[: CONFIGURATION.index("[[rules]]")])

    with running(config) as kedge:
        maps = Path(f"/proc/{kedge.process.pid}/maps").read_text()

    assert "_river_rust" not in maps


LOSSES = """
[labels]
join = true

[[rules]]
name = "wronger"
metric = "hddm_a"
of = "loss"
"""


def labelled(count: int, *, begins: float, wrong: float) -> Iterator[bytes]:
    chance = random.Random(3)
    for number in range(count):
        row = {"id": f"{begins}-{number}", "ts": begins + number / 100, "version": "7"}
        row["features"] = {"a": 1}
        label = "no" if chance.random() < wrong else "yes"
        yield json.dumps({**row, "prediction": "yes", "label": label}).encode() + b"\n"


def test_a_loss_that_rises_breaches_in_windows_of_labels(tmp_path: Path) -> None:
    config, log = configured(tmp_path), tmp_path / "predictions.jsonl"
    config.write_text(CONFIGURATION + LOSSES)
    append(log, b"".join(labelled(2_000, begins=BEGIN, wrong=0.05)))

    with running(config) as kedge:
        kedge.counted(2_000)
        eventually(lambda: state_of(kedge, "wronger") == "ok", what="the rule is fine")
        append(log, b"".join(labelled(600, begins=BEGIN + 20, wrong=0.6)))
        eventually(lambda: state_of(kedge, "wronger") == "breach", what="the loss breaches")
