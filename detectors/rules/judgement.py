"""Rules: what one window means for a rule; :mod:`detectors.rules.rule` goes on from there.

A window's verdict compares the bound that protects against a false alarm with the threshold: it
is a breach only where the whole confidence interval lies beyond, fine only where none of it does,
and *unknown* in between. Unknown never acts and never clears.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from detectors.kinds import COUNT_METRICS, SAMPLED_METRICS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.change.change_kinds import ChangeSpec
    from detectors.measurement import Measurement
    from detectors.rules.drift_spec import DriftSpec

Verdict: TypeAlias = Literal["ok", "breach", "unknown"]
Action: TypeAlias = Literal["alert", "rollback"]

#: As the segment of a rule: it looks at each of them by itself. No segment is called so.
EACH_SEGMENT: Final = "*"


@dataclass(frozen=True, slots=True)
class RuleSpec:
    """What a rule says.

    Parameters
    ----------
    name
        The rule's name.
    metric
        One of :data:`detectors.kinds.METRICS`.
    columns
        Names or patterns (``*``, ``?``, ``[...]``) of the columns it watches; empty for a metric
        of the whole window.
    above, below
        Threshold: exactly one of them. `above` is breached where `low` exceeds it, `below` where
        `high` falls short of it.
    clear
        Threshold that windows must keep before a breach clears; by default the same. Not above
        `above`, not below `below`.
    needed, of
        A breach is confirmed when `needed` of the last `of` windows breach.
    on_missing
        Verdict where there is nothing to judge: too few events, or a figure that cannot be told.
    min_events
        Fewest events of a window to judge; does not apply to counts of events themselves.
    action
        What the caller does on a confirmed breach: alert, or roll back.
    change
        The change that is looked for, of rules that count changes; it was found in more rows than
        the window's, so that `min_events` does not apply.
    drift
        Of a rule of drift, what it promises; `above` is then its tolerance, and
        :class:`detectors.rules.drift_rule.DriftRule` judges by it.
    segment
        Which segment of the traffic it looks at, as ``country=DE``; :data:`EACH_SEGMENT` for each
        by itself; empty for all traffic of a version.

    Raises
    ------
    ValueError
        If the parts contradict one another.
    """

    name: str
    metric: str
    columns: tuple[str, ...] = ()
    above: float | None = None
    below: float | None = None
    clear: float | None = None
    needed: int = 1
    of: int = 1
    on_missing: Verdict = "unknown"
    min_events: int = 0
    action: Action = "alert"
    change: ChangeSpec | None = None
    drift: DriftSpec | None = None
    segment: str = ""

    def __post_init__(self) -> None:
        if (self.above is None) == (self.below is None):
            raise ValueError(f"rule {self.name!r} needs one of above and below, and not both")
        if not 1 <= self.needed <= self.of:
            raise ValueError(f"rule {self.name!r}: {self.needed} of {self.of} windows cannot be")
        if self.clear is not None and self._beyond(self.clear, self.threshold):
            raise ValueError(
                f"rule {self.name!r}: clear = {self.clear:g} lies on the breaching side of its "
                f"threshold {self.threshold:g}"
            )

    @property
    def threshold(self) -> float:
        """The figure beyond which a window breaches."""
        return self.above if self.above is not None else self.below or 0.0

    def watches(self, segment: str) -> bool:
        """Say whether the rule looks at a segment; the empty one is all traffic."""
        if self.segment == EACH_SEGMENT:
            return bool(segment)
        return segment == self.segment

    def covers(self, measurement: Measurement) -> bool:
        """Say whether the rule looks at a measurement: its metric, and its column or the window."""
        if measurement.metric != self.metric:
            return False
        if measurement.column is None:
            return not self.columns
        return self.looks_at(measurement.column)

    def looks_at(self, column: str) -> bool:
        """Say whether a column is among those that it watches."""
        return any(fnmatchcase(column, pattern) for pattern in self.columns)

    def verdict(self, low: float, high: float) -> Verdict:
        """Judge an interval against the threshold."""
        if self._beyond(low if self.above is not None else high, self.threshold):
            return "breach"
        return "unknown" if self._reaches_beyond(low, high, self.threshold) else "ok"

    def clears(self, low: float, high: float) -> bool:
        """Say whether all of an interval keeps the clearing threshold."""
        clear = self.threshold if self.clear is None else self.clear
        return not self._reaches_beyond(low, high, clear)

    def distance(self, value: float) -> float:
        """How far `value` lies on the breaching side: the larger, the worse."""
        return value if self.above is not None else -value

    def _beyond(self, value: float, threshold: float) -> bool:
        return self.distance(value) > self.distance(threshold)

    def _reaches_beyond(self, low: float, high: float, threshold: float) -> bool:
        return self._beyond(high if self.above is not None else low, threshold)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule makes of one window.

    Parameters
    ----------
    verdict
        Of all columns together: a breach if any breaches, ok only if all are.
    column
        The worst column; None for a metric of the whole window, or with no column to judge.
    value, low, high, n
        That column's measurement.
    threshold
        What it was compared with.
    clears
        Whether the window counts towards clearing a breach.
    """

    verdict: Verdict
    column: str | None
    value: float | None
    low: float | None
    high: float | None
    threshold: float
    n: int
    clears: bool


def judge(measurements: Sequence[Measurement], events: int, spec: RuleSpec) -> Judgement:
    """Judge one window by one rule.

    A bound that is None while the value is not counts as infinite: it can breach on the other
    side, but is never ok on its own.

    Parameters
    ----------
    measurements
        All of the window.
    events
        Rows in the window.
    """
    needs_events = spec.metric not in COUNT_METRICS and spec.metric not in SAMPLED_METRICS
    enough = events >= spec.min_events or not needs_events or spec.change is not None
    judged = [_judge_one(m, spec, enough=enough) for m in measurements if spec.covers(m)]
    if not judged:
        judged = [_missing(spec, None)]
    worst = max(judged, key=lambda judgement: _badness(judgement, spec))
    return replace(worst, clears=all(judgement.clears for judgement in judged))


def _judge_one(measurement: Measurement, spec: RuleSpec, *, enough: bool) -> Judgement:
    if measurement.value is None or not enough:
        return _missing(spec, measurement)
    low = -math.inf if measurement.low is None else measurement.low
    high = math.inf if measurement.high is None else measurement.high
    verdict = spec.verdict(low, high)
    return _judgement(spec, measurement, verdict, clears=verdict == "ok" and spec.clears(low, high))


def _missing(spec: RuleSpec, measurement: Measurement | None) -> Judgement:
    clears = spec.on_missing == "ok"
    if measurement is not None:
        return _judgement(spec, measurement, spec.on_missing, clears=clears)
    return Judgement(spec.on_missing, None, None, None, None, spec.threshold, 0, clears)


def _judgement(
    spec: RuleSpec, measurement: Measurement, verdict: Verdict, *, clears: bool
) -> Judgement:
    return Judgement(
        verdict,
        measurement.column,
        measurement.value,
        measurement.low,
        measurement.high,
        spec.threshold,
        measurement.n,
        clears,
    )


_RANK: dict[Verdict, int] = {"ok": 0, "unknown": 1, "breach": 2}


def _badness(judgement: Judgement, spec: RuleSpec) -> tuple[int, float]:
    value = -math.inf if judgement.value is None else spec.distance(judgement.value)
    return _RANK[judgement.verdict], value
