"""What is measured of a window."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.batch import (
    CategoryColumn,
    Column,
    NumberColumn,
    PredictionBatch,
    Schema,
    VectorColumn,
)
from detectors.kinds import (
    COLUMN_DEFAULTS,
    COLUMN_METRICS,
    COUNT_METRICS,
    DRIFT,
    JOINT_METRICS,
    METRICS,
    SAMPLED_METRICS,
    measure,
)
from detectors.measurement import Measurement
from detectors.numerics.ratio import ratio
from detectors.paired.comparison import SHADOW_METRICS
from detectors.performance.estimators import ESTIMATED_METRICS
from detectors.performance.performance import PERFORMANCE_METRICS
from detectors.reference.reference import Reference
from detectors.statistics.rate import rate
from detectors.windows.pane import Pane
from tests.detectors.batches import batch_of, batches, reference_of

if TYPE_CHECKING:
    from collections.abc import Collection

REFERENCE = reference_of(
    {
        "x": NumberColumn(np.arange(1_000.0)),
        "c": CategoryColumn(["a"] * 600 + ["b"] * 400),
        "v": VectorColumn(np.arange(2_000.0).reshape(1_000, 2)),
    }
)


def measured(
    *parts: PredictionBatch,
    reference: Reference | None = REFERENCE,
    seconds: float | None = 60.0,
    metrics: Collection[str] = COLUMN_METRICS,
) -> dict[tuple[str, str | None], Measurement]:
    pane = Pane(reference, Schema({}))
    for part in parts:
        pane.add(part)
    found = measure(pane, reference, seconds=seconds, confidence=0.95, metrics=metrics)
    return {(m.metric, m.column): m for m in found}


def test_each_metric_is_measured_where_it_applies() -> None:
    values: dict[str, Column] = {
        "x": NumberColumn(np.arange(100.0)),
        "c": CategoryColumn(["a"] * 100),
        "v": VectorColumn(np.arange(200.0).reshape(100, 2)),
        "unknown": NumberColumn(np.arange(100.0)),
    }

    found = measured(batch_of([1.0] * 100, values, latency_ms=[5.0] * 100))

    by_column = {
        column: {metric for metric, of in found if of == column}
        for column in ("x", "c", "v", "unknown", None)
    }
    assert by_column == {
        "x": {
            *("psi", "js", "hellinger", "constant", "cardinality", "missing_ratio"),
            *("ks", "cvm", "wasserstein", "mean_shift", "median_shift", "p05_shift", "p95_shift"),
            *("std_ratio", "out_of_range_ratio", "invalid_ratio"),
        },
        "c": {
            *("psi", "js", "hellinger", "constant", "cardinality", "missing_ratio"),
            *("chi2", "linf", "new_category_ratio", "invalid_ratio"),
        },
        "v": {"mean_distance", "mmd", "missing_ratio", "invalid_ratio"},
        "unknown": {"missing_ratio", "invalid_ratio"},
        None: {
            "events",
            "throughput",
            "error_ratio",
            "latency_p50",
            "latency_p90",
            "latency_p95",
            "latency_p99",
        },
    }
    others = {DRIFT, *JOINT_METRICS, *ESTIMATED_METRICS, *PERFORMANCE_METRICS, *SAMPLED_METRICS}
    others |= SHADOW_METRICS
    assert set().union(*by_column.values()) == METRICS - others
    assert COUNT_METRICS < METRICS


def test_of_columns_only_what_is_asked_for_is_measured() -> None:
    values: dict[str, Column] = {"x": NumberColumn(np.arange(100.0))}

    found = measured(batch_of([1.0] * 100, values), metrics=["wasserstein", "latency_p99", "chi2"])
    usual = measured(batch_of([1.0] * 100, values), metrics=COLUMN_DEFAULTS)

    assert {metric for metric, column in found if column == "x"} == {"wasserstein"}
    assert {metric for metric, column in usual if column == "x"} == {
        *("psi", "ks", "missing_ratio", "invalid_ratio")
    }


def test_the_widest_latency_is_the_one_told() -> None:
    found = measured(
        batch_of([1.0] * 9, latency_ms=[5.0] * 9, latency_kind="model"),
        batch_of([1.0] * 9, latency_ms=[50.0] * 9, latency_kind="server"),
    )

    latency = found["latency_p50", None]
    assert latency.value == pytest.approx(50.0, rel=0.011)
    assert latency.n == 9


def test_without_latencies_statuses_or_duration_nothing_is_told_of_them() -> None:
    found = measured(batch_of([1.0], status=[0]), seconds=None)

    assert found["latency_p99", None].value is None
    assert found["error_ratio", None].value is None
    assert found["throughput", None].value is None
    assert found["events", None].value == 1


def test_throughput_counts_what_sampled_requests_stand_for() -> None:
    found = measured(batch_of([1.0] * 30, weight=[10.0] * 30))

    assert found["throughput", None].value == 5.0
    assert found["throughput", None].n == 30


def test_new_categories_cannot_be_told_where_the_reference_folded_some() -> None:
    folded = reference_of({"c": CategoryColumn([f"v{number}" for number in range(1_200)])})

    found = measured(batch_of([1.0], {"c": CategoryColumn(["new"])}), reference=folded)

    assert found["new_category_ratio", "c"].value is None


@given(st.lists(batches(), max_size=3), st.sampled_from([REFERENCE, None]))
@settings(deadline=None)
def test_no_window_however_odd_stops_the_measuring(
    parts: list[PredictionBatch], reference: Reference | None
) -> None:
    found = measured(*parts, reference=reference)

    for measurement in found.values():
        bounds = (measurement.low, measurement.high)
        if measurement.value is None:
            assert bounds == (None, None)
        else:
            assert measurement.low is None or measurement.low <= measurement.value + 1e-9
            # The middle of a latency's bucket may stand above what was seen, never above its edge.
            assert measurement.high is None or measurement.value <= measurement.high + 1e-9


def test_a_ratio_has_the_published_exact_limits() -> None:
    # Tabulated: 5 of 10 have the 95 % limits 0.187 and 0.813.
    estimate = ratio(5, 10, confidence=0.95)

    assert estimate.low == pytest.approx(0.187, abs=1e-3)
    assert estimate.high == pytest.approx(0.813, abs=1e-3)


def test_no_hits_are_bounded_by_the_share_that_would_rarely_give_none() -> None:
    # (1 - share) ** 100 = 0.025.
    estimate = ratio(0, 100, confidence=0.95)

    assert estimate.high == pytest.approx(1 - 0.025**0.01)


def test_a_rate_has_the_published_poisson_limits() -> None:
    # Garwood's table: 10 events have the 95 % limits 4.795 and 18.39.
    estimate = rate(10, 1.0, confidence=0.95)

    assert estimate.low == pytest.approx(4.795, abs=1e-3)
    assert estimate.high == pytest.approx(18.39, abs=1e-2)


@pytest.mark.parametrize("seconds", [None, 0.0, -1.0])
def test_no_duration_gives_no_rate(seconds: float | None) -> None:
    assert rate(10, seconds, confidence=0.95).value is None


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.003, 0.02, 0.2, 0.997])
def test_each_bound_of_a_ratio_errs_no_more_often_than_stated(share: float) -> None:
    random = np.random.default_rng(4)
    rounds, too_high, too_low = 4_000, 0, 0

    for hits in random.binomial(500, share, size=rounds).tolist():
        estimate = ratio(hits, 500, confidence=0.95)
        assert estimate.low is not None
        assert estimate.high is not None
        too_high += estimate.low > share
        too_low += estimate.high < share

    # 2.5 % each; three standard errors of 4,000 rounds are 0.75 %.
    assert too_high / rounds <= 0.0325
    assert too_low / rounds <= 0.0325
