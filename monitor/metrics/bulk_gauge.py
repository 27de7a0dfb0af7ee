"""A Prometheus gauge whose series are replaced all at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class BulkGauge(Collector):
    """A gauge of thousands of series that always come and go together.

    prometheus-client's own keeps an object with a lock for each series, about 2 kB.

    Parameters
    ----------
    labels
        Names of the labels; `replace` takes their values in this order.
    """

    def __init__(self, name: str, text: str, labels: Sequence[str]) -> None:
        self._name, self._text, self._labels = name, text, tuple(labels)
        self._series: Mapping[tuple[str, ...], float] = {}

    def replace(self, series: Mapping[tuple[str, ...], float]) -> None:
        """Show these series in the place of those before."""
        # One assignment: a page that is being made shows the ones or the others, whole.
        self._series = series

    def forget(self, label: str, value: str) -> None:
        """Let go of the series whose label has a value."""
        at = self._labels.index(label)
        self._series = {key: one for key, one in self._series.items() if key[at] != value}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the one family."""
        family = GaugeMetricFamily(self._name, self._text, labels=self._labels)
        for labels, value in self._series.items():
            family.add_metric(labels, value)
        yield family
