"""Clocks that step, events of the future and of the past: the windows stay what they were."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from collectors.formats.kedge import KedgeFormat
from collectors.quarantine import Quarantine
from collectors.tail.tail import Tail, TailSettings
from detectors.windows.window import Windows, WindowSpec
from monitor.counting.engine import Engine
from monitor.counting.streams import Stream
from monitor.judging.judging import Judge
from monitor.metrics.catalogue import Metrics
from monitor.references.references import NoReference
from monitor.store.queries import Filter, Queries
from monitor.store.store import Store
from monitor.traffic.forward_clock import ForwardClock
from tests.faults.scene import configure, sample
from tests.monitor.daemon import Kedge, eventually, running
from tests.monitor.events import append, events, lines

NOW = 1_772_618_400.0
EVENTS, PART = 3_000, 100
AHEAD = 'kedge_ahead_events_total{source="tail"}'
LATE = 'kedge_late_events_total{source="tail"}'

Clock = Callable[[], float]


def monotonic() -> Clock:
    """A clock that goes on by a second each time that it is asked."""
    return map(float, itertools.count()).__next__


def steady(offsets: Iterator[float]) -> Clock:
    """A wall clock about `NOW` that is wrong by the next of the offsets each time."""
    return lambda: NOW + 60 + next(offsets)


def counted(folder: Path, wall: Clock) -> tuple[list[tuple[Any, ...]], dict[str, int]]:
    """Feed a log to an engine in parts; return its windows, and what was late or ahead."""
    folder.mkdir()
    store = Store.open(f"sqlite:///{folder / 'kedge.db'}")
    engine = Engine(
        model="m",
        streams=[
            Stream("log", Tail(TailSettings(path=str(folder / "log.jsonl"))), KedgeFormat("m"))
        ],
        windows=Windows(WindowSpec("time", 5.0, 5.0, lateness_s=1.0, ahead_max_s=300.0), "m"),
        references=NoReference(),
        judge=Judge(rules=(), confidence=0.95, psi_bins=10),
        store=store,
        metrics=Metrics(columns_max=10, versions_max=10),
        quarantine=Quarantine(folder / "quarantine.jsonl"),
        commit_interval_s=0.0,
        idle_s=1e9,
        wall=wall,
        monotonic=monotonic(),
    )
    engine.restore(store.load())
    rows = list(events(EVENTS, version="7", begins=NOW))
    for begin in range(0, EVENTS, PART):
        append(folder / "log.jsonl", lines(iter(rows[begin : begin + PART])))
        while engine.turn().busy:
            pass
    engine.stop()
    store.close()
    queries = Queries(f"sqlite:///{folder / 'kedge.db'}")
    windows = [
        (row["window_start"], row["window_end"], row["events"]) for row in queries.windows(Filter())
    ]
    queries.close()
    totals = engine.committed.totals["log"]
    return windows, {"events": totals.events, "late": totals.late}


def back_for_good() -> Iterator[float]:
    """An hour back, and it stays there."""
    return itertools.chain([0.0] * 10, itertools.repeat(-3600.0))


def to_and_fro() -> Iterator[float]:
    """Hours and days forward and back, each time that it is asked."""
    return itertools.cycle([0.0, 7200.0, -7200.0, 86_400.0, -86_400.0, 1.0])


def far_forward() -> Iterator[float]:
    """A year ahead, and it stays there."""
    return itertools.chain([0.0] * 10, itertools.repeat(365 * 86_400.0))


@pytest.mark.parametrize("offsets", [back_for_good, to_and_fro, far_forward])
def test_a_wall_clock_that_steps_changes_no_window(
    tmp_path: Path, offsets: Callable[[], Iterator[float]]
) -> None:
    expected = counted(tmp_path / "steady", steady(itertools.repeat(0.0)))

    found = counted(tmp_path / "stepping", steady(offsets()))

    assert found == expected
    assert expected[1] == {"events": EVENTS, "late": 0}
    assert [row[2] for row in expected[0]] == [500] * len(expected[0])


def test_the_clock_of_the_daemon_never_goes_back_and_never_stands() -> None:
    wall = steady(to_and_fro())
    clock = ForwardClock(wall, monotonic())

    said = [clock() for _ in range(100)]

    assert all(after > before for before, after in itertools.pairwise(said))


def exported(kedge: Kedge, series: str) -> str:
    """Wait until a counter is above zero on the page; return the page."""

    def page() -> str:
        found = kedge.page("/metrics")
        return found if sample(found, series) else ""

    return eventually(page, what=f"{series} is exported")


def in_windows(kedge: Kedge) -> int:
    return sum(row["events"] for row in kedge.get("/api/v1/windows?limit=1000")["windows"])


@pytest.mark.real
def test_events_of_the_far_future_close_no_window_and_make_no_other_late(tmp_path: Path) -> None:
    config = configure(tmp_path, windows='length = "10s"\nlateness = "2s"')
    log = tmp_path / "predictions.jsonl"
    begins = time.time() - 40
    row = b'{"ts": %f, "version": "7", "prediction": 1}\n'

    with running(config) as kedge:
        append(log, lines(events(2_000, version="7", begins=begins)))
        # Two beyond `ahead_max`, and one within it.
        append(log, row % (time.time() + 10 * 365 * 86_400) + row % (time.time() + 400))
        append(log, row % (time.time() + 250))
        kedge.counted(2_003)
        append(log, lines(events(1_000, version="7", begins=time.time() - 1, step_s=0.001)))
        kedge.counted(3_003)
        totals = kedge.totals()
        page = exported(kedge, AHEAD)
        windows = kedge.get("/api/v1/windows")["windows"]

    assert totals == {"events": 3_003, "rejected": 0, "late": 0, "shed": 0}
    assert sample(page, AHEAD) == 2
    assert all(row["window_end"] < "2030" for row in windows)


@pytest.mark.real
def test_events_that_come_after_their_window_closed_are_counted_as_late_and_in_none(
    tmp_path: Path,
) -> None:
    config = configure(tmp_path, windows='length = "5s"\nlateness = "1s"')
    log = tmp_path / "predictions.jsonl"

    with running(config) as kedge:
        append(log, lines(events(2_000, version="7", begins=NOW)))
        kedge.counted(2_000)
        eventually(lambda: kedge.get("/api/v1/windows")["windows"][2:], what="three windows")
        append(log, lines(events(100, version="7", begins=NOW)))
        kedge.counted(2_100)
        totals = kedge.totals()
        page = exported(kedge, LATE)
        eventually(lambda: in_windows(kedge) >= 2_000, what="all windows are closed")
        found = in_windows(kedge)

    assert totals == {"events": 2_100, "rejected": 0, "late": 100, "shed": 0}
    assert sample(page, LATE) == 100
    assert found == 2_000
