"""A replay with references from a real registry says what the daemon says."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from collectors.registry.client import MlflowRegistry
from detectors.reference.reference_file import dump
from monitor.references.storing import Place, store_reference
from tests.collectors.registered import SOURCE, register
from tests.monitor.daemon import eventually, running
from tests.monitor.events import append, events, lines
from tests.monitor.reference_tables import reference_of
from tests.monitor.replay.test_replay import BEGIN, as_one_map, configuration, found

pytestmark = pytest.mark.real

CHANGE = """
[[rules]]
name = "moved"
metric = "page_hinkley"
column = "age"
above = 0
"""


def with_registry(folder: Path, uri: str, model: str, more: str = CHANGE) -> Path:
    path = configuration(folder, reference='from = "registry"', more=more)
    named = f'name = "{model}"\nalias = "champion"\ntracking_uri = "{uri}"'
    path.write_text(path.read_text().replace('name = "m"', named, 1))
    return path


def stored(uri: str, model: str, **rows: int) -> None:
    async def store() -> None:
        await register(uri, model, 2, champion="1")
        async with MlflowRegistry(uri) as registry:
            for version, count in rows.items():
                place = Place(model, version.removeprefix("v"), SOURCE)
                await store_reference(place, dump(reference_of(count)), registry)

    asyncio.run(store())


def traffic() -> bytes:
    quiet = events(3000, version="1", begins=BEGIN)
    moved = events(2000, version="1", begins=BEGIN + 30, seed=8, shift=2.0)
    return lines(iter([*quiet, *moved]))


def test_a_replay_judges_by_the_references_and_changes_that_the_daemon_judges_by(
    tmp_path: Path, mlflow_uri: str
) -> None:
    stored(mlflow_uri, "replayed", v1=3000)
    config = with_registry(tmp_path, mlflow_uri, "replayed")
    log = tmp_path / "predictions.jsonl"
    log.touch()

    with running(config) as kedge:
        eventually(
            lambda: "version 1 is compared with" in kedge.log.read_text(),
            what="the reference of version 1",
        )
        append(log, traffic())
        kedge.counted(5000)
        said = found("-c", config, log, "--processes", 1)
        replayed = as_one_map(row for one in said["windows"] for row in one["measurements"])
        path = "/api/v1/measurements?limit=10000"
        eventually(
            lambda: as_one_map(kedge.get(path)["measurements"]).keys() >= replayed.keys(),
            what="every window of the replay",
        )
        measured = as_one_map(kedge.get(path)["measurements"])
        incidents = kedge.get("/api/v1/incidents")["incidents"]

    assert {key: measured[key] for key in replayed} == replayed
    judged = {(row["metric"], row["verdict"]) for row in replayed.values()}
    assert judged >= {("ks", "ok"), ("ks", "breach")}
    assert judged >= {("page_hinkley", "ok"), ("page_hinkley", "breach")}
    confirmed = sorted((row["at"], row["rule"]) for row in incidents if row["kind"] == "confirmed")
    assert sorted((row["at"], row["rule"]) for row in said["fired"]) == confirmed
    assert {rule for _, rule in confirmed} == {"prediction", "moved"}


def test_each_version_is_compared_with_its_own_reference_from_its_first_row_on(
    tmp_path: Path, mlflow_uri: str
) -> None:
    stored(mlflow_uri, "two-own", v1=3000, v2=2000)
    config = with_registry(tmp_path, mlflow_uri, "two-own", more="")
    rows = [*events(3000, version="1", begins=BEGIN), *events(2000, version="2", begins=BEGIN + 9)]
    log = tmp_path / "predictions.jsonl"
    log.write_bytes(lines(iter(sorted(rows, key=lambda row: row["ts"]))))

    alone = found("-c", config, log, "--processes", 1)
    helped = found("-c", config, log, "--processes", 2)

    assert helped == alone
    for version in ("1", "2"):
        drift = [
            row["verdict"]
            for window in alone["windows"]
            for row in window["measurements"]
            if (row["version"], row["metric"], row["column"]) == (version, "ks", "prediction")
            and row["n"] >= 50
        ]
        assert drift
        assert set(drift) == {"ok"}


def test_without_the_registry_the_copies_that_were_kept_serve(
    tmp_path: Path, mlflow_uri: str
) -> None:
    stored(mlflow_uri, "kept", v1=3000)
    config = with_registry(tmp_path, mlflow_uri, "kept")
    log = tmp_path / "predictions.jsonl"
    log.write_bytes(traffic())
    online = found("-c", config, log)

    offline = found("-c", config, log, "--offline")
    config.write_text(config.read_text().replace(mlflow_uri, "http://127.0.0.1:9"))
    away = said_by("-c", config, log, "--json")

    assert online["fired"]
    assert offline == online
    assert json.loads(away.stdout) == online
    assert "the copies of references that are kept are used" in away.stderr


def test_a_registry_that_is_away_and_a_version_it_has_nothing_of_are_named(
    tmp_path: Path, mlflow_uri: str
) -> None:
    stored(mlflow_uri, "nothing-of")
    config = with_registry(tmp_path, mlflow_uri, "nothing-of", more="")
    log = tmp_path / "predictions.jsonl"
    log.write_bytes(traffic())

    untagged = said_by("-c", config, log)
    config.write_text(config.read_text().replace(mlflow_uri, "http://127.0.0.1:9"))
    away = said_by("-c", config, log)
    offline = said_by("-c", config, log, "--offline")

    assert untagged.returncode == 0
    assert "--model models:/nothing-of/1` stores one; its drift is unknown" in untagged.stderr
    assert away.returncode == 1
    assert "cannot fetch references" in away.stderr
    assert "--offline" in away.stderr
    assert "Traceback" not in away.stderr
    assert offline.returncode == 0
    assert "no copy of the reference of version 1 is kept; its drift is unknown" in offline.stderr


def said_by(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "monitor.cli", "replay", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
