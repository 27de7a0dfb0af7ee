"""Predicted probabilities against what came true: ROC AUC, log-loss, and a threshold's ratios."""

from __future__ import annotations

import math
import sys
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.measurement import Estimate, untold
from detectors.numerics.exact_sum import ExactSum, ExactSumState, dyadic
from detectors.numerics.ratio import ratio
from detectors.numerics.tails import student_quantile
from detectors.performance.classes import binary_estimates

if TYPE_CHECKING:
    from collectors.batch import Floats

#: A probability is kept this far from 0 and 1 in the log-loss, so that one sure mistake costs
#: 36 and not infinity: the spacing of doubles at 1, as scikit-learn has it.
EPSILON = sys.float_info.epsilon

#: Steps of an octave, and octaves, of the grid on which scores are ranked.
STEPS, OCTAVES = 256, 40

_CELLS = STEPS * OCTAVES


class ScoreState(msgspec.Struct, array_like=True, frozen=True):
    """What `ScoreCounts` keeps in the store."""

    tp: int
    fp: int
    fn: int
    tn: int
    cells: list[tuple[int, int, int]]
    loss: ExactSumState
    loss_squared: ExactSumState


def cell_of(score: float) -> int:
    """Return the cell of a probability, from ``-10240`` (0) to ``10240`` (1); ascending.

    Every octave of the distance to the nearer end, ``min(p, 1 - p)``, has :data:`STEPS` equal
    cells, down to ``2**-41``: a model whose scores crowd near 0 is ranked as finely as others.
    Two scores of one cell are taken as tied; they differ by at most 1/256 of that distance.

    Examples
    --------
    >>> cell_of(0.0), cell_of(0.5), cell_of(1.0)
    (-10240, 0, 10240)
    >>> cell_of(0.001) < cell_of(0.00101) < cell_of(0.999)
    True
    """
    near = min(score, 1.0 - score)
    if near <= 0.0:
        return -_CELLS if score <= 0.0 else _CELLS
    # near = fraction * 2**exponent with fraction in [0.5, 1): octave 0 is [0.25, 0.5).
    fraction, exponent = math.frexp(near)
    steps = -exponent * STEPS - math.floor((fraction - 0.5) * 2 * STEPS) - 1
    depth = min(max(steps + 1, 0), _CELLS - 1)
    return -depth if score < 0.5 else depth  # noqa: PLR2004 - the middle


class ScoreCounts:
    """Rows per cell of score and outcome. Adds up exactly, and a row can be taken out again.

    Attributes
    ----------
    tp, fp, fn, tn
        Rows by what the threshold makes of the score, and what came true.
    cells
        ``[negatives, positives]`` by cell.
    loss, loss_squared
        Sums of the log-loss of each row, and of its square.
    """

    __slots__ = ("cells", "fn", "fp", "loss", "loss_squared", "tn", "tp")

    def __init__(self) -> None:
        self.tp = self.fp = self.fn = self.tn = 0
        self.cells: dict[int, list[int]] = {}
        self.loss = ExactSum()
        self.loss_squared = ExactSum()

    @property
    def n(self) -> int:
        """Rows."""
        return self.tp + self.fp + self.fn + self.tn

    def add(self, score: float, *, came_true: bool, threshold: float, rows: int = 1) -> None:
        """Count rows of one score in ``[0, 1]``; negative `rows` take out ones that were added.

        Parameters
        ----------
        threshold
            A score of at least this predicts the positive class.
        """
        called = score >= threshold
        if came_true:
            self.tp += rows * called
            self.fn += rows * (not called)
        else:
            self.fp += rows * called
            self.tn += rows * (not called)
        self._count(cell_of(score), 0 if came_true else rows, rows if came_true else 0)
        clipped = min(max(score, EPSILON), 1.0 - EPSILON)
        loss = -math.log(clipped) if came_true else -math.log1p(-clipped)
        for total, value in ((self.loss, loss), (self.loss_squared, loss * loss)):
            units, exponent = dyadic(value)
            total.add(units * rows, exponent)

    def merge(self, other: ScoreCounts) -> None:
        """Add what `other` holds."""
        self.tp += other.tp
        self.fp += other.fp
        self.fn += other.fn
        self.tn += other.tn
        for cell, (negatives, positives) in other.cells.items():
            self._count(cell, negatives, positives)
        self.loss.merge(other.loss)
        self.loss_squared.merge(other.loss_squared)

    def state(self) -> ScoreState:
        """Everything to go on from; equal counts give equal states."""
        cells = [(cell, *self.cells[cell]) for cell in sorted(self.cells)]
        return ScoreState(
            *(self.tp, self.fp, self.fn, self.tn),
            [(cell, negatives, positives) for cell, negatives, positives in cells],
            self.loss.state(),
            self.loss_squared.state(),
        )

    @classmethod
    def of_state(cls, state: ScoreState) -> ScoreCounts:
        """Go on from `state`."""
        self = cls()
        self.tp, self.fp, self.fn, self.tn = state.tp, state.fp, state.fn, state.tn
        self.cells = {cell: [negatives, positives] for cell, negatives, positives in state.cells}
        self.loss = ExactSum.of_state(state.loss)
        self.loss_squared = ExactSum.of_state(state.loss_squared)
        return self

    def _count(self, cell: int, negatives: int, positives: int) -> None:
        counts = self.cells.setdefault(cell, [0, 0])
        counts[0] += negatives
        counts[1] += positives
        if counts == [0, 0]:
            del self.cells[cell]


