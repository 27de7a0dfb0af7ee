"""A Prometheus histogram that takes a whole batch of values at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector


class BulkHistogram(Collector):
    """A histogram that takes a whole batch at once.

    prometheus-client's own takes one value a call, which would cost more than reading the line
    that the value stands in.

    Parameters
    ----------
    labels
        Names of the labels; `observe` takes their values in this order.
    bounds_s
        Upper bounds of the buckets, ascending, inclusive as Prometheus has them.
    """

    def __init__(
        self, name: str, text: str, labels: Sequence[str], bounds_s: Sequence[float]
    ) -> None:
        self._name, self._text, self._labels = name, text, tuple(labels)
        self._bounds = np.asarray(bounds_s)
        self._names = [*(repr(float(bound)) for bound in bounds_s), "+Inf"]
        self._counts: dict[tuple[str, ...], npt.NDArray[np.int64]] = {}
        self._sums: dict[tuple[str, ...], float] = {}

    def observe(self, labels: tuple[str, ...], values_s: npt.NDArray[np.float64]) -> None:
        """Count values in seconds, shape ``(n,)``; NaN is no value and is passed over."""
        values_s = values_s[~np.isnan(values_s)]
        if not len(values_s):
            return
        cells = np.searchsorted(self._bounds, values_s, side="left")
        counts = np.bincount(cells, minlength=len(self._bounds) + 1)
        # A new array each time: a page that is being rendered keeps the old one whole.
        self._counts[labels] = self._counts.get(labels, 0) + counts
        self._sums[labels] = self._sums.get(labels, 0.0) + float(values_s.sum())

    def forget(self, label: str, value: str) -> None:
        """Let go of the series whose label has a value."""
        at = self._labels.index(label)
        for labels in [one for one in self._counts if one[at] == value]:
            del self._counts[labels], self._sums[labels]

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Yield the one family, with cumulative buckets."""
        family = HistogramMetricFamily(self._name, self._text, labels=self._labels)
        for labels, counts in list(self._counts.items()):
            buckets = list(zip(self._names, np.cumsum(counts).tolist(), strict=True))
            family.add_metric(labels, buckets, self._sums[labels])
        yield family
