"""Every metric that Kedge measures of a window, and which columns it applies to.

Adding a metric is adding a line to one of the tables. Those of predictions and their labels stand
in :mod:`detectors.performance.performance`, those of two versions in
:mod:`detectors.paired.comparison`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from detectors.columns.category_counts import CategoryCounts
from detectors.columns.number_counts import NumberCounts
from detectors.columns.profile import CategoryProfile, NumberProfile, VectorProfile
from detectors.columns.vector_counts import VectorCounts
from detectors.measurement import Estimate, Measurement, untold
from detectors.numerics.ratio import ratio
from detectors.paired.comparison import SHADOW_METRICS
from detectors.performance.estimators import ESTIMATED_METRICS, estimated
from detectors.performance.performance import PERFORMANCE_METRICS
from detectors.statistics.bins import category_shares, number_shares
from detectors.statistics.cardinality import cardinality_category, cardinality_number
from detectors.statistics.chi_square import chi_square
from detectors.statistics.constant import constant_category, constant_number
from detectors.statistics.correlation import correlations_of
from detectors.statistics.cramer_von_mises import cramer_von_mises
from detectors.statistics.hellinger import hellinger
from detectors.statistics.jensen_shannon import jensen_shannon
from detectors.statistics.ks import ks
from detectors.statistics.l_infinity import l_infinity
from detectors.statistics.mean_distance import mean_distance
from detectors.statistics.mean_shift import mean_shift
from detectors.statistics.mmd import mmd
from detectors.statistics.out_of_range import out_of_range_ratio
from detectors.statistics.psi import psi
from detectors.statistics.quantile_shift import quantile_shift
from detectors.statistics.rate import rate
from detectors.statistics.samples import age_of, mean_of, peak_of
from detectors.statistics.std_ratio import std_ratio
from detectors.statistics.wasserstein import wasserstein

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from collectors.batch import Ints
    from detectors.columns.column_counts import ColumnCounts
    from detectors.columns.profile import Profile
    from detectors.metric_types import OfCategories, OfCells, OfShares, OfVectors
    from detectors.reference.reference import Reference
    from detectors.windows.pane import Pane


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


#: Metrics of columns that are measured where nobody says which. The rest say the same in another
#: way, or cost more than they add.
COLUMN_DEFAULTS = ("psi", "ks", "missing_ratio", "invalid_ratio", "new_category_ratio")


def measure(
    window_pane: Pane,
    reference: Reference | None,
    *,
    seconds: float | None,
    confidence: float,
    psi_bins: int = 10,
    metrics: Collection[str] = COLUMN_DEFAULTS,
    part: Reference | None = None,
) -> list[Measurement]:
    """Measure a window: every metric of the window itself, then those asked for of each column.

    Parameters
    ----------
    window_pane
        The window's counts, counted against `reference`.
    reference
        What to compare with; without one the metrics that need none are measured.
    seconds, confidence, psi_bins
        As in :class:`Asked`.
    metrics
        Which of :data:`COLUMN_METRICS`; each is measured of the columns that it applies to. Other
        names mean nothing here.
    part
        What to compare columns with instead, over a part of the reference's points: the same
        hour's of its season.
    """
    asked = Asked(seconds, confidence, psi_bins)
    measurements = [
        _measurement(metric, None, measured(window_pane, asked))
        for metric, measured in WINDOW_METRICS.items()
    ]
    measurements += _of_several(window_pane, reference, asked)
    compared, reference_of_columns = window_pane, reference
    if part is not None:
        compared, reference_of_columns = window_pane.over(part), part
    for column, counts in compared.columns.items():
        profile = reference_of_columns.columns.get(column) if reference_of_columns else None
        if profile is None and reference is not None and isinstance(counts, VectorCounts):
            profile = reference.columns.get(column)  # vectors have no season
        measurements += _of_column(column, _Column(counts, profile, asked), metrics)
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
    found = correlations_of(pane.joint, reference)
    if found is None:
        return
    shift = _measurement("correlation_shift", None, found.shift(confidence=asked.confidence))
    yield replace(shift, pair=found.pair)


def _of_column(name: str, column: _Column, metrics: Collection[str]) -> Iterator[Measurement]:
    for metric, measured in COLUMN_METRICS.items():
        if metric not in metrics:
            continue
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


def of_shares(compared: OfShares) -> _OfColumn:
    """Measure over bins: quantiles of the reference, or its frequent categories; and missing."""

    def measured(column: _Column) -> Estimate | None:
        match column.counts, column.profile:
            case NumberCounts() as counts, NumberProfile() as profile:
                missing = counts.missing + counts.invalid
                shares = number_shares(profile, column.upto(counts), missing, column.asked.psi_bins)
            case CategoryCounts() as counts, CategoryProfile() as profile:
                shares = category_shares(profile, counts)
            case _:
                return None
        return compared(*shares, confidence=column.asked.confidence)

    return measured


def _of_cells(compared: OfCells) -> _OfColumn:
    """Measure columns of numbers by the rows in each cell of the reference's grid."""

    def measured(column: _Column) -> Estimate | None:
        counts, profile = column.counts, column.profile
        if isinstance(counts, NumberCounts) and isinstance(profile, NumberProfile):
            return compared(profile, counts.cells(), confidence=column.asked.confidence)
        return None

    return measured


