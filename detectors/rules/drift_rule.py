"""The rule over all columns that keeps a stated number of false alarms: ``metric = "drift"``.

Two looks share the budget (:class:`detectors.rules.drift_spec.DriftSpec`):

* *the window*: each column's p-value of "no drift beyond the tolerance", of those the ones that
  Benjamini and Hochberg's procedure rejects;
* *the evidence* of all windows that share no row (:mod:`detectors.rules.e_detector`).

A column has drifted where either says so, is stable where its upper bound is low enough, and is
unknown in between.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np

from detectors.measurement import Estimate
from detectors.numerics.false_discoveries import (
    benjamini_hochberg,
    e_benjamini_hochberg,
    selected_level,
)
from detectors.rules.drift_memory import DriftMemory
from detectors.rules.drift_watch import Watch, comparisons, fine_cuts
from detectors.rules.e_detector import FALLEN, Evidence, alarm_at, gather
from detectors.rules.judgement import EACH_SEGMENT, Judgement, RuleSpec, Verdict
from detectors.statistics.correlation import CORRELATION

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from detectors.columns.column_counts import ColumnCounts
    from detectors.columns.profile import Profile
    from detectors.measurement import Measurement
    from detectors.reference.reference import Reference
    from detectors.rules.drift_spec import DriftSpec
    from detectors.statistics.correlation import Correlations

Look: TypeAlias = Literal["window", "evidence"]

#: Columns that an incident names; with more, the worst.
NAMED_MAX = 20
#: References whose columns are kept worked out: those of the versions that serve.
_WATCHES_MAX = 8
#: And those of their segments, for a rule that looks at each.
_SEGMENT_WATCHES_MAX = 64
_RANK: dict[Verdict, int] = {"ok": 0, "unknown": 1, "breach": 2}


class _Compared(Protocol):
    """A column beside its reference, or what all columns have in common."""

    def p_value(self, tolerance: float) -> float: ...

    def estimate(self, *, level: float, confidence: float, tolerance: float) -> Estimate: ...


@dataclass(frozen=True, slots=True)
class DriftWindow:
    """A closed window, as far as a drift rule looks at it.

    Parameters
    ----------
    columns
        Its counts, by column.
    events
        Its rows.
    begins
        When it begins, seconds since the epoch.
    found
        What else was measured of it.
    part
        What its columns were compared with in `found`, where that is the same hour's part of the
        reference, and the counts over its points. Evidence of many windows goes by the whole:
        hours have nothing in common that could add up.
    correlations
        Of its columns beside the reference's; None where they are not counted. The rule takes them
        for one more column, :data:`detectors.statistics.correlation.CORRELATION`, of which a window
        by itself tells and no evidence is gathered.
    """

    columns: Mapping[str, ColumnCounts]
    events: int
    begins: float
    found: Sequence[Measurement]
    part: tuple[Reference, Mapping[str, ColumnCounts]] | None = None
    correlations: Correlations | None = None


@dataclass(frozen=True, slots=True)
class ColumnDrift:
    """What the rule says of one column.

    Parameters
    ----------
    column
        Its name.
    estimate
        Jeffreys divergence with its bounds: `low` for all columns and windows together, `high`
        for one look.
    verdict
        Drifted, stable or unknown.
    looks
        Which say that it has drifted.
    evidence
        Natural logarithm of the evidence of many windows; -inf for none.
    pair
        Of correlations, the two columns whose correlation changed.
    """

    column: str
    estimate: Estimate
    verdict: Verdict
    looks: tuple[Look, ...] = ()
    evidence: float = -math.inf
    pair: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Drift:
    """What the rule makes of one window.

    Parameters
    ----------
    judgement
        Of all columns together; its column is the worst.
    columns
        Of each.
    memory
        To go on from with the next window; None before there is a reference.
    """

    judgement: Judgement
    columns: tuple[ColumnDrift, ...]
    memory: DriftMemory | None

    def evidence(self) -> dict[str, Any]:
        """Name the drifted columns, worst first, with their shares of all drift, for people."""
        drifted = [one for one in self.columns if one.verdict == "breach" and one.looks]
        drifted.sort(key=lambda one: -(one.estimate.value or 0.0))
        total = sum(one.estimate.value or 0.0 for one in drifted)
        return {
            "looks": sorted({look for one in drifted for look in one.looks}),
            "drifted": len(drifted),
            "columns": [
                {
                    "column": one.column,
                    "value": one.estimate.value,
                    "low": one.estimate.low,
                    "share": (one.estimate.value or 0.0) / total if total else None,
                    "looks": list(one.looks),
                    "evidence_log10": round(one.evidence / math.log(10), 2)
                    if math.isfinite(one.evidence)
                    else None,
                }
                | ({"pair": list(one.pair)} if one.pair else {})
                for one in drifted[:NAMED_MAX]
            ],
        }


class DriftRule:
    """Judges windows by one rule; what it remembers of a version is handed in and out.

    Parameters
    ----------
    spec
        The rule; its `drift` says what it promises.
    confidence
        Of the upper bounds, in (0, 1).
    psi_bins
        Bins of a column of numbers.

    Raises
    ------
    ValueError
        If the rule is none of drift.
    """

    def __init__(self, spec: RuleSpec, *, confidence: float, psi_bins: int) -> None:
        if spec.drift is None:
            raise ValueError(f"rule {spec.name!r} does not say how often it may be wrong")
        self._rule = spec
        self._spec: DriftSpec = spec.drift
        self._confidence = confidence
        self._psi_bins = psi_bins
        self._watches: dict[str, Watch] = {}

    def watches(self, segment: str) -> bool:
        """Say whether the rule looks at a segment; the empty one is all traffic."""
        return self._rule.watches(segment)

    def judge(
        self, window: DriftWindow, reference: Reference | None, memory: DriftMemory | None
    ) -> Drift:
        """Judge the next window of a version.

        Without a reference, or with no column of it to look at, there is nothing to judge, and
        the rule's `on_missing` is the verdict.
        """
        if reference is None:
            return Drift(self._nothing(), (), memory)
        watch = self._watch(reference)
        if memory is None or not memory.fits(watch.digest, watch.null):
            memory = DriftMemory(watch.digest, Evidence.none(watch.null))
        evidence = self._gathered(memory, watch, window)
        columns = self._columns(watch, window, evidence)
        memory = replace(memory, evidence=evidence, seen=memory.seen + 1)
        return Drift(self._judgement(columns), columns, memory)

    def _watch(self, reference: Reference) -> Watch:
        watch = self._watches.get(reference.digest)
        if watch is None:
            names = [name for name in sorted(reference.columns) if self._rule.looks_at(name)]
            watch = Watch.of(reference, names)
            each = self._rule.segment == EACH_SEGMENT
            while len(self._watches) >= (_SEGMENT_WATCHES_MAX if each else _WATCHES_MAX):
                del self._watches[next(iter(self._watches))]
            self._watches[reference.digest] = watch
        return watch

    def _gathered(self, memory: DriftMemory, watch: Watch, window: DriftWindow) -> Evidence:
        if not window.events or not self._shares_no_row(memory, window):
            return memory.evidence
        counts = watch.coarse_counts(window.columns)
        effects = watch.effects(counts.sum(axis=1))
        return gather(
            memory.evidence,
            watch.null,
            counts,
            radii=watch.radii(effects, self._spec.tolerance),
            effects=effects,
            run_length=self._spec.run_length,
        )

    def _shares_no_row(self, memory: DriftMemory, window: DriftWindow) -> bool:
        """Whether this is the window of all that overlap whose rows are gathered."""
        spec = self._spec
        if spec.length_s is None:
            return memory.seen % spec.panes == 0
        return round(window.begins * spec.panes / spec.length_s) % spec.panes == 0

    def _columns(
        self, watch: Watch, window: DriftWindow, evidence: Evidence
    ) -> tuple[ColumnDrift, ...]:
        profiles: Mapping[str, Profile] = watch.profiles
        counts = window.columns
        cuts = dict(zip(profiles, watch.bins, strict=True))
        fine = watch.fine
        if window.part is not None:
            part, counts = window.part
            cuts = {}
            profiles = {name: part.columns[name] for name in profiles if name in part.columns}
            fine = fine_cuts(profiles)
        compared: dict[str, _Compared] = {
            **comparisons(
                profiles, counts, window.found, psi_bins=self._psi_bins, cuts=cuts, fine=fine
            )
        }
        common = window.correlations
        if common is not None and common.told and self._rule.looks_at(CORRELATION):
            compared[CORRELATION] = common
        if window.events >= self._rule.min_events:
            by_window = self._by_window(compared)
        else:
            by_window = dict.fromkeys(compared, False)
        level = selected_level(sum(by_window.values()), len(by_window), self._spec.level)
        by_evidence = dict(zip(watch.names, self._by_evidence(evidence).tolist(), strict=True))
        gathered = dict(zip(watch.names, evidence.by_column.tolist(), strict=True))
        learned: dict[str, float] = {}
        if any(by_evidence.values()):
            divergences = evidence.divergence(watch.null).tolist()
            learned = dict(zip(watch.names, divergences, strict=True))
        found = []
        for name, one in compared.items():
            estimate = one.estimate(
                level=level, confidence=self._confidence, tolerance=self._spec.tolerance
            )
            looks: list[Look] = []
            if by_window[name]:
                looks.append("window")
            if by_evidence.get(name):
                looks.append("evidence")
                estimate = self._proven(estimate, learned[name])
            verdict = self._verdict(estimate, looks, window.events)
            pair = common.pair if common is not None and name == CORRELATION else None
            since = gathered.get(name, -math.inf)
            found.append(ColumnDrift(name, estimate, verdict, tuple(looks), since, pair))
        return tuple(found)

    def _by_window(self, compared: Mapping[str, _Compared]) -> dict[str, bool]:
        p_values = np.array([one.p_value(self._spec.tolerance) for one in compared.values()])
        rejected = benjamini_hochberg(p_values, self._spec.level)
        return dict(zip(compared, rejected.tolist(), strict=True))

    def _by_evidence(self, evidence: Evidence) -> npt.NDArray[np.bool_]:
        """Columns that the alarm, if there is one, is about."""
        by_column = evidence.by_column
        if not evidence.alarmed:
            return np.zeros(by_column.size, np.bool_)
        threshold = math.log(alarm_at(self._spec.run_length))
        if evidence.total < threshold:
            threshold += math.log(FALLEN)
        named = e_benjamini_hochberg(by_column, -threshold)
        # All together may suffice where none does alone: then it is about the foremost.
        return named if named.any() else by_column == by_column.max()

    def _proven(self, estimate: Estimate, learned: float) -> Estimate:
        """Estimate of a column of which many windows prove more than this one does."""
        least = math.nextafter(self._spec.tolerance, math.inf)
        low = max(estimate.low or 0.0, least)
        value = max(estimate.value or 0.0, learned, low)
        high = None if estimate.high is None else max(estimate.high, value)
        return replace(estimate, value=value, low=low, high=high)

    def _verdict(self, estimate: Estimate, looks: Sequence[Look], events: int) -> Verdict:
        if looks:
            return "breach"
        if estimate.value is None or events < self._rule.min_events:
            return self._rule.on_missing
        stable = estimate.high is not None and estimate.high <= self._spec.stable
        return "ok" if stable else "unknown"

    def _judgement(self, columns: Sequence[ColumnDrift]) -> Judgement:
        if not columns:
            return self._nothing()
        worst = max(columns, key=lambda one: (_RANK[one.verdict], one.estimate.value or 0.0))
        return Judgement(
            worst.verdict,
            worst.column,
            worst.estimate.value,
            worst.estimate.low,
            worst.estimate.high,
            self._spec.tolerance,
            worst.estimate.n,
            clears=worst.verdict == "ok",
        )

    def _nothing(self) -> Judgement:
        missing, tolerance = self._rule.on_missing, self._spec.tolerance
        return Judgement(missing, None, None, None, None, tolerance, 0, clears=missing == "ok")
