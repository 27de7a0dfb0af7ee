"""Performance of a classifier without labels: from its own confidence, calibrated on a reference.

Confidence-based performance estimation [1]_: where a score of 0.8 came true in 80 of 100 rows of
the reference, a row with that score counts as 0.8 of a true positive. Right as long as a score
means what it meant: the inputs may drift, what is true of them may not.

References
----------
.. [1] Bialek, Kuberski, Perrakis, Bifet, "Estimating Model Performance Under Covariate Shift
   Without Labels", arXiv 2401.08348, 2024.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from detectors.measurement import Estimate, untold
from detectors.performance.scores import EPSILON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collectors.batch import Floats, Ints
    from detectors.columns.profile import NumberProfile

#: Bins of the score that are calibrated each by itself, about.
BINS = 20
#: Rows of the reference with a label that a calibration needs.
ROWS_MIN = 200

_Figure: TypeAlias = Callable[["Floats", "Floats", "Calibration"], float | None]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """How often each score came true in the reference.

    Parameters
    ----------
    edges
        Ends of the bins ``(a, b]``, ascending, shape ``(B - 1,)``.
    rows, positives
        Rows of the reference, and those that came true, per bin, shape ``(B,)``.
    scores
        Mean score per bin, shape ``(B,)``.
    threshold
        A score of at least this predicts the positive class; no bin lies on both of its sides.
    """

    edges: Floats
    rows: Ints
    positives: Ints
    scores: Floats
    threshold: float

    @classmethod
    def of(cls, scores: Floats, came_true: Floats, threshold: float) -> Calibration | None:
        """Calibrate; None of fewer than :data:`ROWS_MIN` rows, or where all came out alike.

        Parameters
        ----------
        scores
            Predicted probabilities, shape ``(rows,)``.
        came_true
            0 or 1, shape ``(rows,)``.
        """
        if scores.size < ROWS_MIN or came_true.min() == came_true.max():
            return None
        ranked = np.sort(scores)
        ranks = np.ceil(np.arange(1, BINS) / BINS * ranked.size).astype(np.int64) - 1
        # The largest number below the threshold ends a bin, so that the threshold begins one.
        below = np.nextafter(threshold, -math.inf)
        edges = np.unique(np.append(ranked[ranks], below))
        bins = edges.searchsorted(scores)
        rows = np.bincount(bins, minlength=edges.size + 1)
        filled = np.maximum(rows, 1)
        means = np.bincount(bins, scores, minlength=rows.size) / filled
        # An empty bin has no mean: its end will do.
        means = np.where(rows > 0, means, np.append(edges, 1.0))
        positives = np.bincount(bins, came_true, minlength=rows.size).astype(np.int64)
        return cls(edges, rows.astype(np.int64), positives, means, threshold)

    @property
    def rates(self) -> Floats:
        """Share that came true per bin, with half a row added to either outcome (Jeffreys)."""
        return np.asarray((self.positives + 0.5) / (self.rows + 1.0), np.float64)

    @property
    def predicted(self) -> Floats:
        """1 for bins that predict the positive class, else 0, shape ``(B,)``."""
        starts = np.append(-math.inf, self.edges)
        return np.asarray(starts >= np.nextafter(self.threshold, -math.inf), np.float64)

    def bin_rows(self, profile: NumberProfile, upto: Ints) -> Ints:
        """Rows of a window per bin, from those up to each cell of the score's grid."""
        return profile.rows_by_edges(self.edges, upto)


