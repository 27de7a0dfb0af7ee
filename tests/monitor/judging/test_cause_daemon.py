"""World or model, told by a real daemon of a real log: in incidents, status and log."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append, lines

pytestmark = pytest.mark.real

BEGIN = 1_772_618_400.0
CONFIG = """
[model]
name = "m"

[[collect]]
type = "tail"
path = "predictions.jsonl"

[reference]
from = "first"
events = 4000

[windows]
length = "10s"
lateness = "1s"
idle = "1s"
min_events = 200

[store]
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"

[[rules]]
name = "answers"
metric = "psi"
column = "prediction"
above = 0.15
for = "2 of 2"

[[rules]]
name = "slow"
metric = "latency_p50"
above = 100.0
for = "2 of 2"
"""
#: Events of a version in a window.
EVENTS = 1_000
LENGTH_S = 10.0


class Log:
    """A log of two versions of a model whose prediction follows from the age."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._chance = random.Random(5)
        self._window = 0

    def write(self, windows: int, *versions: str, **how: float) -> None:
        """Write so many windows in which these versions answer."""
        for _ in range(windows):
            begins = BEGIN + self._window * LENGTH_S
            self._window += 1
            append(self._path, lines(self._rows(begins, versions, **how)))

    def end(self) -> None:
        """Write what closes the last window."""
        append(self._path, lines(iter([{"ts": BEGIN + (self._window + 2) * LENGTH_S}])))

    def _rows(
        self,
        begins: float,
        versions: tuple[str, ...],
        *,
        drift: float = 0.0,
        regress: float = 0.0,
        missing: float = 0.0,
        latency_ms: float = 20.0,
    ) -> Iterator[Mapping[str, Any]]:
        chance = self._chance
        for number in range(EVENTS):
            for version in versions:
                age = chance.gauss(40 + 10 * drift, 10)
                yield {
                    "ts": begins + number * LENGTH_S / EVENTS,
                    "version": version,
                    "latency_ms": chance.gauss(latency_ms, 2),
                    "features": {
                        "age": None if chance.random() < missing else age,
                        "plan": chance.choice(("gold", "basic")),
                    },
                    "prediction": age / 10 + chance.gauss(0, 0.3) + regress,
                }


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """A log with a reference and five healthy windows of version 1 in it."""
    (tmp_path / "kedge.toml").write_text(CONFIG)
    healthy = Log(tmp_path / "predictions.jsonl")
    healthy.write(9, "1")
    return healthy


def confirmed(kedge: Kedge, rule: str, version: str) -> Mapping[str, Any]:
    """Wait for the incident and return what it says of its cause."""

    def found() -> Mapping[str, Any] | None:
        incidents = kedge.get("/api/v1/incidents")["incidents"]
        wanted = ("confirmed", rule, version)
        mine = [one for one in incidents if (one["kind"], one["rule"], one["version"]) == wanted]
        return mine[0]["evidence"]["cause"] if mine else None

    cause = eventually(found, what=f"a confirmed breach of {rule} by version {version}")
    assert cause is not None
    return cause


def test_a_world_that_drifts_under_both_versions_is_the_world(tmp_path: Path, log: Log) -> None:
    log.write(3, "1", "2")
    log.write(3, "1", "2", drift=1.0)
    log.end()

    with running(tmp_path / "kedge.toml") as kedge:
        causes = [confirmed(kedge, "answers", version) for version in ("1", "2")]

    assert [cause["origin"] for cause in causes] == ["world", "world"]
    assert [[one["column"] for one in cause["columns"]] for cause in causes] == [["age"]] * 2
    assert causes[0]["columns"][0]["share"] == 1.0


def test_a_regressed_version_is_the_model_in_incident_status_and_log(
    tmp_path: Path, log: Log
) -> None:
    log.write(3, "2", regress=1.0)
    log.end()

    with running(tmp_path / "kedge.toml") as kedge:
        cause = confirmed(kedge, "answers", "2")
        status = {one["name"]: one for one in kedge.get("/api/v1/status")["rules"]}
        command = [sys.executable, "-m", "monitor.cli", "status", "--url", kedge.url]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        said = kedge.log.read_text()

    why = "likely the model: the inputs are stable, and it began with this version's deployment"
    assert (cause["origin"], cause["columns"]) == ("model", [])
    assert status["answers"]["cause"] == cause
    assert status["slow"]["cause"] is None
    assert f"answers: {why}" in " ".join(told.split())
    assert f"rule answers confirmed: version 2, column prediction; {why}" in said


def test_a_column_that_breaks_is_the_data(tmp_path: Path, log: Log) -> None:
    log.write(3, "1")
    log.write(3, "1", missing=0.5, regress=1.0)
    log.end()

    with running(tmp_path / "kedge.toml") as kedge:
        cause = confirmed(kedge, "answers", "1")

    assert cause["origin"] == "data"
    assert cause["columns"][0]["column"] == "age"
    assert cause["columns"][0]["fault"].startswith("missing in ")


def test_both_versions_slow_is_the_platform(tmp_path: Path, log: Log) -> None:
    log.write(1, "1", "2")
    log.write(4, "1", "2", latency_ms=300)
    log.end()

    with running(tmp_path / "kedge.toml") as kedge:
        causes = [confirmed(kedge, "slow", version) for version in ("1", "2")]

    assert [cause["origin"] for cause in causes] == ["platform", "platform"]


def test_too_little_known_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "kedge.toml").write_text(CONFIG)
    log = Log(tmp_path / "predictions.jsonl")
    log.write(4, "1")
    log.write(3, "1", regress=1.0)
    log.end()

    with running(tmp_path / "kedge.toml") as kedge:
        cause = confirmed(kedge, "answers", "1")

    assert cause["origin"] == "unknown"
    assert "not known how this version did before" in cause["because"]


def test_windows_of_before_a_kill_count(tmp_path: Path, log: Log) -> None:
    with running(tmp_path / "kedge.toml") as kedge:
        eventually(lambda: kedge.get("/api/v1/windows")["windows"][3:], what="four windows")
        kedge.kill()
    log.write(3, "1", regress=1.0)
    log.end()
    with running(tmp_path / "kedge.toml") as kedge:
        cause = confirmed(kedge, "answers", "1")

    assert "after 5 windows in which this version did well" in cause["because"]
    assert json.dumps(cause)
