"""What Kedge exports to Prometheus: one catalogue, in one registry of its own.

:mod:`monitor.publishing.publishing` says what is set when. Label values that come from data are
bounded: past a limit they fold into ``other``, and ``kedge_folded_labels_total`` says so.
"""

from __future__ import annotations

import prometheus_client as prometheus

from monitor.metrics.bulk_gauge import BulkGauge
from monitor.metrics.bulk_histogram import BulkHistogram
from monitor.metrics.label_budget import LabelBudget
from monitor.metrics.lease import LeaseMetrics
from monitor.metrics.page import MetricsPage

# Half as many series again, for times that nobody asks for.
prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]  # the client's own gap

#: Seconds; from a cached answer to a slow batch model.
LATENCY_BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0),
)
ROLLBACK_BUCKETS_S = (0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0)


class Metrics:
    """Every metric of the daemon. The names are INTERFACE §5's, and a contract."""

    def __init__(self, *, columns_max: int, versions_max: int) -> None:
        self.registry = prometheus.CollectorRegistry()
        self.page = MetricsPage(self.registry)
        self._by_version: list[prometheus.Counter | prometheus.Gauge] = []
        self._make_traffic()
        self._make_drift()
        self._make_performance()
        self._make_decisions()
        self._make_ingest()
        self._make_resources()
        self._make_shadow()
        self.folded = self._counter(
            "kedge_folded_labels", "Label values folded into 'other', by label.", "label"
        )
        fold = self.folded.labels
        self.column = LabelBudget(columns_max, lambda: fold("column").inc())
        self.version = LabelBudget(
            versions_max, lambda: fold("version").inc(), forget=self._forget_version
        )

    def _forget_version(self, version: str) -> None:
        """Let go of every series of a version of the model."""
        for metric in self._by_version:
            metric.remove_by_labels({"version": version})
        self.latency.forget("version", version)
        self.column_share.forget("version", version)

    def _make_traffic(self) -> None:
        self.predictions = self._counter(
            "kedge_predictions",
            "Predictions counted, by HTTP status (0: a further row of a request; unknown: the log "
            "does not say).",
            *("model", "version", "status"),
        )
        self.latency = BulkHistogram(
            "kedge_prediction_latency_seconds",
            "Time to answer, as the log tells it.",
            ("model", "version"),
            LATENCY_BUCKETS_S,
        )
        self.registry.register(self.latency)
        self.window_events = self._gauge(
            "kedge_window_events", "Events in the last closed window.", "model", "version"
        )
        self.window_percentile = self._gauge(
            "kedge_window_latency_seconds",
            "Latency percentile of the last closed window.",
            *("model", "version", "percentile"),
        )
        self.window_throughput = self._gauge(
            "kedge_window_requests_per_second",
            "Requests a second in the last closed window.",
            *("model", "version"),
        )
        self.window_error_ratio = self._gauge(
            "kedge_window_error_ratio",
            "Share of failed requests in the last closed window.",
            *("model", "version"),
        )

    def _make_drift(self) -> None:
        series = ("model", "version", "column", "metric")
        self.statistic, self.low, self.high = self._bounded(
            "kedge_drift_statistic", "Statistic of a column in the last closed window.", *series
        )
        self.threshold = self._gauge(
            "kedge_drift_threshold",
            "What a rule compares the bound with.",
            *("model", "column", "metric"),
        )
        self.segment = self._gauge(
            "kedge_segment_drift_statistic",
            "What a rule looks at in the last closed window of a segment of the traffic.",
            *("model", "version", "segment", "column", "metric"),
        )
        self.reference_rows = self._gauge(
            "kedge_reference_rows",
            "Rows of the reference of a version; 0 where it has none, and its drift is unknown.",
            *("model", "version"),
        )
        self.reference_created = self._gauge(
            "kedge_reference_created_timestamp_seconds",
            "When the reference of a version was made.",
            *("model", "version"),
        )
        self.reference_failures = self._counter(
            "kedge_reference_failures",
            "Questions to the registry for a reference without one for an answer, by reason.",
            "reason",
        )
        self.seasonal = self._counter(
            "kedge_seasonal_windows",
            "Windows of versions whose reference has a season, by what they were compared with: "
            "their hour (slot), or the whole (few_rows, too_long, zone).",
            "basis",
        )
        self.column_share = BulkGauge(
            "kedge_column_share_ratio",
            "Share of a column's rows that fall into a bar, in the last closed window of the "
            "version that serves and in its reference (of: window, reference).",
            ("model", "version", "column", "bar", "of"),
        )
        self.registry.register(self.column_share)
        self.missing = self._gauge(
            "kedge_missing_ratio",
            "Share of missing values in the last closed window.",
            *("model", "version", "column"),
        )

        self.changes = self._counter(
            "kedge_changes",
            "Changes that a detector found, up or down.",
            *("model", "version", "column", "metric", "direction"),
        )
        self.change_values_skipped = self._counter(
            "kedge_change_values_skipped",
            "Values that a change detector did not look at, by reason (limit, streams, "
            "latency_kind, not_finite, task, not_binary).",
            *("metric", "reason"),
        )
        self.change_memory_dropped = self._counter(
            "kedge_change_memory_dropped",
            "Memory of change detectors that could not be taken up, by reason (river_version, "
            "parameters, damaged).",
            "reason",
        )

    def _make_performance(self) -> None:
        series = ("model", "version", "metric")
        self.performance, self.performance_low, self.performance_high = self._bounded(
            "kedge_performance",
            "Figure of predictions and their labels in the last closed window.",
            *series,
        )
        self.labels = self._counter(
            "kedge_labels", "Labels that met their prediction.", "model", "version"
        )
        self.label_fates = self._counter(
            "kedge_label_fates",
            "What became of labels, and of predictions without one.",
            *("kind", "fate"),
        )
        self.labels_waiting = self._gauge(
            "kedge_labels_waiting",
            "Kept rows, by kind: predictions, labels, and pairs that may be corrected.",
            "kind",
        )

    def _make_decisions(self) -> None:
        self.rule_state = self._gauge(
            "kedge_rule_state", "0 ok, 1 suspect, 2 breach, 3 unknown.", "model", "rule"
        )
        self.rule_since = self._gauge(
            "kedge_rule_state_since_timestamp_seconds",
            "End of the window since which the rule is in its state.",
            *("model", "rule"),
        )
        self.rollbacks = self._counter(
            "kedge_rollbacks", "Rollbacks that ended, by outcome.", "model", "outcome"
        )
        self.rollback_state = self._gauge(
            "kedge_rollback_state", "1 for the state that holds.", "model", "state"
        )
        self.rollback_ended = self._gauge(
            "kedge_rollback_ended_timestamp_seconds",
            "When the last rollback with this outcome ended.",
            *("model", "outcome"),
        )
        self.held_until = self._gauge(
            "kedge_hold_until_timestamp_seconds",
            "Until when a person has stopped automatic action; 0 while nobody has.",
            "model",
        )
        self.said = self._counter(
            "kedge_operator_actions",
            "What people have said, by action (hold, resume, bless, quarantine).",
            *("model", "action"),
        )
        self.notifications = self._counter(
            "kedge_notifications",
            "What became of notifications, by channel (sent, retried, failed, dropped).",
            *("channel", "outcome"),
        )
        self.alerts = self._counter(
            "kedge_alerts",
            "Alerts of others that were posted, by what they were (hint, evidence, over, repeated, "
            "other_model, no_data, shed).",
            *("model", "outcome"),
        )
        self.rollback_duration = prometheus.Histogram(
            "kedge_rollback_duration_seconds",
            "From the confirmed breach to the verified recovery.",
            buckets=ROLLBACK_BUCKETS_S,
            registry=self.registry,
        )
        self.refusals = self._counter(
            "kedge_gate_refusals", "Rollbacks refused, by gate.", "model", "gate"
        )
        self.target_comparisons = self._counter(
            "kedge_target_comparisons",
            "Comparisons with a rollback's target that have ended, by verdict (better, alike, "
            "apart, worse, unknown).",
            *("model", "verdict"),
        )
        self.lease = LeaseMetrics()
        self.registry.register(self.lease)

    def _make_ingest(self) -> None:
        self.lag = self._gauge(
            "kedge_ingest_lag_seconds",
            "Age of the newest event that was counted, when it was counted.",
            "source",
        )
        self.backlog = self._gauge(
            "kedge_ingest_backlog_bytes", "Bytes that stand in the source, not read yet.", "source"
        )
        self.unreadable = self._gauge(
            "kedge_unreadable_files",
            "Files of the source that cannot be read, or not to their end; the log says why.",
            "source",
        )
        self.bytes = self._counter("kedge_ingest_bytes", "Bytes read.", "source")
        self.rejected = self._counter(
            "kedge_rejected_events", "Lines that could not be used.", "source", "reason"
        )
        self.late = self._counter(
            "kedge_late_events", "Events that came after their window had closed.", "source"
        )
        self.ahead = self._counter(
            "kedge_ahead_events", "Events from the future, counted as of now.", "source"
        )
        self.shed = self._counter(
            "kedge_shed_events", "Events dropped because a limit was reached.", "source"
        )
        self.duplicates = self._counter(
            "kedge_duplicate_events", "Posted events that had come before; counted once.", "source"
        )
        self.refused_clients = self._counter(
            "kedge_http_refused",
            "Requests or connections ended by a limit (large_body, slow_body, bodies_held, "
            "slow_head, slow_reader, connections, listeners).",
            "reason",
        )
        self.unknown_keys = self._counter(
            "kedge_unknown_keys", "Keys that the event format does not know; ignored.", "source"
        )
        self.ignored = self._counter(
            "kedge_ignored_lines", "Lines that hold no prediction: headers, probes.", "source"
        )
        self.joined = self._counter(
            "kedge_joined_events", "Events whose features and prediction came apart.", "source"
        )
        self.alone = self._counter(
            "kedge_unjoined_events",
            "Halves of events whose other half did not come in time; each counts as a row.",
            "source",
        )
        self.limited = self._counter(
            "kedge_limit_reached",
            "What a limit cost, by limit (skipped_windows, evicted_versions, evicted_panes, "
            "evicted_references, "
            "overflowing_columns, unkept_rejections, forgotten_versions, torn_spool_bytes, "
            "damaged_spool_segments, evicted_change_versions, evicted_shadow_panes, "
            "undrawn_columns, lost_spans; of taps: "
            "large_tapped_bodies, unreadable_tapped_bodies, tap_connections, tap_slow_head, "
            "tap_slow_reader).",
            "limit",
        )
        self.commits = self._counter(
            "kedge_store_commits", "Transactions, by outcome (ok, failed).", "outcome"
        )
        self.commit_duration = prometheus.Histogram(
            "kedge_store_commit_seconds",
            "Time of a transaction.",
            buckets=(0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0),
            registry=self.registry,
        )
        self.build = self._gauge("kedge_build_info", "1, with the version of Kedge.", "version")

    def _make_resources(self) -> None:
        self.cpu = self._gauge(
            "kedge_resource_cpu_ratio", "Cores in use by what serves (1: one core).", "target"
        )
        self.cpu_limit = self._gauge(
            "kedge_resource_cpu_limit_ratio", "Share of the limit of cores in use.", "target"
        )
        self.memory = self._gauge(
            "kedge_resource_memory_bytes", "Memory in use (working set).", "target"
        )
        self.memory_limit = self._gauge(
            "kedge_resource_memory_limit_ratio", "Share of the memory limit in use.", "target"
        )
        self.threads = self._gauge("kedge_resource_threads", "Threads.", "target")
        self.open_files = self._gauge("kedge_resource_open_files", "Open files.", "target")
        self.gpu = self._gauge(
            "kedge_resource_gpu_ratio", "Share of the time a GPU was busy.", "target", "gpu"
        )
        self.gpu_memory = self._gauge(
            "kedge_resource_gpu_memory_bytes", "Memory in use on a GPU.", "target", "gpu"
        )
        self.resource_failures = self._counter(
            "kedge_resource_failures",
            "Samples of which all or a part could not be told, by reason (not_found, hidden, "
            "denied, unreadable, gpu, slow).",
            *("target", "reason"),
        )
        self.age = self._gauge(
            "kedge_model_age_seconds",
            "Time since the version that serves was registered.",
            *("model", "version"),
        )
        self.age_failures = self._counter(
            "kedge_model_age_failures",
            "Questions to the registry, about when a version was made, without an answer.",
            "reason",
        )

    def _make_shadow(self) -> None:
        versions = ("model", "live", "shadow")
        self.shadow_requests = self._counter(
            "kedge_shadow_requests",
            "Live requests that were to be scored by a shadow, by what became of them (scored, "
            "refused, failed, timeout, missing_inputs, incomparable, same_version, shed, lost).",
            *("model", "version", "outcome"),
        )
        self.shadow_disagreement = self._gauge(
            "kedge_shadow_disagreement_ratio",
            "Share of the last window's pairs on which live version and shadow differ.",
            *versions,
        )
        self.shadow_statistic, self.shadow_low, self.shadow_high = self._bounded(
            "kedge_shadow_statistic",
            "What was measured of the last window of pairs; latencies in milliseconds.",
            *(*versions, "metric"),
        )
        self.shadow_segment, self.shadow_segment_low, self.shadow_segment_high = self._bounded(
            "kedge_shadow_segment_statistic",
            "What was measured of the last window of pairs of a segment of the traffic.",
            *(*versions, "segment", "metric"),
        )

    def _counter(self, name: str, text: str, *labels: str) -> prometheus.Counter:
        counter = prometheus.Counter(name, text, labels, registry=self.registry)
        if "version" in labels:
            self._by_version.append(counter)
        return counter

    def _bounded(
        self, name: str, text: str, *labels: str
    ) -> tuple[prometheus.Gauge, prometheus.Gauge, prometheus.Gauge]:
        """Return the gauge of a figure, and those of its bounds."""
        stem, bound = name.removesuffix("_statistic"), "confidence bound of it."
        low = self._gauge(f"{stem}_low", f"Lower {bound}", *labels)
        high = self._gauge(f"{stem}_high", f"Upper {bound}", *labels)
        return self._gauge(name, text, *labels), low, high

    def _gauge(self, name: str, text: str, *labels: str) -> prometheus.Gauge:
        gauge = prometheus.Gauge(name, text, labels, registry=self.registry)
        # That of `kedge_build_info` is Kedge's own.
        if "version" in labels and "model" in labels:
            self._by_version.append(gauge)
        return gauge
