"""The ``[[rules]]`` tables of ``kedge.toml``: when a measurement is a breach.

As in :mod:`monitor.settings.tables`, a field's type is its grammar, and the text below it its
documentation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from detectors.rules.drift_spec import STABLE, TOLERANCE
from monitor.settings.keys import Holds, Reads, one_of
from monitor.settings.kinds import change_metrics, metrics
from monitor.settings.quantities import (
    FalseAlarms,
    Quorum,
    TimeSpan,
    parse_false_alarms,
    parse_quorum,
)
from monitor.settings.tables import Positive, Text

QuorumText: TypeAlias = Annotated[
    Quorum, Reads('so many of so many windows, such as "3 of 4"', parse_quorum)
]
FalseAlarmsText: TypeAlias = Annotated[
    FalseAlarms,
    Reads('a budget such as "1 per 30d" or "1 per 1000 windows"', parse_false_alarms),
]
Divergence: TypeAlias = Annotated[
    float, Holds("a number above 0", lambda divergence: divergence > 0)
]

#: The metric whose rule says how often it may be wrong, and not where its threshold is.
DRIFT = "drift"

#: Of a rule that says nothing else.
_QUORUM = Quorum(3, 4)
#: Of one that counts changes: each is found once, and a breach ends when four windows hold none.
_CHANGE_QUORUM = Quorum(1, 4)
#: Of one of drift, whose budget says how often a window may be wrong already.
_DRIFT_QUORUM = Quorum(1, 1)
_BUDGET = FalseAlarms(1, TimeSpan(30 * 86_400.0))


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """One ``[[rules]]`` table: when a measurement is a breach, and what follows from it."""

    name: Text
    """Unique among the rules; a label in ``/metrics``."""

    metric: Annotated[str, one_of("metric", metrics)]
    """What is measured; ``kedge check`` names the choices."""

    column: str = ""
    """One column: a feature, or ``prediction``. Only for metrics of columns."""

    columns: tuple[Text, ...] = ()
    """Several columns; patterns (``*``, ``?``, ``[…]``) stand for all that they match. The rule
    looks at each of them, and the worst one decides."""

    above: float | None = None
    """Breach above this: the lower bound is compared, so the breach is sure. In the unit of the
    metric; exactly one of `above` and `below`. By default 0 for changes: any is one too many.
    ``drift`` has neither."""

    below: float | None = None
    """Breach below this: the upper bound is compared."""

    clear: float | None = None
    """A breach ends only past this value (hysteresis); the threshold itself by default."""

    false_alarms: FalseAlarmsText | None = None
    """For ``drift``: how often it may be wrong, over all its columns together, on average;
    ``"1 per 30d"`` by default. Windows of events take ``"1 per 1000 windows"`` only."""

    tolerance: Divergence | None = None
    """For ``drift``: Jeffreys divergence (PSI) up to which a column counts as not drifted, however
    sure it is; 0.0005 by default, a shift of 0.022 standard deviations."""

    stable: Divergence | None = None
    """For ``drift``: a column is ok while its upper bound is not above this; 0.1 by default."""

    quorum: QuorumText = field(default=_QUORUM, metadata={"key": "for"})
    """Windows that must breach. Three of four: one odd window neither starts nor ends it. By
    default ``"1 of 4"`` for changes, each of which is found in one window, and ``"1 of 1"`` for
    ``drift``, which says how often it may be wrong already."""

    on_missing: Literal["unknown", "breach", "ok"] = "unknown"
    """Verdict on a window that has no such figure. Unknown neither acts nor clears."""

    min_events: Positive | None = None
    """Fewer events give the verdict unknown; ``windows.min_events`` by default."""

    action: Literal["alert", "rollback"] = "alert"
    """What a confirmed breach leads to."""

    segment: str = ""
    """One segment of the traffic, as ``"country=DE"``: the rule looks at its windows instead of
    those of the whole. It can only alert."""

    segments: Literal["", "each"] = ""
    """``"each"``: the rule looks at every segment by itself. A budget of false alarms is shared
    by as many as there may be."""

    of: Literal["", "values", "missing", "latency", "errors", "loss"] = ""
    """What a change detector watches: a column's values (by default) or whether they are missing;
    or the latency, whether requests fail, or the loss of pairs of prediction and label."""

    direction: Literal["", "up", "down", "both"] = ""
    """Which changes count: by default those that make it worse, and of values both."""

    parameters: Mapping[str, float] = field(default_factory=dict)
    """What a change detector is told otherwise than by default, by river's names; see
    docs/statistics.md."""

    values_per_second: Positive | None = None
    """Values a second of event time that a change detector looks at; by default as many as cost
    5 % of one core. What is left out is counted."""

    def __post_init__(self) -> None:
        """Refuse a rule without a threshold, with two, or one that clears on the wrong side."""
        if self.segment and self.segments:
            raise ValueError("segments: give either segment or segments, not both")
        if self.column and self.columns:
            raise ValueError("columns: give either column or columns, not both")
        if self.column:
            object.__setattr__(self, "columns", (self.column,))
        if self.metric == DRIFT:
            self._complete_drift()
        else:
            self._check_threshold()

    def _check_threshold(self) -> None:
        for name in ("false_alarms", "tolerance", "stable"):
            if getattr(self, name) is not None:
                raise ValueError(f'{name}: is for metric = "{DRIFT}" only; give above or below')
        if self.metric in change_metrics():
            if self.above is None and self.below is None:
                object.__setattr__(self, "above", 0.0)
            # The default itself, and not an equal one that somebody wrote.
            if self.quorum is _QUORUM:
                object.__setattr__(self, "quorum", _CHANGE_QUORUM)
        if (self.above is None) == (self.below is None):
            raise ValueError("above: give exactly one of above and below")
        if self.clear is None:
            return
        if self.above is not None and self.clear > self.above:
            raise ValueError(f"clear: expected at most above ({self.above:g}), got {self.clear:g}")
        if self.below is not None and self.clear < self.below:
            raise ValueError(f"clear: expected at least below ({self.below:g}), got {self.clear:g}")

    def _complete_drift(self) -> None:
        for name in ("above", "below", "clear"):
            if getattr(self, name) is not None:
                raise ValueError(
                    f'{name}: metric = "{DRIFT}" has no threshold; give false_alarms, and tolerance'
                )
        defaults = (
            ("columns", (), ("*",)),
            ("false_alarms", None, _BUDGET),
            ("tolerance", None, TOLERANCE),
            ("stable", None, STABLE),
            ("quorum", _QUORUM, _DRIFT_QUORUM),
        )
        for name, unsaid, default in defaults:
            if getattr(self, name) is unsaid:
                object.__setattr__(self, name, default)
        if (self.tolerance or 0) > (self.stable or 0):
            raise ValueError(f"stable: expected at least tolerance ({self.tolerance:g})")
