"""Counting numbers over a reference's grid."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.batch import NumberColumn
from detectors.columns.number_counts import NumberCounts, NumberState
from detectors.numerics.packing import PackingError, pack_counts
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


@given(
    POINTS,
    st.lists(st.lists(st.lists(NUMBERS, max_size=40), max_size=3), max_size=5),
    st.integers(1, 200),
)
def test_a_sum_of_parts_is_the_count_of_everything(
    points: np.ndarray, parts: list[list[list[float]]], copies: int
) -> None:
    total, at_once = NumberCounts(points), NumberCounts(points)

    for batches in parts:
        part = NumberCounts(points)
        for values in batches:
            column = NumberColumn(np.array(values * copies, np.float64))
            part.add(column)
            at_once.add(column)
        before = part.state()
        total.merge(part)
        assert part.state() == before

    assert total.cells().tolist() == at_once.cells().tolist()
    assert total.state() == at_once.state()
    assert (total.rows, total.missing) == (at_once.rows, at_once.missing)


@pytest.mark.parametrize("rows", [0, 10, 900, 50_000], ids=["none", "few", "as many", "many"])
def test_rows_up_to_a_point_are_those_that_comparisons_say(rows: int) -> None:
    points = np.arange(300.0)
    values = np.random.default_rng(5).integers(-10, 700, rows) / 2
    counts = NumberCounts(points)

    counts.add(NumberColumn(values))

    upto = counts.upto()
    values.sort()
    assert upto[:-1:2].tolist() == values.searchsorted(points, "left").tolist()
    assert upto[1::2].tolist() == values.searchsorted(points, "right").tolist()
    assert upto[-1] == rows


@pytest.mark.parametrize("rows", [40, 5_000], ids=["few cells filled", "most cells filled"])
def test_a_state_that_names_its_cells_is_read_whatever_share_is_filled(rows: int) -> None:
    points = np.arange(100.0)
    counts = NumberCounts(points)
    counts.add(NumberColumn(np.random.default_rng(5).integers(0, 220, rows) / 2 - 5))
    cells = counts.cells()
    filled = np.flatnonzero(cells)
    steps = pack_counts(np.diff(filled, prepend=0))

    restored = NumberCounts.of_state(
        NumberState(counts.size, steps, pack_counts(cells[filled]), 0, 0), points
    )

    assert restored.cells().tolist() == cells.tolist()
    assert restored.state() == counts.state()


def test_a_full_pane_takes_a_byte_a_cell() -> None:
    counts = NumberCounts(np.arange(1_000.0))

    counts.add(NumberColumn(np.random.default_rng(5).integers(0, 2_000, 20_000) / 2))

    state = counts.state()
    assert (len(state.steps.data), len(state.counts.data)) == (0, counts.size)
