"""Performance without labels: a reference with labels, a log without, and labels that come after.

The tests know what came true. The model is right in 95 of 100 rows of one plan, and in 60 of the
other; in the live traffic there is far more of the other.
"""

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

pytestmark = pytest.mark.real

BEGIN = 1_772_618_400.0
RIGHT = {"gold": 0.95, "basic": 0.60}
ROWS, HEALTHY_ROWS = 4_000, 16_000
CONFIG = """
[model]
name = "m"

[[collect]]
type = "tail"
path = "*.jsonl"

[reference]
path = "healthy.kedge"

[windows]
length = "1000 events"
idle = "1s"

[labels]
join = true

[[rules]]
name = "estimate"
metric = "estimated_accuracy"
below = 0.8
for = "2 of 2"
"""


def rows(basic: float, seed: int, count: int = ROWS) -> Iterator[tuple[Mapping[str, Any], str]]:
    """Yield events, and what came true of each."""
    chance = random.Random(seed)
    for number in range(count):
        plan = "basic" if chance.random() < basic else "gold"
        said = chance.choice(("yes", "no"))
        other = "no" if said == "yes" else "yes"
        event = {
            "id": f"{seed}-{number}",
            "ts": BEGIN + number / 10,
            "version": "7",
            "features": {"plan": plan},
            "prediction": said,
        }
        yield event, said if chance.random() < RIGHT[plan] else other


def written(path: Path, lines: Iterator[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A configuration, and a reference of healthy rows with their labels."""
    healthy = tmp_path / "healthy.log"
    written(healthy, ({**event, "label": label} for event, label in rows(0.2, 1, HEALTHY_ROWS)))
    out = tmp_path / "healthy.kedge"
    command = [sys.executable, "-m", "monitor.cli", "reference", "build"]
    subprocess.run([*command, "--from", str(healthy), "--out", str(out)], check=True)
    (tmp_path / "kedge.toml").write_text(CONFIG)
    return tmp_path


def test_a_drift_towards_rows_it_is_bad_at_breaches_before_any_label_comes(folder: Path) -> None:
    live = list(rows(0.9, 2))
    written(folder / "live.jsonl", (event for event, _ in live))
    truth = sum(event["prediction"] == label for event, label in live) / ROWS

    with running(folder / "kedge.toml") as kedge:
        found = eventually(lambda: measured(kedge, "estimated_accuracy"), what="four estimates")
        rule = eventually(lambda: breached(kedge), what="the rule breaches")
        page = kedge.page("/metrics")

    assert all(one["low"] < truth + 0.04 and one["high"] > truth - 0.04 for one in found)
    assert sum(one["value"] for one in found) / 4 == pytest.approx(truth, abs=0.02)
    assert rule is not None
    assert rule["rule"] == "estimate"
    assert 'kedge_performance{metric="estimated_accuracy",model="m",version="7"}' in page


def test_what_is_measured_takes_the_place_of_what_was_estimated(folder: Path) -> None:
    live = list(rows(0.9, 3))
    written(folder / "live.jsonl", (event for event, _ in live))

    with running(folder / "kedge.toml") as kedge:
        eventually(lambda: measured(kedge, "estimated_accuracy"), what="four estimates")
        labels = ({"id": e["id"], "label": label, "ts": BEGIN + 9_000} for e, label in live)
        written(folder / "labels.jsonl", labels)
        known = eventually(lambda: measured(kedge, "accuracy"), what="four measured accuracies")
        page = eventually(lambda: without_estimate(kedge), what="the estimate leaves /metrics")

    truth = sum(event["prediction"] == label for event, label in live) / ROWS
    assert sum(one["value"] for one in known) / 4 == pytest.approx(truth, abs=1e-6)
    assert 'kedge_performance{metric="accuracy",model="m",version="7"}' in page


def measured(kedge: Kedge, metric: str) -> list[Mapping[str, Any]]:
    found = kedge.get(f"/api/v1/measurements?metric={metric}&limit=100")["measurements"]
    return list(found) if len(found) == 4 else []


def breached(kedge: Kedge) -> Mapping[str, Any] | None:
    incidents = kedge.get("/api/v1/incidents")["incidents"]
    return next((one for one in incidents if one["kind"] == "confirmed"), None)


def without_estimate(kedge: Kedge) -> str:
    page = kedge.page("/metrics")
    return "" if 'kedge_performance{metric="estimated_accuracy"' in page else page
