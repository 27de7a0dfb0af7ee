"""Every metric that Kedge measures of a window, and which columns it applies to.

Adding a metric is adding a line to one of the tables. Those of predictions and their labels stand
in :mod:`detectors.performance`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

from detectors.bins import category_shares, number_shares
from detectors.category_counts import CategoryCounts
from detectors.correlation import Correlations
from detectors.estimators import ESTIMATED_METRICS, estimated
from detectors.ks import ks
from detectors.measurement import Estimate, Measurement, untold
from detectors.number_counts import NumberCounts
from detectors.performance import PERFORMANCE_METRICS
from detectors.profile import CategoryProfile, NumberProfile
from detectors.psi import psi
from detectors.rate import rate
from detectors.ratio import ratio
from detectors.samples import age_of, mean_of, peak_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collectors.batch import Ints
    from detectors.column_counts import ColumnCounts
    from detectors.pane import Pane
    from detectors.profile import Profile
    from detectors.reference import Reference


@dataclass(frozen=True, slots=True)
class Asked:
    """How to measure.

    Parameters
    ----------
    seconds
        How long the window was watched, for rates; None where that cannot be said.
    confidence
        Of `low` and `high` together, in ``(0, 1)``.
    psi_bins
        Bins that the population stability index cuts a number column into, at most.
    """

    seconds: float | None
    confidence: float
    psi_bins: int


class _Column:
    """A column of a window while it is measured: what several metrics need is made once.

    Parameters
    ----------
    counts
        The window's.
    profile
        The reference's; None of a column that it does not have.
    """

    __slots__ = ("_upto", "asked", "counts", "profile")

    def __init__(self, counts: ColumnCounts, profile: Profile | None, asked: Asked) -> None:
        self.counts = counts
        self.profile = profile
        self.asked = asked
        self._upto: Ints | None = None

    @property
    def rows(self) -> int:
        """Rows with a value, without one, or with one of a wrong type."""
        return self.counts.rows + self.counts.missing + self.counts.invalid

    def upto(self, counts: NumberCounts) -> Ints:
        """Return `NumberCounts.upto` of the column's counts."""
        if self._upto is None:
            self._upto = counts.upto()
        return self._upto


_OfColumn: TypeAlias = Callable[[_Column], Estimate | None]
_OfWindow: TypeAlias = Callable[["Pane", Asked], Estimate]
_OfSamples: TypeAlias = Callable[["Sequence[float]", float], Estimate]


def measure(
    window_pane: Pane,
    reference: Reference | None,
    *,
    seconds: float | None,
    confidence: float,
    psi_bins: int = 10,
) -> list[Measurement]:
    """Measure every metric of a window that applies: of the window first, then of each column.

    Parameters
    ----------
    window_pane
        The window's counts, counted against `reference`.
    reference
        What to compare with; without one the metrics that need none are measured.
    seconds, confidence, psi_bins
        As in :class:`Asked`.
    """
    asked = Asked(seconds, confidence, psi_bins)
    measurements = [
        _measurement(metric, None, measured(window_pane, asked))
        for metric, measured in WINDOW_METRICS.items()
    ]
    measurements += _of_several(window_pane, reference, asked)
    for column, counts in window_pane.columns.items():
        profile = reference.columns.get(column) if reference else None
        measurements += _of_column(column, _Column(counts, profile, asked))
    if reference is not None and reference.estimators is not None:
        measurements += estimated(
            reference.estimators,
            window_pane.columns,
            reference.columns,
            rows=window_pane.answered,
            confidence=confidence,
        )
    return measurements


def _of_several(pane: Pane, reference: Reference | None, asked: Asked) -> Iterator[Measurement]:
    """Measure what columns have in common, where the reference and the window tell it."""
    if reference is None or reference.joint is None or pane.joint is None:
        return
    found = Correlations.of(reference.joint, pane.joint)
    shift = _measurement("correlation_shift", None, found.shift(confidence=asked.confidence))
    yield replace(shift, pair=found.pair)


def _of_column(name: str, column: _Column) -> Iterator[Measurement]:
    for metric, measured in COLUMN_METRICS.items():
        estimate = measured(column)
        if estimate is not None:
            yield _measurement(metric, name, estimate)


def _measurement(metric: str, column: str | None, estimate: Estimate) -> Measurement:
    return Measurement(
        metric,
        column,
        estimate.value,
        estimate.low,
        estimate.high,
        estimate.p_value,
        estimate.n,
    )


def summarised(metric: str, samples: Sequence[float], *, confidence: float) -> Measurement:
    """Measure one of `SAMPLED_METRICS` from the samples of a window; untold without any."""
    return _measurement(metric, None, SAMPLED_METRICS[metric](samples, confidence))


