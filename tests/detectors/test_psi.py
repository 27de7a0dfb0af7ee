"""The population stability index, its bins and its bounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.batch import CategoryColumn, Column, Floats, NumberColumn
from detectors.columns.category_counts import CategoryCounts
from detectors.columns.number_counts import NumberCounts
from detectors.columns.profile import CategoryProfile, NumberProfile
from detectors.measurement import Estimate
from detectors.statistics.bins import SHARE_MIN, bin_of_cells, category_shares, number_shares
from detectors.statistics.psi import psi, smoothed
from tests.detectors.batches import reference_of

if TYPE_CHECKING:
    from collections.abc import Sequence


def profile_of(column: Column) -> NumberProfile | CategoryProfile:
    profile = reference_of({"x": column}).columns["x"]
    assert isinstance(profile, NumberProfile | CategoryProfile)
    return profile


def estimated(
    reference: Floats, window: Floats, *, bins: int = 10, confidence: float = 0.95
) -> Estimate:
    profile = profile_of(NumberColumn(reference))
    assert isinstance(profile, NumberProfile)
    counts = NumberCounts(profile.points)
    counts.add(NumberColumn(window))
    shares = number_shares(profile, counts.upto(), counts.missing, bins)
    return psi(*shares, confidence=confidence)


def category_estimate(reference: Sequence[str | None], window: Sequence[str | None]) -> Estimate:
    profile = profile_of(CategoryColumn(reference))
    assert isinstance(profile, CategoryProfile)
    counts = CategoryCounts(profile.values)
    counts.add(CategoryColumn(window))
    return psi(*category_shares(profile, counts), confidence=0.95)


def test_an_example_worked_by_hand() -> None:
    # 49.5 + 0.5 of 99 + 1 and so on: shares 0.5, 0.5 against 0.8, 0.2 with no smoothing.
    expected, actual = np.array([50, 50]), np.array([160, 40])

    shares = smoothed(expected, actual, smoothing=0.0)

    # (0.8 - 0.5) ln(0.8 / 0.5) + (0.2 - 0.5) ln(0.2 / 0.5) = 0.3 ln 1.6 + 0.3 ln 2.5 = 0.3 ln 4
    assert shares.index == pytest.approx(0.3 * math.log(4), abs=1e-12)
    # One degree of freedom, times a hundredth and half a hundredth.
    assert shares.bias == pytest.approx(0.015, abs=1e-12)
    corrected = psi(expected, actual, confidence=0.95, smoothing=1e-12).value
    assert corrected == pytest.approx(0.3 * math.log(4) - 0.015, abs=1e-9)


def test_half_a_row_is_added_to_each_bin_of_both_sides() -> None:
    shares = smoothed(np.array([9, 0]), np.array([0, 19]))

    assert shares.expected.tolist() == pytest.approx([0.95, 0.05])
    assert shares.actual.tolist() == pytest.approx([0.025, 0.975])


def test_an_emptied_decile_costs_what_half_a_row_costs() -> None:
    # The published figure for one of ten 10 % bins emptying at 100,000 rows each: 1.00.
    expected = np.full(10, 10_000)
    actual = np.array([0, *[11_111] * 9])

    assert smoothed(expected, actual).index == pytest.approx(1.00, abs=0.005)


@given(st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=1, max_size=20))
def test_bounds_enclose_the_value_and_nothing_is_negative(rows: list[tuple[int, int]]) -> None:
    expected, actual = (np.array(side, np.int64) for side in zip(*rows, strict=True))

    estimate = psi(expected, actual, confidence=0.95)

    if estimate.value is None:
        assert expected.sum() == 0 or actual.sum() == 0 or len(rows) < 2
        return
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.p_value is not None
    assert 0 <= estimate.low <= estimate.value <= estimate.high < math.inf
    assert 0 <= estimate.p_value <= 1


NUMBERS = st.lists(
    st.one_of(st.integers(0, 6).map(float), st.floats(-5, 5)), min_size=1, max_size=300
)


@given(NUMBERS, st.integers(1, 60), st.integers(1, 5_000))
def test_every_bin_but_that_of_the_rest_holds_its_share_of_the_reference(
    values: list[float], bins: int, window_rows: int
) -> None:
    profile = profile_of(NumberColumn(np.array(values)))
    assert isinstance(profile, NumberProfile)

    of_cell = bin_of_cells(profile, bins, window_rows)

    rows = np.bincount(of_cell[1::2], weights=profile.counts, minlength=int(of_cell.max()) + 1)
    assert of_cell.shape == (2 * profile.points.size + 1,)
    assert rows.sum() == len(values)
    assert (rows[1:] >= SHARE_MIN * len(values)).all()
    assert set(of_cell.tolist()) >= set(range(1, int(of_cell.max()) + 1))


def test_bins_of_a_continuous_column_are_its_deciles_open_at_both_ends() -> None:
    profile = profile_of(NumberColumn(np.arange(1_000.0)))
    assert isinstance(profile, NumberProfile)
    counts = NumberCounts(profile.points)
    counts.add(NumberColumn(np.array([-1e9] * 40 + [1e9] * 60)))

    expected, actual = number_shares(profile, counts.upto(), 0, 10)

    assert expected.tolist() == [100] * 10
    assert actual.tolist() == [40, 0, 0, 0, 0, 0, 0, 0, 0, 60]


def test_a_discrete_column_has_a_bin_for_each_value_and_one_for_the_rest() -> None:
    profile = profile_of(NumberColumn(np.repeat([1.0, 2.0, 3.0], [600, 399, 1])))
    assert isinstance(profile, NumberProfile)
    counts = NumberCounts(profile.points)
    counts.add(NumberColumn(np.array([1.0] * 80 + [1.5] * 7 + [3.0] * 10 + [9.0] * 3)))

    expected, actual = number_shares(profile, counts.upto(), 5, 10)

    assert expected.tolist() == [1, 600, 399, 0]
    assert actual.tolist() == [20, 80, 0, 5]


def test_a_constant_that_moves_is_seen() -> None:
    constant = np.full(1_000, 5.0)

    stays, moves = estimated(constant, constant), estimated(constant, constant - 1)

    assert stays.value is None
    assert moves.low is not None
    assert moves.low > 5


def test_zeros_among_a_continuous_column_have_a_bin_of_their_own() -> None:
    random = np.random.default_rng(2)
    values = np.where(random.random(10_000) < 0.5, 0.0, random.gamma(2, size=10_000))

    shifted = np.where(values == 0.0, -0.001, values)

    low = estimated(values, shifted).low
    assert low is not None
    assert low > 1


def test_rows_that_turn_null_are_drift() -> None:
    random = np.random.default_rng(2)
    values = random.normal(size=5_000)

    nulls = np.where(random.random(5_000) < 0.3, np.nan, values)

    low = estimated(values, nulls).low
    assert low is not None
    assert low > 0.25


def test_one_outlier_changes_no_more_than_its_row() -> None:
    random = np.random.default_rng(5)
    reference, window = random.normal(size=100_000), random.normal(1, 1, size=100_000)

    usual = estimated(reference, window).value
    window[0] = 1e9
    extreme = estimated(reference, window).value

    # The index of one deviation is 1 over infinitely many bins, a little less over ten.
    assert usual is not None
    assert 0.8 < usual < 1
    assert extreme == pytest.approx(usual, abs=2e-4)


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_too_few_rows_to_compare_tell_nothing(rows: int) -> None:
    estimate = estimated(np.arange(1_000.0), np.arange(float(rows)))

    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (None, None, None, rows)


def test_an_unseen_category_counts_and_does_not_explode() -> None:
    reference = ["a"] * 60_000 + ["b"] * 40_000

    some = category_estimate(reference, ["a"] * 59_900 + ["b"] * 39_900 + ["new"] * 200)
    many = category_estimate(reference, ["a"] * 50_000 + ["new"] * 50_000)

    assert some.value is not None
    assert 0.005 < some.value < 0.05
    assert some.p_value is not None
    assert some.p_value < 1e-6
    assert many.low is not None
    assert many.low > 1


def test_categories_too_rare_to_expect_rows_share_a_bin() -> None:
    reference = ["a"] * 900 + [f"v{number}" for number in range(100)]
    profile = profile_of(CategoryColumn(reference))
    assert isinstance(profile, CategoryProfile)
    counts = CategoryCounts(profile.values)
    counts.add(CategoryColumn(["a"] * 90 + ["v1"] * 5 + ["new"] * 5 + [None]))

    expected, actual = category_shares(profile, counts)

    assert expected.tolist() == [900, 100, 0]
    assert actual.tolist() == [90, 10, 1]


LAWS = {
    "normal": lambda random, rows: random.normal(size=rows),
    "few values": lambda random, rows: random.poisson(2, size=rows).astype(float),
    "half zeros": lambda random, rows: random.gamma(1, size=rows) * (random.random(rows) < 0.5),
}


@pytest.mark.slow
@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    ("n", "m"),
    [(200, 50), (1_000, 50), (10_000, 50), (1_000, 1_000), (10_000, 300), (300, 5_000)],
)
def test_quiet_windows_of_any_size_rarely_have_a_lower_bound_above_zero(
    law: str, n: int, m: int
) -> None:
    random = np.random.default_rng(n * m)
    rounds, alarms, significant = 400, 0, 0

    for _ in range(rounds):
        estimate = estimated(LAWS[law](random, n), LAWS[law](random, m), confidence=0.9)
        alarms += estimate.low is not None and estimate.low > 0
        significant += estimate.p_value is not None and estimate.p_value < 0.05

    # 5 % on each side may be; three standard errors of 400 rounds are 3.3 %.
    assert alarms / rounds <= 0.083
    assert significant / rounds <= 0.083


@pytest.mark.slow
@pytest.mark.parametrize("shift", [0.1, 0.3, 1.0])
@pytest.mark.parametrize(("n", "m"), [(1_000, 200), (5_000, 5_000)])
def test_the_bounds_hold_the_true_index_as_often_as_stated(shift: float, n: int, m: int) -> None:
    # Ten bins, known to be the deciles of a normal law; the window's law is shifted by `shift`.
    edges = [-1.2815516, -0.8416212, -0.5244005, -0.2533471, 0.0]
    edges += [-edge for edge in reversed(edges[:-1])]
    upto = np.array([0.5 * math.erfc(-(edge - shift) / math.sqrt(2)) for edge in edges])
    q = np.diff(np.concatenate(([0.0], upto, [1.0])))
    p = np.full(10, 0.1)
    true = float(((q - p) * np.log(q / p)).sum())
    random = np.random.default_rng(int(shift * 10) + n)
    rounds, missed = 1_000, 0

    for _ in range(rounds):
        expected, actual = random.multinomial(n, p), random.multinomial(m, q)
        estimate = psi(expected, actual, confidence=0.9)
        assert estimate.low is not None
        assert estimate.high is not None
        missed += not estimate.low <= true <= estimate.high

    # At most 10 %; three standard errors of 1,000 rounds are 2.9 %.
    assert missed / rounds <= 0.129


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(1_000, 50), (20_000, 400), (5_000, 20_000)])
def test_quiet_categories_rarely_have_a_lower_bound_above_zero(n: int, m: int) -> None:
    random = np.random.default_rng(n * m)
    shares = 1 / np.arange(1, 2_001)
    names = np.array([f"v{number}" for number in range(2_000)])
    rounds, alarms = 100, 0

    for _ in range(rounds):
        reference = random.choice(names, n, p=shares / shares.sum()).tolist()
        window = random.choice(names, m, p=shares / shares.sum()).tolist()
        low = category_estimate(reference, window).low
        alarms += low is not None and low > 0

    # 2.5 % may be; three standard errors of 100 rounds are 4.7 %.
    assert alarms / rounds <= 0.072