def _of_categories(compared: OfCategories) -> _OfColumn:
    """Measure columns of categories."""

    def measured(column: _Column) -> Estimate | None:
        counts, profile = column.counts, column.profile
        if isinstance(counts, CategoryCounts) and isinstance(profile, CategoryProfile):
            return compared(profile, counts, confidence=column.asked.confidence)
        return None

    return measured


def _of_vectors(compared: OfVectors) -> _OfColumn:
    """Measure columns of vectors."""

    def measured(column: _Column) -> Estimate | None:
        counts, profile = column.counts, column.profile
        if isinstance(counts, VectorCounts) and isinstance(profile, VectorProfile):
            return compared(profile, counts, confidence=column.asked.confidence)
        return None

    return measured


def _of_either(numbers: OfCells, categories: OfCategories) -> _OfColumn:
    """Measure columns of both kinds, each in its way."""
    of_numbers, of_categories = _of_cells(numbers), _of_categories(categories)
    return lambda column: of_numbers(column) or of_categories(column)


def _ks(column: _Column) -> Estimate | None:
    counts, profile = column.counts, column.profile
    if isinstance(counts, NumberCounts) and isinstance(profile, NumberProfile):
        return ks(profile, column.upto(counts), confidence=column.asked.confidence)
    return None


def _chi2(profile: CategoryProfile, counts: CategoryCounts, *, confidence: float) -> Estimate:
    return chi_square(*category_shares(profile, counts), confidence=confidence)


def _linf(profile: CategoryProfile, counts: CategoryCounts, *, confidence: float) -> Estimate:
    return l_infinity(*category_shares(profile, counts), confidence=confidence)


def _new_category_ratio(
    profile: CategoryProfile, counts: CategoryCounts, *, confidence: float
) -> Estimate:
    if profile.other:
        # The reference had more values than it names: which are new cannot be told.
        return untold(counts.rows)
    return ratio(counts.other, counts.rows, confidence=confidence)


def _missing_ratio(column: _Column) -> Estimate:
    return ratio(column.counts.missing, column.rows, confidence=column.asked.confidence)


def _invalid_ratio(column: _Column) -> Estimate:
    return ratio(column.counts.invalid, column.rows, confidence=column.asked.confidence)


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
    # of numbers and categories
    "psi": of_shares(psi),
    "js": of_shares(jensen_shannon),  # 0 to 1
    "hellinger": of_shares(hellinger),  # 0 to 1
    "constant": _of_either(constant_number, constant_category),  # 0 or 1
    "cardinality": _of_either(cardinality_number, cardinality_category),  # 1 is as before
    # of numbers
    "ks": _ks,  # 0 to 1
    "cvm": _of_cells(cramer_von_mises),  # 0 to 1/2
    "wasserstein": _of_cells(wasserstein),  # spreads of the reference
    "mean_shift": _of_cells(mean_shift),  # spreads, signed
    "median_shift": _of_cells(partial(quantile_shift, q=0.5)),  # spreads, signed
    "p05_shift": _of_cells(partial(quantile_shift, q=0.05)),
    "p95_shift": _of_cells(partial(quantile_shift, q=0.95)),
    "std_ratio": _of_cells(std_ratio),  # 1 is as before
    "out_of_range_ratio": _of_cells(out_of_range_ratio),
    # of categories
    "chi2": _of_categories(_chi2),  # 0 to 1
    "linf": _of_categories(_linf),  # 0 to 1
    "new_category_ratio": _of_categories(_new_category_ratio),
    # of vectors
    "mean_distance": _of_vectors(mean_distance),  # spreads of the reference
    "mmd": _of_vectors(mmd),  # squared, 0 to 2
    # of all columns, also of those that the reference does not have
    "missing_ratio": _missing_ratio,
    "invalid_ratio": _invalid_ratio,
}

#: Metrics of a column that need no reference.
ABSOLUTE_METRICS = frozenset({"missing_ratio", "invalid_ratio"})

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
#: (:mod:`detectors.rules.drift_rule`): there is no bound without that.
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
        *SHADOW_METRICS,
    }
)
#: Metrics in which a small window is what is looked for, so that no minimum of events applies.
COUNT_METRICS = frozenset({"events", "throughput"})
