"""Which versions are remembered, and what the store is told of them."""

from __future__ import annotations

import numpy as np

from collectors.batch import PredictionBatch
from monitor.traffic.versions import Versions


def batch(version: str, ts: float, rows: int = 1) -> PredictionBatch:
    nothing = np.full(rows, np.nan)
    return PredictionBatch(
        model="m",
        version=version,
        role="live",
        latency_kind="server",
        ts=np.full(rows, ts),
        latency_ms=nothing,
        status=np.full(rows, 200),
        weight=np.ones(rows),
    )


def test_only_versions_that_changed_are_written() -> None:
    versions = Versions()
    versions.see(batch("1", 10.0, rows=3))
    versions.see(batch("2", 20.0))
    versions.changes("m")

    versions.see(batch("1", 30.0, rows=2))
    rows, gone = versions.changes("m")

    assert [(row["version"], row["events"], row["last_seen"]) for row in rows] == [("1", 5, 30.0)]
    assert gone == []
    assert versions.live == "1"


def test_past_the_limit_the_one_silent_for_longest_is_forgotten_here_and_in_the_store() -> None:
    versions = Versions(remembered_max=2)
    versions.see(batch("1", 10.0))
    versions.see(batch("2", 20.0))
    versions.see(batch("1", 30.0))

    versions.see(batch("3", 40.0))
    rows, gone = versions.changes("m")

    assert sorted(versions) == ["1", "3"]
    assert [row["version"] for row in rows] == ["1", "3"]
    assert gone == ["2"]
    assert versions.forgotten == 1


def test_one_that_comes_back_is_not_deleted() -> None:
    versions = Versions(remembered_max=1)
    versions.see(batch("1", 10.0))
    versions.see(batch("2", 20.0))
    versions.see(batch("1", 30.0))

    rows, gone = versions.changes("m")

    assert [row["version"] for row in rows] == ["1"]
    assert gone == ["2"]
