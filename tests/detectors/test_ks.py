"""The Kolmogorov-Smirnov statistic from counts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.batch import Floats, NumberColumn
from detectors.columns.number_counts import NumberCounts
from detectors.columns.profile_builder import NumberBuilder
from detectors.measurement import Estimate
from detectors.statistics.ks import ks

ROWS = st.lists(
    st.one_of(st.integers(-5, 5).map(float), st.floats(-6, 6), st.just(1e9)),
    min_size=1,
    max_size=60,
)


def estimated(
    reference: Floats, window: Floats, *, points_max: int = 20_000, confidence: float = 0.95
) -> Estimate:
    builder = NumberBuilder()
    builder.add(NumberColumn(reference))
    profile = builder.profile(points_max)
    counts = NumberCounts(profile.points)
    counts.add(NumberColumn(window))
    return ks(profile, counts.upto(), confidence=confidence)


@given(ROWS, ROWS)
@settings(deadline=None)
def test_the_statistic_is_scipys(reference: list[float], window: list[float]) -> None:
    from scipy.stats import ks_2samp  # noqa: PLC0415 - slow to import, for two tests only

    value = estimated(np.array(reference), np.array(window)).value

    with warnings.catch_warnings():
        # They are about the p-value, which is not compared here.
        warnings.simplefilter("ignore", RuntimeWarning)
        expected = ks_2samp(reference, window, method="asymp").statistic
    assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("decimals", [0, 1, 2, 12], ids=["integers", "tenths", "cents", "no ties"])
@pytest.mark.parametrize(("n", "m"), [(20, 90), (200, 3_000), (3_000, 200), (5_000, 5_000)])
def test_statistic_and_p_value_are_scipys_on_random_data(decimals: int, n: int, m: int) -> None:
    from scipy.special import kolmogorov  # noqa: PLC0415 - slow to import, for two tests only
    from scipy.stats import ks_2samp  # noqa: PLC0415 - slow to import, for two tests only

    random = np.random.default_rng(n + m)
    reference = random.normal(size=n).round(decimals)
    window = random.normal(0.1, 1.1, size=m).round(decimals)

    estimate = estimated(reference, window)

    expected = ks_2samp(reference, window, method="asymp").statistic
    assert estimate.value == pytest.approx(expected, abs=1e-12)
    assert estimate.p_value == pytest.approx(kolmogorov(expected * np.sqrt(n * m / (n + m))))
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low <= expected <= estimate.high


def test_infinities_count_at_the_ends() -> None:
    reference = np.array([-np.inf, 0.0, 1.0, np.inf])

    estimate = estimated(reference, np.array([np.inf, np.inf, np.inf, -np.inf]))

    assert estimate.value == 0.5


@pytest.mark.parametrize("empty", ["reference", "window"])
def test_nothing_is_told_of_no_rows(empty: str) -> None:
    some, none = np.array([1.0, 2.0]), np.array([np.nan])

    estimate = estimated(none, some) if empty == "reference" else estimated(some, none)

    assert (estimate.value, estimate.low, estimate.high, estimate.p_value) == (None,) * 4


def test_one_outlier_moves_the_statistic_by_one_row_at_most() -> None:
    random = np.random.default_rng(5)
    reference, window = random.normal(size=1_000), random.normal(1, 1, size=500)

    usual = estimated(reference, window).value
    window[0] = 1e9
    extreme = estimated(reference, window).value

    assert usual is not None
    assert extreme == pytest.approx(usual, abs=1 / 500 + 1e-12)


@given(st.integers(1_000, 4_000), st.integers(20, 300))
@settings(deadline=None, max_examples=30)
def test_a_thinned_reference_is_off_by_its_rank_error_at_most(n: int, points_max: int) -> None:
    random = np.random.default_rng(n)
    reference, window = random.gamma(2, size=n), random.gamma(2.2, size=700)

    exact = estimated(reference, window).value
    builder = NumberBuilder()
    builder.add(NumberColumn(reference))
    rank_error = builder.profile(points_max).rank_error
    thinned = estimated(reference, window, points_max=points_max)

    assert exact is not None
    assert thinned.value == pytest.approx(exact, abs=rank_error + 1e-12)
    assert rank_error < 3 / points_max


@pytest.mark.slow
@pytest.mark.parametrize(
    ("n", "m"), [(1_000, 50), (1_000, 1_000), (200, 2_000)], ids=["small", "even", "few reference"]
)
@pytest.mark.parametrize("shift", [0.0, 0.5], ids=["no drift", "half a deviation"])
def test_the_bounds_hold_as_often_as_stated(n: int, m: int, shift: float) -> None:
    random = np.random.default_rng(n + m)
    # sup |F(x - shift) - F(x)| of two normal laws is 2 F(shift / 2) - 1.
    true = {0.0: 0.0, 0.5: 0.19741265136584}[shift]
    rounds, too_high, too_low = 1_000, 0, 0

    for _ in range(rounds):
        estimate = estimated(random.normal(size=n), random.normal(shift, 1, size=m), confidence=0.9)
        assert estimate.low is not None
        assert estimate.high is not None
        too_high += estimate.low > true
        too_low += estimate.high < true

    # At most 10 % in all; three standard errors of 1,000 rounds are 2.9 %.
    assert (too_high + too_low) / rounds <= 0.129
