"""Correlations of a window beside their reference's: figures, bounds, and what they promise."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import binom, norm, rankdata

from benchmarks.streams import QUIET, Stream, drifting, quiet
from collectors.batch import Column, NumberColumn
from detectors.joint.counts import JointCounts
from detectors.joint.scores import SCORE_UNIT
from detectors.statistics.correlation import Correlations, jeffreys
from tests.detectors.batches import reference_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from collectors.batch import Floats
    from detectors.joint.profile import JointProfile

#: Chance that a right detector fails a case, were the looks independent.
CHANCE = 1e-4
#: What a rule of drift lets pass.
TOLERANCE = 0.002


def columns_of(values: Floats) -> dict[str, Column]:
    return {f"c{number}": NumberColumn(column.copy()) for number, column in enumerate(values.T)}


def pairs(random: np.random.Generator, rows: int, correlation: float) -> Floats:
    """Return rows of four columns of which the first two are correlated."""
    values = random.standard_normal((rows, 4))
    values[:, 1] = correlation * values[:, 0] + np.sqrt(1 - correlation**2) * values[:, 1]
    return values


def correlations(columns: npt.NDArray[np.floating]) -> Floats:
    return np.asarray(np.corrcoef(columns), np.float64)


def joint_of(columns: Mapping[str, Column]) -> JointProfile:
    joint = reference_of(columns).joint
    assert joint is not None
    return joint


def compared(joint: JointProfile, columns: Mapping[str, Column]) -> Correlations:
    counts = JointCounts(joint.tables)
    counts.add(columns, max(len(column.values) for column in columns.values()))
    return Correlations.of(joint, counts)


def windows_of(stream: Stream) -> Iterator[Correlations]:
    joint = joint_of(stream.reference)
    rows = len(next(iter(stream.rows.values())).values)
    for start in range(0, rows, stream.window):
        part = slice(start, start + stream.window)
        yield compared(joint, {name: column.take(part) for name, column in stream.rows.items()})


def test_the_value_is_the_change_of_the_correlation_of_normal_scores() -> None:
    random = np.random.default_rng(1)
    before, after = pairs(random, 20_000, 0.2), pairs(random, 5_000, -0.7)

    found = compared(joint_of(columns_of(before)), columns_of(after))

    both = np.concatenate((before, after))
    scores = norm.ppf((rankdata(both, axis=0) - 0.5) / len(both))
    changes = correlations(scores[20_000:].T) - correlations(scores[:20_000].T)
    assert found.pair == ("c0", "c1")
    assert found.shift(confidence=0.99).value == pytest.approx(abs(changes[0, 1]), abs=0.01)


def test_correlations_are_those_of_the_scores_exactly() -> None:
    random = np.random.default_rng(2)
    joint = joint_of(columns_of(pairs(random, 3_000, 0.5)))
    window = columns_of(pairs(random, 777, 0.9))

    value = compared(joint, window).shift(confidence=0.99).value

    here = correlations(joint.tables.matrix([(window, 777)]).astype(np.float64))
    assert value == pytest.approx(abs(here[0, 1] - np.tanh(joint.centers[0])), abs=1e-9)


def test_the_noise_is_what_windows_of_rows_that_are_not_normal_vary_by() -> None:
    def rows_of(random: np.random.Generator, rows: int) -> Floats:
        scale = np.exp(random.standard_normal((rows, 1)))
        return scale * random.standard_normal((rows, 2))

    random = np.random.default_rng(3)
    joint = joint_of(columns_of(rows_of(random, 50_000)))
    found = []
    for _ in range(2_000):
        scores = joint.tables.matrix([(columns_of(rows_of(random, 400)), 400)])
        found.append(np.arctanh(correlations(scores)[0, 1]))

    varied = np.var(found, ddof=1) * (400 - 3)

    assert varied > 1.2  # nothing that Fisher's own 1 would have served
    assert joint.noises[0] == pytest.approx(varied, rel=4 * np.sqrt(2 / 2_000))


@pytest.mark.parametrize(("before", "after"), [(0.0, 0.3), (0.5, 0.9), (-0.4, 0.4), (0.7, 0.7)])
def test_the_divergence_is_that_of_two_normal_pairs(before: float, after: float) -> None:
    covariances = [np.array([[1.0, r], [r, 1.0]]) for r in (before, after)]
    inverses = [np.linalg.inv(one) for one in covariances]
    both = (np.trace(inverses[0] @ covariances[1]) + np.trace(inverses[1] @ covariances[0])) / 2

    found = float(jeffreys(np.array([before]), np.array([after]))[0])

    assert found == pytest.approx(both - 2, abs=1e-12)


def test_the_divergence_grows_with_the_change_on_either_side() -> None:
    after = np.linspace(-0.998, 0.998, 2_001)
    for before in np.linspace(-0.95, 0.95, 39):
        found = jeffreys(np.full(after.size, before), after)

        assert (np.diff(found[after > before]) > 0).all()
        assert (np.diff(found[after < before]) < 0).all()


def test_bounds_and_chance_of_a_divergence_agree() -> None:
    random = np.random.default_rng(4)
    joint = joint_of(columns_of(pairs(random, 20_000, 0.0)))

    found = compared(joint, columns_of(pairs(random, 500, 0.4)))

    for tolerance in (0.0, 0.002, 0.02, 0.06):
        level = found.p_value(tolerance)
        assert found.low(level) == pytest.approx(tolerance, abs=1e-4)
    estimate = found.estimate(level=1e-6, confidence=0.99, tolerance=TOLERANCE)
    assert estimate.value is not None
    assert estimate.low is not None
    assert estimate.high is not None
    assert 0 < estimate.low < estimate.value < estimate.high
    assert estimate.low < float(jeffreys(np.zeros(1), np.array([0.4]))[0]) < estimate.high


@pytest.mark.parametrize("rows", [0, 1, 49])
def test_few_rows_tell_nothing(rows: int) -> None:
    random = np.random.default_rng(5)
    joint = joint_of(columns_of(pairs(random, 2_000, 0.0)))

    found = compared(joint, columns_of(pairs(random, rows, 0.9)))

    assert (found.pair, found.p_value(0.0), found.low(0.5)) == (None, 1.0, 0.0)
    assert found.shift(confidence=0.9).value is None
    assert found.estimate(level=0.5, confidence=0.9, tolerance=0.0).value is None
    assert found.shift(confidence=0.9).n == rows


def test_constant_and_missing_columns_tell_nothing_and_hide_nothing() -> None:
    random = np.random.default_rng(6)
    reference = columns_of(pairs(random, 5_000, 0.0))
    joint = joint_of({**reference, "still": NumberColumn(np.full(5_000, 3.0))})
    window = columns_of(pairs(random, 500, 0.8))
    window["c3"] = NumberColumn(np.full(500, np.nan))

    found = compared(joint, {**window, "still": NumberColumn(random.random(500))})

    assert found.pair == ("c0", "c1")
    assert found.p_value(TOLERANCE) < 1e-20


def test_a_copy_of_a_column_that_is_none_any_more_is_seen() -> None:
    random = np.random.default_rng(7)
    values = random.standard_normal(5_000)
    joint = joint_of({"a": NumberColumn(values), "b": NumberColumn(2 * values + 1)})
    same, other = random.standard_normal((2, 500))

    healthy = compared(joint, {"a": NumberColumn(same), "b": NumberColumn(2 * same + 1)})
    apart = compared(joint, {"a": NumberColumn(same), "b": NumberColumn(other)})

    assert healthy.p_value(0.0) == 1.0
    assert apart.p_value(TOLERANCE) < 1e-30
    shift = apart.shift(confidence=0.99)
    assert shift.low is not None
    assert shift.low > 0.8


def test_one_enormous_value_changes_no_result_by_more_than_its_row() -> None:
    random = np.random.default_rng(8)
    joint = joint_of(columns_of(pairs(random, 5_000, 0.5)))
    values = pairs(random, 500, 0.5)
    values[0] = [5.0, 5.0, 5.0, 5.0]
    before = compared(joint, columns_of(values)).shift(confidence=0.99)

    values[0] = [1e9, 1e300, np.inf, 1e9]
    after = compared(joint, columns_of(values)).shift(confidence=0.99)

    assert after == before


@pytest.mark.parametrize("size", ["medium", "large"])
def test_a_change_of_correlation_only_is_found_in_the_first_window(size: str) -> None:
    for seed in range(10):
        stream = drifting("correlation only", size, seed, windows=4)  # type: ignore[arg-type]  # as listed

        found = list(windows_of(stream))

        assert [one.p_value(TOLERANCE) < 1e-6 for one in found] == [False, False, True, True]
        assert {one.pair for one in found[2:]} == {("income", "score")}


def test_a_small_change_of_correlation_is_found_in_most_windows() -> None:
    found = [
        one.p_value(TOLERANCE) < 1e-4
        for seed in range(10)
        for one in list(windows_of(drifting("correlation only", "small", seed)))[10:]
    ]

    assert np.mean(found) > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("window", [100, 500, 2_000])
@pytest.mark.parametrize("family", QUIET)
def test_quiet_traffic_alarms_no_more_often_than_stated(family: str, window: int) -> None:
    found = [
        one.p_value(0.0)
        for seed in range(60)
        for one in windows_of(quiet(family, seed, window=window, windows=10))
    ]

    for level in (0.01, 0.001):
        alarms = int(np.sum(np.array(found) < level))
        print(f"{family}, windows of {window}: {alarms} of {len(found)} at {level}")  # noqa: T201 - with -s
        assert alarms <= binom.ppf(1 - CHANCE, len(found), level)


@pytest.mark.slow
def test_taken_for_independent_rows_such_traffic_would_alarm_all_the_time() -> None:
    for family in ("autocorrelated rows", "sessions"):
        stream = quiet(family, 1, windows=40)
        joint = joint_of(stream.reference)
        scores = joint.tables.matrix([(stream.rows, 20_000)]).reshape(-1, 40, 500)

        z = np.arctanh([correlations(scores[:, one])[0, 1] for one in range(40)])

        assert np.mean(np.abs(z) * np.sqrt(497) > norm.isf(0.0005)) > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.9])
@pytest.mark.parametrize("rows", [100, 500, 5_000])
def test_bounds_cover_the_largest_change_as_often_as_stated(rows: int, correlation: float) -> None:
    random = np.random.default_rng(9)
    outside = 0
    for _ in range(40):
        joint = joint_of(columns_of(pairs(random, 10_000, 0.3)))
        for _ in range(10):
            shift = compared(joint, columns_of(pairs(random, rows, correlation))).shift(
                confidence=0.9
            )
            assert shift.low is not None
            assert shift.high is not None
            # Scores are of coarse ranks, which dilutes correlations a little.
            outside += not shift.low - 0.01 <= abs(correlation - 0.3) <= shift.high + 0.01

    print(f"{rows} rows, 0.3 to {correlation}: {outside} of 400 outside")  # noqa: T201 - with -s
    assert outside <= binom.ppf(1 - CHANCE, 400, 0.1)


def test_scores_have_the_unit_that_is_stated() -> None:
    random = np.random.default_rng(10)
    joint = joint_of(columns_of(pairs(random, 20_000, 0.0)))

    scores = joint.tables.matrix([(columns_of(pairs(random, 20_000, 0.0)), 20_000)])

    assert (scores / SCORE_UNIT).std() == pytest.approx(1, abs=0.02)
