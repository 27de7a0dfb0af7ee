"""How often the metrics of vectors raise false alarms, and their bounds hold."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from collectors.batch import Floats
from tests.detectors.columns import compared

METRICS = ("mean_distance", "mmd")


def drawn(law: str, random: np.random.Generator, rows: int) -> Floats:
    if law == "round":
        return random.normal(size=(rows, 8))
    if law == "one number dominates":
        return np.asarray(random.normal(size=(rows, 32)) * np.r_[6.0, np.ones(31)])
    if law == "heavy tails":
        return np.asarray(random.standard_t(3, size=(rows, 16)))
    centers = np.random.default_rng(1).normal(size=(10, 384))
    return np.asarray(centers[random.integers(10, size=rows)] + random.normal(size=(rows, 384)))


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m", "rounds"), [(2_000, 50, 120), (300, 1_000, 120)])
@pytest.mark.parametrize("law", ["round", "one number dominates", "heavy tails", "clusters"])
def test_false_alarms_are_no_more_often_than_stated(law: str, n: int, m: int, rounds: int) -> None:
    random = np.random.default_rng(n + m)
    above, small = Counter[str](), Counter[str]()

    for _ in range(rounds):
        reference, window = drawn(law, random, n), drawn(law, random, m)
        found = compared(reference, window, metrics=METRICS, confidence=0.9)
        for metric, one in found.items():
            assert one.low is not None
            assert one.p_value is not None
            above[metric] += one.low > 0
            small[metric] += one.p_value <= 0.05

    limit = rounds * (0.05 + 3 * math.sqrt(0.05 * 0.95 / rounds))
    for counts in (above, small):
        assert {metric: count for metric, count in counts.items() if count > limit} == {}


@pytest.mark.slow
@pytest.mark.parametrize(("n", "m"), [(2_000, 200), (500, 1_000)])
@pytest.mark.parametrize("shift", [0.0, 0.1, 0.5])
def test_bounds_of_the_mean_distance_hold_as_often_as_stated(n: int, m: int, shift: float) -> None:
    random, rounds = np.random.default_rng(n + m), 200
    axis_lengths = np.arange(1, 9)
    moved = shift * np.sqrt((axis_lengths**2).sum() / 8)
    missed = 0

    for _ in range(rounds):
        reference = random.normal(size=(n, 8)) * axis_lengths
        window = random.normal(size=(m, 8)) * axis_lengths + moved
        one = compared(reference, window, metrics=METRICS[:1], confidence=0.9)["mean_distance"]
        assert one.low is not None
        assert one.high is not None
        missed += not one.low <= shift <= one.high

    assert missed <= rounds * (0.1 + 3 * math.sqrt(0.1 * 0.9 / rounds))
