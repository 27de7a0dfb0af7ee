"""The daemon samples a real process, shows it, measures windows by it and judges them."""

from __future__ import annotations

import itertools
import re
import time
from pathlib import Path

import pytest

from tests.collectors.laborer import Laborer, laborer
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append, events, lines

pytestmark = pytest.mark.real


def configuration(folder: Path, target: str) -> Path:
    path = folder / "kedge.toml"
    path.write_text(
        f"""
[model]
name = "m"

[[collect]]
type = "tail"
path = "predictions.jsonl"

[[collect]]
type = "resources"
name = "server"
{target}
interval = "100ms"

[windows]
length = "20 events"

[[rules]]
name = "threads"
metric = "threads"
above = 5
for = "2 of 3"

[store]
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"
"""
    )
    return path


def gauge(kedge: Kedge, name: str) -> str | None:
    match = re.search(rf'^{name}{{target="server"}} (\S+)$', kedge.page("/metrics"), re.MULTILINE)
    return match[1] if match else None


def write(log: Path, worker: Laborer, seed: int) -> None:
    """Let time pass that the worker is busy in, and log what it would have answered meanwhile."""
    began = time.time()
    worker.burn(0.15)
    step_s = (time.time() - began) / 30
    append(log, lines(events(30, version="7", begins=began, seed=seed, step_s=step_s)))


def test_a_running_process_is_on_the_page_in_the_windows_and_under_the_rules(
    tmp_path: Path,
) -> None:
    log = tmp_path / "predictions.jsonl"
    with laborer() as worker:
        worker.start_threads(9)
        worker.open(30)
        worker.grow(50)
        with running(configuration(tmp_path, f"pid = {worker.pid}")) as kedge:
            seeds = itertools.count()

            def rule_state() -> str:
                write(log, worker, next(seeds))
                return str(kedge.get("/api/v1/status")["rules"][0]["state"])

            eventually(lambda: rule_state() == "breach", what="the breach of the rule")
            eventually(lambda: gauge(kedge, "kedge_resource_threads") == "10.0", what="the threads")
            open_files = gauge(kedge, "kedge_resource_open_files")
            memory = gauge(kedge, "kedge_resource_memory_bytes")
            cpu = gauge(kedge, "kedge_resource_cpu_ratio")
            measured = kedge.get("/api/v1/measurements?metric=threads")["measurements"]
            loads = kedge.get("/api/v1/measurements?metric=cpu_ratio")["measurements"]
            worker.kill()
            eventually(
                lambda: gauge(kedge, "kedge_resource_threads") == "NaN", what="the end of it"
            )
            page = kedge.page("/metrics")
            status = kedge.stop()

    assert open_files == "33.0"
    assert 50 << 20 < float(memory or 0) < 100 << 20
    assert 0 <= float(cpu or -1) < 1.5
    assert any(
        (row["value"], row["low"], row["threshold"], row["verdict"]) == (10.0, 10.0, 5.0, "breach")
        and row["version"] == "7"
        and row["n"] >= 1
        for row in measured
    )
    # How much of a core it got is the machine's to decide; that it worked is not.
    assert any(0 < row["value"] < 1.5 for row in loads if row["value"] is not None)
    assert 'kedge_resource_memory_bytes{target="server"} NaN' in page
    assert 'kedge_resource_failures_total{reason="not_found",target="server"}' in page
    assert status == 0


def test_a_target_that_is_not_there_keeps_nothing_from_working(tmp_path: Path) -> None:
    log = tmp_path / "predictions.jsonl"
    append(log, lines(events(100, version="7", begins=time.time())))

    with running(configuration(tmp_path, 'process = "no such process"')) as kedge:
        kedge.counted(100)
        eventually(lambda: gauge(kedge, "kedge_resource_cpu_ratio") == "NaN", what="no figure")
        rules = eventually(
            lambda: [
                row for row in kedge.get("/api/v1/status")["rules"] if row["state"] == "unknown"
            ],
            what="a rule that is unknown",
        )
        said = kedge.log.read_text()

    assert [row["name"] for row in rules] == ["threads"]
    assert said.count(r"no process is called \"no such process\"") == 1