def score_estimates(counts: ScoreCounts, *, confidence: float) -> dict[str, Estimate]:
    """Estimate accuracy, precision, recall and F1 at the threshold, ROC AUC and log-loss.

    Untold with no rows; ROC AUC also where only one outcome occurs, log-loss bounds with one row.
    """
    return {
        "accuracy": ratio(counts.tp + counts.tn, counts.n, confidence=confidence),
        **binary_estimates(counts.tp, counts.fp, counts.fn, confidence=confidence),
        "roc_auc": roc_auc(counts, confidence=confidence),
        "log_loss": log_loss(counts, confidence=confidence),
    }


def roc_auc(counts: ScoreCounts, *, confidence: float) -> Estimate:
    """Chance that a positive row scores higher than a negative one, ties counting half.

    Ties are counted exactly. Different scores within one cell of the grid count as ties too: of
    ``T`` of the ``P N`` pairs of a positive and a negative row, which is off by at most
    ``T / (2 P N)``. The bounds are widened by it, whatever the pairs in one cell are.

    The bounds are those of DeLong's variance [1]_ on the logit scale [2]_, never narrower than
    what ``min(P, N)`` independent pairs would tell: at an AUC of 1 the variance is 0, and the
    lower bound is ``((1 - confidence) / 2) ** (1 / min(P, N))``.

    References
    ----------
    .. [1] DeLong, DeLong, Clarke-Pearson, "Comparing the areas under two or more correlated
       receiver operating characteristic curves", Biometrics 44, 1988.
    .. [2] Pepe, "The Statistical Evaluation of Medical Tests for Classification and Prediction",
       Oxford University Press, 2003, section 5.2.

    Examples
    --------
    >>> counts = ScoreCounts()
    >>> for score, came_true in ((0.1, False), (0.4, False), (0.35, True), (0.8, True)):
    ...     counts.add(score, came_true=came_true, threshold=0.5)
    >>> roc_auc(counts, confidence=0.95).value
    0.75
    """
    table = np.array([counts.cells[cell] for cell in sorted(counts.cells)], np.float64)
    table = table.reshape(-1, 2)
    negative, positive = table[:, 0], table[:, 1]
    negatives, positives = float(negative.sum()), float(positive.sum())
    if not negatives or not positives:
        return untold(counts.n)
    # Share of the negatives below each cell, and of the positives above it; ties by half.
    beats = (negative.cumsum() - negative / 2) / negatives
    beaten = (positives - positive.cumsum() + positive / 2) / positives
    value = float(positive @ beats) / positives
    variance = _spread(positive, beats) / positives + _spread(negative, beaten) / negatives
    low, high = _logit_bounds(value, variance, min(negatives, positives), confidence)
    blur = float(negative @ positive) / (2 * positives * negatives)
    return Estimate(value, max(0.0, low - blur), min(1.0, high + blur), counts.n)


def _spread(rows: Floats, shares: Floats) -> float:
    """Sample variance of `shares`, each of so many rows; 0 of one row."""
    n = float(rows.sum())
    mean = float(rows @ shares) / n
    return float(rows @ (shares - mean) ** 2) / max(n - 1, 1.0)


def _logit_bounds(
    value: float, variance: float, pairs: float, confidence: float
) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    edge = tail ** (1 / pairs)
    if not 0 < value < 1:
        return (edge if value else 0.0), (1.0 if value else 1 - edge)
    t = student_quantile(max(pairs - 1, 1.0), 1 - tail)
    margin = t * math.sqrt(variance) / (value * (1 - value))
    middle = math.log(value / (1 - value))
    return _logistic(middle - margin), _logistic(middle + margin)


def _logistic(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0  # noqa: PLR2004 - exp would overflow


def log_loss(counts: ScoreCounts, *, confidence: float) -> Estimate:
    """Mean of ``-ln`` of the probability given to what came true, clipped by :data:`EPSILON`.

    The bounds are Student's for a mean, which is what the central limit theorem gives; a few
    sure mistakes make the loss's tail long, and in small windows the upper bound too low.

    Examples
    --------
    >>> counts = ScoreCounts()
    >>> counts.add(0.5, came_true=True, threshold=0.5)
    >>> round(log_loss(counts, confidence=0.95).value, 4)
    0.6931
    """
    return mean_estimate(counts.loss, counts.loss_squared, counts.n, confidence=confidence)


def mean_estimate(total: ExactSum, squares: ExactSum, n: int, *, confidence: float) -> Estimate:
    """Estimate the mean of `n` non-negative values from their sum and the sum of their squares.

    Student's interval. Untold with no rows, without bounds with one.
    """
    if not n:
        return untold()
    mean = total.fraction() / n
    value = float(mean)
    if n == 1:
        return Estimate(value, None, None, n)
    variance = max(float(squares.fraction() / n - mean * mean), 0.0) / (n - 1)
    margin = student_quantile(n - 1, (1 + confidence) / 2) * math.sqrt(variance)
    return Estimate(value, max(0.0, value - margin), value + margin, n)
