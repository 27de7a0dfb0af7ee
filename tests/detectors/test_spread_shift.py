"""Mean squares of normal scores: what they bound, how often they err, and what they find."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr
from scipy.stats import binom

from collectors.batch import Floats, NumberColumn
from detectors.columns.fine_bins import END_ROWS, FineBins, fine_bins
from detectors.columns.profile import NumberProfile
from detectors.rules.drift import Comparison
from detectors.statistics.spread_shift import SpreadShift
from tests.detectors.batches import reference_of

TOLERANCE = 0.0005


def cut_of(values: Floats) -> FineBins:
    profile = reference_of({"c": NumberColumn(values)}).columns["c"]
    assert isinstance(profile, NumberProfile)
    cut = fine_bins(profile)
    assert cut is not None
    return cut


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.integers(1, 50), st.floats(0.0, 9.0)),
        min_size=2,
        max_size=9,
    )
)
def test_the_divergence_is_never_below_what_the_squares_say(
    bins: list[tuple[int, int, float]],
) -> None:
    expected, actual = np.array([one[:2] for one in bins]).T
    squares = np.array([one[2] for one in bins]) + 0.01
    p, q = expected / expected.sum(), actual / actual.sum()

    low = SpreadShift(expected * 10**9, actual * 10**9, squares).low(0.5)

    assert low <= float(((q - p) * np.log(q / p)).sum()) * (1 + 1e-6) + 1e-12


@pytest.mark.parametrize(
    "law", ["normal", "few values", "mostly zeros", "two values and a rare one"]
)
@pytest.mark.parametrize(("n", "m"), [(20_000, 50), (20_000, 1_000), (500, 500), (300, 20_000)])
def test_quiet_windows_alarm_no_more_often_than_stated(law: str, n: int, m: int) -> None:
    looks, levels = 20_000, (0.01, 0.001, 1e-4)
    generator = np.random.default_rng([n, m])
    values = generator.standard_normal(400_000)
    if law == "few values":
        values = np.digitize(values, [0.25, 1.0, 1.6, 2.3]).astype(float)
    elif law == "mostly zeros":
        values = np.maximum(values - 1, 0)
    elif law == "two values and a rare one":
        values = np.digitize(values, [0.0, 3.7]).astype(float)
    cut = cut_of(values)
    shares = cut.reference / cut.reference.sum()

    p_values = np.array(
        [
            SpreadShift(expected, actual, cut.squares).p_value(1e-12)
            for expected, actual in zip(
                generator.multinomial(n, shares, looks),
                generator.multinomial(m, shares, looks),
                strict=True,
            )
        ]
    )

    for level in levels:
        assert (p_values <= level).sum() <= binom.ppf(1 - 1e-6, looks, 1.5 * level), level


def test_a_wider_column_is_found_far_more_often_than_by_bins() -> None:
    generator = np.random.default_rng(5)
    cut = cut_of(generator.standard_normal(20_000))
    edges = np.quantile(generator.standard_normal(200_000), np.arange(1, 10) / 10)
    found = {"spread": 0, "bins": 0}

    for _ in range(300):
        values = 1.2 * generator.standard_normal(500)
        tenths = np.bincount(np.digitize(values, edges), minlength=10)
        ranks = np.searchsorted(np.cumsum(cut.reference)[:-1] / 20_000, ndtr(values))
        actual = np.bincount(ranks, minlength=cut.reference.size)
        found["bins"] += Comparison(np.full(10, 2_000), tenths).p_value(TOLERANCE) <= 1e-4
        look = SpreadShift(cut.reference, actual, cut.squares)
        found["spread"] += look.p_value(TOLERANCE) <= 1e-4

    # By the normal law: 3 (1.44^(1/3) - 1) / 0.064 = 6.1 standard errors less 0.5, and 3.9 asked.
    assert found["spread"] >= 0.85 * 300
    assert found["spread"] > 1.5 * found["bins"]


@pytest.mark.parametrize("level", [1e-2, 1e-5])
@pytest.mark.parametrize("tolerance", [TOLERANCE, 0.02])
def test_a_bound_exceeds_the_tolerance_just_where_the_p_value_keeps_the_level(
    level: float, tolerance: float
) -> None:
    expected, squares = np.full(4, 5_000), np.array([2.4, 0.3, 0.3, 2.4])
    rows = [np.array([k, 500 - k, 500 - k, k]) for k in range(100, 401, 5)]
    looks = [SpreadShift(expected, actual, squares) for actual in rows]

    exceeds = [look.low(level) > tolerance for look in looks]

    assert exceeds == [look.p_value(tolerance) <= level for look in looks]
    assert any(exceeds)
    assert not all(exceeds)


def test_dependent_rows_say_less() -> None:
    expected, actual = np.full(4, 5_000), np.array([160, 90, 90, 160])
    squares = np.array([1.8, 0.2, 0.2, 1.8])
    alone, alike = (SpreadShift(expected, actual, squares, effect) for effect in (1.0, 20.0))

    assert alone.p_value(TOLERANCE) < 1e-4
    assert alike.p_value(TOLERANCE) > 0.05


def test_a_constant_says_nothing() -> None:
    constant = SpreadShift(np.array([100, 0]), np.array([40, 0]), np.ones(2))

    assert (constant.p_value(TOLERANCE), constant.low(0.5)) == (1.0, 0.0)


def test_no_shift_is_beyond_a_tolerance_that_no_shift_can_show() -> None:
    wide = SpreadShift(np.array([500, 500]), np.array([0, 100]), np.array([0.1, 1.9]))

    assert wide.p_value(5.0) == 1.0
    assert wide.low(1e-6) < 4


def test_an_end_has_a_few_rows_of_the_reference_beyond_it() -> None:
    cut = cut_of(np.random.default_rng(6).permutation(20_000).astype(float))
    upto = np.cumsum(np.bincount([0, 40_000], minlength=40_001))

    assert (cut.low_rows, cut.high_rows) == (END_ROWS, END_ROWS)
    assert cut.beyond(upto) == (1, 1)


def test_mean_squares_are_those_of_the_normal_law() -> None:
    values = np.sort(np.random.default_rng(7).standard_normal(1_000_000))
    cut = cut_of(values[::10])

    for upper, squares, share in zip(
        np.cumsum(cut.reference), cut.squares, cut.reference, strict=True
    ):
        if share:
            part = values[10 * (upper - share) : 10 * upper]
            assert math.isclose(squares, float((part**2).mean()), rel_tol=0.05, abs_tol=0.01)
