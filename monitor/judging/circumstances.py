"""What else a window shows when a rule breaches: inputs, prediction, and what is broken.

Worked out only then, once a window however many rules breach: a quiet window costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from collectors.formats.event_types import is_prediction
from detectors.cause import Comparison, InputDrift, Symptom
from detectors.change.change_kinds import LOSS_METRICS
from detectors.columns.category_counts import CategoryCounts
from detectors.columns.column_counts import ColumnCounts
from detectors.columns.number_counts import NumberCounts
from detectors.columns.profile import CategoryProfile, NumberProfile, Profile
from detectors.measurement import Estimate, Measurement
from detectors.numerics.ratio import ratio
from detectors.performance.estimators import ESTIMATED_METRICS, explained_shift
from detectors.performance.performance import PERFORMANCE_METRICS
from detectors.reference.reference import Reference
from detectors.rules.drift_rule import ColumnDrift, Drift, DriftRule, DriftWindow
from detectors.rules.drift_spec import DriftSpec
from detectors.rules.judgement import Judgement, RuleSpec, Verdict
from detectors.statistics.constant import constant_category, constant_number
from detectors.statistics.correlation import CORRELATION, correlations_of
from detectors.statistics.out_of_range import out_of_range_ratio
from detectors.windows.window import ClosedWindow

#: So many rows in 100 more than in the reference, surely, are missing or of a wrong type: broken.
FAULT_MIN: Final = 0.05
#: Columns can be told not to matter only by a model that explains so much of the prediction: what
#: it leaves may be an effect of several columns together.
RULED_OUT_MIN: Final = 0.7
#: A column with a larger share of values that the reference does not know may matter.
UNSEEN_MAX: Final = 0.01
#: Windows that the look at the inputs is wrong about in the mean, where no rule of drift says it.
_FALSE_ALARMS, _WINDOWS = 1, 1_000

#: Whether another version answers a version's requests as it does; None where none is asked.
Shadow: TypeAlias = Callable[[str], Comparison | None]


def no_shadow(_version: str) -> Comparison | None:
    """Know of no other version's answers."""
    return None


def symptom_of(rule: RuleSpec, judgement: Judgement, pair: Sequence[str] = ()) -> Symptom:
    """Return what a breaching rule watches.

    Parameters
    ----------
    pair
        The two columns, of a rule of correlations.
    """
    columns = [*pair] or ([judgement.column] if judgement.column is not None else [])
    if rule.metric in PERFORMANCE_METRICS | LOSS_METRICS | ESTIMATED_METRICS:
        return "performance"
    if any(is_prediction(column) for column in columns):
        return "prediction"
    return "inputs" if columns else "service"


class Look:
    """Looks at the inputs of windows, where no rule of drift has done so.

    Parameters
    ----------
    confidence, psi_bins
        As of :class:`detectors.rules.drift_rule.DriftRule`.
    """

    def __init__(self, *, confidence: float, psi_bins: int) -> None:
        spec = DriftSpec.of_budget(_FALSE_ALARMS, _WINDOWS)
        rule = RuleSpec("inputs", "drift", ("*",), above=spec.tolerance, min_events=1, drift=spec)
        self._rule = DriftRule(rule, confidence=confidence, psi_bins=psi_bins)
        self.confidence = confidence

    def columns(
        self, window: ClosedWindow, found: Sequence[Measurement], part: Reference | None
    ) -> Sequence[ColumnDrift]:
        """Judge every column of a window against the reference that it was counted against."""
        pane = window.pane
        seen = DriftWindow(
            pane.columns,
            pane.events,
            window.begins,
            found,
            None if part is None else (part, pane.over(part).columns),
            correlations_of(pane.joint, pane.reference),
        )
        return self._rule.judge(seen, pane.reference, None).columns


