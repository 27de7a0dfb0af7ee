"""A window's column beside its reference: bars that add up, with ends that a person can read."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.batch import CategoryColumn, NumberColumn
from detectors.columns.category_counts import CategoryCounts
from detectors.columns.number_counts import NumberCounts
from detectors.columns.profile import CategoryProfile, NumberProfile
from detectors.columns.row_counts import RowCounts
from detectors.columns.side_by_side import (
    BINS_MAX,
    NAME_CHARACTERS_MAX,
    NEW_MAX,
    Bars,
    Counted,
    SideBySide,
    beside,
    frame_of,
    side_by_side,
)

numbers = st.lists(st.floats(allow_nan=False, width=64), min_size=1, max_size=60)


def profile_of(values: list[float]) -> NumberProfile:
    points, counts = np.unique(np.array(values, np.float64), return_counts=True)
    return NumberProfile(points, counts, 2, 1)


def pictured(reference: list[float], window: list[float]) -> SideBySide:
    profile = profile_of(reference)
    counted = NumberCounts(profile.points, profile.grid)
    counted.add(NumberColumn(np.array(window, np.float64)))
    found = side_by_side(profile, counted)
    assert found is not None
    return found


def counted_names(values: tuple[str, ...], window: list[str | None]) -> CategoryCounts:
    counts = CategoryCounts(values)
    counts.add(CategoryColumn(window))
    return counts


@given(numbers, numbers)
def test_no_row_is_lost_and_there_are_never_more_bars_than_a_picture_holds(
    reference: list[float], window: list[float]
) -> None:
    found = pictured(reference, window)

    assert (found.reference_rows, found.current_rows) == (len(reference), len(window))
    assert len(found.bins) <= BINS_MAX
    assert len({one.label for one in found.bins}) == len(found.bins)


@given(numbers, numbers)
def test_bars_of_ranges_join_in_ascending_order_and_are_open_at_the_ends(
    reference: list[float], window: list[float]
) -> None:
    bins = pictured([*reference, *range(20)], window).bins

    assert (bins[0].low, bins[-1].high) == (None, None)
    for left, right in itertools.pairwise(bins):
        assert left.high == right.low
    inner = [one.low for one in bins[1:] if one.low is not None]
    assert inner == sorted(set(inner))


@given(numbers, numbers)
def test_what_is_kept_of_both_sides_makes_the_same_picture(
    reference: list[float], window: list[float]
) -> None:
    profile = profile_of(reference)
    counts = NumberCounts(profile.points, profile.grid)
    counts.add(NumberColumn(np.array(window)))
    frame = frame_of(profile)
    assert frame is not None
    kept = msgspec.msgpack.encode((frame.bars, frame.count(counts)))

    assert beside(*msgspec.msgpack.decode(kept, type=tuple[Bars, Counted])) == side_by_side(
        profile, counts
    )


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (np.linspace(0, 100, 1000), ("up to 0", "0 to 10", "10 to 20")),
        (np.linspace(-0.3, 0.3, 999), ("up to -0.3", "-0.3 to -0.25", "-0.25 to -0.2")),
        (np.geomspace(1, 5000, 500), ("up to 1", "1 to 2", "2 to 5")),
        (np.arange(5.0), ("0", "1", "2")),
    ],
    ids=["evenly spread", "about zero", "over decades", "few values"],
)
def test_edges_are_numbers_that_can_be_said_aloud(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], labels: tuple[str, ...]
) -> None:
    bins = pictured(values.tolist(), [0.0]).bins

    assert tuple(one.label for one in bins[:3]) == labels
    for one in bins:
        assert one.low is None or one.low == float(f"{one.low:.6g}")


@pytest.mark.parametrize(
    "values",
    [
        np.linspace(-1, 1, 99) * 1.7e308,
        np.geomspace(5e-324, 1.7e308, 99),
        np.linspace(0, 1e-322, 50),
        np.append(np.arange(50.0), [-np.inf, np.inf]),
        np.linspace(1e16, 1e16 + 200, 101),
        np.append(np.zeros(999), np.arange(20.0)),
    ],
    ids=[
        *("all there is", "all decades", "the smallest", "infinities", "hardly different"),
        "nearly all of one value",
    ],
)
def test_the_ends_of_what_a_number_can_be_are_cut_like_others(
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    found = pictured(values.tolist(), [1.0])

    assert found.reference_rows == values.size
    assert 1 < len(found.bins) <= BINS_MAX


def test_rows_are_counted_between_the_edges_that_the_labels_name() -> None:
    found = pictured([float(value) for value in range(1, 101)], [5.0, 10.0, 11.0, 95.0, 1000.0])

    assert {one.label: one.current for one in found.bins if one.current} == {
        "0 to 10": 2,
        "10 to 20": 1,
        "90 to 100": 1,
        "above 100": 1,
    }


def test_rows_outside_of_everything_in_the_reference_are_counted() -> None:
    spread = pictured([float(value) for value in range(1, 101)], [0.0, 1.0, 50.5, 100.0, 1000.0])
    few = pictured([0.0, 0.0, 1.0], [1.0, 2.0, 0.5])

    assert spread.new == 2
    assert few.new == 2


def test_few_distinct_numbers_have_a_bar_each_and_what_is_new_has_one_more() -> None:
    bins = pictured([0, 0, 1], [1, 2, 0.5]).bins

    assert [(one.value, one.reference, one.current) for one in bins] == [
        (0.0, 2, 0),
        (1.0, 1, 1),
        (None, 0, 2),
    ]


def test_new_categories_are_named_beside_the_known_ones() -> None:
    profile = CategoryProfile(("gold", "basic"), np.array([6, 4]), 0, 0, 0)

    found = side_by_side(
        profile, counted_names(profile.values, ["gold", "tin", "tin", "<b>", None])
    )

    assert found is not None
    assert [(one.label, one.new, one.reference, one.current) for one in found.bins] == [
        ("gold", False, 6, 1),
        ("basic", False, 4, 0),
        ("other", False, 0, 0),
        ("tin", True, 0, 2),
        ("<b>", True, 0, 1),
        ("other new", True, 0, 0),
    ]
    assert (found.current_missing, found.new) == (1, 3)


def test_of_many_new_categories_the_most_frequent_are_named() -> None:
    profile = CategoryProfile(("a",), np.array([1]), 0, 0, 0)
    many = ["seldom", *(f"n{number}" for number in range(NEW_MAX) for _ in range(2))]

    found = side_by_side(profile, counted_names(profile.values, ["a", *many]))

    assert found is not None
    assert [one.label for one in found.bins if one.new] == ["n0", "n1", "n2", "other new"]
    assert found.bins[-1].current == 1


def test_where_the_reference_names_only_some_values_none_is_called_new() -> None:
    profile = CategoryProfile(("a", "b"), np.array([3, 2]), 5, 0, 0)

    found = side_by_side(profile, counted_names(profile.values, ["a", "unheard of"]))

    assert found is not None
    other = next(one for one in found.bins if one.label == "other")
    assert (other.reference, other.current, found.new) == (5, 1, 0)


def test_of_many_categories_the_most_frequent_are_shown_and_names_are_cut() -> None:
    values = tuple(f"{number:03d}" + "x" * 200 for number in range(100))
    profile = CategoryProfile(values, np.arange(100, 0, -1), 5, 0, 0)

    found = side_by_side(profile, counted_names(values, [*values, "unheard of"]))

    assert found is not None
    assert len(found.bins) <= BINS_MAX
    assert (found.reference_rows, found.current_rows) == (profile.rows, 101)
    assert {len(str(one.value)) for one in found.bins if one.value} == {NAME_CHARACTERS_MAX}


@pytest.mark.parametrize("value", [5.0, 1e300, -1e-300])
def test_a_constant_column_has_a_bar_for_it(value: float) -> None:
    bins = pictured([value] * 3, [value, value + abs(value)]).bins

    assert [(one.value, one.reference, one.current) for one in bins] == [
        (value, 3, 1),
        (None, 0, 1),
    ]


def test_what_cannot_be_put_beside_a_reference_is_not() -> None:
    nothing = CategoryProfile((), np.array([], np.int64), 0, 0, 0)

    assert side_by_side(None, RowCounts()) is None
    assert side_by_side(nothing, CategoryCounts(())) is None
    assert side_by_side(profile_of([1.0, 2.0]), CategoryCounts(("a",))) is None
