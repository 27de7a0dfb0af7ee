"""A sample of rows: which are kept follows from their number alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from collectors.batch import CategoryColumn, NumberColumn
from detectors.joint.row_sample import RowSample

CUTS = st.lists(st.integers(0, 40), min_size=1, max_size=8)


def sampled(cuts: list[int], rows_max: int = 16) -> RowSample:
    sample, start = RowSample(rows_max), 0
    for rows in cuts:
        values = np.arange(start, start + rows)
        sample.add(
            {
                "number": NumberColumn(values.astype(np.float64)),
                "name": CategoryColumn([str(value) for value in values.tolist()]),
            }
        )
        start += rows
    return sample


@given(CUTS)
def test_every_kth_row_is_kept_however_the_stream_is_cut(cuts: list[int]) -> None:
    whole, parts = sampled([sum(cuts)]), sampled(cuts)

    assert parts.state() == whole.state()
    kept = parts.numbers["number"].tolist() if parts.rows else []
    assert len(kept) == parts.rows <= 16
    assert kept == list(range(0, sum(cuts), parts.state().stride))
    assert [float(name or "") for name in parts.categories.get("name", [])] == kept


@given(CUTS)
def test_at_least_half_of_what_fits_is_kept(cuts: list[int]) -> None:
    assert sampled(cuts).rows >= min(sum(cuts), 16 // 2)


@given(CUTS, CUTS)
def test_it_goes_on_from_its_state(before: list[int], after: list[int]) -> None:
    restored = RowSample.of_state(sampled(before).state(), 16)
    straight = sampled([*before, *after])

    start = sum(before)
    for rows in after:
        values = np.arange(start, start + rows)
        restored.add(
            {
                "number": NumberColumn(values.astype(np.float64)),
                "name": CategoryColumn([str(value) for value in values.tolist()]),
            }
        )
        start += rows

    assert restored.state() == straight.state()


def test_a_column_that_comes_late_or_goes_is_missing_in_the_other_rows() -> None:
    sample = RowSample()

    sample.add({"a": NumberColumn(np.array([1.0, 2.0]))})
    sample.add({"b": CategoryColumn(["x"])})

    assert np.array_equal(sample.numbers["a"], [1.0, 2.0, np.nan], equal_nan=True)
    assert sample.categories["b"] == [None, None, "x"]
