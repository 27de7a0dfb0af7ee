"""Histograms for people: round edges, few bins, every row in one of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.batch import CategoryColumn, NumberColumn
from detectors.category_counts import CategoryCounts
from detectors.histogram import BINS_MAX, NEW_MAX, histogram, new_names
from detectors.number_counts import NumberCounts
from detectors.profile import CategoryProfile, NumberProfile

numbers = st.lists(st.floats(allow_nan=False, width=64), min_size=1, max_size=60)


def profile_of(values: list[float]) -> NumberProfile:
    points, counts = np.unique(np.array(values), return_counts=True)
    return NumberProfile(points, counts, 2, 1)


@given(numbers, numbers)
def test_every_row_falls_in_one_of_few_bins(reference: list[float], window: list[float]) -> None:
    profile = profile_of(reference)
    counts = NumberCounts(profile.points, profile.grid)
    counts.add(NumberColumn(np.array(window)))

    cut = histogram(profile)
    rows = cut.count(counts)

    assert rows is not None
    assert rows.sum() == len(window)
    assert cut.rows.sum() == len(reference)
    assert rows.size == cut.rows.size == len(cut.labels) <= BINS_MAX
    assert len(set(cut.labels)) == len(cut.labels)


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (np.linspace(0, 160, 1000), ("≤ 0", "0 to 10", "10 to 20")),
        (np.linspace(-0.3, 0.3, 999), ("≤ -0.3", "-0.3 to -0.25", "-0.25 to -0.2")),
        (np.geomspace(1, 5000, 500), ("≤ 1", "1 to 2", "2 to 5")),
        (np.arange(5.0), ("0", "1", "2")),
    ],
    ids=["evenly spread", "about zero", "over decades", "few values"],
)
def test_edges_are_numbers_that_can_be_said_aloud(
    values: np.ndarray[tuple[int], np.dtype[np.float64]], labels: tuple[str, ...]
) -> None:
    assert histogram(profile_of(values.tolist())).labels[:3] == labels


@pytest.mark.parametrize(
    "values",
    [
        np.linspace(-1, 1, 99) * 1.7e308,
        np.geomspace(5e-324, 1.7e308, 99),
        np.linspace(0, 1e-322, 50),
        np.append(np.arange(50.0), [-np.inf, np.inf]),
        np.linspace(1e16, 1e16 + 200, 101),
    ],
    ids=["all there is", "all decades", "the smallest", "infinities", "hardly different"],
)
def test_the_ends_of_what_a_number_can_be_are_cut_like_others(
    values: np.ndarray[tuple[int], np.dtype[np.float64]],
) -> None:
    cut = histogram(profile_of(values.tolist()))

    assert cut.rows.sum() == values.size
    assert len(cut.labels) <= BINS_MAX
    assert len(set(cut.labels)) == len(cut.labels)


def test_rows_are_counted_between_the_edges_that_the_labels_name() -> None:
    profile = profile_of([float(value) for value in range(1, 101)])
    counts = NumberCounts(profile.points, profile.grid)
    counts.add(NumberColumn(np.array([5.0, 10.0, 11.0, 95.0, 1000.0])))

    cut = histogram(profile)
    rows = cut.count(counts)

    assert rows is not None
    by_label = dict(zip(cut.labels, rows.tolist(), strict=True))
    assert {label: n for label, n in by_label.items() if n} == {
        "0 to 10": 2,
        "10 to 20": 1,
        "90 to 100": 1,
        "> 100": 1,
    }


def test_categories_are_the_most_frequent_then_others_then_new_ones() -> None:
    values = tuple(f"v{i}" for i in range(30))
    cut = histogram(CategoryProfile(values, np.arange(30, 0, -1), 7, 0, 0))
    counts = CategoryCounts(values)
    counts.add(CategoryColumn(["v0", "v0", "v29", *(f"n{i}" for i in range(9)), "n0", None]))

    rows = cut.count(counts)

    assert cut.labels[:2] == ("v0", "v1")
    assert cut.labels[-2:] == ("other", "new")
    assert rows is not None
    assert (rows[0], rows[-2], rows[-1]) == (2, 1, 10)
    assert len(new_names(counts)) == NEW_MAX
    assert next(iter(new_names(counts).items())) == ("n0", 2)


def test_a_window_of_another_kind_has_no_bins() -> None:
    cut = histogram(profile_of([1.0, 2.0]))

    assert cut.count(CategoryCounts(("a",))) is None