class Scene:
    """A window of traffic as the place of a breach; what it shows is worked out when asked for.

    Parameters
    ----------
    found
        What was measured of it.
    drifts
        What the rules of drift said, by rule.
    part
        What its columns were compared with, if that is not the whole reference.
    """

    def __init__(
        self,
        look: Look,
        window: ClosedWindow,
        found: Sequence[Measurement],
        drifts: Mapping[str, Drift],
        part: Reference | None,
    ) -> None:
        self._look = look
        self._window = window
        self._found = found
        self.drifts = drifts
        self._part = part
        self._columns: Mapping[str, ColumnDrift] | None = None
        self._inputs: Sequence[InputDrift] | None = None

    @property
    def inputs(self) -> Sequence[InputDrift]:
        """Every input column that can be judged; none without a reference."""
        if self._inputs is None:
            importances = self._importances()
            faults = self._faults()
            self._inputs = [
                InputDrift(
                    name,
                    one.verdict,
                    one.estimate.value,
                    importances.get(name),
                    faults.get(name, ""),
                )
                for name, one in self._judged().items()
                if _is_input(one)
            ]
        return self._inputs

    @property
    def prediction(self) -> Verdict | None:
        """Verdict on the prediction; None where there is none."""
        verdicts = {one.verdict for name, one in self._judged().items() if is_prediction(name)}
        order: tuple[Verdict, ...] = ("breach", "unknown", "ok")
        return next((verdict for verdict in order if verdict in verdicts), None)

    @property
    def explained(self) -> float | None:
        """Share of the prediction's shift that the inputs explain; None where it is not known."""
        reference = self._window.pane.reference
        model = reference and reference.estimators and reference.estimators.prediction
        if not reference or not model:
            return None
        return explained_shift(model, self._window.pane.columns, reference.columns)

    def _judged(self) -> Mapping[str, ColumnDrift]:
        if self._columns is None:
            reference = self._window.pane.reference
            ruled = {one.column: one for drift in self.drifts.values() for one in drift.columns}
            wanted = set(reference.columns) if reference else set()
            if wanted - ruled.keys():
                looked = self._look.columns(self._window, self._found, self._part)
                ruled = {one.column: one for one in looked} | ruled
            self._columns = dict(sorted(ruled.items()))
        return self._columns

    def _importances(self) -> Mapping[str, float]:
        """Share of columns in the effects on the prediction, of those of which it is known.

        What a column does beyond the values of the reference is not known, however little it does
        there.
        """
        reference = self._window.pane.reference
        model = reference and reference.estimators and reference.estimators.prediction
        if not reference or not model or model.explained < RULED_OUT_MIN:
            return {}
        columns = self._window.pane.columns
        return {
            name: importance
            for name, importance in model.importances(reference.columns).items()
            if name in columns and _unseen(columns[name], reference.columns[name]) <= UNSEEN_MAX
        }

    def _faults(self) -> Mapping[str, str]:
        """Say what broke, by column."""
        reference = self._part or self._window.pane.reference
        if reference is None:
            return {}
        pane = self._window.pane
        columns = pane.columns if self._part is None else pane.over(self._part).columns
        told = {
            name: _fault(columns[name], profile, self._look.confidence)
            for name, profile in reference.columns.items()
            if name in columns
        }
        return {name: fault for name, fault in told.items() if fault}


def _unseen(counts: ColumnCounts, profile: Profile) -> float:
    """Share of rows whose value is none that the reference has, or is beyond its range."""
    match counts, profile:
        case NumberCounts(), NumberProfile():
            return out_of_range_ratio(profile, counts.cells(), confidence=0.5).value or 0.0
        case CategoryCounts(), CategoryProfile():
            return counts.other / counts.rows if counts.rows else 0.0
    return 1.0


def _fault(counts: ColumnCounts, profile: Profile, confidence: float) -> str:
    """Say what broke in a column, in words; nothing where nothing did."""
    rows = counts.rows + counts.missing + counts.invalid
    before = profile.rows + profile.missing + profile.invalid
    if not rows or not before:
        return ""
    for now, then, what in (
        (counts.missing, profile.missing, "missing"),
        (counts.invalid, profile.invalid, "of a wrong type"),
    ):
        low = ratio(now, rows, confidence=confidence).low or 0.0
        if low > then / before + FAULT_MIN:
            return f"{what} in {now / rows:.0%} of the rows, {then / before:.0%} in the reference"
    constant = _constant(counts, profile, confidence)
    if constant is not None and (constant.low or 0.0) >= 1:
        return "one value only, where the reference has several"
    return ""


def _constant(counts: ColumnCounts, profile: Profile, confidence: float) -> Estimate | None:
    match counts, profile:
        case NumberCounts(), NumberProfile():
            return constant_number(profile, counts.cells(), confidence=confidence)
        case CategoryCounts(), CategoryProfile():
            return constant_category(profile, counts, confidence=confidence)
    return None


def _is_input(one: ColumnDrift) -> bool:
    """Whether what was judged is about inputs alone.

    Correlations count where they changed for sure only: they take more rows to be called stable
    than columns do.
    """
    if one.column == CORRELATION and one.verdict != "breach":
        return False
    return not any(is_prediction(name) for name in (one.column, *(one.pair or ())))
