"""Old windows become hours, once each; hours go in their turn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.store.queries import Filter, Queries
from monitor.store.store import Change, Store, WindowRow

HOUR = 3600.0
BEGIN = 1_772_618_400.0  # a full hour


class Clock:
    """The clock of the store, set by the test."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(url: str, clock: Clock) -> Iterator[Store]:
    store = Store.open(url, clock=clock)
    yield store
    store.close()


@pytest.fixture
def queries(url: str, store: Store) -> Iterator[Queries]:
    queries = Queries(url)
    yield queries
    queries.close()


def window(
    ends: float,
    value: float | None,
    *,
    verdict: str = "ok",
    version: str = "7",
    threshold: float = 0.25,
) -> WindowRow:
    frame = {"model": "m", "version": version, "begins": ends - 300, "ends": ends}
    counts = {"events": 10, "requests": 10, "errors": 0, "rejected": 0, "late": 0}
    around = (None, None) if value is None else (value - 1, value + 1)
    measured = {"value": value, "low": around[0], "high": around[1], "p_value": 0.5, "n": 10}
    one = {**frame, "column": "age", "metric": "psi", **measured}
    return WindowRow(frame | counts, [one | {"threshold": threshold, "verdict": verdict}])


def prune_all(store: Store, before: float, *, rows_max: int = 10) -> int:
    total = 0
    while pruned := store.prune(before, rows_max=rows_max, hours_before=0.0):
        total += pruned
    return total


def test_an_hour_says_what_its_windows_said(store: Store, queries: Queries) -> None:
    verdicts = ["ok", "breach", "unknown"]
    values = [1.0, 6.0, None]
    store.commit(
        Change(
            windows=[
                window(BEGIN + 300 * i, value, verdict=verdict)
                for i, (value, verdict) in enumerate(zip(values, verdicts, strict=True), 1)
            ]
        )
    )

    pruned = prune_all(store, 1.0)

    [hour] = queries.measurements(Filter())
    assert pruned == 3
    assert hour == {
        "window_start": "2026-03-04T10:00:00.000Z",
        "window_end": "2026-03-04T11:00:00.000Z",
        "model": "m",
        "version": "7",
        "segment": None,
        "column": "age",
        "metric": "psi",
        "value": 3.5,
        "low": 0.0,
        "high": 7.0,
        "p_value": None,
        "n": 30,
        "threshold": 0.25,
        "verdict": "breach",
        "resolution": "1h",
        "windows": 3,
        "breaches": 1,
        "value_min": 1.0,
        "value_max": 6.0,
    }


def test_a_window_is_of_the_hour_in_which_it_ended_of_its_own_version(
    store: Store, queries: Queries
) -> None:
    windows = [
        window(BEGIN, 1.0),
        window(BEGIN + 1, 2.0),
        window(BEGIN + HOUR, 3.0),
        window(BEGIN + HOUR, 4.0, version="8"),
    ]
    store.commit(Change(windows=windows))

    prune_all(store, 1.0)

    hours = [(row["window_end"][11:13], row["version"], row["windows"]) for row in _all(queries)]
    assert sorted(hours) == [("10", "7", 1), ("11", "7", 2), ("11", "8", 1)]


def test_recent_windows_are_answered_raw_and_older_ones_by_the_hour_in_one_order(
    store: Store, queries: Queries, clock: Clock
) -> None:
    store.commit(Change(windows=[window(BEGIN + 300 * i, float(i)) for i in range(1, 25)]))
    clock.now = 100.0
    store.commit(Change(windows=[window(BEGIN + 300 * i, float(i)) for i in range(25, 28)]))

    prune_all(store, 50.0)

    rows = queries.measurements(Filter(column="age", metric="psi"))
    assert [row["resolution"] for row in rows] == ["raw"] * 3 + ["1h"] * 2
    assert [row["value"] for row in rows] == [27.0, 26.0, 25.0, 18.5, 6.5]
    assert queries.measurements(Filter(limit=4)) == rows[:4]
    assert queries.measurements(Filter(until=BEGIN + HOUR + 1)) == rows[4:]


