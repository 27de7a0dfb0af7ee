"""What is exported of a shadow: what became of requests, and how the last window compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from monitor.metrics import Metrics

_DISAGREEMENT: Final = "shadow_disagreement"


class ShadowPublisher:
    """Exports the shadow of one model. Of two versions each, only the last pair has gauges."""

    def __init__(self, model: str, metrics: Metrics) -> None:
        self._model = model
        self._metrics = metrics
        self._counted: dict[tuple[str, str], int] = {}
        self._shown: set[tuple[str, ...]] = set()

    def follow(self, by_version: Mapping[str, Mapping[str, int]], *, count: bool) -> None:
        """Bring the counters up to where the requests stand; at a start, only note where."""
        for version, outcomes in by_version.items():
            for outcome, requests in outcomes.items():
                before = self._counted.get((version, outcome), 0)
                self._counted[version, outcome] = requests
                name = self._metrics.version(version)
                counter = self._metrics.shadow_requests.labels(self._model, name, outcome)
                counter.inc(max(0, requests - before) if count else 0)

    def show(self, row: Mapping[str, Any], live: str, found: Sequence[Mapping[str, Any]]) -> None:
        """Export a closed window of pairs, in the place of the one before."""
        metrics = self._metrics
        versions = (self._model, metrics.version(live), metrics.version(row["version"]))
        names = [one["metric"].removeprefix("shadow_") for one in found]
        now: set[tuple[str, ...]] = {(*versions, name) for name in names}
        gauges = (
            (metrics.shadow_statistic, "value"),
            (metrics.shadow_low, "low"),
            (metrics.shadow_high, "high"),
        )
        for gone in self._shown - now:
            for gauge, _ in gauges:
                gauge.remove(*gone)
        for gone_versions in {one[:3] for one in self._shown} - {versions}:
            metrics.shadow_disagreement.remove(*gone_versions)
        self._shown = now
        for one in found:
            for gauge, key in gauges:
                name = one["metric"].removeprefix("shadow_")
                gauge.labels(*versions, name).set(_number(one[key]))
            if one["metric"] == _DISAGREEMENT:
                metrics.shadow_disagreement.labels(*versions).set(_number(one["value"]))
            if one["threshold"] is not None:
                metrics.threshold.labels(self._model, "", one["metric"]).set(one["threshold"])


def _number(value: float | None) -> float:
    return math.nan if value is None else value
