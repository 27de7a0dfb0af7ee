"""Counting numbers over a reference's grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.batch import NumberColumn
from detectors.number_counts import NumberCounts
from detectors.packing import PackingError
from tests.detectors.batches import NUMBERS

POINTS = st.lists(st.integers(-4, 4).map(float), unique=True, max_size=9).map(
    lambda points: np.array(sorted(points), np.float64)
)


def by_hand(points: list[float], values: list[float]) -> list[int]:
    cells = [0] * (2 * len(points) + 1)
    for value in values:
        if not np.isnan(value):
            below = sum(point < value for point in points)
            cells[2 * below + (value in points)] += 1
    return cells


@given(POINTS, st.lists(st.lists(NUMBERS, max_size=40), max_size=8))
def test_every_value_falls_in_the_cell_that_its_comparisons_say(
    points: np.ndarray, batches: list[list[float]]
) -> None:
    counts = NumberCounts(points)

    for values in batches:
        counts.add(NumberColumn(np.array(values, np.float64)))

    every = [value for values in batches for value in values]
    assert counts.cells().tolist() == by_hand(points.tolist(), every)
    assert counts.rows == sum(not np.isnan(value) for value in every)
    assert counts.missing == sum(np.isnan(value) for value in every)


@pytest.mark.parametrize(
    ("grid", "batch_rows", "batches"),
    [(5_000, 10, 300), (5_000, 2_000, 20), (100, 5_000, 4), (3_000, 1, 200)],
    ids=["many small batches", "batches below the grid", "batches far above it", "single rows"],
)
def test_sparse_waiting_and_dense_cells_hold_the_same_counts(
    grid: int, batch_rows: int, batches: int
) -> None:
    random = np.random.default_rng(7)
    points = np.unique(random.normal(size=grid).round(3))
    values = random.normal(size=(batches, batch_rows)).round(3)
    counts, restored = NumberCounts(points), NumberCounts(points)

    for number, batch in enumerate(values):
        counts.add(NumberColumn(batch))
        restored.add(NumberColumn(batch))
        if number % 5 == 0:
            restored = NumberCounts.of_state(restored.state(), points)

    every = np.sort(values, axis=None)
    left, right = every.searchsorted(points, "left"), every.searchsorted(points, "right")
    assert counts.cells()[1::2].tolist() == (right - left).tolist()
    assert counts.cells().sum() == values.size
    assert restored.cells().tolist() == counts.cells().tolist()
    assert restored.state() == counts.state()


def test_a_quiet_pane_of_a_large_grid_stays_small() -> None:
    counts = NumberCounts(np.arange(20_000.0))

    counts.add(NumberColumn(np.array([1.0, 5.5, 19_000.0])))

    assert len(counts.state().steps.data) + len(counts.state().counts.data) < 20


def test_wrong_types_are_told_from_missing_values() -> None:
    counts = NumberCounts(np.array([1.0]))

    counts.add(NumberColumn(np.array([np.nan, 1.0, np.nan, np.nan]), invalid_rows=(2,)))

    assert (counts.missing, counts.invalid, counts.rows) == (2, 1, 1)


def test_cells_of_more_rows_than_32_bits_hold_do_not_overflow() -> None:
    points = np.array([0.0])
    counts = NumberCounts(points)
    counts.add(NumberColumn(np.zeros(10)))
    counts.cells()

    for _ in range(30):
        counts.merge(counts_copy(counts, points))

    assert counts.cells().tolist() == [0, 10 * 2**30, 0]
    assert NumberCounts.of_state(counts.state(), points).rows == 10 * 2**30


def counts_copy(counts: NumberCounts, points: np.ndarray) -> NumberCounts:
    return NumberCounts.of_state(counts.state(), points)


def test_a_state_of_another_grid_is_refused() -> None:
    state = NumberCounts(np.array([1.0, 2.0])).state()

    with pytest.raises(PackingError, match="5 cells, expected 3"):
        NumberCounts.of_state(state, np.array([1.0]))
