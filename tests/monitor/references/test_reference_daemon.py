"""The daemon as a process: references out of a real registry, and of the traffic of a while ago."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from collectors.registry.client import MlflowRegistry
from detectors.reference.reference_file import dump
from monitor.references.storing import Place, store_reference
from tests.collectors.registered import SOURCE, point, register
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append, events, lines
from tests.monitor.reference_tables import reference_of

pytestmark = pytest.mark.real

#: How far the answers of version 2 lie from those of version 1.
NEW = 2.0


def configuration(folder: Path, uri: str, model: str) -> Path:
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
from = "registry"

[windows]
length = "200 events"
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
for = "1 of 1"
"""
    )
    return path


async def store(uri: str, model: str, version: str, shift: float) -> None:
    data = dump(reference_of(2_000, shift=shift))
    async with MlflowRegistry(uri) as registry:
        await store_reference(Place(model, version, SOURCE), data, registry)


def reference(kedge: Kedge, version: str) -> dict[str, Any] | None:
    versions = kedge.get("/api/v1/status")["versions"]
    return next((one["reference"] for one in versions if one["version"] == version), None)


def ready(kedge: Kedge, version: str) -> dict[str, Any]:
    def probe() -> dict[str, Any] | None:
        found = reference(kedge, version)
        return found if found is not None and found["state"] == "ready" else None

    return eventually(probe, what=f"the reference of version {version}") or {}


def ks(kedge: Kedge, version: str) -> list[dict[str, Any]]:
    query = f"metric=ks&column=prediction&version={version}"
    return list(kedge.get(f"/api/v1/measurements?{query}")["measurements"])


def ended(measured: list[dict[str, Any]]) -> datetime:
    """When the newest window of measurements ended."""
    return max(datetime.fromisoformat(one["window_end"]) for one in measured)


def serve(log: Path, version: str, count: int, shift: float, seed: int) -> None:
    rows = events(count, version=version, begins=time.time() - 10, shift=shift, seed=seed)
    append(log, lines(rows))


def test_the_alias_moves_and_the_next_version_is_compared_with_its_own_reference(
    tmp_path: Path, mlflow_uri: str
) -> None:
    model = "daemon-references"
    asyncio.run(register(mlflow_uri, model, 2, champion="1"))
    asyncio.run(store(mlflow_uri, model, "1", 0.0))
    log = tmp_path / "predictions.jsonl"

    with running(configuration(tmp_path, mlflow_uri, model)) as kedge:
        serve(log, "1", 100, 0.0, seed=1)
        ready(kedge, "1")
        serve(log, "1", 700, 0.0, seed=2)
        eventually(lambda: len(ks(kedge, "1")) >= 3, what="windows of version 1")

        asyncio.run(store(mlflow_uri, model, "2", NEW))
        asyncio.run(point(mlflow_uri, model, "champion", "2"))
        serve(log, "2", 50, NEW, seed=3)
        second = ready(kedge, "2")
        serve(log, "2", 750, NEW, seed=4)
        eventually(lambda: len(ks(kedge, "2")) >= 3, what="windows of version 2")

        page = kedge.page("/metrics")
        measured = ks(kedge, "1")[:2] + ks(kedge, "2")[:2]
        kedge.stop()

    assert second["rows"] == 2_000
    assert [one["verdict"] for one in measured] == ["ok"] * 4
    assert f'kedge_reference_rows{{model="{model}",version="2"}} 2000.0' in page


def test_without_a_reference_drift_is_unknown_and_a_restart_keeps_the_one_that_was_fetched(
    tmp_path: Path, mlflow_uri: str
) -> None:
    model = "daemon-restart"
    asyncio.run(register(mlflow_uri, model, 2, champion="1"))
    asyncio.run(store(mlflow_uri, model, "1", 0.0))
    config, log = configuration(tmp_path, mlflow_uri, model), tmp_path / "predictions.jsonl"
    with running(config) as kedge:
        serve(log, "1", 100, 0.0, seed=1)
        serve(log, "2", 400, 0.0, seed=1)
        before = ready(kedge, "1")
        eventually(
            lambda: "no reference of version 2" in (reference(kedge, "2") or {})["why"],
            what="the status says what is missing",
        )
        unknown = ks(kedge, "2")
        # What was fetched is on the disk with the next commit.
        serve(log, "1", 200, 0.0, seed=2)
        kedge.counted(700)
        kedge.kill()

    away = config.read_text().replace(mlflow_uri, "http://127.0.0.1:1")
    config.write_text(away)
    with running(config) as kedge:
        after = reference(kedge, "1")
        kedge.stop()

    assert unknown == []
    assert after == before


def trailing(folder: Path) -> Path:
    path = folder / "kedge.toml"
    path.write_text(
        """
[model]
name = "trailing"

[[collect]]
type = "tail"
path = "predictions.jsonl"

[reference]
from = "trailing"
events = 2048
length = "30s"
gap = "10s"
refresh = "5s"

[windows]
length = "5s"
min_events = 100
lateness = "1s"
idle = "1h"

[store]
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"

[[rules]]
name = "prediction"
metric = "ks"
column = "prediction"
above = 0.4
for = "1 of 1"
"""
    )
    return path


def test_the_traffic_of_a_while_ago_outlives_a_kill_and_shows_a_shift(tmp_path: Path) -> None:
    config, log = trailing(tmp_path), tmp_path / "predictions.jsonl"
    begins = time.time() - 120
    with running(config) as kedge:
        append(log, lines(events(4_000, version="7", begins=begins)))
        ready(kedge, "7")
        # Many windows close in one turn, and the reference is made anew between two of them.
        append(log, lines(events(4_000, version="7", begins=begins + 40, seed=8)))
        kedge.counted(8_000)
        # Rows are 10 ms apart, and windows wait 1 s for late ones: one ends after 73 s at least.
        last = datetime.fromtimestamp(begins + 73, UTC)
        eventually(lambda: ended(ks(kedge, "7")) >= last, what="the last window")
        before, quiet = ready(kedge, "7"), ks(kedge, "7")
        kedge.kill()

    with running(config) as kedge:
        after = ready(kedge, "7")
        append(log, lines(events(2_000, version="7", begins=begins + 80, shift=NEW)))
        eventually(
            lambda: [one for one in ks(kedge, "7") if one["verdict"] == "breach"],
            what="the shift",
        )
        rows = ready(kedge, "7")
        kedge.stop()

    assert before["origin"] == "trailing 30s of version 7"
    # A window whose reference is made anew while it is open starts anew, and a turn may end
    # anywhere: how many rows are left is chance. With a hundred a rule can tell, with fewer it may.
    assert {one["verdict"] for one in quiet if one["n"] >= 100} == {"ok"}
    assert {one["verdict"] for one in quiet if one["n"] < 100} <= {"ok", "unknown"}
    assert after == before
    assert rows["rows"] >= 1_000
