"""Statistics of columns beside independent implementations: scipy, scikit-learn, numpy by hand."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.columns.number_counts import NumberCounts
from detectors.columns.profile import NumberProfile
from detectors.statistics import (
    chi_square,
    cramer_von_mises,
    hellinger,
    jensen_shannon,
    l_infinity,
    wasserstein,
)
from detectors.statistics.psi import smoothed
from detectors.statistics.scale import scaled
from tests.detectors.columns import compared, pane_of, reference_to

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints

TABLES = (
    st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=30)
    .map(lambda rows: tuple(np.array(side, np.int64) for side in zip(*rows, strict=True)))
    .filter(lambda table: all(side.any() for side in table))
)

SIZES = pytest.mark.parametrize(("n", "m"), [(20, 90), (300, 2_000), (2_000, 300), (3_000, 3_000)])


def filled(table: tuple[Ints, ...]) -> tuple[Ints, Ints]:
    expected, actual = table
    keep = expected + actual > 0
    return expected[keep], actual[keep]


def cells_of(reference: Floats, window: Floats) -> tuple[NumberProfile, Ints]:
    known = reference_to(reference)
    counts = pane_of(known, window).columns["x"]
    profile = known.columns["x"]
    assert isinstance(counts, NumberCounts)
    assert isinstance(profile, NumberProfile)
    return profile, counts.cells()


def clipped(profile: NumberProfile, *sides: Floats) -> list[Floats]:
    """Clip and scale by hand: the ends of the axis, and the spread, from numpy's quantiles."""
    reference = np.repeat(profile.points, profile.counts)
    quantile = [
        float(np.quantile(reference, share, method="inverted_cdf"))
        for share in (0.01, 0.158655, 0.5, 0.841345, 0.99)
    ]
    spread = (quantile[3] - quantile[1]) / 2
    low = max(float(reference.min()), quantile[0] - 10 * spread)
    high = min(float(reference.max()), quantile[4] + 10 * spread)
    return [(np.clip(side, low, high) - quantile[2]) / spread for side in sides]


@given(TABLES)
@settings(deadline=None)
def test_jensen_shannon_is_scipys_distance_in_bits(table: tuple[Ints, ...]) -> None:
    from scipy.spatial.distance import jensenshannon  # noqa: PLC0415 - slow to import

    shares = smoothed(*table)

    index = jensen_shannon.divergence(shares).index

    expected = jensenshannon(shares.expected, shares.actual, base=2)
    assert index == pytest.approx(expected**2, abs=1e-9)


def test_jensen_shannon_is_scikit_learns_information_of_equally_large_samples() -> None:
    from sklearn.metrics import mutual_info_score  # noqa: PLC0415 - slow to import

    expected, actual = np.array([500, 300, 150, 50]), np.array([450, 250, 150, 150])

    index = jensen_shannon.divergence(smoothed(expected, actual, smoothing=1e-12)).index

    information = mutual_info_score(None, None, contingency=np.array([expected, actual]))
    assert index == pytest.approx(information / np.log(2), abs=1e-9)


@given(TABLES)
@settings(deadline=None)
def test_hellinger_is_what_the_bhattacharyya_coefficient_leaves(table: tuple[Ints, ...]) -> None:
    shares = smoothed(*table)

    index = hellinger.divergence(shares).index

    assert index == pytest.approx(1 - np.sqrt(shares.expected * shares.actual).sum(), abs=1e-9)


@given(TABLES)
@settings(deadline=None)
def test_psi_is_both_of_scipys_relative_entropies(table: tuple[Ints, ...]) -> None:
    from scipy.special import rel_entr  # noqa: PLC0415 - slow to import

    p, q = (shares := smoothed(*table)).expected, shares.actual

    assert shares.index == pytest.approx((rel_entr(p, q) + rel_entr(q, p)).sum(), abs=1e-9)


@pytest.mark.parametrize("of", [jensen_shannon, hellinger, chi_square])
@given(TABLES)
@settings(deadline=None, max_examples=30)
def test_derivatives_are_those_of_differences(of: object, table: tuple[Ints, ...]) -> None:
    shares = smoothed(*table)
    divergence = of.divergence  # type: ignore[attr-defined]  # all three modules have it
    found, step = divergence(shares), 1e-6

    for side, derivatives in (("expected", found.by_expected), ("actual", found.by_actual)):
        values = getattr(shares, side)
        # Along the line that keeps the sum of the shares.
        line = np.zeros(values.size)
        line[:2] = step * values[:2].min() * np.array([1.0, -1.0])
        one, other = (
            divergence(type(shares)(**{**parts(shares), side: values + sign * line})).index
            for sign in (1, -1)
        )
        assert (one - other) / 2 == pytest.approx(float(derivatives @ line), abs=1e-12, rel=1e-4)


def parts(shares: object) -> dict[str, object]:
    return {name: getattr(shares, name) for name in ("expected", "actual", "noise")}


