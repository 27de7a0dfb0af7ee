"""Simulations: on traffic in which nothing changes, tests with design effects keep their level.

Each look is one column of one window against its reference, at a level of one in a thousand. The
noise of KS is ``sqrt(1/n + 1/m)`` and that of PSI ``1/n + 1/m``, times the effect.

PSI's chi-square law is itself only roughly right so far out: with bins of five expected rows, of
independent rows, it is exceeded once or twice in a thousand. So its bound is doubled.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from scipy.special import chdtrc, kolmogorov
from scipy.stats import binom

from benchmarks.streams import QUIET, Stream, quiet
from collectors.batch import CategoryColumn, Column, NumberColumn
from detectors.columns.category_counts import CategoryCounts
from detectors.columns.dispersion import NONE
from detectors.columns.number_counts import NumberCounts
from detectors.columns.profile import CategoryProfile, NumberProfile, Profile, design_effect
from detectors.statistics.bins import category_shares, number_shares
from detectors.statistics.ks import statistic
from detectors.statistics.psi import smoothed
from tests.detectors.batches import reference_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectors.columns.dispersion import DesignEffect

LEVEL = 1e-3
#: Chance that a right detector fails a case, were the looks independent.
CHANCE = 1e-4
STREAMS = 40


def p_values(profile: Profile, rows: Column, effect: DesignEffect) -> Iterator[tuple[str, float]]:
    match profile, rows:
        case NumberProfile(), NumberColumn():
            numbers = NumberCounts(profile.points)
            numbers.add(rows)
            upto = numbers.upto()
            noise = np.sqrt((1 / profile.rows + 1 / numbers.rows) * effect.cumulative)
            yield "ks", float(kolmogorov(statistic(profile, upto) / noise))
            shares = smoothed(*number_shares(profile, upto, numbers.missing, 10))
        case CategoryProfile(), CategoryColumn():
            categories = CategoryCounts(profile.values)
            categories.add(rows)
            shares = smoothed(*category_shares(profile, categories))
        case _:
            raise AssertionError
    freedom = shares.expected.size - 1
    yield "psi", float(chdtrc(freedom, shares.index / (shares.noise * effect.bins)))


def looks(stream: Stream, *, with_effects: bool) -> Iterator[tuple[str, float]]:
    """Yield the test and the p-value of every column of every window."""
    reference = reference_of(stream.reference)
    for name, column in stream.rows.items():
        profile = reference.columns[name]
        effect = design_effect(profile, stream.window) if with_effects else NONE
        for start in range(0, len(column.values), stream.window):
            rows = column.take(slice(start, start + stream.window))
            yield from p_values(profile, rows, effect)


def alarms(family: str, window: int, *, with_effects: bool = True) -> dict[str, tuple[int, int]]:
    """Count alarms and looks by test, over streams of different seeds."""
    alarms, all_looks = Counter[str](), Counter[str]()
    for seed in range(STREAMS):
        stream = quiet(family, seed, window=window, windows=10)
        for test, p_value in looks(stream, with_effects=with_effects):
            alarms[test] += p_value < LEVEL
            all_looks[test] += 1
    return {test: (alarms[test], all_looks[test]) for test in all_looks}


@pytest.mark.slow
@pytest.mark.parametrize("window", [100, 500, 2_000])
@pytest.mark.parametrize("family", QUIET)
def test_quiet_traffic_alarms_no_more_often_than_stated(family: str, window: int) -> None:
    counted = alarms(family, window)

    for test, (alarmed, looked) in counted.items():
        print(f"{family}, windows of {window}: {test} {alarmed} of {looked}")  # noqa: T201 - with -s
        level = LEVEL if test == "ks" else 2 * LEVEL
        assert alarmed <= binom.ppf(1 - CHANCE, looked, level)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["seasonality", "autocorrelated rows", "sessions"])
def test_without_design_effects_such_traffic_would_alarm_all_the_time(family: str) -> None:
    counted = alarms(family, 500, with_effects=False)

    for test, (alarmed, looked) in counted.items():
        print(f"{family} without effects: {test} {alarmed} of {looked}")  # noqa: T201 - with -s
        assert alarmed > 0.1 * looked