def _psi(column: _Column) -> Estimate | None:
    match column.counts, column.profile:
        case NumberCounts() as counts, NumberProfile() as profile:
            missing = counts.missing + counts.invalid
            shares = number_shares(profile, column.upto(counts), missing, column.asked.psi_bins)
        case CategoryCounts() as counts, CategoryProfile() as profile:
            shares = category_shares(profile, counts)
        case _:
            return None
    return psi(*shares, confidence=column.asked.confidence)


def _ks(column: _Column) -> Estimate | None:
    counts, profile = column.counts, column.profile
    if isinstance(counts, NumberCounts) and isinstance(profile, NumberProfile):
        return ks(profile, column.upto(counts), confidence=column.asked.confidence)
    return None


def _missing_ratio(column: _Column) -> Estimate:
    return ratio(column.counts.missing, column.rows, confidence=column.asked.confidence)


def _invalid_ratio(column: _Column) -> Estimate:
    return ratio(column.counts.invalid, column.rows, confidence=column.asked.confidence)


def _new_category_ratio(column: _Column) -> Estimate | None:
    counts, profile = column.counts, column.profile
    if not isinstance(counts, CategoryCounts) or not isinstance(profile, CategoryProfile):
        return None
    if profile.other:
        # The reference had more values than it names: which are new cannot be told.
        return untold(counts.rows)
    return ratio(counts.other, counts.rows, confidence=column.asked.confidence)


def _latency(q: float) -> _OfWindow:
    def measured(pane: Pane, asked: Asked) -> Estimate:
        # What the caller waited for says most; kinds are never mixed.
        for kind in ("client", "server", "model"):
            if kind in pane.latency:
                return pane.latency[kind].quantile(q, confidence=asked.confidence)
        return untold()

    return measured


def _throughput(pane: Pane, asked: Asked) -> Estimate:
    return rate(pane.requests, asked.seconds, confidence=asked.confidence, weight=pane.weight)


def _error_ratio(pane: Pane, asked: Asked) -> Estimate:
    # Of the requests that are known to have ended one way or the other: a log of successes only
    # says nothing about errors.
    return ratio(pane.errors, pane.ended, confidence=asked.confidence)


def _events(pane: Pane, _asked: Asked) -> Estimate:
    return Estimate(float(pane.events), float(pane.events), float(pane.events), pane.events)


#: Metrics of one column. None where the metric does not apply to such a column.
COLUMN_METRICS: dict[str, _OfColumn] = {
    "psi": _psi,  # numbers and categories
    "ks": _ks,  # numbers
    "missing_ratio": _missing_ratio,  # all
    "invalid_ratio": _invalid_ratio,  # all
    "new_category_ratio": _new_category_ratio,  # categories
}

#: Metrics of the whole window.
WINDOW_METRICS: dict[str, _OfWindow] = {
    "events": _events,  # rows
    "throughput": _throughput,  # requests a second
    "error_ratio": _error_ratio,
    "latency_p50": _latency(0.50),  # milliseconds
    "latency_p90": _latency(0.90),
    "latency_p95": _latency(0.95),
    "latency_p99": _latency(0.99),
}

#: Metrics of several columns together.
JOINT_METRICS = frozenset({"correlation_shift"})

#: Metrics of the serving process: samples that were taken while the window lasted, and the
#: confidence, to an estimate. They rest on samples and not on events.
SAMPLED_METRICS: dict[str, _OfSamples] = {
    "cpu_ratio": mean_of,  # cores in use
    "cpu_limit_ratio": mean_of,  # share of the limit
    "memory_bytes": peak_of,
    "memory_limit_ratio": peak_of,  # share of the limit
    "threads": peak_of,
    "open_files": peak_of,
    "gpu_ratio": mean_of,  # of the busiest GPU
    "gpu_memory_bytes": peak_of,  # of the fullest GPU
    "model_age": age_of,  # seconds
}

#: Of columns too, but measured by a rule that says how often it may be wrong
#: (:mod:`detectors.drift_rule`): there is no bound without that.
DRIFT = "drift"

#: Names that a rule may use.
METRICS = frozenset(
    {
        DRIFT,
        *COLUMN_METRICS,
        *WINDOW_METRICS,
        *JOINT_METRICS,
        *ESTIMATED_METRICS,
        *SAMPLED_METRICS,
        *PERFORMANCE_METRICS,
    }
)
#: Metrics in which a small window is what is looked for, so that no minimum of events applies.
COUNT_METRICS = frozenset({"events", "throughput"})
