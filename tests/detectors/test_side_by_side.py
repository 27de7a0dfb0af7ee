"""A window's column beside its reference: bars that add up, with ends that a person can read."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.batch import CategoryColumn, NumberColumn
from detectors.category_counts import CategoryCounts
from detectors.number_counts import NumberCounts
from detectors.profile import CategoryProfile, NumberProfile
from detectors.row_counts import RowCounts
from detectors.side_by_side import BINS_MAX, NAME_CHARACTERS_MAX, SideBySide, side_by_side

numbers = st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=200)


def pictured(reference: list[float], window: list[float]) -> SideBySide:
    points, counts = np.unique(np.array(reference, np.float64), return_counts=True)
    profile = NumberProfile(points, counts, 0, 0)
    counted = NumberCounts(profile.points)
    counted.add(NumberColumn(np.array(window, np.float64)))
    found = side_by_side(profile, counted)
    assert found is not None
    return found


@given(numbers, numbers)
def test_no_row_is_lost_and_there_are_never_more_bars_than_a_picture_holds(
    reference: list[float], window: list[float]
) -> None:
    found = pictured(reference, window)

    assert (found.reference_rows, found.current_rows) == (len(reference), len(window))
    assert len(found.bins) <= BINS_MAX + 1


@given(numbers, numbers)
def test_bars_of_intervals_join_in_ascending_order_and_are_open_at_the_ends(
    reference: list[float], window: list[float]
) -> None:
    bins = pictured([*reference, *range(20)], window).bins

    assert (bins[0].low, bins[-1].high) == (None, None)
    for left, right in itertools.pairwise(bins):
        assert left.high == right.low
    inner = [one.low for one in bins[1:] if one.low is not None]
    assert inner == sorted(set(inner))


def test_bars_have_round_ends_within_the_bulk_of_the_reference() -> None:
    reference = np.random.default_rng(7).normal(40, 10, 5_000)

    bins = pictured(reference.tolist(), (reference + 30).tolist()).bins

    assert [one.high for one in bins[:-1]] == [15, 20, 25, 30, 35, 40, 45, 50, 55, 60, 65]
    assert bins[-1].current > bins[-1].reference


def test_few_distinct_numbers_have_a_bar_each_and_what_is_new_has_one_more() -> None:
    bins = pictured([0, 0, 1], [1, 2, 0.5]).bins

    assert [(one.value, one.reference, one.current) for one in bins] == [
        (0.0, 2, 0),
        (1.0, 1, 1),
        (None, 0, 2),
    ]


def test_new_categories_are_named_beside_the_known_ones() -> None:
    profile = CategoryProfile(("gold", "basic"), np.array([6, 4]), 0, 0, 0)
    counts = CategoryCounts(profile.values)
    counts.add(CategoryColumn(["gold", "tin", "tin", "<b>", None]))

    found = side_by_side(profile, counts)

    assert found is not None
    assert [(one.value, one.reference, one.current) for one in found.bins] == [
        ("gold", 6, 1),
        ("basic", 4, 0),
        ("tin", 0, 2),
        ("<b>", 0, 1),
        (None, 0, 0),
    ]
    assert found.current_missing == 1


def test_of_many_categories_the_most_frequent_are_shown_and_names_are_cut() -> None:
    values = tuple(f"{number:03d}" + "x" * 200 for number in range(100))
    profile = CategoryProfile(values, np.arange(100, 0, -1), 5, 0, 0)
    counts = CategoryCounts(values)
    counts.add(CategoryColumn([*values, "unheard of"]))

    found = side_by_side(profile, counts)

    assert found is not None
    assert len(found.bins) == BINS_MAX + 1
    assert (found.reference_rows, found.current_rows) == (profile.rows, 101)
    assert {len(str(one.value)) for one in found.bins[:-1]} == {NAME_CHARACTERS_MAX}


@pytest.mark.parametrize("value", [5.0, 1e300, -1e-300])
def test_a_constant_column_has_a_bar_for_it(value: float) -> None:
    bins = pictured([value] * 3, [value, value + abs(value)]).bins

    assert [(one.value, one.reference, one.current) for one in bins] == [
        (value, 3, 1),
        (None, 0, 1),
    ]


def test_what_cannot_be_put_beside_a_reference_is_not() -> None:
    assert side_by_side(None, RowCounts()) is None
    assert side_by_side(CategoryProfile((), np.array([], np.int64), 0, 0, 0), RowCounts()) is None
