"""The few bins over which evidence is gathered: every row is in one, at any reference."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collectors.batch import CategoryColumn, NumberColumn
from detectors.columns.coarse_bins import BINS_MAX, CoarseBins, coarse_bins
from detectors.columns.column_counts import add_column, counts_of
from detectors.columns.profile import VectorProfile
from detectors.reference.reference import Reference
from tests.detectors.batches import NAMES, NUMBERS, reference_of


def bins_of(reference: Reference, name: str) -> CoarseBins:
    profile = reference.columns[name]
    assert not isinstance(profile, VectorProfile)
    return coarse_bins(profile)


@given(st.lists(NUMBERS, min_size=1), st.lists(NUMBERS))
def test_every_number_is_in_one_of_few_bins(before: list[float], after: list[float]) -> None:
    reference = reference_of({"x": NumberColumn(np.array(before))})
    bins = bins_of(reference, "x")
    counts = counts_of(reference.columns["x"])
    add_column(counts, NumberColumn(np.array(after, np.float64)))

    rows = bins.count(counts)

    assert bins.reference.sum() == len(before)
    assert rows.shape == bins.reference.shape
    assert rows.sum() == len(after)
    assert rows.min() >= 0
    assert 2 <= rows.size <= BINS_MAX


@given(st.lists(NUMBERS, min_size=1))
def test_the_reference_counted_like_a_window_gives_its_own_rows(before: list[float]) -> None:
    reference = reference_of({"x": NumberColumn(np.array(before))})
    bins = bins_of(reference, "x")
    counts = counts_of(reference.columns["x"])
    add_column(counts, NumberColumn(np.array(before)))

    assert bins.count(counts).tolist() == bins.reference.tolist()


@given(st.lists(NAMES, min_size=1), st.lists(NAMES))
def test_every_category_is_in_one_of_few_bins(
    before: list[str | None], after: list[str | None]
) -> None:
    reference = reference_of({"c": CategoryColumn(before)})
    bins = bins_of(reference, "c")
    counts = counts_of(reference.columns["c"])
    add_column(counts, CategoryColumn(after))

    rows = bins.count(counts)

    assert bins.reference.sum() == len(before)
    assert rows.sum() == len(after)
    assert 2 <= rows.size <= BINS_MAX


def test_a_frequent_value_has_a_bin_of_its_own() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate((np.zeros(700), rng.normal(size=300)))
    reference = reference_of({"x": NumberColumn(values)})
    counts = counts_of(reference.columns["x"])
    add_column(counts, NumberColumn(np.array([0.0, -1e-9, 1e-9])))

    bins = bins_of(reference, "x")

    assert 700 in bins.reference.tolist()
    assert sorted(bins.count(counts).tolist())[-3:] == [1, 1, 1]


def test_many_even_numbers_are_cut_at_quantiles() -> None:
    reference = reference_of({"x": NumberColumn(np.arange(8_000.0))})

    bins = bins_of(reference, "x")

    assert bins.reference.tolist() == [1_000] * 8 + [0]


def test_counts_of_another_kind_are_no_rows() -> None:
    reference = reference_of({"x": NumberColumn(np.arange(10.0))})
    other = counts_of(None)
    add_column(other, NumberColumn(np.arange(10.0)))

    assert bins_of(reference, "x").count(other).sum() == 0
