"""Pairs are cut by the time of their event, and wait for the answers that are still out."""

from __future__ import annotations

import pytest

from detectors.paired.answers import PairedAnswer, PairedStateError
from detectors.windows.paired import ClosedPairs, PairedWindows
from detectors.windows.population import is_segment, population
from detectors.windows.window_spec import WindowSpec

MINUTE = WindowSpec("time", 60.0, 60.0)
SLIDING = WindowSpec("time", 120.0, 60.0)
THREES = WindowSpec("events", 3, 3)
SAME, OTHER = PairedAnswer("a", "a"), PairedAnswer("a", "b")


def add(windows: PairedWindows, ts: float, pair: PairedAnswer = SAME, live: str = "7") -> None:
    windows.pane(live, "8", ts).add(pair, ts, tolerance=0.0)


def told(closed: list[ClosedPairs]) -> list[tuple[str, str, float, float, int, int]]:
    return [
        (one.live, one.version, one.begins, one.ends, one.counts.n, one.counts.disagreements)
        for one in closed
    ]


def test_a_window_closes_when_its_pairs_are_complete_and_not_before() -> None:
    windows = PairedWindows(MINUTE, "m")
    add(windows, 10.0)
    add(windows, 70.0, OTHER)
    windows.advance(59.0)
    early = windows.close()

    windows.advance(60.0)

    assert early == []
    assert told(windows.close()) == [("7", "8", 0.0, 60.0, 1, 0)]
    windows.advance(120.0)
    assert told(windows.close()) == [("7", "8", 60.0, 120.0, 1, 1)]


def test_live_versions_have_windows_of_their_own() -> None:
    windows = PairedWindows(MINUTE, "m")
    add(windows, 10.0)
    add(windows, 20.0, OTHER, live="6")

    windows.advance(60.0)

    assert told(windows.close()) == [("6", "8", 0.0, 60.0, 1, 1), ("7", "8", 0.0, 60.0, 1, 0)]


def test_panes_add_up_to_windows_that_slide() -> None:
    windows = PairedWindows(SLIDING, "m")
    for ts in (10.0, 70.0, 75.0):
        add(windows, ts)

    windows.advance(180.0)

    assert told(windows.close()) == [
        ("7", "8", -60.0, 60.0, 1, 0),
        ("7", "8", 0.0, 120.0, 3, 0),
        ("7", "8", 60.0, 180.0, 2, 0),
    ]


def test_a_pair_that_comes_after_its_window_counts_in_the_next() -> None:
    windows = PairedWindows(MINUTE, "m")
    add(windows, 10.0)
    windows.advance(60.0)
    windows.close()

    add(windows, 20.0)
    windows.advance(120.0)

    assert told(windows.close()) == [("7", "8", 60.0, 120.0, 1, 0)]


def test_windows_by_number_hold_so_many_pairs() -> None:
    windows = PairedWindows(THREES, "m")
    for ts in range(7):
        add(windows, float(ts))

    assert told(windows.close()) == [("7", "8", 0.0, 2.0, 3, 0), ("7", "8", 3.0, 5.0, 3, 0)]


@pytest.mark.parametrize("spec", [MINUTE, SLIDING, THREES], ids=["minute", "sliding", "number"])
def test_a_restart_goes_on_where_it_stood(spec: WindowSpec) -> None:
    whole, before, after = (PairedWindows(spec, "m") for _ in range(3))
    for ts in (10.0, 70.0):
        for windows in (whole, before):
            add(windows, ts, OTHER)
    after.restore(before.encode())

    for windows in (whole, after):
        for ts in (75.0, 130.0):
            add(windows, ts)
        windows.advance(180.0)

    assert after.encode() == whole.encode()
    assert told(after.close()) == told(whole.close())


def test_windows_cut_in_another_way_are_not_taken_up() -> None:
    with pytest.raises(PairedStateError, match="another way"):
        PairedWindows(THREES, "m").restore(PairedWindows(MINUTE, "m").encode())
    with pytest.raises(PairedStateError, match="damaged"):
        PairedWindows(THREES, "m").restore(b"no")


def test_versions_beyond_the_limit_push_out_those_idle_for_longest() -> None:
    windows = PairedWindows(MINUTE, "m", versions_max=2)
    for live, ts in (("5", 10.0), ("6", 20.0), ("7", 30.0)):
        add(windows, ts, live=live)

    windows.advance(60.0)

    assert [one.live for one in windows.close()] == ["6", "7"]
    assert windows.evicted == 1


def test_segments_have_windows_beside_the_whole_and_go_with_their_versions() -> None:
    windows = PairedWindows(MINUTE, "m", versions_max=1, segments_max=2)
    german = population("8", "country=DE")
    for other in ("8", german):
        windows.pane("6", other, 10.0).add(OTHER, 10.0, tolerance=0.0)
        windows.pane("6", other, 70.0).add(SAME, 70.0, tolerance=0.0)
    windows.advance(60.0)
    closed = windows.close()

    add(windows, 80.0, live="7")
    windows.advance(120.0)

    assert [(one.version, one.segment, one.population) for one in closed] == [
        ("8", "", "8"),
        ("8", "country=DE", german),
    ]
    assert windows.evicted == 2
    assert told(windows.close()) == [("7", "8", 60.0, 120.0, 1, 0)]


def test_a_restart_lets_go_of_populations_that_are_not_compared_any_more() -> None:
    before, after = PairedWindows(MINUTE, "m"), PairedWindows(MINUTE, "m")
    for other in ("8", population("8", "country=DE")):
        before.pane("7", other, 10.0).add(OTHER, 10.0, tolerance=0.0)

    after.restore(before.encode(), lambda name: not is_segment(name))
    after.advance(60.0)

    assert [one.population for one in after.close()] == ["8"]
