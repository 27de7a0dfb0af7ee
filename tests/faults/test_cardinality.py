"""Names without end in a log: memory and metrics stay bounded, and counters say what it cost."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.faults.scene import BEGIN, configure, rss_mb, sample, write
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append

pytestmark = pytest.mark.real

Rows: TypeAlias = Callable[[int], Iterator[dict[str, Any]]]

NAMES = 100_000
#: Of the daemon over what it took after its first windows.
GROWTH_MB_MAX = 120.0
SCRAPE_S_MAX = 1.0


def flood(folder: Path, rows: Iterator[dict[str, Any]]) -> None:
    append(folder / "predictions.jsonl", b"".join(json.dumps(row).encode() + b"\n" for row in rows))


def features_without_end(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        features = {"age": 40.0, f"user_{number:06d}": 1.0}
        yield {"ts": BEGIN + 100, "version": "7", "features": features, "prediction": 0.5}


def versions_without_end(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"ts": BEGIN + 100, "version": f"build-{number:06d}", "prediction": 0.5}


def categories_without_end(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        features = {"plan": f"plan-{number:06d}"}
        yield {"ts": BEGIN + 100, "version": "7", "features": features, "prediction": 0.5}


def scraped(kedge: Kedge) -> tuple[str, float]:
    """Return a page made anew, and how long the quickest of three took.

    Each is made of as much; that the others took longer is the machine's doing.
    """
    quickest = math.inf
    for _ in range(3):
        time.sleep(1.0)  # a page is kept for a second
        asked = time.monotonic()
        page = kedge.page("/metrics")
        quickest = min(quickest, time.monotonic() - asked)
    return page, quickest


@pytest.mark.parametrize(
    ("rows", "counter"),
    [
        (features_without_end, 'kedge_limit_reached_total{limit="overflowing_columns"}'),
        (versions_without_end, 'kedge_limit_reached_total{limit="evicted_versions"}'),
        (categories_without_end, None),
    ],
    ids=["features", "versions", "categories"],
)
@pytest.mark.timeout(600)
def test_names_without_end_cost_bounded_memory_and_series_and_are_counted(
    tmp_path: Path, rows: Rows, counter: str | None
) -> None:
    write(tmp_path, 2_000)
    # Without a reference columns are learnt from the log, which is what features abuse.
    config = configure(tmp_path, windows='length = "2000 events"')

    with running(config) as kedge:
        kedge.counted(2_000)
        eventually(lambda: kedge.get("/api/v1/windows")["windows"], what="the first window")
        before = rss_mb(kedge)
        flood(tmp_path, rows(NAMES))
        # A version a row is the slowest log there can be: a batch each.
        kedge.counted(2_000 + NAMES, deadline_s=240)
        page, took_s = scraped(kedge)
        after = rss_mb(kedge)
        status = kedge.get("/api/v1/status")
        # It goes on: ordinary events are counted and make windows as before.
        write(tmp_path, 1_000, after=2_000)
        kedge.counted(3_000 + NAMES, deadline_s=240)
        kedge.kill()
    with running(config) as kedge:
        totals = kedge.totals()

    series = sum(not line.startswith("#") for line in page.splitlines())
    assert totals["events"] == 3_000 + NAMES
    assert after - before < GROWTH_MB_MAX, f"{before:.0f} MB before, {after:.0f} MB after"
    assert took_s < SCRAPE_S_MAX
    assert series < 20_000
    assert len(json.dumps(status)) < 1 << 20
    assert counter is None or sample(page, counter) > 0
    assert (tmp_path / "kedge.db").stat().st_size < 64 << 20