@given(TABLES)
@settings(deadline=None)
def test_the_chi_square_statistic_is_scipys(table: tuple[Ints, ...]) -> None:
    from scipy.stats import chi2_contingency  # noqa: PLC0415 - slow to import

    expected, actual = filled(table)

    found = chi_square.statistic(expected, actual)

    theirs = chi2_contingency(np.array([expected, actual]), correction=False)
    assert found == pytest.approx(theirs.statistic, rel=1e-9, abs=1e-9)


def test_the_p_value_of_categories_is_scipys_and_the_value_is_cramers_v() -> None:
    from scipy.stats import chi2_contingency  # noqa: PLC0415 - slow to import
    from scipy.stats.contingency import association  # noqa: PLC0415 - slow to import

    table = np.array([[500_000, 300_000, 200_000], [450_000, 300_000, 250_000]])
    reference, window = (np.repeat(list("abc"), side // 100).tolist() for side in table)

    p_value = compared(reference, window)["chi2"].p_value
    value = chi_square.chi_square(*table, confidence=0.95).value

    theirs = chi2_contingency(table // 100, correction=False).pvalue
    assert p_value == pytest.approx(theirs, rel=1e-9)
    # Less its bias, which is small with so many rows.
    assert value == pytest.approx(association(table, method="cramer"), abs=1e-5)


@SIZES
@pytest.mark.parametrize("decimals", [0, 1, 12], ids=["few values", "tenths", "no ties"])
def test_wassersteins_distance_is_scipys_where_rows_lie_at_values(
    n: int, m: int, decimals: int
) -> None:
    from scipy.stats import wasserstein_distance  # noqa: PLC0415 - slow to import

    random = np.random.default_rng(n)
    reference = random.gamma(2, 2, size=n).round(decimals)
    window = random.choice(np.r_[reference, reference[reference > 2]], m).astype(float)
    profile, cells = cells_of(reference, window)

    found = wasserstein.wasserstein(profile, cells, confidence=0.95).value

    expected = wasserstein_distance(*clipped(profile, reference, window))
    assert found == pytest.approx(expected, abs=1e-9)


@SIZES
def test_wassersteins_distance_is_known_to_an_interval_between_values(n: int, m: int) -> None:
    from scipy.stats import wasserstein_distance  # noqa: PLC0415 - slow to import

    random = np.random.default_rng(n)
    for shift in (0.0, 0.3, 3.0):
        reference, window = random.normal(size=n), random.normal(shift, 1.2, size=m)
        profile, cells = cells_of(reference, window)
        scale = scaled(profile)
        assert scale is not None

        distance = wasserstein.distances(scale, cells)

        expected = wasserstein_distance(*clipped(profile, reference, window))
        assert distance.least - 1e-12 <= expected <= distance.most + 1e-12
        assert distance.least - 1e-12 <= distance.value <= distance.most + 1e-12
        # With drift, rows come to lie where the reference has few values, and less is known.
        assert shift or distance.most - distance.least <= 20 / min(n, m)


@SIZES
@pytest.mark.parametrize("shift", [0.0, 0.1, 1.0])
def test_cramer_and_von_mises_are_scipys(n: int, m: int, shift: float) -> None:
    from scipy.stats import cramervonmises_2samp  # noqa: PLC0415 - slow to import

    random = np.random.default_rng(n)
    reference, window = random.normal(size=n), random.normal(shift, 1, size=m)
    profile, cells = cells_of(reference, window)

    statistic = cramer_von_mises.statistic(profile, cells)
    p_value = cramer_von_mises.cramer_von_mises(profile, cells, confidence=0.95).p_value

    theirs = cramervonmises_2samp(reference, window, method="asymptotic")
    assert statistic == pytest.approx(theirs.statistic, rel=1e-9)
    # scipy ends its series early: its chances below 1e-7 are noise.
    assert p_value == pytest.approx(theirs.pvalue, abs=1e-9 if theirs.pvalue > 1e-4 else 1e-6)


@pytest.mark.parametrize(
    ("chance", "statistic"),
    # Anderson and Darling's table of 1952.
    [(0.5, 0.11888), (0.1, 0.34730), (0.05, 0.46136), (0.01, 0.74346), (0.001, 1.16786)],
)
def test_the_law_of_the_limit_is_the_published_one(chance: float, statistic: float) -> None:
    assert cramer_von_mises.above(statistic) == pytest.approx(chance, rel=2e-4)


def test_the_law_of_the_limit_has_no_seam_and_no_floor() -> None:
    below, beyond = cramer_von_mises.above(1 - 1e-12), cramer_von_mises.above(1 + 1e-12)

    assert below == pytest.approx(beyond, rel=1e-9)
    # It falls like exp(-pi^2 x / 2), times a power of x.
    ratio = cramer_von_mises.above(101.0) / cramer_von_mises.above(100.0)
    assert ratio == pytest.approx(np.exp(-(np.pi**2) / 2), rel=0.01)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 5))
@settings(deadline=None)
def test_ties_count_alike_whichever_way_a_column_is_turned(rows: list[int], m: int) -> None:
    reference, window = np.array(rows, float), np.arange(float(m))

    there = compared(reference, window, metrics=["cvm"])["cvm"]
    back = compared(-reference, -window, metrics=["cvm"])["cvm"]

    assert there.value == pytest.approx(back.value, abs=1e-12)
    assert there.p_value == pytest.approx(back.p_value, abs=1e-9)


@SIZES
@pytest.mark.parametrize("decimals", [1, 12], ids=["ties", "no ties"])
def test_shifts_and_ratios_are_numpys_where_rows_lie_at_values(
    n: int, m: int, decimals: int
) -> None:
    random = np.random.default_rng(n)
    reference = random.gamma(2, 2, size=n).round(decimals)
    window = random.choice(np.r_[reference, reference[reference > 2]], m).astype(float)
    profile, _ = cells_of(reference, window)
    before, after = clipped(profile, reference, window)

    found = compared(reference, window)

    assert found["mean_shift"].value == pytest.approx(after.mean() - before.mean(), abs=1e-9)
    ratio = np.std(after, ddof=1) / np.std(before, ddof=1)
    assert found["std_ratio"].value == pytest.approx(ratio, abs=1e-9)
    for metric, q in (("p05_shift", 0.05), ("median_shift", 0.5), ("p95_shift", 0.95)):
        moved = np.quantile(after, q, method="inverted_cdf") - np.quantile(
            before, q, method="inverted_cdf"
        )
        assert found[metric].value == pytest.approx(moved, abs=1e-9)


def test_the_p_value_of_a_mean_is_scipys_where_the_window_varies_more() -> None:
    from scipy.stats import t  # noqa: PLC0415 - slow to import

    random = np.random.default_rng(3)
    reference = random.integers(0, 50, size=400).astype(float)
    window = random.choice(np.r_[reference, 0.0, 49.0, 49.0], 90).astype(float)
    window[:30] = 49.0
    profile, _ = cells_of(reference, window)
    before, after = clipped(profile, reference, window)

    found = compared(reference, window)["mean_shift"].p_value

    error = np.sqrt(np.var(before, ddof=1) / 400 + np.var(after, ddof=1) / 90)
    assert np.var(after) > np.var(before)
    assert found == pytest.approx(2 * t.sf((after.mean() - before.mean()) / error, 89), rel=1e-9)


@given(TABLES)
@settings(deadline=None)
def test_the_largest_change_of_a_share_is_scipys_chebyshev_distance(
    table: tuple[Ints, ...],
) -> None:
    from scipy.spatial.distance import chebyshev  # noqa: PLC0415 - slow to import

    expected, actual = table

    found = l_infinity.l_infinity(expected, actual, confidence=0.95)

    assert found.value == pytest.approx(
        chebyshev(expected / expected.sum(), actual / actual.sum()), abs=1e-9
    )


@pytest.mark.parametrize(("n", "m", "beyond"), [(50, 20, 0), (50, 20, 3), (2_000, 900, 5)])
def test_the_chance_of_rows_out_of_range_is_the_beta_binomial_one(
    n: int, m: int, beyond: int
) -> None:
    from scipy.stats import betabinom  # noqa: PLC0415 - slow to import

    reference = np.arange(float(n))
    window = np.r_[np.full(m - beyond, 1.0), np.full(beyond, float(n))]

    found = compared(reference, window)["out_of_range_ratio"]

    assert found.value == beyond / m
    assert found.p_value == pytest.approx(betabinom(m, 2, n - 1).sf(beyond - 1), rel=1e-9)


def test_the_chance_of_a_constant_is_the_hypergeometric_one() -> None:
    from scipy.stats import hypergeom  # noqa: PLC0415 - slow to import

    reference, window = np.repeat([0.0, 1.0], [990, 10]), np.zeros(30)

    found = compared(reference, window)["constant"].p_value

    assert found == pytest.approx(hypergeom(1_030, 1_020, 30).pmf(30), rel=1e-9)


@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40),
    st.lists(st.sampled_from("abcdexy"), min_size=1, max_size=40),
)
@settings(deadline=None)
def test_distinct_values_are_those_that_the_hypergeometric_law_expects(
    reference: list[str], window: list[str]
) -> None:
    from scipy.stats import hypergeom  # noqa: PLC0415 - slow to import

    k = min(len(reference), len(window))
    before, after = (
        sum(1 - hypergeom(len(rows), held, k).pmf(0) for held in Counter(rows).values())
        for rows in (reference, window)
    )

    found = compared(reference, window)["cardinality"].value

    assert found == pytest.approx(after / before, abs=1e-9)
