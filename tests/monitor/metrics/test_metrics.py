"""Labels stay bounded, histograms count what they are given, and a page is made once a second."""

from __future__ import annotations

import math

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from monitor.metrics.catalogue import LATENCY_BUCKETS_S, Metrics
from monitor.metrics.label_budget import IDLE_S, LabelBudget
from monitor.publishing.publishing import Publisher


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(columns_max=2, versions_max=1)


def sample(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_past_the_budget_a_label_folds_into_other_and_is_counted(metrics: Metrics) -> None:
    names = [metrics.column(name) for name in ("age", "income", "plan", "age")]

    assert names == ["age", "income", "other", "age"]
    assert sample(metrics, "kedge_folded_labels_total", label="column") == 1


def test_the_histogram_counts_each_latency_in_every_bucket_it_fits(metrics: Metrics) -> None:
    edge = LATENCY_BUCKETS_S[3]

    metrics.latency.observe(("m", "7"), np.array([0.0, edge, 100.0, math.nan]))

    label = {"model": "m", "version": "7"}
    name = "kedge_prediction_latency_seconds"
    assert sample(metrics, f"{name}_bucket", le=repr(LATENCY_BUCKETS_S[2]), **label) == 1
    assert sample(metrics, f"{name}_bucket", le=repr(edge), **label) == 2
    assert sample(metrics, f"{name}_bucket", le="+Inf", **label) == 3
    assert sample(metrics, f"{name}_count", **label) == 3
    assert sample(metrics, f"{name}_sum", **label) == pytest.approx(100 + edge)


def test_a_batch_without_latency_makes_no_series(metrics: Metrics) -> None:
    metrics.latency.observe(("m", "7"), np.array([math.nan, math.nan]))

    assert sample(metrics, "kedge_prediction_latency_seconds_count", model="m", version="7") is None


def test_what_cannot_be_told_replaces_the_old_value_by_nan(metrics: Metrics) -> None:
    row = {"model": "m", "version": "7", "events": 5}
    measured = {"column": "age", "metric": "psi", "threshold": 0.25}
    known = {"value": 0.4, "low": 0.3, "high": 0.5}
    untold = dict.fromkeys(("value", "low", "high"))
    publisher = Publisher("m", metrics)
    publisher.set_window(row, [measured | known])

    publisher.set_window(row, [measured | untold])

    series = {"model": "m", "version": "7", "column": "age", "metric": "psi"}
    value = sample(metrics, "kedge_drift_low", **series)
    assert value is not None
    assert math.isnan(value)


def test_a_second_scrape_within_a_second_gets_the_same_page(metrics: Metrics) -> None:
    first, _ = metrics.page.render("")
    Publisher("m", metrics).set_rule("drift", "breach", 5.0)

    second, _ = metrics.page.render("")

    assert first == second


def test_the_page_is_read_by_prometheus_own_parser(metrics: Metrics) -> None:
    Publisher("m", metrics).set_rule('a "quoted"\nname', "breach", None)
    metrics.latency.observe(("m", "7"), np.array([0.2]))

    page, _ = metrics.page.render("")

    families = {family.name for family in text_string_to_metric_families(page.decode())}
    assert {"kedge_rule_state", "kedge_prediction_latency_seconds"} <= families


def test_a_version_idle_for_an_hour_gives_way_to_a_new_one_with_all_its_series(
    metrics: Metrics,
) -> None:
    now = [0.0]
    metrics.version = LabelBudget(
        1, lambda: None, forget=metrics._forget_version, monotonic=lambda: now[0]
    )
    metrics.predictions.labels("m", metrics.version("7"), "200").inc()
    metrics.latency.observe(("m", metrics.version("7")), np.array([0.2]))
    soon = metrics.version("8")
    now[0] = IDLE_S

    later = metrics.version("8")

    label = {"model": "m", "version": "7"}
    assert (soon, later) == ("other", "8")
    assert sample(metrics, "kedge_predictions_total", status="200", **label) is None
    assert sample(metrics, "kedge_prediction_latency_seconds_count", **label) is None
