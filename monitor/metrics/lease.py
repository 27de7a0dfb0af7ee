"""Whose turn it is, as Prometheus sees it: this process holds the lease, or waits for it.

Asked of the place itself whenever a page is made, so that a lease that was not renewed in time
shows before anybody has noticed. Without a lease there are no series.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final, Literal, Protocol, TypeAlias, get_args

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

#: What may become of a lease, for who watches: a renewal without success; ours was lost; that of
#: one who stood still was taken over.
LeaseEvent: TypeAlias = Literal["unrenewed", "lost", "taken_over"]
LEASE_EVENTS: Final[tuple[LeaseEvent, ...]] = get_args(LeaseEvent)


class Place(Protocol):
    """What may hold the lease."""

    @property
    def events(self) -> Counter[LeaseEvent]:
        """What became of it, counted."""

    def permit(self, call_s: float) -> bool:
        """Whether a change that takes at most so many seconds may begin now."""


class LeaseMetrics(Collector):
    """``kedge_lease_held`` and ``kedge_lease_events_total`` of one process."""

    def __init__(self) -> None:
        self._model = ""
        self._place: Place | None = None

    def follow(self, model: str, place: Place | None) -> None:
        """Tell of this place from now on; None where no lease is configured."""
        self._model, self._place = model, place

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
        model, place = self._model, self._place
        if place is not None:
            held.add_metric((model,), float(place.permit(0.0)))
            for event in LEASE_EVENTS:
                events.add_metric((model, event), place.events[event])
        yield held
        yield events


def waiting_page(model: str, place: Place) -> bytes:
    """Return the page of a process that waits: it has no other metrics."""
    registry, lease = CollectorRegistry(), LeaseMetrics()
    lease.follow(model, place)
    registry.register(lease)
    return generate_latest(registry)