def test_windows_of_long_ago_are_answered_by_the_hour(
    store: Store, queries: Queries, clock: Clock
) -> None:
    def counted(ends: float, events: float) -> WindowRow:
        row = window(ends, 1.0)
        whole = {**row.measurements[0], "column": None, "metric": "events", "value": events}
        return WindowRow({**row.window, "events": int(events)}, [*row.measurements, whole])

    labels = window(BEGIN + 2 * HOUR, 1.0)
    labels = WindowRow({**labels.window, "kind": "labels"}, labels.measurements)
    old = [counted(BEGIN + 300 * i, 10.0 * i) for i in range(1, 25)]
    store.commit(Change(windows=[*old[:12], *old[12:], labels]))
    clock.now = 100.0
    store.commit(Change(windows=[counted(BEGIN + 3 * HOUR, 7.0)]))
    assert len(queries.windows(Filter())) == 25

    prune_all(store, 50.0)

    recent, *hours = queries.windows(Filter())
    assert (recent["resolution"], recent["events"], recent["late"]) == ("raw", 7, 0)
    assert [(row["resolution"], row["windows"], row["events"]) for row in hours] == [
        ("1h", 12, 185.0),
        ("1h", 12, 65.0),
    ]
    assert hours[1]["window_start"] == "2026-03-04T10:00:00.000Z"
    assert hours[1]["late"] is None
    assert queries.windows(Filter(limit=2)) == [recent, hours[0]]
    assert queries.windows(Filter(until=BEGIN + HOUR + 1)) == hours[1:]


def test_a_threshold_that_changed_within_an_hour_is_none(store: Store, queries: Queries) -> None:
    store.commit(Change(windows=[window(BEGIN + i, 1.0, threshold=0.1 * i) for i in (1, 2)]))

    prune_all(store, 1.0, rows_max=1)

    [hour] = queries.measurements(Filter())
    assert hour["threshold"] is None


def test_hours_go_when_the_last_of_their_windows_is_old_enough(
    store: Store, queries: Queries, clock: Clock
) -> None:
    store.commit(Change(windows=[window(BEGIN + 1, 1.0)]))
    clock.now = 100.0
    store.commit(Change(windows=[window(BEGIN + 2, 2.0)]))
    prune_all(store, 200.0)

    store.prune(200.0, rows_max=10, hours_before=100.0)
    kept = len(queries.measurements(Filter()))
    store.prune(200.0, rows_max=10, hours_before=101.0)

    assert kept == 1
    assert queries.measurements(Filter()) == []


def test_a_window_of_long_ago_read_today_is_kept_as_long_as_any(
    store: Store, queries: Queries, clock: Clock
) -> None:
    clock.now = 1000.0
    store.commit(Change(windows=[window(BEGIN - 365 * 24 * HOUR, 1.0)]))

    pruned = store.prune(999.0, rows_max=10, hours_before=998.0)

    [row] = queries.measurements(Filter())
    assert pruned == 0
    assert row["resolution"] == "raw"


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(
        st.none() | st.floats(-1e6, 1e6, allow_subnormal=False), min_size=1, max_size=12
    ),
    portion=st.integers(1, 5),
)
def test_portions_of_any_size_make_the_same_hour(
    tmp_path_factory: pytest.TempPathFactory, values: Sequence[float | None], portion: int
) -> None:
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'kedge.db'}"
    store = Store.open(url, clock=lambda: 0.0)
    store.commit(Change(windows=[window(BEGIN + i, value) for i, value in enumerate(values, 1)]))

    prune_all(store, 1.0, rows_max=portion)

    queries = Queries(url)
    [hour] = queries.measurements(Filter())
    known = [value for value in values if value is not None]
    assert hour["windows"] == len(values)
    assert hour["value_min"] == min(known, default=None)
    assert hour["value_max"] == max(known, default=None)
    if known:
        assert math.isclose(
            hour["value"], math.fsum(known) / len(known), rel_tol=1e-9, abs_tol=1e-6
        )
    queries.close()
    store.close()


def _all(queries: Queries) -> list[dict[str, Any]]:
    return queries.measurements(Filter())
