"""The metrics that others rely on have the names, kinds and labels that they were promised."""

from __future__ import annotations

import pytest
from prometheus_client.metrics import MetricWrapperBase

from monitor.metrics.bulk_gauge import BulkGauge
from monitor.metrics.bulk_histogram import BulkHistogram
from monitor.metrics.catalogue import Metrics

_COLUMN = "model version column metric"

PROMISED = {
    "kedge_predictions_total": "model version status",
    "kedge_prediction_latency_seconds": "model version",
    "kedge_drift_statistic": _COLUMN,
    "kedge_drift_low": _COLUMN,
    "kedge_drift_high": _COLUMN,
    "kedge_drift_threshold": "model column metric",
    "kedge_window_events": "model version",
    "kedge_missing_ratio": "model version column",
    "kedge_performance": "model version metric",
    "kedge_labels_total": "model version",
    "kedge_model_age_seconds": "model version",
    "kedge_resource_cpu_ratio": "target",
    "kedge_resource_memory_bytes": "target",
    "kedge_resource_gpu_ratio": "target gpu",
    "kedge_resource_gpu_memory_bytes": "target gpu",
    "kedge_rule_state": "model rule",
    "kedge_rollbacks_total": "model outcome",
    "kedge_rollback_state": "model state",
    "kedge_rollback_duration_seconds": "",
    "kedge_gate_refusals_total": "model gate",
    "kedge_shadow_requests_total": "model version outcome",
    "kedge_shadow_disagreement_ratio": "model live shadow",
    "kedge_ingest_lag_seconds": "source",
    "kedge_ingest_bytes_total": "source",
    "kedge_rejected_events_total": "source reason",
    "kedge_shed_events_total": "source",
    "kedge_late_events_total": "source",
    "kedge_build_info": "version",
}


def labels_by_name() -> dict[str, set[str]]:
    found = {}
    for one in vars(Metrics(columns_max=1, versions_max=1)).values():
        if isinstance(one, MetricWrapperBase | BulkHistogram | BulkGauge):
            (family,) = one.collect()
            suffix = "_total" if family.type == "counter" else ""
            labels = one._labelnames if isinstance(one, MetricWrapperBase) else one._labels
            found[family.name + suffix] = set(labels)
    return found


@pytest.mark.parametrize(("name", "labels"), PROMISED.items())
def test_a_promised_metric_is_exported_with_its_labels(name: str, labels: str) -> None:
    assert labels_by_name()[name] == set(labels.split())
