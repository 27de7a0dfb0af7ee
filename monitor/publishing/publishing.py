"""What is exported of which event, window and rule, and when.

Counters follow lines as they are counted. Gauges of windows and rules are set from what was
committed, never from what might yet be rolled back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from collectors.batch import STATUS_UNKNOWN, Decoded, PredictionBatch
from collectors.resources.sample import GpuSample, ResourceSample
from detectors.performance.estimators import ESTIMATED_METRICS
from monitor.judging.judging import Judged
from monitor.judging.rule_standings import RuleStanding
from monitor.judging.turn import Committed
from monitor.metrics.catalogue import Metrics
from monitor.publishing.columns import ColumnPublisher
from monitor.publishing.shadow import ShadowPublisher
from monitor.references.seasonal import Basis

if TYPE_CHECKING:
    from prometheus_client import Gauge

#: Numbers of `kedge_rule_state`.
RULE_STATES = {"ok": 0, "suspect": 1, "breach": 2, "unknown": 3}


class Publisher:
    """Exports what the daemon counts and concludes about one model."""

    def __init__(self, model: str, metrics: Metrics) -> None:
        self._model = model
        self._metrics = metrics
        self._shadow = ShadowPublisher(model, metrics)
        self._columns = ColumnPublisher(model, metrics)
        self._limits: dict[str, int] = {}
        self._labels_seen: dict[tuple[str, ...], int] = {}
        self._estimates: set[tuple[str, str, str]] = set()
        self._estimates_replaced: set[tuple[str, str, str]] = set()
        for outcome in ("ok", "failed"):
            metrics.commits.labels(outcome)

    def count_batch(self, source: str, batch: PredictionBatch, now: float) -> None:
        """Count the rows of a batch."""
        metrics = self._metrics
        version = metrics.version(batch.version)
        statuses, counts = np.unique(batch.status, return_counts=True)
        for status, count in zip(statuses.tolist(), counts.tolist(), strict=True):
            name = "unknown" if status == STATUS_UNKNOWN else str(status)
            metrics.predictions.labels(batch.model, version, name).inc(count)
        metrics.latency.observe((batch.model, version), batch.latency_ms / 1000)
        metrics.lag.labels(source).set(max(0.0, now - float(batch.ts.max())))

    def count_lines(self, source: str, decoded: Decoded) -> None:
        """Count what lines were besides batches."""
        metrics = self._metrics
        for rejection in decoded.rejections:
            metrics.rejected.labels(source, rejection.reason).inc()
        for counter, count in (
            (metrics.unknown_keys, sum(decoded.unknown_keys.values())),
            (metrics.ignored, decoded.ignored),
            (metrics.joined, decoded.joined),
            (metrics.alone, decoded.alone),
        ):
            if count:
                counter.labels(source).inc(count)

    def count_untimely(self, source: str, *, late: int, ahead: int) -> None:
        """Count events that came after their window had closed, or from the future."""
        if late:
            self._metrics.late.labels(source).inc(late)
        if ahead:
            self._metrics.ahead.labels(source).inc(ahead)

    def follow_limit(self, limit: str, cost: int) -> None:
        """Bring the counter of a limit up to what the limit has cost by now."""
        before = self._limits.get(limit, 0)
        self._metrics.limited.labels(limit).inc(max(0, cost - before))
        self._limits[limit] = cost

    def follow_labels(self, standing: Mapping[str, Any], *, count: bool) -> None:
        """Bring the counters of labels up to where they stand; at a start, only note where."""
        metrics = self._metrics
        figures = [
            (metrics.labels, (self._model, metrics.version(version)), joined)
            for version, joined in standing["joined"].items()
        ]
        figures += [
            (metrics.label_fates, (kind.removesuffix("s"), fate), number)
            for kind in ("labels", "predictions")
            for fate, number in standing[kind].items()
        ]
        for counter, labels, number in figures:
            before = self._labels_seen.get(labels, 0)
            counter.labels(*labels).inc(number - before if count else 0)
            self._labels_seen[labels] = number
        for kind, number in standing["waiting"].items():
            metrics.labels_waiting.labels(kind).set(number)

    def follow(self, costs: Mapping[str, int], committed: Committed, *, count: bool = True) -> None:
        """Bring counters up to where things stand; at a start, only note where."""
        for limit, cost in costs.items():
            self.follow_limit(limit, cost)
        if committed.labels is not None:
            self.follow_labels(committed.labels, count=count)
        if committed.shadow is not None:
            self._shadow.follow(committed.shadow["by_version"], count=count)

    def stand(self, committed: Committed) -> None:
        """Export where rules, references and columns stand after a commit."""
        self.set_rules(committed.rules)
        self.set_references(committed.references.values())
        self._columns.show(committed.last_windows, committed.live_version)
        self.follow_limit("undrawn_columns", self._columns.left_out)

    def set_rules(self, standings: Iterable[RuleStanding]) -> None:
        """Export where every rule stands with the version that serves."""
        for one in standings:
            self.set_rule(one.rule.name, one.state.state, one.state.since)

    def set_rule(self, rule: str, state: str, since: float | None) -> None:
        """Export where a rule stands, and since when."""
        self._metrics.rule_state.labels(self._model, rule).set(RULE_STATES[state])
        self._metrics.rule_since.labels(self._model, rule).set(_number(since))

    def count_basis(self, basis: Basis) -> None:
        """Count a window by what it was compared with, where the reference has a season."""
        if basis != "none":
            self._metrics.seasonal.labels(basis).inc()

    def set_references(self, standings: Iterable[Mapping[str, Any]]) -> None:
        """Export which references versions are compared with."""
        metrics = self._metrics
        for standing in standings:
            labels = (self._model, metrics.version(standing["version"]))
            metrics.reference_rows.labels(*labels).set(standing.get("rows", 0))
            metrics.reference_created.labels(*labels).set(_number(standing.get("created")))

    def set_backlogs(self, unread: Mapping[str, Mapping[str, int]]) -> None:
        """Export the bytes not read yet, given by source and by stream of it."""
        for source, streams in unread.items():
            self._metrics.shed.labels(source)  # from 0 on, so that the first one is an increase
            self._metrics.backlog.labels(source).set(sum(streams.values()))

    def conclude(self, judged: Judged) -> None:
        """Export what was concluded from a window, once that is committed."""
        row = judged.row
        if judged.live is not None:
            self._shadow.show(row.window, judged.live, row.measurements)
        elif row.window["segment"]:
            self.set_segment(row.window, row.measurements)
        elif judged.labelled:
            self.set_performance(judged.row.window, judged.row.measurements)
        else:
            self.set_window(judged.row.window, judged.row.measurements)

    def set_window(self, row: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]) -> None:
        """Export a closed window and what was measured in it."""
        model, version = row["model"], self._metrics.version(row["version"])
        self._metrics.window_events.labels(model, version).set(row["events"])
        for one in measured:
            if one["metric"] in ESTIMATED_METRICS:
                self._set_estimate(model, version, one)
            elif one["column"] is None:
                self._set_whole(model, version, one)
            else:
                self._set_column(model, version, one)

    def set_segment(self, row: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]) -> None:
        """Export what rules look at in a closed window of a segment, and nothing else of it."""
        metrics = self._metrics
        labels = (row["model"], metrics.version(row["version"]), row["segment"])
        for one in measured:
            if one["threshold"] is not None:
                column = "" if one["column"] is None else metrics.column(one["column"])
                gauge = metrics.segment.labels(*labels, column, one["metric"])
                gauge.set(_number(one["value"]))

    def set_performance(
        self, row: Mapping[str, Any], measured: Sequence[Mapping[str, Any]]
    ) -> None:
        """Export what was measured in a closed window of labelled predictions."""
        model, version = row["model"], self._metrics.version(row["version"])
        for one in measured:
            self._set_one_performance(model, version, one)
            estimate = (model, version, f"estimated_{one['metric']}")
            self._estimates_replaced.add(estimate)
            if estimate in self._estimates:
                self._estimates.discard(estimate)
                for gauge, _ in self._performance_gauges():
                    gauge.remove(*estimate)

    def _set_estimate(self, model: str, version: str, one: Mapping[str, Any]) -> None:
        """Export an estimate of performance, until the same figure was measured."""
        estimate = (model, version, one["metric"])
        if estimate not in self._estimates_replaced:
            self._estimates.add(estimate)
            self._set_one_performance(model, version, one)

    def _set_one_performance(self, model: str, version: str, one: Mapping[str, Any]) -> None:
        for gauge, key in self._performance_gauges():
            gauge.labels(model, version, one["metric"]).set(_number(one[key]))
        if one["threshold"] is not None:
            threshold = self._metrics.threshold
            threshold.labels(model, "", one["metric"]).set(one["threshold"])

    def _performance_gauges(self) -> tuple[tuple[Gauge, str], ...]:
        metrics = self._metrics
        return (
            (metrics.performance, "value"),
            (metrics.performance_low, "low"),
            (metrics.performance_high, "high"),
        )

    def _set_whole(self, model: str, version: str, one: Mapping[str, Any]) -> None:
        metrics, metric = self._metrics, one["metric"]
        value = _number(one["value"])
        if metric.startswith("latency_p"):
            percentile = metric.removeprefix("latency_p")
            metrics.window_percentile.labels(model, version, percentile).set(value / 1000)
        elif metric == "throughput":
            metrics.window_throughput.labels(model, version).set(value)
        elif metric == "error_ratio":
            metrics.window_error_ratio.labels(model, version).set(value)
        if one["threshold"] is not None:
            metrics.threshold.labels(model, "", metric).set(one["threshold"])

    def _set_column(self, model: str, version: str, one: Mapping[str, Any]) -> None:
        metrics = self._metrics
        column, metric = metrics.column(one["column"]), one["metric"]
        gauges = ((metrics.statistic, "value"), (metrics.low, "low"), (metrics.high, "high"))
        for gauge, key in gauges:
            gauge.labels(model, version, column, metric).set(_number(one[key]))
        if one["threshold"] is not None:
            metrics.threshold.labels(model, column, metric).set(one["threshold"])
        if metric == "missing_ratio":
            metrics.missing.labels(model, version, column).set(_number(one["value"]))


class ResourcePublisher:
    """Exports samples of what serves the model, and the age of the version that serves."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._gpus: dict[str, dict[str, GpuSample]] = {}
        self._aged: tuple[str, str] | None = None

    def set_sample(self, target: str, sample: ResourceSample) -> None:
        """Export a sample; what it does not tell becomes NaN, not the value before."""
        metrics = self._metrics
        figures = {
            metrics.cpu: sample.cpu_ratio,
            metrics.cpu_limit: sample.cpu_limit_ratio,
            metrics.memory: sample.memory_bytes,
            metrics.memory_limit: sample.memory_limit_ratio,
            metrics.threads: sample.threads,
            metrics.open_files: sample.open_files,
        }
        for gauge, figure in figures.items():
            gauge.labels(target).set(_number(figure))
        known = self._gpus.setdefault(target, {})
        for gpu in (known | {one.gpu: one for one in sample.gpus}).values():
            known[gpu.gpu] = GpuSample(gpu.gpu)
            metrics.gpu.labels(target, gpu.gpu).set(_number(gpu.ratio))
            metrics.gpu_memory.labels(target, gpu.gpu).set(_number(gpu.memory_bytes))
        for reason in sample.failures:
            metrics.resource_failures.labels(target, reason).inc()

    def set_age(self, model: str, version: str, age_s: float | None) -> None:
        """Export the age of the version that serves; that of another one leaves the page."""
        labels = (model, self._metrics.version(version))
        if self._aged is not None and self._aged != labels:
            self._metrics.age.remove(*self._aged)
        self._metrics.age.labels(*labels).set(_number(age_s))
        self._aged = labels


def _number(value: float | None) -> float:
    """Prometheus' NaN stands for what cannot be told; an old value must not stay on the page."""
    return math.nan if value is None else value