def estimate_performance(
    calibration: Calibration, rows: Ints, *, confidence: float
) -> dict[str, Estimate]:
    """Estimate accuracy, precision, recall, F1, ROC AUC and log-loss of rows without labels.

    Each figure is a smooth function of the positives per bin; those are expected to be
    ``c_b r_b``, and vary by ``c_b r_b (1 - r_b)`` (the window's own rows) and
    ``c_b^2 r_b (1 - r_b) / (n_b + 2)`` (the reference's rate). The bounds are the delta method's.

    Parameters
    ----------
    rows
        Of the window per bin (`Calibration.bin_rows`), shape ``(B,)``.
    confidence
        Of both bounds together, in ``(0, 1)``.

    Examples
    --------
    >>> calibration = Calibration(np.array([0.5]), np.array([999, 999]), np.array([99, 899]),
    ...                           np.array([0.1, 0.9]), 0.5)
    >>> round(estimate_performance(calibration, np.array([500, 500]), confidence=0.95)
    ...       ["accuracy"].value, 3)
    0.9
    """
    total = int(rows.sum())
    if not total:
        return dict.fromkeys(FIGURES, untold())
    counts, rates = rows.astype(np.float64), calibration.rates
    positives = counts * rates
    spread = rates * (1 - rates)
    deviations = np.sqrt(counts * spread + counts**2 * spread / (calibration.rows + 2.0))
    found: dict[str, Estimate] = {}
    for name, figure in FIGURES.items():
        value = figure(positives, counts, calibration)
        if value is None:
            found[name] = untold(total)
            continue
        margin = NormalDist().inv_cdf((1 + confidence) / 2) * _deviation(
            figure, positives, deviations, counts, calibration
        )
        most = math.inf if name == "log_loss" else 1.0
        found[name] = Estimate(value, max(0.0, value - margin), min(most, value + margin), total)
    return found


def _deviation(
    figure: _Figure,
    positives: Floats,
    deviations: Floats,
    counts: Floats,
    calibration: Calibration,
) -> float:
    """Return a figure's standard deviation; its slopes are those of a tenth of each bin's."""
    total = 0.0
    for index in np.flatnonzero(deviations).tolist():
        step = np.zeros(positives.size)
        step[index] = 0.1 * min(
            deviations[index], positives[index], counts[index] - positives[index]
        )
        above = figure(positives + step, counts, calibration)
        below = figure(positives - step, counts, calibration)
        if step[index] and above is not None and below is not None:
            total += ((above - below) / (2 * step[index]) * deviations[index]) ** 2
    return math.sqrt(total)


def _accuracy(positives: Floats, counts: Floats, calibration: Calibration) -> float | None:
    predicted = calibration.predicted
    right = predicted * positives + (1 - predicted) * (counts - positives)
    return float(right.sum() / counts.sum())


def _precision(positives: Floats, counts: Floats, calibration: Calibration) -> float | None:
    chosen = float(calibration.predicted @ counts)
    return float(calibration.predicted @ positives) / chosen if chosen else None


def _recall(positives: Floats, _counts: Floats, calibration: Calibration) -> float | None:
    true = float(positives.sum())
    return float(calibration.predicted @ positives) / true if true else None


def _f1(positives: Floats, counts: Floats, calibration: Calibration) -> float | None:
    both = float(calibration.predicted @ counts) + float(positives.sum())
    return 2 * float(calibration.predicted @ positives) / both if both else None


def _roc_auc(positives: Floats, counts: Floats, _calibration: Calibration) -> float | None:
    negatives = counts - positives
    pairs = float(positives.sum() * negatives.sum())
    if not pairs:
        return None
    # Rows of one bin are ties: half of their pairs count.
    below = np.cumsum(negatives) - negatives / 2
    return float(positives @ below) / pairs


def _log_loss(positives: Floats, counts: Floats, calibration: Calibration) -> float | None:
    scores = np.clip(calibration.scores, EPSILON, 1 - EPSILON)
    loss = positives @ -np.log(scores) + (counts - positives) @ -np.log1p(-scores)
    return float(loss / counts.sum())


#: Figures by the name of the metric that they estimate.
FIGURES: Mapping[str, _Figure] = {
    "accuracy": _accuracy,
    "precision": _precision,
    "recall": _recall,
    "f1": _f1,
    "roc_auc": _roc_auc,
    "log_loss": _log_loss,
}
