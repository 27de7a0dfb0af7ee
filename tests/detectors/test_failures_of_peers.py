"""What was measured to go wrong in other drift monitors, and does not here; one test each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from detectors.kinds import COLUMN_METRICS
from tests.detectors.columns import compared

if TYPE_CHECKING:
    from detectors.measurement import Measurement

#: Distances that a shift of one deviation makes large.
DISTANCES = ("psi", "js", "hellinger", "ks", "cvm", "wasserstein")


def low(measurement: Measurement) -> float:
    assert measurement.low is not None
    return measurement.low


@pytest.mark.parametrize("outlier", [100.0, 1e9, np.inf])
@pytest.mark.parametrize("metric", [*DISTANCES, "mean_shift", "median_shift"])
def test_one_outlier_hides_no_deviation_of_drift(metric: str, outlier: float) -> None:
    # Bins cut over the pooled range: PSI 0.98 falls to 0.03 by one value of 1,000.
    random = np.random.default_rng(1)
    reference, window = random.normal(size=20_000), random.normal(1, 1, size=20_000)
    usual = compared(reference, window, metrics=[metric])[metric]

    hidden = compared(reference, np.r_[outlier, window[1:]], metrics=[metric])[metric]

    assert usual.value is not None
    assert usual.value > 0.05
    assert hidden.value == pytest.approx(usual.value, rel=0.001)


def test_a_decile_that_empties_costs_what_half_a_row_costs() -> None:
    # An empty bin as 2e-308: PSI 70; as nothing at all: infinity.
    reference = np.arange(20_000.0)

    found = compared(reference, np.r_[reference[2_000:], reference[2_000:4_000]])

    # A tenth of the rows goes from the first decile to the second.
    expected = 0.1 * np.log(2_000 / 0.5) + 0.1 * np.log(2)
    assert found["psi"].value == pytest.approx(expected, abs=0.01)
    assert found["js"].value == pytest.approx(np.sqrt(0.05 + 0.0112), abs=0.01)


def test_a_row_in_a_bin_that_was_empty_is_no_drift() -> None:
    # One extra single-row bin at 1,000 rows: PSI 0.7 where empty bins are 2e-308.
    names = ["a"] * 500 + ["b"] * 500

    found = compared(names, [*names[:-1], "c"])

    for metric in ("psi", "js", "hellinger", "chi2", "linf"):
        assert found[metric].value == pytest.approx(0, abs=0.04)
        assert found[metric].low == 0
    assert found["chi2"].p_value == pytest.approx(1, abs=0.1)


def test_heavy_tails_do_not_fall_into_one_bin() -> None:
    # Student's t with 1.5 degrees, stretched by half: PSI 0.0014 over equally wide bins.
    random = np.random.default_rng(2)
    reference, window = random.standard_t(1.5, size=(2, 100_000))

    found = compared(reference, 1.5 * window)

    assert low(found["psi"]) > 0.05
    assert low(found["std_ratio"]) > 1.1


def test_a_drifted_skewed_column_ranks_above_one_that_did_not_drift() -> None:
    # Equally wide bins: 0.0141 for the drifted lognormal, 0.0419 for the one that did not drift.
    random = np.random.default_rng(3)
    reference, same, other = random.lognormal(size=(3, 100_000))

    quiet, drifted = compared(reference, same), compared(reference, 1.2 * other)

    for metric in DISTANCES:
        high = quiet[metric].high
        assert high is not None
        assert low(drifted[metric]) > high


def test_an_unseen_category_of_two_in_a_thousand_is_seen_and_does_not_explode() -> None:
    # PSI 1.56 in one peer, a chi-square statistic of infinity in another.
    random = np.random.default_rng(4)
    reference, window = random.choice(list("abcde"), size=(2, 100_000)).tolist()
    window[:200] = ["new"] * 200

    found = compared(reference, window)

    assert found["psi"].value == pytest.approx(0.01, abs=0.01)
    assert found["chi2"].p_value is not None
    assert found["chi2"].p_value < 1e-20
    assert found["new_category_ratio"].value == 0.002
    for metric in ("js", "hellinger", "chi2", "linf"):
        assert found[metric].value == pytest.approx(0, abs=0.05)
        assert low(found[metric]) > 0


@pytest.mark.parametrize("levels", [20, 50, 200])
def test_many_levels_are_no_evidence_against_a_column(levels: int) -> None:
    # Against fixed frequencies, p is 2e-5, 2e-8 and 2e-17 of 20, 50 and 200 quiet levels.
    random = np.random.default_rng(levels)
    shares = random.dirichlet(np.full(levels, 5.0))
    names = [f"level {number}" for number in range(levels)]
    small, rounds = 0, 30

    for _ in range(rounds):
        sides = (random.choice(names, 20_000, p=shares).tolist() for _ in range(2))
        p_value = compared(*sides, metrics=["chi2"])["chi2"].p_value
        assert p_value is not None
        small += p_value < 0.01

    assert small <= 2


@pytest.mark.parametrize("law", ["pareto", "cauchy"])
def test_ks_of_a_long_tailed_column_is_that_of_all_rows(law: str) -> None:
    # 10,000 equally wide bins: 0.0435 instead of 0.0657, and 0.0113 instead of 0.0439.
    from scipy.stats import ks_2samp  # noqa: PLC0415 - slow to import

    random = np.random.default_rng(5)
    uniform = random.random((2, 20_000))
    rows = 1 / uniform if law == "pareto" else np.tan(np.pi * (uniform - 0.5))
    reference, window = rows[0], 1.2 * rows[1]

    found = compared(reference, window, metrics=["ks"])["ks"].value

    assert found == pytest.approx(ks_2samp(reference, window).statistic, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [50, 200, 1_000])
def test_five_levels_and_few_rows_alarm_as_rarely_as_stated(rows: int) -> None:
    # 29 to 44 % of quiet windows at p < 0.05 in a peer, and PSI >= 0.1 in 88 % at 100 rows.
    random, rounds = np.random.default_rng(rows), 400
    alarms = dict.fromkeys(("psi", "js", "hellinger", "chi2"), 0)

    for _ in range(rounds):
        sides = random.choice(list("abcde"), size=(2, rows)).tolist()
        for metric, one in compared(*sides, confidence=0.9, metrics=alarms).items():
            # Of 50 rows, no category may have enough: then nothing is told.
            alarms[metric] += one.p_value is not None and one.p_value < 0.05

    # 5 %, and three standard errors of 400 rounds.
    assert max(alarms.values()) / rounds <= 0.083


@pytest.mark.parametrize("metric", ["ks", "cvm", "wasserstein", "psi", "js"])
def test_a_shift_too_small_for_coarse_thresholds_is_proven_in_a_large_window(metric: str) -> None:
    # Wasserstein >= 0.1 and JS >= 0.1 at 100,000 rows: a shift of 0.09 deviations passes.
    random = np.random.default_rng(6)
    reference, window = random.normal(size=100_000), random.normal(0.09, 1, size=100_000)

    found = compared(reference, window, metrics=[metric])[metric]

    assert low(found) > 0
    assert found.p_value is not None
    assert found.p_value < 1e-6


def test_a_rate_that_goes_from_one_to_four_in_a_hundred_is_proven() -> None:
    # JS >= 0.1 passes it on 100,000 rows.
    before, after = (["yes"] * rate + ["no"] * (100_000 - rate) for rate in (1_000, 4_000))

    found = compared(before, after)

    for metric in ("psi", "js", "hellinger", "chi2", "linf"):
        assert low(found[metric]) > 0
    assert found["linf"].value == pytest.approx(0.03)


def test_a_constant_column_trips_nothing() -> None:
    found = compared(np.ones(1_000), np.ones(500))

    assert found["ks"].value == 0
    assert found["cvm"].value == 0
    assert found["constant"].value == 0
    assert found["wasserstein"].value is None
    assert set(found) < set(COLUMN_METRICS)
