"""Sending metrics and traces to an OpenTelemetry collector, from threads of its own.

Nothing waits for it: what cannot be sent is let go of, and said once in the log. Metrics are
totals, so that the next export makes up for a lost one; spans wait in a queue of `SPANS_MAX`, and
those that are lost are counted.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics.export import MetricExportResult
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from prometheus_client import CollectorRegistry

from monitor.settings.otel import OtelSettings
from monitor.telemetry.metrics import metrics_data
from monitor.telemetry.traces import RollbackTraces
from monitor.version import VERSION

log = logging.getLogger("kedge.otel")

#: Spans that wait to be sent; the oldest are let go of.
SPANS_MAX: Final = 2_048
#: One attempt to send, with its tries.
TIMEOUT_S: Final = 5.0
#: How often spans are sent.
SPANS_INTERVAL_S: Final = 2.0


class Telemetry:
    """What is sent, and the threads that send it.

    Parameters
    ----------
    lost
        Is told how many spans were let go of, from any thread.

    Attributes
    ----------
    traces
        To be told of every transition.
    """

    def __init__(
        self,
        settings: OtelSettings,
        model: str,
        registry: CollectorRegistry,
        lost: Callable[[int], None],
    ) -> None:
        # Its complaints are ours to make, once and in our log's format.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL + 1)
        base = settings.endpoint.rstrip("/")
        self._registry = registry
        self._interval_s = settings.interval_s
        self._begun = time.time()
        self._resource = Resource.create(
            {"service.name": "kedge", "service.version": VERSION, "kedge.model": model}
        )
        self._metrics = OTLPMetricExporter(f"{base}/v1/metrics", timeout=TIMEOUT_S)
        self._told = _Told("metrics", base)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send_metrics, name="otel", daemon=True)
        spans = _Spans(OTLPSpanExporter(f"{base}/v1/traces", timeout=TIMEOUT_S), base, lost)
        self._provider = TracerProvider(resource=self._resource, shutdown_on_exit=False)
        self._provider.add_span_processor(_Queue(spans))
        self.traces = RollbackTraces(self._provider.get_tracer("kedge", VERSION))

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def close(self) -> None:
        """Send what there is once more, and end; waits for some seconds at most."""
        self._stop.set()
        # A try that is waiting to be repeated is ended by this, and not waited out.
        ending = threading.Thread(target=self._provider.shutdown, name="otel-end", daemon=True)
        ending.start()
        self._thread.join(TIMEOUT_S)
        ending.join(TIMEOUT_S)
        self._metrics.shutdown()

    def _send_metrics(self) -> None:
        last = False
        while not last:
            last = self._stop.wait(self._interval_s)
            self._send_once()

    def _send_once(self) -> None:
        data = metrics_data(
            self._registry.collect(), self._resource, begun=self._begun, now=time.time()
        )
        sent = False
        with contextlib.suppress(Exception):  # whatever it is, the next export is not its business
            sent = self._metrics.export(data) is MetricExportResult.SUCCESS
        self._told.heard(sent)


class _Told:
    """Says once that something is not taken, and once that it is again."""

    def __init__(self, what: str, where: str) -> None:
        self._what, self._where, self._well = what, where, True

    def heard(self, well: bool) -> None:  # noqa: FBT001 - private
        if self._well and not well:
            log.warning("%s are not taken by %s; they are tried again", self._what, self._where)
        if well and not self._well:
            log.info("%s are taken by %s again", self._what, self._where)
        self._well = well


class _Spans(SpanExporter):
    """The exporter of spans: its failures are in our log, and what is lost is counted."""

    def __init__(self, inner: SpanExporter, where: str, lost: Callable[[int], None]) -> None:
        self._inner, self._told, self._lost = inner, _Told("traces", where), lost
        self._waiting, self._counting = 0, threading.Lock()

    def ended(self) -> None:
        """Count a span that goes into the queue, or pushes another one out of it."""
        with self._counting:
            full = self._waiting == SPANS_MAX
            self._waiting += not full
        if full:
            self._lost(1)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        with self._counting:
            self._waiting -= len(spans)
        result = SpanExportResult.FAILURE
        with contextlib.suppress(Exception):
            result = self._inner.export(spans)
        self._told.heard(result is SpanExportResult.SUCCESS)
        if result is not SpanExportResult.SUCCESS:
            self._lost(len(spans))
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


class _Queue(BatchSpanProcessor):
    """The SDK's queue, which lets go of spans without a word when it is full."""

    def __init__(self, spans: _Spans) -> None:
        super().__init__(
            spans, max_queue_size=SPANS_MAX, schedule_delay_millis=SPANS_INTERVAL_S * 1000
        )
        self._spans = spans

    def on_end(self, span: ReadableSpan) -> None:
        self._spans.ended()
        super().on_end(span)
