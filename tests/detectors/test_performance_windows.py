"""Labelled predictions are cut by when their labels became known; nothing closed changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.performance.performance import Pair, Performance, Reading
from detectors.windows.labelled import ClosedPerformance, PerformanceWindows
from detectors.windows.window_spec import WindowSpec
from detectors.windows.window_state import WindowStateError

RIGHT, WRONG = Pair("a", "a"), Pair("a", "b")
MINUTE = WindowSpec("time", 60.0, 60.0, lateness_s=10.0)


def windows_of(spec: WindowSpec, **limits: int) -> PerformanceWindows:
    return PerformanceWindows(spec, "m", Reading(), **limits)


def told(closed: list[ClosedPerformance]) -> list[tuple[str, float, float, int, int]]:
    return [
        (one.version, one.begins, one.ends, one.counts.n, one.counts.classes.correct)
        for one in closed
    ]


def test_a_window_closes_once_labels_are_known_that_are_later_than_its_end() -> None:
    windows = windows_of(MINUTE)
    windows.add("7", RIGHT, 30.0)
    windows.add("8", WRONG, 59.0)
    windows.add("7", RIGHT, 69.0)
    early = windows.close()

    windows.add("7", RIGHT, 70.0)

    assert early == []
    assert told(windows.close()) == [("7", 0.0, 60.0, 1, 1), ("8", 0.0, 60.0, 1, 0)]


def test_a_label_of_a_closed_window_counts_in_the_oldest_open_one() -> None:
    windows = windows_of(MINUTE)
    windows.add("7", RIGHT, 30.0)
    windows.add("7", RIGHT, 80.0)
    windows.close()

    windows.add("7", WRONG, 31.0)
    windows.advance(120.0)

    assert told(windows.close()) == [("7", 60.0, 120.0, 2, 1)]


def test_windows_that_slide_count_a_pair_in_each_and_windows_without_pairs_are_none() -> None:
    windows = windows_of(WindowSpec("time", 120.0, 60.0))
    windows.add("7", RIGHT, 30.0)
    windows.add("7", WRONG, 90.0)

    windows.advance(1000.0)

    assert told(windows.close()) == [
        ("7", -60.0, 60.0, 1, 1),
        ("7", 0.0, 120.0, 2, 1),
        ("7", 60.0, 180.0, 1, 0),
    ]


def test_windows_by_number_hold_so_many_pairs_of_one_version() -> None:
    windows = windows_of(WindowSpec("events", 4, 2))
    for i in range(7):
        windows.add("7", RIGHT, float(i))
        windows.add("8", WRONG, float(i))

    closed = told(windows.close())

    assert closed[:2] == [("7", 0.0, 3.0, 4, 4), ("7", 2.0, 5.0, 4, 4)]
    assert [one[0] for one in closed] == ["7", "7", "8", "8"]


def test_a_pair_can_be_taken_out_while_a_window_needs_its_pane_and_not_later() -> None:
    windows = windows_of(MINUTE)
    pane = windows.add("7", WRONG, 30.0)

    open_ = windows.remove("7", pane, WRONG)
    windows.add("7", RIGHT, 31.0)
    windows.advance(60.0)
    closed = windows.close()

    assert open_
    assert told(closed) == [("7", 0.0, 60.0, 1, 1)]
    assert not windows.remove("7", pane, RIGHT)


def test_the_limits_on_versions_and_panes_are_kept_and_counted() -> None:
    windows = windows_of(MINUTE, versions_max=2, panes_max=0)
    for version, known in (("1", 30.0), ("2", 40.0), ("3", 50.0), ("3", 500.0), ("3", 5000.0)):
        windows.add(version, RIGHT, known)

    windows.advance(10_000.0)

    assert [one[:3] for one in told(windows.close())] == [
        ("3", 480.0, 540.0),
        ("3", 4980.0, 5040.0),
    ]
    assert windows.evicted == 3


@given(
    st.lists(
        st.tuples(st.sampled_from("78"), st.sampled_from([RIGHT, WRONG]), st.floats(0, 900)),
        max_size=30,
    ),
    st.integers(0, 30),
    st.sampled_from([MINUTE, WindowSpec("time", 120.0, 60.0), WindowSpec("events", 4, 2)]),
)
def test_a_restart_anywhere_changes_no_window(
    pairs: list[tuple[str, Pair, float]], cut: int, spec: WindowSpec
) -> None:
    straight, before = windows_of(spec), windows_of(spec)
    panes: dict[tuple[str, int], bytes] = {}
    expected, found = [], []
    for pair in pairs:
        straight.add(*pair)
        expected += straight.close()

    for pair in pairs[:cut]:
        before.add(*pair)
        found += before.close()
        panes |= before.dirty_panes()
        for key in before.dropped_panes():
            panes.pop(key, None)
    after = windows_of(spec)
    after.restore(before.encode(), panes)
    for pair in pairs[cut:]:
        after.add(*pair)
        found += after.close()

    assert told(found) == told(expected)


def test_windows_that_were_cut_otherwise_are_not_taken_up() -> None:
    windows = windows_of(MINUTE)
    windows.add("7", RIGHT, 30.0)

    with pytest.raises(WindowStateError, match="slide"):
        windows_of(WindowSpec("time", 60.0, 30.0)).restore(windows.encode(), {})


def test_counts_without_pairs_are_no_window_even_after_a_removal() -> None:
    windows = windows_of(MINUTE)
    pane = windows.add("7", RIGHT, 30.0)
    windows.remove("7", pane, RIGHT)

    windows.advance(600.0)

    assert windows.close() == []
    assert Performance().task() is None
