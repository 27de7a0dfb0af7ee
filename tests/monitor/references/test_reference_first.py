"""Whose first events a version is compared with, and when they become its own reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from collectors.batch import NumberColumn, PredictionBatch
from monitor.references.first import FirstEvents
from monitor.references.references import standing_of
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append, events, lines

BEGIN = 1_772_618_400.0


def batch(version: str, values: list[float], begins: float = 0.0) -> PredictionBatch:
    rows = len(values)
    return PredictionBatch(
        model="m",
        version=version,
        role="live",
        latency_kind="server",
        ts=begins + np.arange(rows, dtype=float),
        latency_ms=np.full(rows, np.nan),
        status=np.full(rows, 200),
        weight=np.ones(rows),
        columns={"x": NumberColumn(np.array(values))},
    )


def started(*, versions_max: int = 8) -> FirstEvents:
    """Return references of 3 events each, the first of all those of version 7."""
    references = FirstEvents(3, 1000, versions_max=versions_max, clock=lambda: 0.0)
    references.collect(batch("7", [1.0, 2.0, 3.0]))
    return references


def points(references: FirstEvents, version: str) -> list[float]:
    reference = references.of(version)
    assert reference is not None
    return [float(one) for one in reference.columns["x"].points]  # type: ignore[union-attr]  # a number column


def test_a_new_version_is_compared_with_the_first_until_its_own_windows_are_over() -> None:
    references = started()

    rest = references.collect(batch("8", [7.0, 8.0, 9.0, 10.0], begins=100.0))
    before = points(references, "8")
    references.concluded("8", 90.0, 101.0, healthy=True)
    too_early = points(references, "8")
    references.concluded("8", 101.0, 103.0, healthy=True)

    assert rest is not None
    assert rest.rows == 4
    assert before == too_early == [1.0, 2.0, 3.0]
    assert points(references, "8") == [7.0, 8.0, 9.0]
    assert points(references, "7") == [1.0, 2.0, 3.0]


def test_a_version_that_a_rule_objects_to_does_not_become_its_own_reference() -> None:
    references = started()
    references.collect(batch("8", [70.0, 80.0, 90.0], begins=100.0))

    references.concluded("8", 90.0, 110.0, healthy=False)
    references.concluded("8", 110.0, 120.0, healthy=True)
    after_the_breach = points(references, "8")
    making = standing_of(references, "8")["making"]
    references.collect(batch("8", [4.0, 5.0, 6.0], begins=120.0))
    references.concluded("8", 120.0, 130.0, healthy=True)

    assert after_the_breach == [1.0, 2.0, 3.0]
    assert making == "0 of the first 3 events of version 8, begun anew 1 times as a rule objected"
    assert points(references, "8") == [4.0, 5.0, 6.0]


def test_every_version_goes_on_after_a_restart_where_it_stood() -> None:
    before = started()
    before.collect(batch("8", [4.0, 5.0, 6.0], begins=100.0))
    before.concluded("8", 100.0, 110.0, healthy=True)
    before.collect(batch("9", [7.0, 8.0], begins=200.0))
    before.collect(batch("7", [1.0], begins=201.0))
    states = {name: state for name, state in before.changed().items() if state is not None}

    after = FirstEvents(3, 1000)
    after.restore(states)

    assert points(after, "8") == [4.0, 5.0, 6.0]
    assert points(after, "9") == points(after, "7") == points(after, "other") == [1.0, 2.0, 3.0]
    assert after.progress("9") == "2 of the first 3 events of version 9"


def test_a_reference_of_before_versions_had_their_own_serves_on() -> None:
    old = started()
    collected = old.changed()["reference-collected-0"]
    assert collected is not None

    after = FirstEvents(3, 1000)
    after.restore({"reference-collected": collected})
    changed = after.changed()
    again = FirstEvents(3, 1000)
    again.restore({name: state for name, state in changed.items() if state is not None})

    assert points(after, "8") == points(again, "8") == [1.0, 2.0, 3.0]
    assert changed["reference-collected"] is None


def test_a_flood_of_versions_pushes_out_neither_the_first_nor_one_that_has_gathered() -> None:
    references = started(versions_max=3)
    references.collect(batch("8", [4.0, 5.0], begins=100.0))

    for number in range(50):
        references.collect(batch(f"flood-{number}", [0.0], begins=100.0 + number))
    references.collect(batch("8", [6.0], begins=200.0))
    references.concluded("8", 100.0, 210.0, healthy=True)

    assert points(references, "8") == [4.0, 5.0, 6.0]
    assert points(references, "7") == [1.0, 2.0, 3.0]
    assert references.evicted_versions == 49


def test_fewer_events_are_enough_after_the_configuration_asks_for_fewer() -> None:
    before = FirstEvents(10, 1000)
    before.collect(batch("7", [1.0, 2.0, 3.0, 4.0]))
    states = {name: state for name, state in before.changed().items() if state is not None}

    after = FirstEvents(3, 1000)
    after.restore(states)
    after.collect(batch("7", [5.0, 6.0]))

    assert after.of("7") is not None


def reference(kedge: Kedge, version: str) -> dict[str, str]:
    versions = {row["version"]: row for row in kedge.get("/api/v1/status")["versions"]}
    return dict(versions.get(version, {}).get("reference") or {})


@pytest.mark.real
def test_a_daemon_takes_a_healthy_versions_first_events_and_refuses_a_bad_ones(
    tmp_path: Path,
) -> None:
    config = tmp_path / "kedge.toml"
    config.write_text(
        """
[model]
name = "m"

[[collect]]
type = "tail"
path = "predictions.jsonl"

[reference]
from = "first"
events = 500

[windows]
length = "100 events"
min_events = 50
idle = "1s"

[store]
commit_interval = "20ms"

[http]
listen = "127.0.0.1:0"

[[rules]]
name = "prediction"
metric = "ks"
column = "prediction"
above = 0.4
for = "1 of 2"
"""
    )
    log = tmp_path / "predictions.jsonl"
    append(log, lines(events(500, version="7", begins=BEGIN)))
    append(log, lines(events(300, version="good", begins=BEGIN + 10)))
    append(log, lines(events(900, version="bad", begins=BEGIN + 20, shift=2.0)))

    with running(config) as kedge:
        kedge.counted(1700)
        making = reference(kedge, "good")["making"]
    append(log, lines(events(300, version="good", begins=BEGIN + 50)))
    with running(config) as kedge:
        kedge.counted(2000)
        eventually(lambda: reference(kedge, "good")["making"] is None, what="its own reference")
        good, bad = reference(kedge, "good"), reference(kedge, "bad")

    assert making == "300 of the first 500 events of version good"
    assert good["origin"] == "first 500 events of version good"
    assert bad["origin"] == "first 500 events of version 7"
    assert bad["making"].startswith("0 of the first 500 events of version bad, begun anew")
