"""What a reference with labels can say of windows without: their performance, and what moved them.

Estimates, and marked so (``estimated_accuracy``): they hold as long as what was true of the inputs
in the reference still is. Measured performance replaces them as labels come.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from collectors.batch import PREDICTION, CategoryColumn
from detectors.columns.number_counts import NumberCounts
from detectors.columns.profile import NumberProfile
from detectors.measurement import Estimate, Measurement
from detectors.performance.additive_model import AdditiveModel, fit, reference_upto
from detectors.performance.confidence_estimates import Calibration, estimate_performance
from detectors.performance.performance import Pair, Performance, Reading, Task, class_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from collectors.batch import Floats, Ints
    from collectors.labels import Scalar
    from detectors.columns.column_counts import ColumnCounts
    from detectors.columns.profile import Profile
    from detectors.joint.row_sample import RowSample

#: Metrics of predictions whose labels are not known, in the unit of what they estimate.
ESTIMATED_METRICS = frozenset(
    {
        "estimated_accuracy",
        "estimated_precision",
        "estimated_recall",
        "estimated_f1",
        "estimated_roc_auc",
        "estimated_log_loss",
        "estimated_mae",
        "estimated_rmse",
    }
)

#: Column of a sample that holds the labels as text. No log can have a column of such a name.
LABEL = "\x00label"
#: A shift of the mean prediction is worth explaining beyond so many standard errors.
_SHIFT_MIN = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Estimators:
    """Fitted to a reference.

    Parameters
    ----------
    calibration
        Of predicted probabilities; None for another task, or without labels enough.
    error
        Whether a predicted class is wrong, or how far a quantity is off; None without labels.
    squared_error
        Square of the latter; None for another task.
    prediction
        The prediction itself: a number, or whether it is the most frequent class.
    """

    calibration: Calibration | None = None
    error: AdditiveModel | None = None
    squared_error: AdditiveModel | None = None
    prediction: AdditiveModel | None = None


def labels_column(labels: Sequence[Scalar | None]) -> CategoryColumn:
    """Return labels as the column :data:`LABEL` of a sample."""
    return CategoryColumn([None if label is None else class_name(label) for label in labels])


def learn(sample: RowSample, reading: Reading | None = None) -> Estimators:
    """Fit what can be fitted to the rows of a reference, with or without labels among them."""
    reading = reading or Reading()
    predictions = _predictions(sample)
    quantity = _as_quantity(predictions)
    model = fit(sample, quantity, frozenset({PREDICTION, LABEL}))
    labels = sample.categories.get(LABEL)
    if labels is None:
        return Estimators(prediction=model)
    pairs = [
        (row, Pair(predicted, _scalar(label)))
        for row, (predicted, label) in enumerate(zip(predictions, labels, strict=True))
        if predicted is not None and label is not None
    ]
    performance = Performance()
    for _, pair in pairs:
        performance.add(pair, reading, 0.0)
    return _of_pairs(sample, pairs, performance.task(), reading, model)


def _of_pairs(
    sample: RowSample,
    pairs: Sequence[tuple[int, Pair]],
    task: Task | None,
    reading: Reading,
    model: AdditiveModel | None,
) -> Estimators:
    label_only = frozenset({LABEL})
    errors = np.full(sample.rows, np.nan)
    if task == "probability":
        return Estimators(_calibration(pairs, reading), prediction=model)
    if task == "classes":
        for row, pair in pairs:
            errors[row] = class_name(pair.prediction) != class_name(pair.label)
        return Estimators(error=fit(sample, errors, label_only), prediction=model)
    if task == "quantity":
        for row, pair in pairs:
            if not isinstance(pair.prediction, str) and not isinstance(pair.label, str):
                errors[row] = abs(pair.prediction - pair.label)
        return Estimators(
            error=fit(sample, errors, label_only),
            squared_error=fit(sample, errors**2, label_only),
            prediction=model,
        )
    return Estimators(prediction=model)


def estimated(
    estimators: Estimators,
    counts: Mapping[str, ColumnCounts],
    profiles: Mapping[str, Profile],
    *,
    rows: int,
    confidence: float,
) -> list[Measurement]:
    """Estimate the performance of a window; nothing where there is nothing to go by.

    Parameters
    ----------
    counts, profiles
        Columns of the window, and of the reference that they were counted against.
    rows
        Of the window.
    confidence
        Of both bounds together, in ``(0, 1)``.
    """
    found: dict[str, Estimate] = {}
    if estimators.calibration is not None:
        of_score, profile = counts.get(PREDICTION), profiles.get(PREDICTION)
        if isinstance(of_score, NumberCounts) and isinstance(profile, NumberProfile):
            binned = estimators.calibration.bin_rows(profile, of_score.upto())
            found = estimate_performance(estimators.calibration, binned, confidence=confidence)
    elif estimators.error is not None:
        error = estimators.error.expected(counts, profiles, rows=rows, confidence=confidence)
        if estimators.squared_error is None:
            found["accuracy"] = _kept_within(_complement(error), 0.0, 1.0)
        else:
            square = estimators.squared_error.expected(
                counts, profiles, rows=rows, confidence=confidence
            )
            found["mae"] = _kept_within(error, 0.0, math.inf)
            found["rmse"] = _root(square)
    return [
        Measurement(f"estimated_{name}", None, one.value, one.low, one.high, None, one.n)
        for name, one in found.items()
    ]


def explained_shift(
    model: AdditiveModel, counts: Mapping[str, ColumnCounts], profiles: Mapping[str, Profile]
) -> float | None:
    """Share of the shift of the mean prediction that the drift of its inputs explains.

    In ``[0, 1]``: 0 where the inputs would have moved it the other way, 1 where they would have
    moved it as far or further. None where it has not moved beyond chance, or cannot be told.
    """
    of_prediction, profile = counts.get(PREDICTION), profiles.get(PREDICTION)
    if not isinstance(of_prediction, NumberCounts) or not isinstance(profile, NumberProfile):
        return None
    shifts = model.shifts(counts, profiles)
    cells = of_prediction.cells()
    rows = int(cells.sum())
    if not shifts or not rows or not profile.rows:
        return None
    observed = _mean(profile, cells) - _mean(profile, np.diff(reference_upto(profile), prepend=0))
    error = model.spread * math.sqrt(1 / rows + 1 / profile.rows)
    if abs(observed) <= _SHIFT_MIN * error:
        return None
    expected = sum(moved for moved, _ in shifts.values())
    return min(1.0, max(0.0, expected / observed))


def _mean(profile: NumberProfile, cells: Ints) -> float:
    """Mean of values known by their cell: those between two points count at their middle."""
    points = profile.points
    finite = np.nan_to_num(points, posinf=points[np.isfinite(points)].max(initial=0.0))
    middles = np.empty(cells.size)
    middles[1::2] = finite
    middles[2:-1:2] = (finite[1:] + finite[:-1]) / 2
    middles[0], middles[-1] = finite[0], finite[-1]
    return float(cells @ middles) / float(cells.sum())


def _predictions(sample: RowSample) -> list[Scalar | None]:
    if PREDICTION in sample.numbers:
        values = sample.numbers[PREDICTION].tolist()
        return [value if math.isfinite(value) else None for value in values]
    return list(sample.categories.get(PREDICTION, [None] * sample.rows))


def _as_quantity(predictions: Sequence[Scalar | None]) -> Floats:
    """Return predictions as numbers: a class by whether it is the most frequent one."""
    texts = [one for one in predictions if isinstance(one, str)]
    if not texts:
        return np.array([math.nan if one is None else one for one in predictions], np.float64)
    most = max(sorted(set(texts)), key=texts.count)
    return np.array([math.nan if one is None else float(one == most) for one in predictions])


def _calibration(pairs: Sequence[tuple[int, Pair]], reading: Reading) -> Calibration | None:
    outcomes = {"1": 1.0, "true": 1.0, "0": 0.0, "false": 0.0}
    scores, came_true = [], []
    for _, pair in pairs:
        name = class_name(pair.label)
        outcome = float(name == reading.positive) if reading.positive else outcomes.get(name)
        if outcome is None or isinstance(pair.prediction, str) or not 0 <= pair.prediction <= 1:
            continue
        scores.append(pair.prediction)
        came_true.append(outcome)
    return Calibration.of(np.array(scores), np.array(came_true), reading.threshold)


def _scalar(label: str) -> Scalar:
    try:
        return float(label)
    except ValueError:
        return label


def _complement(one: Estimate) -> Estimate:
    value = None if one.value is None else 1 - one.value
    low, high = (None if bound is None else 1 - bound for bound in (one.high, one.low))
    return Estimate(value, low, high, one.n)


def _kept_within(one: Estimate, least: float, most: float) -> Estimate:
    value, low, high = (
        None if figure is None else min(most, max(least, figure))
        for figure in (one.value, one.low, one.high)
    )
    return Estimate(value, low, high, one.n)


def _root(square: Estimate) -> Estimate:
    value, low, high = (
        None if figure is None else math.sqrt(max(0.0, figure))
        for figure in (square.value, square.low, square.high)
    )
    return Estimate(value, low, high, square.n)
