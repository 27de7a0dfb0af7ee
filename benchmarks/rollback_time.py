"""From the confirming window to the alias moved: a real daemon, a real MLflow, a model that loads.

    python -m benchmarks.rollback_time [--runs 5]

Version 1 serves healthily, then version 2 answers the opposite. Windows are of 500 events, two of
three confirm, and the daemon is a process of its own with the settings it comes with; each run has
a new one. The clock starts before the last event of the confirming window is written to the log,
and stops at the moment that the journal has for the alias moved and read back: reading the line,
the commit and the judging are in it. Both versions are pipelines of scikit-learn as MLflow stores
them by default.

* ``off``: ``better_on_shadow = "off"``, nothing is compared;
* ``ready``: the comparison, which the first suspicion began, had ended before the second window;
* ``under way``: both windows come at once, and so the comparison has just begun.

The machine's own part is printed beside: one read of the registry, and starting the target. Exit
status 1 if the worst run with nothing to wait for took two seconds or more.
"""

# ruff: noqa: PLC0415 - imports only where a model is made

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monitor.demo.mlflow_server import mlflow_server
from tests.monitor.daemon import Kedge, eventually, running

MODEL = "timed"
COLUMNS = ("a", "b", "c", "d")
REFERENCE_EVENTS, WINDOW_EVENTS = 1_000, 500
GOAL_S = 2.0
SETTINGS: Mapping[str, str] = {"off": "off", "ready": "if-available", "under way": "if-available"}


def configuration(uri: str, how: str) -> str:
    """Return the daemon's settings."""
    return f"""
[model]
name = "{MODEL}"
tracking_uri = "{uri}"

[[collect]]
type = "tail"
path = "predictions.jsonl"

[reference]
from = "first"
events = {REFERENCE_EVENTS}

[windows]
length = "{WINDOW_EVENTS} events"
min_events = 300

[http]
listen = "127.0.0.1:0"

[[rules]]
name = "prediction"
metric = "psi"
column = "prediction"
above = 0.25
for = "2 of 3"
action = "rollback"

[rollback]
mode = "act"
target = "previous"

[rollback.gates]
better_on_shadow = "{SETTINGS[how]}"

[[rollback.steps]]
type = "mlflow-alias"
"""


def register(uri: str) -> None:
    """Train a pipeline and register it as two versions."""
    import mlflow
    import numpy as np
    import pandas as pd
    from mlflow.models import infer_signature
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    random = np.random.default_rng(3)
    frame = pd.DataFrame(random.normal(size=(2_000, len(COLUMNS))), columns=list(COLUMNS))
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(frame, (frame["a"] + frame["b"] > 0).astype(int))
    mlflow.set_tracking_uri(uri)
    for _ in range(2):
        with mlflow.start_run():
            mlflow.sklearn.log_model(
                model,
                name="model",
                signature=infer_signature(frame, model.predict(frame)),
                input_example=frame.head(2),
                registered_model_name=MODEL,
                pip_requirements=["scikit-learn"],
            )


