"""Windows by time and by events."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.batch import NumberColumn, PredictionBatch, Schema
from detectors.columns.number_counts import NumberCounts
from detectors.windows.pane import Pane
from detectors.windows.pane_store import PaneStore
from detectors.windows.window import (
    AddResult,
    ClosedWindow,
    Windows,
    WindowSpec,
    WindowStateError,
)
from tests.detectors.batches import batch_of, reference_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from detectors.windows.pane_store import PaneKey

REFERENCE = reference_of({"x": NumberColumn(np.arange(10.0))})
TUMBLING = WindowSpec("time", length=60, slide=60, lateness_s=10, ahead_max_s=30)
SLIDING = WindowSpec("time", length=120, slide=60, lateness_s=10, ahead_max_s=30)
COUNTED = WindowSpec("events", length=4, slide=2)
LATER = 1e9


def rows(ts: Sequence[float], version: str = "1") -> PredictionBatch:
    return batch_of(ts, {"x": NumberColumn(np.resize(np.arange(7.0), len(ts)))}, version=version)


def fed(windows: Windows, batches: Iterable[PredictionBatch]) -> list[ClosedWindow]:
    """Every batch a chunk of its own."""
    closed: list[ClosedWindow] = []
    for batch in batches:
        windows.add(batch, REFERENCE, LATER)
        closed += windows.close()
    return closed


def spans(closed: Iterable[ClosedWindow]) -> list[tuple[str, float, float, int]]:
    return [(w.version, w.begins, w.ends, w.pane.events) for w in closed]


def test_a_window_closes_when_the_watermark_reaches_its_end() -> None:
    windows = Windows(TUMBLING, "m")

    early = fed(windows, [rows([1, 59, 69.9])])
    on_time = fed(windows, [rows([70])])

    assert early == []
    assert spans(on_time) == [("1", 0, 60, 2)]
    assert windows.watermark == 60


def test_rows_out_of_order_within_the_lateness_are_counted_where_they_belong() -> None:
    windows = Windows(TUMBLING, "m")

    closed = fed(windows, [rows([65, 58, 61, 5]), rows([30, 130, 100])])

    assert spans(closed) == [("1", 0, 60, 3), ("1", 60, 120, 3)]


def test_rows_of_a_closed_window_are_late_and_change_nothing() -> None:
    windows = Windows(SLIDING, "m")
    first = fed(windows, [rows([5, 71])])

    result = windows.add(rows([59, 60, 131, float("nan")]), REFERENCE, LATER)

    assert spans(first) == [("1", -60, 60, 1)]
    assert result == AddResult(late=2, ahead=0, newest=131.0)
    assert spans(windows.close()) == [("1", 0, 120, 3)]


def test_rows_of_several_versions_in_one_chunk_do_not_make_each_other_late() -> None:
    windows = Windows(TUMBLING, "m")

    windows.add(rows([1_000_000], version="2"), REFERENCE, LATER)
    result = windows.add(rows([1, 2]), REFERENCE, LATER)

    assert result.late == 0
    assert spans(windows.close())[0] == ("1", 0, 60, 2)


def test_rows_from_the_far_future_count_as_now() -> None:
    windows = Windows(TUMBLING, "m")

    result = windows.add(rows([100, 129, 131, 9e12, math.inf]), REFERENCE, now=100)

    assert result == AddResult(late=0, ahead=3, newest=129.0)
    assert windows.watermark == 119
    windows.advance(200)
    assert spans(windows.close()) == [("1", 60, 120, 4), ("1", 120, 180, 1)]


def test_sliding_windows_are_sums_of_the_same_panes() -> None:
    windows = Windows(SLIDING, "m")

    closed = fed(windows, [rows([10, 20]), rows([70]), rows([130]), rows([300])])

    assert spans(closed)[:4] == [
        ("1", -60, 60, 2),
        ("1", 0, 120, 3),
        ("1", 60, 180, 2),
        ("1", 120, 240, 1),
    ]


def test_versions_have_windows_of_their_own() -> None:
    windows = Windows(TUMBLING, "m")

    closed = fed(windows, [rows([1, 2], "1"), rows([3], "2"), rows([200], "2")])

    assert spans(closed) == [
        ("1", 0, 60, 2),
        ("2", 0, 60, 1),
        ("2", 60, 120, 0),
        ("2", 120, 180, 0),
    ]


def test_no_traffic_gives_empty_windows_of_the_live_version_only() -> None:
    windows = Windows(TUMBLING, "m")
    fed(windows, [rows([1], "1"), rows([2], "2")])

    windows.advance(185)

    assert spans(windows.close()) == [
        ("1", 0, 60, 1),
        ("2", 0, 60, 1),
        ("2", 60, 120, 0),
        ("2", 120, 180, 0),
    ]


def test_a_jump_over_a_gap_writes_few_empty_windows_and_counts_the_rest() -> None:
    windows = Windows(TUMBLING, "m")

    closed = fed(windows, [rows([1]), rows([60 * 1_000 + 1])])
    windows.advance(60 * 1e9)

    assert spans(closed)[0] == ("1", 0, 60, 1)
    assert [w.pane.events for w in closed[1:]] == [0] * 10
    assert closed[-1].ends == 60 * 999
    assert windows.skipped == 999 - 1 - 10
    assert len(windows.close()) == 11


def test_idling_before_the_first_row_makes_no_row_late() -> None:
    windows = Windows(TUMBLING, "m")

    windows.advance(1e6)
    assert windows.close() == []
    result = windows.add(rows([1, 2]), REFERENCE, LATER)

    assert result.late == 0
    assert spans(windows.close())[0] == ("1", 0, 60, 2)


def test_a_window_that_began_before_the_first_row_states_no_duration() -> None:
    windows = Windows(SLIDING, "m")

    closed = fed(windows, [rows([0, 70]), rows([200])])

    assert [(w.begins, w.seconds) for w in closed] == [(-60, None), (0, 120), (60, 120)]


def test_the_watermark_never_moves_back() -> None:
    windows = Windows(TUMBLING, "m")
    fed(windows, [rows([500])])

    windows.advance(3)
    windows.add(rows([490]), REFERENCE, LATER)

    assert windows.watermark == 490


def test_windows_of_events_close_every_slide_once_they_are_full() -> None:
    windows = Windows(COUNTED, "m")

    closed = fed(windows, [rows([1, 2, 3]), rows([9, 4, 5, 6, 7, 8])])

    assert spans(closed) == [("1", 1, 9, 4), ("1", 3, 9, 4), ("1", 4, 7, 4)]


def test_windows_of_events_are_counted_version_by_version() -> None:
    windows = Windows(COUNTED, "m")

    closed = fed(windows, [rows([1, 2, 3], "1"), rows([4, 5], "2"), rows([6], "1")])

    assert spans(closed) == [("1", 1, 6, 4)]
    assert closed[0].seconds == 5


@given(
    st.lists(st.lists(st.integers(0, 500), min_size=1, max_size=9), min_size=1, max_size=6),
    st.sampled_from([(4, 2), (3, 3), (6, 1)]),
)
def test_windows_of_events_do_not_depend_on_how_rows_were_batched(
    chunks: list[list[int]], cut: tuple[int, int]
) -> None:
    length, slide = cut
    every = [float(ts) for chunk in chunks for ts in chunk]

    windows = Windows(WindowSpec("events", length, slide), "m")
    closed = fed(windows, [rows([float(ts) for ts in chunk]) for chunk in chunks])

    expected = [
        (min(part), max(part))
        for end in range(length, len(every) + 1, slide)
        for part in [every[end - length : end]]
    ]
    assert [(w.begins, w.ends) for w in closed] == expected
    assert {w.pane.events for w in closed} <= {length}


CHUNKS = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from(["1", "2"]),
            st.lists(st.integers(0, 700).map(float), min_size=1, max_size=6),
        ),
        max_size=3,
    ),
    max_size=8,
)


@settings(deadline=None)
@given(CHUNKS, st.sampled_from([TUMBLING, SLIDING, COUNTED]), st.data())
def test_a_restart_at_any_cut_gives_the_same_windows(
    chunks: list[list[tuple[str, list[float]]]], spec: WindowSpec, data: st.DataObject
) -> None:
    cuts = data.draw(st.sets(st.integers(0, len(chunks))))
    straight, again = Windows(spec, "m"), Windows(spec, "m")
    stored: dict[PaneKey, bytes] = {}

    expected: list[object] = []
    actual: list[object] = []
    for number, chunk in enumerate(chunks):
        for windows, seen in ((straight, expected), (again, actual)):
            seen += [windows.add(rows(ts, version), REFERENCE, LATER) for version, ts in chunk]
            seen += [described(window) for window in windows.close()]
        for key in again.dropped_panes():
            stored.pop(key, None)
        stored |= again.dirty_panes()
        if number in cuts:
            again = restarted(again, stored)

    assert actual == expected
    assert again.encode() == straight.encode()


@settings(deadline=None)
@given(
    CHUNKS,
    st.sampled_from([TUMBLING, SLIDING, COUNTED]),
    st.integers(0, 3_000),
    st.sampled_from([1, 2, 5]),
    st.sampled_from([1, 3, 10_000]),
)
def test_windows_closed_in_steps_with_restarts_between_are_those_closed_at_once(
    chunks: list[list[tuple[str, list[float]]]],
    spec: WindowSpec,
    jump: int,
    windows_max: int,
    steps_between_restarts: int,
) -> None:
    at_once, in_steps = Windows(spec, "m"), Windows(spec, "m")
    stored: dict[PaneKey, bytes] = {}
    steps = 0

    expected: list[object] = []
    actual: list[object] = []
    for number, chunk in enumerate(chunks):
        for windows, seen in ((at_once, expected), (in_steps, actual)):
            seen += [windows.add(rows(ts, version), REFERENCE, LATER) for version, ts in chunk]
            windows.advance(float(jump * number))
        expected += [described(window) for window in at_once.close()]
        while in_steps.closable():
            actual += [described(window) for window in in_steps.close_some(windows_max)]
            for key in in_steps.dropped_panes():
                stored.pop(key, None)
            stored |= in_steps.dirty_panes()
            steps += 1
            if steps % steps_between_restarts == 0:
                in_steps = restarted(in_steps, stored)

    assert actual == expected
    assert in_steps.encode() == at_once.encode()


def test_a_step_closes_as_many_windows_as_it_may_and_the_others_stay_open() -> None:
    windows = Windows(SLIDING, "m")
    windows.add(rows([1, 61, 400]), REFERENCE, LATER)

    first = spans(windows.close_some(2))
    late = windows.add(rows([59]), REFERENCE, LATER).late
    second = spans(windows.close_some(1))

    assert first == [("1", -60, 60, 1), ("1", 0, 120, 2)]
    assert late == 1
    assert second == [("1", 60, 180, 1)]
    assert windows.closable()


def test_windows_are_closed_even_if_nobody_asks_for_them() -> None:
    windows = Windows(TUMBLING, "m")
    windows.add(rows([1, 70]), REFERENCE, LATER)

    windows.close_some(1)

    assert not windows.closable()
    assert windows.close() == []


def restarted(windows: Windows, stored: dict[PaneKey, bytes]) -> Windows:
    return Windows.decode(
        windows.spec,
        "m",
        windows.encode(),
        panes=stored,
        references={"1": REFERENCE, "2": REFERENCE},
    )


def described(window: ClosedWindow) -> tuple[object, ...]:
    return window.version, window.begins, window.ends, window.seconds, window.pane.encode()


@given(CHUNKS, st.sampled_from([TUMBLING, SLIDING]))
def test_every_row_is_in_its_windows_or_late(
    chunks: list[list[tuple[str, list[float]]]], spec: WindowSpec
) -> None:
    windows = Windows(spec, "m")
    late, total = 0, 0

    closed = []
    for version, ts in itertools.chain.from_iterable(chunks):
        late += windows.add(rows(ts, version), REFERENCE, LATER).late
        total += len(ts)
        closed += windows.close()
    windows.advance(5_000)
    closed += windows.close()

    assert sum(w.pane.events for w in closed) == spec.panes * (total - late)
    assert all(
        w.begins <= w.pane.first_ts and w.pane.last_ts < w.ends for w in closed if w.pane.events
    )
    assert [w.ends for w in closed] == sorted(w.ends for w in closed)


def test_a_new_reference_starts_columns_afresh_and_keeps_requests() -> None:
    windows = Windows(TUMBLING, "m")

    windows.add(rows([1, 2]), None, LATER)
    windows.add(rows([3]), REFERENCE, LATER)
    windows.advance(60)
    (closed,) = windows.close()

    counts = closed.pane.columns["x"]
    assert isinstance(counts, NumberCounts)
    assert (closed.pane.events, closed.pane.requests, counts.rows) == (3, 3, 1)
    assert closed.pane.digest == REFERENCE.digest


def test_a_version_too_many_evicts_the_one_idle_for_longest() -> None:
    windows = Windows(TUMBLING, "m", versions_max=2)

    for number, version in enumerate(["a", "b", "a", "c"]):
        windows.add(rows([float(number)], version), REFERENCE, LATER)
    windows.advance(60)

    assert spans(windows.close()) == [("a", 0, 60, 2), ("c", 0, 60, 1)]
    assert windows.evicted_versions == 1


def test_a_restart_keeps_to_the_number_of_versions_that_is_asked_for_then() -> None:
    before = Windows(TUMBLING, "m", versions_max=3)
    for number, version in enumerate(["a", "b", "c"]):
        before.add(rows([float(number)], version), REFERENCE, LATER)

    windows = Windows.decode(
        TUMBLING,
        "m",
        before.encode(),
        panes=before.dirty_panes(),
        references={},
        limits=(2, 10, 0),
    )
    windows.add(rows([3.0], "d"), REFERENCE, LATER)
    windows.advance(60)

    assert spans(windows.close()) == [("c", 0, 60, 1), ("d", 0, 60, 1)]
    assert windows.evicted_versions == 2


def test_panes_are_bounded_and_what_it_cost_is_counted() -> None:
    windows = Windows(TUMBLING, "m", versions_max=1, panes_max=4)

    windows.add(rows([60.0 * number for number in range(9)]), REFERENCE, LATER)

    assert windows.evicted_panes == 4
    assert [w.begins for w in windows.close() if w.pane.events] == [240, 300, 360]


def test_panes_that_no_window_needs_are_dropped_once() -> None:
    windows = Windows(SLIDING, "m")
    fed(windows, [rows([1])])
    assert set(windows.dirty_panes()) == {("1", 0)}
    assert windows.dirty_panes() == {}

    fed(windows, [rows([200])])

    assert windows.dropped_panes() == {("1", 0)}
    assert windows.dropped_panes() == set()
    assert set(windows.dirty_panes()) == {("1", 3)}


@pytest.mark.parametrize(
    "spec",
    [
        WindowSpec("time", 30, 30),
        WindowSpec("events", 60, 60),
    ],
    ids=["another slide", "another kind"],
)
def test_stored_windows_cut_otherwise_are_refused(spec: WindowSpec) -> None:
    state = Windows(TUMBLING, "m").encode()

    with pytest.raises(WindowStateError, match="start windows afresh"):
        Windows.decode(spec, "m", state, panes={}, references={})


def test_a_changed_length_is_taken_up() -> None:
    windows = Windows(TUMBLING, "m")
    fed(windows, [rows([1, 50])])

    longer = Windows.decode(
        SLIDING,
        "m",
        windows.encode(),
        panes=windows.dirty_panes(),
        references={"1": REFERENCE},
    )
    longer.advance(120)

    assert spans(longer.close()) == [("1", -60, 60, 2), ("1", 0, 120, 2)]


def test_damaged_windows_are_refused() -> None:
    with pytest.raises(WindowStateError, match="damaged"):
        Windows.decode(TUMBLING, "m", b"\x00", panes={}, references={})


@pytest.mark.parametrize(
    ("kind", "length", "slide"),
    [("time", 60, 50), ("time", 50, 60), ("time", 60, 0), ("events", 3, 1.5)],
)
def test_impossible_cuts_are_refused(kind: str, length: float, slide: float) -> None:
    with pytest.raises(ValueError, match=r"length|events"):
        WindowSpec(kind, length, slide)  # type: ignore[arg-type]  # a plain string of the table


def test_only_panes_that_the_store_holds_are_asked_to_be_deleted() -> None:
    panes = PaneStore()
    pane = Pane(None, Schema({}))
    for index in (1, 2):
        panes.put("7", index, pane)
    panes.take_dirty()

    panes.put("7", 3, pane)
    panes.drop(lambda _key: True)
    panes.put("7", 2, pane)
    first = panes.take_dropped()
    panes.drop(lambda _key: True)

    assert first == {("7", 1)}
    assert panes.take_dropped() == {("7", 2)}
