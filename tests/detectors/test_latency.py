"""Latency histograms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from detectors.columns.latency import LONGEST_MS, RELATIVE_ERROR, SHORTEST_MS, LatencyHistogram
from detectors.numerics.order_statistics import ranks

LATENCIES = st.floats(2 * SHORTEST_MS, LONGEST_MS / 2)


def histogram_of(values: list[float]) -> LatencyHistogram:
    histogram = LatencyHistogram()
    histogram.add(np.array(values, np.float64))
    return histogram


@given(st.lists(LATENCIES, min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99]))
def test_a_quantile_is_within_one_per_cent_of_the_order_statistic(
    values: list[float], q: float
) -> None:
    estimate = histogram_of(values).quantile(q, confidence=0.95)

    exact = float(np.quantile(values, q, method="inverted_cdf"))
    assert estimate.value == pytest.approx(exact, rel=RELATIVE_ERROR * 1.0001)
    assert estimate.low is None or estimate.low <= exact
    assert estimate.high is None or estimate.high >= exact


@given(st.lists(LATENCIES, max_size=50), st.lists(LATENCIES, max_size=50))
def test_histograms_add_up(first: list[float], second: list[float]) -> None:
    merged = histogram_of(first)
    merged.merge(histogram_of(second))

    assert merged.state() == histogram_of(first + second).state()
    assert LatencyHistogram.of_state(merged.state()).state() == merged.state()


@given(
    st.one_of(st.integers(1, 300), st.integers(1, 10**7)),
    st.sampled_from([0.5, 0.9, 0.99, 0.999]),
    st.sampled_from([0.1, 0.005, 5e-7]),
)
def test_the_ranks_of_the_bounds_are_the_closest_that_miss_as_seldom_as_stated(
    n: int, q: float, tail: float
) -> None:
    below, above = ranks(n, q, tail)

    if below < 1:
        assert special.bdtr(0, n, q) > tail
    else:
        assert special.bdtr(below - 1, n, q) <= tail < special.bdtr(below, n, q)
    if above > n:
        assert special.bdtr(n - 1, n, q) < 1 - tail
    else:
        assert special.bdtrc(above - 1, n, q) <= tail * (1 + 1e-9)
        assert above == 1 or special.bdtrc(above - 2, n, q) > tail * (1 - 1e-9)


def test_ten_requests_give_no_upper_bound_of_the_99th_percentile() -> None:
    estimate = histogram_of([float(ms) for ms in range(1, 11)]).quantile(0.99, confidence=0.95)

    assert estimate.value is not None
    assert estimate.high is None


def test_no_latencies_tell_nothing() -> None:
    estimate = histogram_of([float("nan")]).quantile(0.5, confidence=0.95)

    assert (estimate.value, estimate.low, estimate.high, estimate.n) == (None, None, None, 0)


def test_latencies_outside_the_buckets_are_kept_at_their_ends() -> None:
    histogram = histogram_of([0.0, -1.0, float("inf"), 1e12])

    assert histogram.n == 4
    assert histogram.counts[0] == 2
    assert histogram.counts[-1] == 2


@pytest.mark.slow
def test_the_bounds_of_a_quantile_hold_as_often_as_stated() -> None:
    random = np.random.default_rng(11)
    rounds, missed = 2_000, {0.5: 0, 0.9: 0, 0.99: 0}

    for _ in range(rounds):
        histogram = histogram_of(random.lognormal(3, 1, size=600).tolist())
        for q in missed:
            exact = float(np.exp(3 + {0.5: 0.0, 0.9: 1.2815516, 0.99: 2.3263479}[q]))
            estimate = histogram.quantile(q, confidence=0.9)
            low = 0.0 if estimate.low is None else estimate.low
            high = np.inf if estimate.high is None else estimate.high
            missed[q] += not low <= exact <= high

    # 10 % may be missed; three standard errors of 2,000 rounds are 2 %.
    assert all(count / rounds <= 0.12 for count in missed.values())