def events(
    count: int, version: str, begins: float, *, opposite: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield what a version answered, 10 ms apart: four of five times 1, or the opposite."""
    for number in range(count):
        above = number % 5 < 4
        size = (1.0 if above else -1.0) * (4.0 + number % 7 / 10)
        yield {
            "id": f"{version}-{begins}-{number}",
            "ts": begins + number * 0.01,
            "version": version,
            "latency_ms": 4.0,
            "features": {"a": size, "b": size, "c": number % 5 / 5, "d": number % 3 / 3},
            "prediction": int(above != opposite),
        }


def write(folder: Path, *parts: Iterator[dict[str, Any]]) -> None:
    """Append to the log."""
    with (folder / "predictions.jsonl").open("a") as log:
        log.writelines(json.dumps(event) + "\n" for part in parts for event in part)


def point(uri: str, version: str) -> None:
    """Point the alias."""
    body = json.dumps({"name": MODEL, "alias": "champion", "version": version}).encode()
    address = f"{uri}/api/2.0/mlflow/registered-models/alias"
    asked = urllib.request.Request(address, body, {"Content-Type": "application/json"})
    urllib.request.urlopen(asked, timeout=60).close()


def pointed(uri: str) -> str:
    """Return the version that the alias points to."""
    query = f"name={MODEL}&alias=champion"
    address = f"{uri}/api/2.0/mlflow/registered-models/alias?{query}"
    with urllib.request.urlopen(address, timeout=60) as answer:
        return str(json.load(answer)["model_version"]["version"])


def compared(kedge: Kedge) -> bool:
    """Say whether the log tells of a comparison that has ended."""
    said = [json.loads(line) for line in kedge.log.read_text().splitlines() if line[:1] == "{"]
    return any(
        line["log"]["logger"] == "kedge.shadow" and line["message"].startswith("apart")
        for line in said
    )


def moved(kedge: Kedge) -> dict[str, Any]:
    """Return the rollback once the alias was moved and read back, and nothing before that."""
    found = kedge.get("/api/v1/rollbacks")["rollbacks"]
    return next((one for one in found if "verifying" in one["timings"]), {})


def run(uri: str, how: str) -> tuple[float, float]:
    """Play it once; return seconds from the last event, and from the confirmed breach."""
    point(uri, "2")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "kedge.toml"
        config.write_text(configuration(uri, how))
        healthy = REFERENCE_EVENTS + 3 * WINDOW_EVENTS
        now = time.time()
        write(folder, events(healthy, "1", now - 40))
        with running(config) as kedge:
            kedge.counted(healthy)
            # The reference of version 2 is its own first answers, healthy ones.
            write(folder, events(REFERENCE_EVENTS, "2", now - 12))
            kedge.counted(healthy + REFERENCE_EVENTS)
            first = events(WINDOW_EVENTS, "2", now - 2, opposite=True)
            second = list(events(WINDOW_EVENTS, "2", now + 3, opposite=True))
            write(folder, first)
            if how != "under way":
                kedge.counted(healthy + REFERENCE_EVENTS + WINDOW_EVENTS)
            if how == "ready":
                eventually(lambda: compared(kedge), what="the comparison has ended")
            write(folder, iter(second[:-1]))
            began = time.time()
            write(folder, iter(second[-1:]))
            # Asked seldom: what asks takes the processor from what is measured.
            record = eventually(lambda: moved(kedge), what="the alias is moved", pause_s=0.25)
            if pointed(uri) != "1":
                raise SystemExit(f"the alias was not moved: {record}")
            shadow = record["evidence"].get("shadow", {}).get("verdict")
            if shadow != (None if how == "off" else "apart"):
                raise SystemExit(f"{how}: the comparison found {shadow!r}: {record['gates']}")
    at = record["timings"]
    return at["verifying"] - began, at["verifying"] - at["confirmed"]


def starting(uri: str) -> float:
    """Return how long it takes to load the target in a process of its own."""
    environment = os.environ | {"MLFLOW_TRACKING_URI": uri}
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-m", "scoring.rehearse", f"models:/{MODEL}/1"],
        env=environment,
        check=True,
        capture_output=True,
    )
    return time.monotonic() - began


def reading(uri: str) -> float:
    """Return how long the registry takes to answer."""
    began = time.monotonic()
    pointed(uri)
    return time.monotonic() - began


def line(name: str, times_s: Sequence[float]) -> str:
    """Return a row of the table."""
    return f"| {name} | {statistics.median(times_s):.2f} s | {max(times_s):.2f} s |"


def main() -> int:
    """Run everything in turns and print the tables; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="of each kind")
    runs = parser.parse_args().runs
    found: dict[str, list[tuple[float, float]]] = {how: [] for how in SETTINGS}
    read: list[float] = []
    started: list[float] = []
    with tempfile.TemporaryDirectory() as folder, mlflow_server(Path(folder)) as uri:
        register(uri)
        for _ in range(runs):
            for how in SETTINGS:
                found[how].append(run(uri, how))
            read.append(reading(uri))
            started.append(starting(uri))
    print(f"| {runs} runs each | median | worst |\n| --- | ---: | ---: |")
    for how, times in found.items():
        print(line(f"{how}: last event to alias moved", [whole for whole, _ in times]))
        print(line(f"{how}: confirmed to alias moved", [acting for _, acting in times]))
    print(line("one read of the registry", read))
    print(line("the target rehearsed in a process", started))
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    worst = max(whole for how in ("off", "ready") for whole, _ in found[how])
    return int(worst >= GOAL_S)


if __name__ == "__main__":
    sys.exit(main())
