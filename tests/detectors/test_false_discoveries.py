"""Procedures against false discoveries, against their definitions worked out step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.numerics.false_discoveries import (
    benjamini_hochberg,
    e_benjamini_hochberg,
    selected_level,
)

P_VALUES = st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1e-9, 0.01])), max_size=12)
LEVELS = st.floats(1e-6, 0.5)


@given(P_VALUES, LEVELS)
def test_the_rejected_are_the_most_that_keep_the_level(values: list[float], level: float) -> None:
    size = len(values)
    # By definition: the largest R such that R of the p-values are at most R level / K.
    most = max(
        (r for r in range(1, size + 1) if sum(p <= level * (r / size) for p in values) >= r),
        default=0,
    )

    rejected = benjamini_hochberg(np.array(values), level)

    limit = level * most / size if most else -1
    assert rejected.sum() == most
    assert all(values[i] <= limit * (1 + 1e-12) for i in np.flatnonzero(rejected))


def test_it_agrees_with_scipys_adjusted_p_values() -> None:
    from scipy.stats import false_discovery_control  # noqa: PLC0415 - heavy

    rng = np.random.default_rng(5)
    for _ in range(50):
        values = rng.beta(0.4, 1.5, size=30)

        rejected = benjamini_hochberg(values, 0.05)

        assert rejected.tolist() == (false_discovery_control(values) <= 0.05).tolist()


@pytest.mark.parametrize("common", [0.0, 0.8], ids=["independent", "moving together"])
def test_without_drift_anything_is_rejected_at_most_at_the_level(common: float) -> None:
    from scipy.special import ndtr  # noqa: PLC0415 - heavy

    rng = np.random.default_rng(7)
    looks, level = 20_000, 0.05
    shared = rng.normal(size=(looks, 1)) * math.sqrt(common)
    values = ndtr(shared + rng.normal(size=(looks, 20)) * math.sqrt(1 - common))

    alarms = sum(benjamini_hochberg(row, level).any() for row in values)

    assert alarms <= looks * level + 4 * math.sqrt(looks * level)


@given(st.lists(st.floats(-5, 30), max_size=12), st.floats(-20, -0.1))
def test_e_values_are_rejected_by_the_same_procedure_on_their_inverses(
    logs: list[float], log_level: float
) -> None:
    size = len(logs)
    most = max(
        (
            r
            for r in range(1, size + 1)
            if sum(one >= math.log(size / r) - log_level + 1e-9 for one in logs) >= r
        ),
        default=0,
    )

    rejected = e_benjamini_hochberg(np.array(logs), log_level)

    assert rejected.sum() >= most
    assert not rejected.any() or min(np.array(logs)[rejected]) >= max(
        [one for one, gone in zip(logs, rejected, strict=True) if not gone], default=-math.inf
    )


def test_e_values_of_dependent_columns_keep_the_rate() -> None:
    rng = np.random.default_rng(9)
    looks, level = 20_000, 0.05
    # One e-value for all columns, the worst dependence there is: 1/level with probability level.
    common = np.where(rng.random(looks) < level, -math.log(level), -math.inf)

    alarms = sum(e_benjamini_hochberg(np.full(10, one), math.log(level)).any() for one in common)

    assert alarms <= looks * level + 4 * math.sqrt(looks * level)


@given(P_VALUES.filter(bool), LEVELS)
def test_a_column_is_selected_just_where_its_p_value_keeps_the_level_of_the_bounds(
    values: list[float], level: float
) -> None:
    rejected = benjamini_hochberg(np.array(values), level)

    bound = selected_level(int(rejected.sum()), len(values), level)

    for value, is_rejected in zip(values, rejected, strict=True):
        if abs(value - bound) > 1e-12 * bound:
            assert is_rejected == (value <= bound)


def test_of_no_columns_none_is_rejected() -> None:
    assert benjamini_hochberg(np.empty(0), 0.1).tolist() == []
    assert e_benjamini_hochberg(np.empty(0), -3.0).tolist() == []
