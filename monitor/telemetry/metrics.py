"""Metrics of the Prometheus registry as OpenTelemetry's: read when they are sent, counted once.

Names lose what OpenTelemetry says otherwise: ``kedge_prediction_latency_seconds`` is
``kedge.prediction_latency`` with the unit ``s``. OpenTelemetry's own way back to Prometheus
makes the first name of it again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric as Family
from prometheus_client.samples import Sample

#: Endings of names that are units.
_UNITS: Final = {"_seconds": "s", "_bytes": "By", "_ratio": "1"}
_NANOSECONDS: Final = 1_000_000_000

_Labels = tuple[tuple[str, str], ...]


def metrics_data(
    families: Iterable[Family], resource: Resource, *, begun: float, now: float
) -> MetricsData:
    """Return what the families hold, as one export.

    Parameters
    ----------
    begun, now
        Since when counters count, and when they were read; seconds since the epoch.
    """
    times = round(begun * _NANOSECONDS), round(now * _NANOSECONDS)
    metrics = [_metric(family, times) for family in families if family.samples]
    scope = ScopeMetrics(InstrumentationScope("kedge"), metrics, "")
    return MetricsData([ResourceMetrics(resource, [scope], "")])


def named(name: str) -> tuple[str, str]:
    """Return the name and the unit of a family.

    Examples
    --------
    >>> named("kedge_prediction_latency_seconds"), named("kedge_predictions")
    (('kedge.prediction_latency', 's'), ('kedge.predictions', ''))
    """
    ending, unit = next(
        ((one, unit) for one, unit in _UNITS.items() if name.endswith(one)), ("", "")
    )
    return name.removesuffix(ending).replace("kedge_", "kedge.", 1), unit


def _metric(family: Family, times: tuple[int, int]) -> Metric:
    name, unit = named(family.name)
    data: Gauge | Histogram | Sum
    if family.type == "counter":
        data = Sum(_numbers(family.samples, times), AggregationTemporality.CUMULATIVE, True)  # noqa: FBT003 - the SDK's: monotonic
    elif family.type == "histogram":
        data = Histogram(_histograms(family.samples, times), AggregationTemporality.CUMULATIVE)
    else:
        data = Gauge(_numbers(family.samples, times))
    return Metric(name, family.documentation, unit, data)


def _numbers(samples: Iterable[Sample], times: tuple[int, int]) -> list[NumberDataPoint]:
    return [NumberDataPoint(dict(one.labels), *times, one.value) for one in samples]


def _histograms(samples: Sequence[Sample], times: tuple[int, int]) -> list[HistogramDataPoint]:
    """Return a point a series; Prometheus' buckets hold all below them, these their own."""
    buckets: dict[_Labels, list[tuple[float, float]]] = {}
    sums: dict[_Labels, float] = {}
    for one in samples:
        labels = _labels(one.labels)
        if one.name.endswith("_bucket"):
            buckets.setdefault(labels, []).append((float(one.labels["le"]), one.value))
        elif one.name.endswith("_sum"):
            sums[labels] = one.value
    points = []
    for labels, found in buckets.items():
        bounds, below = zip(*sorted(found), strict=True)
        counts = [round(high - low) for low, high in zip((0.0, *below[:-1]), below, strict=True)]
        points.append(
            HistogramDataPoint(
                *(dict(labels), *times, round(below[-1]), sums.get(labels, 0.0)),
                bucket_counts=counts,
                explicit_bounds=bounds[:-1],
                # What Prometheus does not keep. Infinities are the SDK's own word for it.
                min=float("inf"),
                max=-float("inf"),
            )
        )
    return points


def _labels(labels: Mapping[str, str]) -> _Labels:
    return tuple((name, value) for name, value in labels.items() if name != "le")
