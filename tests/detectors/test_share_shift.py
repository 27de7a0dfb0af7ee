"""Single shares: what they bound, how often they err, and what they find."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, hypergeom

from detectors.statistics.share_shift import ShareShift

TOLERANCE = 0.0005
COUNT = st.integers(1, 1_000)


@given(COUNT, COUNT, COUNT, COUNT)
def test_the_divergence_is_never_below_what_a_share_says(a: int, b: int, c: int, d: int) -> None:
    p, q = a / (a + c), b / (b + d)
    many = 10**9

    low = ShareShift(a * many, (a + c) * many, b * many, (b + d) * many).low(0.5)

    divergence = (q - p) * (math.log(q / p) - math.log((1 - q) / (1 - p)))
    assert low <= divergence * (1 + 1e-6) + 1e-12


@pytest.mark.parametrize(("n", "m"), [(20_000, 50), (20_000, 500), (500, 500), (300, 20_000)])
@pytest.mark.parametrize("share", [0.0002, 0.01, 0.05, 0.5])
def test_quiet_windows_alarm_no_more_often_than_stated(n: int, m: int, share: float) -> None:
    looks, levels = 200_000, (0.01, 0.001, 1e-4)
    generator = np.random.default_rng([n, m, round(1e4 * share)])
    before, now = (generator.binomial(rows, share, looks) for rows in (n, m))

    pairs, times = np.unique(np.column_stack([before, now]), axis=0, return_counts=True)
    p_values = np.array([ShareShift(a, n, b, m).p_value(1e-12) for a, b in pairs.tolist()])

    for level in levels:
        alarms = int(times[p_values <= level].sum())
        assert alarms <= binom.ppf(1 - 1e-6, looks, 1.5 * level), level


@pytest.mark.parametrize("new", [2, 3, 5, 10, 20])
def test_rows_of_a_kind_never_met_are_as_unlikely_as_fisher_says(new: int) -> None:
    n, m = 20_000, 500

    found = ShareShift(0, n, new, m).p_value(1e-12)

    exact = float(hypergeom(n + m, new, m).sf(new - 1))
    # Of both sides, and with Yates' correction, which asks for more.
    assert exact <= found <= 10 * exact


def test_ten_rows_beyond_the_ends_are_proof_and_ten_more_of_many_are_none() -> None:
    assert ShareShift(5, 20_000, 10, 500).p_value(TOLERANCE) < 1e-7
    assert ShareShift(10_000, 20_000, 260, 500).p_value(TOLERANCE) > 0.1


@given(COUNT, COUNT, st.sampled_from([1e-2, 1e-4, 1e-8]), st.sampled_from([TOLERANCE, 0.02]))
def test_a_bound_exceeds_the_tolerance_just_where_the_p_value_keeps_the_level(
    before: int, now: int, level: float, tolerance: float
) -> None:
    shift = ShareShift(20 * before, 20_000, now, 1_000)
    if math.isclose(shift.p_value(tolerance), level, rel_tol=1e-6):
        return

    assert (shift.low(level) > tolerance) == (shift.p_value(tolerance) < level)


def test_dependent_rows_say_less() -> None:
    alone, alike = (ShareShift(1_000, 20_000, 60, 500, effect) for effect in (1.0, 10.0))

    assert alone.p_value(TOLERANCE) < 1e-4
    assert alike.p_value(TOLERANCE) > 0.05


@pytest.mark.parametrize(("n", "m"), [(0, 100), (100, 0), (0, 0)])
def test_without_rows_nothing_is_said(n: int, m: int) -> None:
    nothing = ShareShift(0, n, 0, m)

    assert (nothing.p_value(TOLERANCE), nothing.low(0.5)) == (1.0, 0.0)


@given(
    st.integers(0, 300),
    st.integers(1, 300),
    st.integers(0, 300),
    st.integers(1, 300),
    st.sampled_from([1.0, 1.5, 7.0]),
)
def test_any_counts_have_a_p_value_and_a_bound(a: int, n: int, b: int, m: int, less: float) -> None:
    shift = ShareShift(min(a, n) / less, n / less, min(b, m), m)

    assert 0 < shift.p_value(TOLERANCE) <= 1
    assert shift.low(0.01) >= 0
