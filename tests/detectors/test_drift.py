"""Bounds of a column's drift: how often they err, at many sizes and at small levels."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.special import chdtrc, ndtr, ndtri

from collectors.batch import Floats, Ints
from detectors.columns.dispersion import DesignEffect
from detectors.rules.drift import ROWS_MIN, Comparison, Distance
from detectors.statistics.psi import smoothed

UNIFORM = np.full(10, 0.1)
RARE = np.append(np.full(10, 0.09995), 0.0005)
ZIPF = 1 / np.arange(1, 31) / (1 / np.arange(1, 31)).sum()

SIZES = [
    (20_000, 50),
    (20_000, 300),
    (20_000, 10_000),
    (20_000, 100_000),
    (500, 300),
    (500, 100_000),
    (100, 100),
    (100, 10_000),
]


def shifted(sd: float, bins: int = 10) -> Floats:
    """Shares of the reference's quantile bins when a normal column moves by so many sd."""
    edges = ndtri(np.arange(1, bins) / bins)
    return np.diff(ndtr(edges - sd), prepend=0.0, append=1.0)


def divergence(p: Floats, q: Floats) -> float:
    return float(((q - p) * np.log(q / p)).sum())


def pairs(
    n: int, m: int, p: Floats, q: Floats, looks: int, *, cut_at_quantiles: bool = False
) -> Iterator[tuple[Ints, Ints]]:
    """Rows per bin of references and windows, in chunks."""
    rng = np.random.default_rng(20)
    for begins in range(0, looks, 100_000):
        size = min(100_000, looks - begins)
        if cut_at_quantiles:
            # Then the reference's rows are fixed, and the true shares of the bins are by chance.
            expected = np.broadcast_to(np.full(p.size, n // p.size), (size, p.size))
            gamma = rng.gamma(n / p.size, size=(size, p.size)) * (q / p)
            yield expected, rng.multinomial(m, gamma / gamma.sum(axis=1, keepdims=True))
        else:
            yield rng.multinomial(n, p, size), rng.multinomial(m, q, size)


def false_alarms(chunks: Iterator[tuple[Ints, Ints]], levels: list[float]) -> list[int]:
    """How many windows without drift have a p-value at or below each level."""
    alarms = [0] * len(levels)
    for expected, actual in chunks:
        n, m = expected.sum(axis=1, keepdims=True), actual.sum(axis=1, keepdims=True)
        p = (expected + 0.5) / (n + 0.5 * expected.shape[1])
        q = (actual + 0.5) / (m + 0.5 * actual.shape[1])
        index = ((q - p) * np.log(q / p)).sum(axis=1) / (1 / n + 1 / m)[:, 0]
        # Only these can have a small p-value: it is at least that of the index alone.
        for i in np.flatnonzero(chdtrc(expected.shape[1] - 2, index) <= max(levels)):
            filled = (expected[i] > 0) | (actual[i] > 0)
            found = Comparison(expected[i][filled], actual[i][filled]).p_value(0.0)
            for j, level in enumerate(levels):
                alarms[j] += found <= level
    return alarms


def at_most(looks: int, level: float) -> float:
    return looks * level + 4 * math.sqrt(looks * level) + 1


@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("shares", [UNIFORM, RARE, ZIPF], ids=["even", "a rare bin", "zipf"])
def test_quiet_windows_of_any_size_alarm_at_most_at_the_level(
    n: int, m: int, shares: Floats
) -> None:
    levels = [1e-2, 1e-3]

    alarms = false_alarms(pairs(n, m, shares, shares, 50_000), levels)

    assert all(a <= at_most(50_000, level) for a, level in zip(alarms, levels, strict=True))


@pytest.mark.parametrize(("n", "m"), SIZES)
def test_quantiles_of_the_reference_as_edges_do_not_alarm_more_often(n: int, m: int) -> None:
    levels = [1e-2, 1e-3]

    alarms = false_alarms(pairs(n, m, UNIFORM, UNIFORM, 50_000, cut_at_quantiles=True), levels)

    assert all(a <= at_most(50_000, level) for a, level in zip(alarms, levels, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), SIZES)
@pytest.mark.parametrize("quantiles", [False, True], ids=["as drawn", "at quantiles"])
def test_the_level_holds_far_out_in_the_tail(n: int, m: int, quantiles: bool) -> None:  # noqa: FBT001 - a case
    levels = [1e-4, 1e-5]

    alarms = false_alarms(
        pairs(n, m, UNIFORM, UNIFORM, 2_000_000, cut_at_quantiles=quantiles), levels
    )

    # The index alone errs up to eight times as often as stated here.
    assert all(
        a <= at_most(2_000_000, 1.5 * level) for a, level in zip(alarms, levels, strict=True)
    )


@pytest.mark.parametrize("sd", [0.1, 0.3, 1.0, 2.0])
@pytest.mark.parametrize(("n", "m"), [(20_000, 300), (20_000, 10_000), (500, 300), (500, 20_000)])
def test_the_bounds_err_at_most_at_their_levels_under_drift(n: int, m: int, sd: float) -> None:
    moved = shifted(sd)
    true, level, looks = divergence(UNIFORM, moved), 0.01, 2_000
    ((expected, actual),) = pairs(n, m, UNIFORM, moved, looks)
    columns = [
        Comparison(e[(e > 0) | (a > 0)], a[(e > 0) | (a > 0)])
        for e, a in zip(expected, actual, strict=True)
    ]

    above = sum(column.low(level) > true for column in columns)
    below = sum(column.high(level) < true for column in columns)

    assert above <= at_most(looks, level)
    # Of 2 sd some bins are all but empty, and the upper bound, which only says how much is still
    # stable, is then up to four times as often too low.
    assert below <= at_most(looks, 1.5 * level if sd < 2 else 4 * level)


@pytest.mark.parametrize(("n", "m"), [(2_000, 300), (2_000, 2_000), (300, 50)])
def test_quiet_distances_alarm_at_most_at_the_level(n: int, m: int) -> None:
    rng = np.random.default_rng(3)
    looks, level = 3_000, 0.01
    all_in_one_bin = np.array([n]), np.array([m])

    alarms = 0
    for _ in range(looks):
        order = np.argsort(rng.random(n + m))
        steps = np.where(order < n, 1 / n, -1 / m)
        distance = float(np.abs(np.cumsum(steps)).max())
        alarms += Comparison(*all_in_one_bin, Distance(distance, n, m)).p_value(0.0) <= level

    assert alarms <= at_most(looks, level)


def test_what_happens_within_a_bin_is_seen_by_the_distance() -> None:
    same = np.full(10, 2_000), np.full(10, 1_000)

    by_bins = Comparison(*same)
    by_both = Comparison(*same, Distance(0.09, 20_000, 10_000))

    assert by_bins.low(1e-6) == 0
    assert 0.002 < by_both.low(1e-6) < 4 * 0.09**2


@pytest.mark.parametrize("tolerance", [0.002, 0.02])
@pytest.mark.parametrize("level", [1e-3, 1e-7])
def test_the_p_value_keeps_a_level_just_where_the_lower_bound_exceeds_the_tolerance(
    level: float, tolerance: float
) -> None:
    rng = np.random.default_rng(11)
    columns = [
        Comparison(
            rng.multinomial(20_000, UNIFORM),
            rng.multinomial(5_000, shifted(sd)),
            Distance(sd * 0.39, 20_000, 5_000),
        )
        for sd in np.linspace(0, 0.6, 60)
    ]

    exceeds = [column.low(level) > tolerance for column in columns]

    assert exceeds == [column.p_value(tolerance) <= level for column in columns]
    assert any(exceeds)
    assert not all(exceeds)


def test_a_design_effect_takes_as_much_off_as_so_many_times_fewer_rows() -> None:
    rows = np.array([4_000, 6_000]), np.array([450, 550])
    tenfold = rows[0] * 10, rows[1] * 10

    fewer = Comparison(*rows)
    clustered = Comparison(*tenfold, None, DesignEffect(10.0, 10.0))

    assert clustered.p_value(0.002) == pytest.approx(fewer.p_value(0.002), rel=0.05)
    assert clustered.low(1e-2) == pytest.approx(fewer.low(1e-2), rel=0.05)


def test_too_few_rows_tell_nothing() -> None:
    few = Comparison(np.array([500, 500]), np.array([0, ROWS_MIN - 1]))

    estimate = few.estimate(level=0.01, confidence=0.99, tolerance=0.002)

    assert (estimate.value, estimate.low, estimate.high) == (None, None, None)
    assert few.p_value(0.002) == 1
    assert few.low(0.01) == 0


def test_a_constant_that_stays_is_stable_as_soon_as_rows_are_many() -> None:
    few, many = (Comparison(np.array([20_000]), np.array([rows])) for rows in (100, 1_000))

    estimates = [one.estimate(level=1e-6, confidence=0.99, tolerance=0.002) for one in (few, many)]

    assert [one.value for one in estimates] == [0, 0]
    assert (estimates[0].high or 0) > 0.1 > (estimates[1].high or 0)


def test_extreme_drift_is_finite_and_sure() -> None:
    everything_new = Comparison(np.array([10**7, 0]), np.array([0, 10**7]))

    estimate = everything_new.estimate(level=1e-9, confidence=0.99, tolerance=0.002)

    assert estimate.low is not None
    assert estimate.low > 1
    assert math.isfinite(estimate.high or math.inf)
    assert estimate.p_value == 0


def test_the_value_is_unbiased_where_it_can_be_and_never_negative() -> None:
    rng = np.random.default_rng(1)
    moved = shifted(0.5)
    values = [
        Comparison(rng.multinomial(20_000, UNIFORM), rng.multinomial(1_000, moved)).value
        for _ in range(500)
    ]

    assert np.mean(values) == pytest.approx(divergence(UNIFORM, moved), rel=0.03)
    assert min(values) >= 0


def test_psi_has_the_same_index() -> None:
    expected, actual = np.array([500, 300, 200]), np.array([40, 35, 25])

    column = Comparison(expected, actual)

    shares = smoothed(expected, actual)
    assert column.value == max(0.0, shares.index - shares.bias)
