"""What is exported of a shadow: what became of requests, and how the last windows compared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from monitor.metrics.catalogue import Metrics

if TYPE_CHECKING:
    from prometheus_client import Gauge

_PREFIX: Final = "shadow_"
_DISAGREEMENT: Final = "shadow_disagreement"
#: Model, live version, shadow.
_Versions: TypeAlias = tuple[str, str, str]


class ShadowPublisher:
    """Exports the shadow of one model.

    Of two versions each, and of each segment of them, only the last pair has gauges.
    """

    def __init__(self, model: str, metrics: Metrics) -> None:
        self._model = model
        self._metrics = metrics
        self._counted: dict[tuple[str, str], int] = {}
        # By segment, the empty one for all traffic, and kind of window: what was measured of whom.
        self._shown: dict[tuple[str, str], tuple[_Versions, frozenset[str]]] = {}

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
        metrics, segment = self._metrics, row["segment"]
        versions = (self._model, metrics.version(live), metrics.version(row["version"]))
        now = {one["metric"].removeprefix(_PREFIX): one for one in found}
        self._make_room((segment, row["kind"]), versions, frozenset(now))
        self._shown[segment, row["kind"]] = versions, frozenset(now)
        for name, one in now.items():
            for gauge, key in self._gauges(segment):
                gauge.labels(*_labels(versions, segment, name)).set(_number(one[key]))
            if segment:
                continue
            if one["metric"] == _DISAGREEMENT:
                metrics.shadow_disagreement.labels(*versions).set(_number(one["value"]))
            if one["threshold"] is not None:
                metrics.threshold.labels(self._model, "", one["metric"]).set(one["threshold"])

    def _make_room(
        self, window: tuple[str, str], versions: _Versions, names: frozenset[str]
    ) -> None:
        """Remove what the window before had, and this one has not.

        With other versions of the whole, what was said of the segments of the ones before goes.
        """
        for other, (before, had) in list(self._shown.items()):
            kept = names if (other, before) == (window, versions) else frozenset[str]()
            is_of_segment = not window[0] and other[1] == window[1] and before != versions
            if other != window and not is_of_segment:
                continue
            for name in had - kept:
                for gauge, _ in self._gauges(other[0]):
                    gauge.remove(*_labels(before, other[0], name))
            if not other[0] and before != versions and "disagreement" in had:
                self._metrics.shadow_disagreement.remove(*before)
            del self._shown[other]

    def _gauges(self, segment: str) -> tuple[tuple[Gauge, str], ...]:
        metrics = self._metrics
        if segment:
            return (
                (metrics.shadow_segment, "value"),
                (metrics.shadow_segment_low, "low"),
                (metrics.shadow_segment_high, "high"),
            )
        return (
            (metrics.shadow_statistic, "value"),
            (metrics.shadow_low, "low"),
            (metrics.shadow_high, "high"),
        )


def _labels(versions: _Versions, segment: str, name: str) -> tuple[str, ...]:
    return (*versions, segment, name) if segment else (*versions, name)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
