"""Whose turn it is, as Prometheus sees it: this process holds the lease, or waits for it.

Asked of the place itself whenever a page is made, so that a lease that was not renewed in time
shows before anybody has noticed. Without a lease there are no series.
"""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.leadership import LEASE_EVENTS, Office


class LeaseMetrics(Collector):
    """``kedge_lease_held`` and ``kedge_lease_events_total`` of one process."""

    def __init__(self) -> None:
        self._model = ""
        self._office: Office | None = None

    def follow(self, model: str, office: Office | None) -> None:
        """Tell of this place from now on; None where no lease is configured."""
        self._model, self._office = model, office

    def collect(self) -> Iterator[Metric]:
        """Yield both families."""
        held = GaugeMetricFamily(
            "kedge_lease_held",
            "1 while this process may act, 0 while it waits or its lease was not renewed in time.",
            labels=("model",),
        )
        events = CounterMetricFamily(
            "kedge_lease_events",
            "What became of the lease, by event (unrenewed: a renewal without success; lost: ours, "
            "and this process ends; taken_over: that of one who stood still).",
            labels=("model", "event"),
        )
        model, office = self._model, self._office
        if office is not None:
            held.add_metric((model,), float(office.permit(0.0)))
            for event in LEASE_EVENTS:
                events.add_metric((model, event), office.events[event])
        yield held
        yield events


def waiting_page(model: str, office: Office) -> bytes:
    """Return the page of a process that waits: it has no other metrics."""
    registry, lease = CollectorRegistry(), LeaseMetrics()
    lease.follow(model, office)
    registry.register(lease)
    return generate_latest(registry)
