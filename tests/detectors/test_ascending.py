"""Distinct values without `numpy.unique` are those that it finds."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from detectors.numerics.ascending import distinct, distinct_counts

numbers = st.lists(st.sampled_from([-np.inf, -1.5, 0.0, 1e-300, 2.0, 1e9, np.inf]), max_size=30)


@given(numbers)
def test_distinct_values_and_their_counts_are_those_of_numpy(values: list[float]) -> None:
    ascending = np.sort(np.array(values))

    found, counts = distinct_counts(ascending)

    expected, expected_counts = np.unique(ascending, return_counts=True)
    assert found.tolist() == distinct(ascending).tolist() == expected.tolist()
    assert counts.tolist() == expected_counts.tolist()
