"""Mean ranks: what they are, what they bound, how often they err, and what they find."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import ndtr, ndtri
from scipy.stats import binom, mannwhitneyu

from collectors.batch import Floats, Ints
from detectors.rules.drift import Comparison
from detectors.statistics.rank_shift import RankShift

COUNTS = st.lists(st.integers(0, 50), min_size=2, max_size=8)
TOLERANCE = 0.002


def shares_of(sd: float, bins: int = 8) -> Floats:
    """Shares of the reference's quantile bins when a normal column moves by so many sd."""
    edges = ndtri(np.arange(1, bins) / bins)
    return np.diff(ndtr(edges - sd), prepend=0.0, append=1.0)


@given(COUNTS, COUNTS)
def test_the_mean_rank_is_that_of_mann_and_whitney(before: list[int], now: list[int]) -> None:
    bins = min(len(before), len(now))
    expected, actual = np.array(before[:bins]), np.array(now[:bins])
    if not expected.any() or not actual.any():
        return
    values = np.arange(bins)
    u = mannwhitneyu(np.repeat(values, actual), np.repeat(values, expected)).statistic

    shift = RankShift(expected, actual).value

    assert shift + 0.5 == pytest.approx(u / (expected.sum() * actual.sum()))


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(1, 50)), min_size=2, max_size=8),
)
def test_the_divergence_is_never_below_what_the_ranks_say(pairs: list[tuple[int, int]]) -> None:
    expected, actual = np.array(pairs).T
    p, q = expected / expected.sum(), actual / actual.sum()

    low = RankShift(expected * 10**9, actual * 10**9).low(0.5)

    assert low <= ((q - p) * np.log(q / p)).sum() * (1 + 1e-6)


@pytest.mark.parametrize(("n", "m"), [(20_000, 50), (20_000, 1_000), (500, 500), (100, 20_000)])
def test_quiet_windows_alarm_no_more_often_than_stated(n: int, m: int) -> None:
    looks, levels = 20_000, (0.05, 0.01, 0.001)
    generator = np.random.default_rng([n, m])
    even = np.full(8, 1 / 8)

    p_values = np.array(
        [
            RankShift(expected, actual).p_value(1e-12)
            for expected, actual in zip(
                generator.multinomial(n, even, looks),
                generator.multinomial(m, even, looks),
                strict=True,
            )
        ]
    )

    for level in levels:
        most = binom.ppf(1 - 1e-6, looks, level)
        assert (p_values <= level).sum() <= most, level


def test_a_small_shift_is_found_more_often_than_by_bins() -> None:
    generator = np.random.default_rng(3)
    expected, level = np.full(8, 2_500), 1e-4
    found = {"rank": 0, "bins": 0}
    for actual in generator.multinomial(500, shares_of(0.25), 400):
        found["bins"] += Comparison(expected, actual).p_value(TOLERANCE) <= level
        found["rank"] += RankShift(expected, actual).p_value(TOLERANCE) <= level

    # By the normal law: (0.25 * 0.282 - 0.0129) / 0.0131 = 4.4 standard errors, and 3.9 are asked.
    assert found["rank"] > found["bins"]
    assert found["rank"] >= 0.6 * 400


def test_dependent_rows_say_less() -> None:
    expected, actual = np.full(8, 2_500), np.array([30, 45, 55, 60, 65, 75, 80, 90])

    alone = RankShift(expected, actual).p_value(TOLERANCE)
    alike = RankShift(expected, actual, effect=30.0).p_value(TOLERANCE)

    assert alone < 1e-4
    assert alike > 0.05


def test_a_constant_column_that_stays_says_nothing_and_one_that_leaves_says_it() -> None:
    reference: Ints = np.array([0, 1_000, 0])

    assert RankShift(reference, np.array([0, 500, 0])).p_value(TOLERANCE) == 1.0
    assert RankShift(reference, np.array([0, 0, 500])).p_value(TOLERANCE) < 1e-9
