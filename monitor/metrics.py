"""What Kedge exports to Prometheus: one catalogue, in one registry of its own.

Gauges of drift are set from what was committed, never from what might yet be rolled back.
Label values that come from data are bounded: past a limit they fold into ``other``, and
``kedge_folded_labels_total`` says so.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

import prometheus_client as prometheus

from collectors.resource_sample import GpuSample, ResourceSample
from monitor.bulk_histogram import BulkHistogram
from monitor.label_budget import LabelBudget

# Half as many series again, for times that nobody asks for.
prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]  # the client's own gap

#: Seconds; from a cached answer to a slow batch model.
LATENCY_BUCKETS_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0),
)
ROLLBACK_BUCKETS_S = (0.1, 0.5, 1.0, 2.0, 5.0, 15.0, 60.0, 300.0, 900.0)

#: Numbers of `kedge_rule_state`.
RULE_STATES = {"ok": 0, "suspect": 1, "breach": 2, "unknown": 3}

#: A page is rendered at most this often, whoever asks.
RENDER_INTERVAL_S = 1.0


class Metrics:
    """Every metric of the daemon. The names are INTERFACE §5's, and a contract."""

    def __init__(self, *, columns_max: int, versions_max: int) -> None:
        self.registry = prometheus.CollectorRegistry()
        self._page: tuple[float, bytes, str] = (-math.inf, b"", "")
        self._rendering = threading.Lock()
        self._limits: dict[str, int] = {}
        self._by_version: list[prometheus.Counter | prometheus.Gauge] = []
        self._make_traffic()
        self._make_drift()
        self._make_performance()
        self._make_decisions()
        self._make_ingest()
        self._make_resources()
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
        self.statistic = self._gauge(
            "kedge_drift_statistic", "Statistic of a column in the last closed window.", *series
        )
        self.low = self._gauge("kedge_drift_low", "Lower confidence bound of it.", *series)
        self.high = self._gauge("kedge_drift_high", "Upper confidence bound of it.", *series)
        self.threshold = self._gauge(
            "kedge_drift_threshold",
            "What a rule compares the bound with.",
            *("model", "column", "metric"),
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
        self.missing = self._gauge(
            "kedge_missing_ratio",
            "Share of missing values in the last closed window.",
            *("model", "version", "column"),
        )

    def _make_performance(self) -> None:
        series = ("model", "version", "metric")
        self.performance = self._gauge(
            "kedge_performance",
            "Figure of predictions and their labels in the last closed window.",
            *series,
        )
        self.performance_low = self._gauge(
            "kedge_performance_low", "Lower confidence bound of it.", *series
        )
        self.performance_high = self._gauge(
            "kedge_performance_high", "Upper confidence bound of it.", *series
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
        self._labels_seen: dict[tuple[str, ...], int] = {}

    def _make_decisions(self) -> None:
        self.rule_state = self._gauge(
            "kedge_rule_state", "0 ok, 1 suspect, 2 breach, 3 unknown.", "model", "rule"
        )
        self.rollbacks = self._counter(
            "kedge_rollbacks", "Rollbacks that ended, by outcome.", "model", "outcome"
        )
        self.rollback_state = self._gauge(
            "kedge_rollback_state", "1 for the state that holds.", "model", "state"
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
            "slow_reader, connections).",
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
            "damaged_spool_segments).",
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
        self._gpus: dict[str, dict[str, GpuSample]] = {}
        self.age = self._gauge(
            "kedge_model_age_seconds",
            "Time since the version that serves was registered.",
            *("model", "version"),
        )
        self._aged: tuple[str, str] | None = None
        self.age_failures = self._counter(
            "kedge_model_age_failures",
            "Questions to the registry, about when a version was made, without an answer.",
            "reason",
        )

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the page and its content type, at most a second old.

        One page is kept; a storm of scrapes costs one rendering a second.
        """
        with self._rendering:
            encoder, content_type = prometheus.exposition.choose_encoder(accept)
            made, page, kind = self._page
            now = time.monotonic()
            if now - made >= RENDER_INTERVAL_S or kind != content_type:
                page = encoder(self.registry)
                self._page = (now, page, content_type)
            return page, content_type

    def follow_limit(self, limit: str, cost: int) -> None:
        """Bring the counter of a limit up to what the limit has cost by now."""
        before = self._limits.get(limit, 0)
        self.limited.labels(limit).inc(max(0, cost - before))
        self._limits[limit] = cost

    def set_rule(self, model: str, rule: str, state: str) -> None:
        """Export where a rule stands."""
        self.rule_state.labels(model, rule).set(RULE_STATES[state])

    def set_reference(self, model: str, standing: Mapping[str, Any]) -> None:
        """Export which reference a version is compared with."""
        labels = (model, self.version(standing["version"]))
        self.reference_rows.labels(*labels).set(standing.get("rows", 0))
        self.reference_created.labels(*labels).set(_number(standing.get("created")))

    def set_window(self, row: Mapping[str, Any], measured: list[Mapping[str, Any]]) -> None:
        """Export a closed window and what was measured in it."""
        model, version = row["model"], self.version(row["version"])
        self.window_events.labels(model, version).set(row["events"])
        for one in measured:
            if one["column"] is None:
                self._set_whole(model, version, one)
            else:
                self._set_column(model, version, one)

    def set_performance(
        self, row: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]
    ) -> None:
        """Export what was measured in a closed window of labelled predictions."""
        model, version = row["model"], self.version(row["version"])
        gauges = (
            (self.performance, "value"),
            (self.performance_low, "low"),
            (self.performance_high, "high"),
        )
        for one in measured:
            for gauge, key in gauges:
                gauge.labels(model, version, one["metric"]).set(_number(one[key]))
            if one["threshold"] is not None:
                self.threshold.labels(model, "", one["metric"]).set(one["threshold"])

    def follow_labels(self, model: str, standing: Mapping[str, Any], *, count: bool) -> None:
        """Bring the counters of labels up to where they stand; at a start, only note where."""
        figures = [
            (self.labels, (model, self.version(version)), joined)
            for version, joined in standing["joined"].items()
        ]
        figures += [
            (self.label_fates, (kind.removesuffix("s"), fate), number)
            for kind in ("labels", "predictions")
            for fate, number in standing[kind].items()
        ]
        for counter, labels, number in figures:
            before = self._labels_seen.get(labels, 0)
            counter.labels(*labels).inc(number - before if count else 0)
            self._labels_seen[labels] = number
        for kind, number in standing["waiting"].items():
            self.labels_waiting.labels(kind).set(number)

    def set_resources(self, target: str, sample: ResourceSample) -> None:
        """Export a sample; what it does not tell becomes NaN, not the value before."""
        figures = {
            self.cpu: sample.cpu_ratio,
            self.cpu_limit: sample.cpu_limit_ratio,
            self.memory: sample.memory_bytes,
            self.memory_limit: sample.memory_limit_ratio,
            self.threads: sample.threads,
            self.open_files: sample.open_files,
        }
        for gauge, figure in figures.items():
            gauge.labels(target).set(_number(figure))
        known = self._gpus.setdefault(target, {})
        for gpu in (known | {one.gpu: one for one in sample.gpus}).values():
            known[gpu.gpu] = GpuSample(gpu.gpu)
            self.gpu.labels(target, gpu.gpu).set(_number(gpu.ratio))
            self.gpu_memory.labels(target, gpu.gpu).set(_number(gpu.memory_bytes))
        for reason in sample.failures:
            self.resource_failures.labels(target, reason).inc()

    def set_age(self, model: str, version: str, age_s: float) -> None:
        """Export the age of the version that serves; that of another one leaves the page."""
        labels = (model, self.version(version))
        if self._aged is not None and self._aged != labels:
            self.age.remove(*self._aged)
        self.age.labels(*labels).set(age_s)
        self._aged = labels

    def _set_whole(self, model: str, version: str, one: Mapping[str, Any]) -> None:
        value = _number(one["value"])
        metric = one["metric"]
        if metric.startswith("latency_p"):
            percentile = metric.removeprefix("latency_p")
            self.window_percentile.labels(model, version, percentile).set(value / 1000)
        elif metric == "throughput":
            self.window_throughput.labels(model, version).set(value)
        elif metric == "error_ratio":
            self.window_error_ratio.labels(model, version).set(value)
        if one["threshold"] is not None:
            self.threshold.labels(model, "", metric).set(one["threshold"])

    def _set_column(self, model: str, version: str, one: Mapping[str, Any]) -> None:
        column, metric = self.column(one["column"]), one["metric"]
        for gauge, key in ((self.statistic, "value"), (self.low, "low"), (self.high, "high")):
            gauge.labels(model, version, column, metric).set(_number(one[key]))
        if one["threshold"] is not None:
            self.threshold.labels(model, column, metric).set(one["threshold"])
        if metric == "missing_ratio":
            self.missing.labels(model, version, column).set(_number(one["value"]))

    def _counter(self, name: str, text: str, *labels: str) -> prometheus.Counter:
        counter = prometheus.Counter(name, text, labels, registry=self.registry)
        if "version" in labels:
            self._by_version.append(counter)
        return counter

    def _gauge(self, name: str, text: str, *labels: str) -> prometheus.Gauge:
        gauge = prometheus.Gauge(name, text, labels, registry=self.registry)
        # That of `kedge_build_info` is Kedge's own.
        if "version" in labels and "model" in labels:
            self._by_version.append(gauge)
        return gauge


def _number(value: float | None) -> float:
    """Prometheus' NaN stands for what cannot be told; an old value must not stay on the page."""
    return math.nan if value is None else value
