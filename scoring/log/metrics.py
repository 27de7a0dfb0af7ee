"""The metrics of the scoring server, in a registry of its own.

With several worker processes (``PROMETHEUS_MULTIPROC_DIR`` is set before this is imported) each
writes its values to files in that folder, and whichever worker is scraped sums them up.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from scoring.log.counter_files import being_read

#: Upper bounds in seconds: from a linear model's tenth of a millisecond to a slow network's 10 s.
LATENCY_BUCKETS_S: Final = (
    *(0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
LOG_SOURCE: Final = "prediction-log"
#: What a connection may be ended for.
CLIENT_LIMITS: Final = ("connections", "slow_head", "slow_body", "slow_reader")


class ScoringMetrics:
    """The server's metrics; one instance a process (several in tests)."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.predictions = Counter(
            "kedge_predictions_total",
            "Requests answered, by HTTP status.",
            ("model", "version", "status"),
            registry=self._registry,
        )
        self.latency = Histogram(
            "kedge_prediction_latency_seconds",
            "Time to answer a request, in the server.",
            ("model", "version"),
            buckets=LATENCY_BUCKETS_S,
            registry=self._registry,
        )
        self.refused = Counter(
            "kedge_requests_refused_total",
            "Requests that were not let in, by HTTP status: 401 (no valid key) or 429 (too many).",
            ("status",),
            registry=self._registry,
        )
        self.cut_off = Counter(
            "kedge_http_refused_total",
            f"Connections ended by a limit ({', '.join(CLIENT_LIMITS)}).",
            ("reason",),
            registry=self._registry,
        )
        self.swaps = Counter(
            "kedge_model_swaps_total",
            "Attempts to follow the alias to another version, by outcome.",
            ("model", "outcome"),
            registry=self._registry,
        )
        self.registry_failures = Counter(
            "kedge_registry_failures_total",
            "Calls to the model registry that failed, by reason.",
            ("model", "reason"),
            registry=self._registry,
        )
        self.shed_events = Counter(
            "kedge_shed_events_total",
            "Events that were dropped because the log could not keep up or be written.",
            ("source",),
            registry=self._registry,
        )
        self.log_failures = Counter(
            "kedge_prediction_log_failures_total",
            "Failed writes to the prediction log; each is tried again.",
            registry=self._registry,
        )
        self.build_info = Gauge(
            "kedge_build_info",
            "Always 1; the version of Kedge is the label.",
            ("version",),
            registry=self._registry,
            multiprocess_mode="max",
        )
        # So that a rate over them is 0, not absent, before the first event.
        self.shed_events.labels(LOG_SOURCE)
        for reason in CLIENT_LIMITS:
            self.cut_off.labels(reason)

    def count_cut_off(self, reason: str) -> None:
        """Count a connection that was ended by a limit."""
        self.cut_off.labels(reason).inc()

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the page and its content type: OpenMetrics when `accept` asks for it."""
        encoder, content_type = choose_encoder(accept)
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        if folder is None:
            return encoder(self._registry), content_type
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # untyped upstream
        with being_read(Path(folder)):
            return encoder(registry), content_type
