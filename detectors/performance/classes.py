"""Predicted classes against actual ones: accuracy, precision, recall, F1, with bounds."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.measurement import Estimate, untold
from detectors.numerics.ratio import ratio

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from collectors.batch import Floats

#: Classes of a model. With more, pairs are only told right from wrong: accuracy, nothing else.
CLASSES_MAX = 50

#: Classes of which one alone tells which is the positive one.
_POSITIVE_OF = {"0": "1", "1": "1", "false": "true", "true": "true"}
_BINARY = 2


class ClassState(msgspec.Struct, array_like=True, frozen=True):
    """What `ClassCounts` keeps in the store."""

    n: int
    correct: int
    overflowed: bool
    pairs: list[tuple[str, str, int]]


class ClassCounts:
    """Rows per (predicted, actual) class. Adds up exactly, and a row can be taken out again.

    Attributes
    ----------
    n, correct
        Rows, and those whose prediction is the label.
    overflowed
        More than :data:`CLASSES_MAX` classes were met: `pairs` is empty from then on.

    Examples
    --------
    >>> counts = ClassCounts()
    >>> for predicted, actual in (("1", "1"), ("1", "0"), ("0", "0")):
    ...     counts.add(predicted, actual)
    >>> counts.n, counts.correct, counts.pairs["1", "0"]
    (3, 2, 1)
    """

    __slots__ = ("correct", "n", "overflowed", "pairs")

    def __init__(self) -> None:
        self.n = 0
        self.correct = 0
        self.overflowed = False
        self.pairs: dict[tuple[str, str], int] = {}

    @property
    def names(self) -> set[str]:
        """Classes among predictions and labels."""
        return {name for pair in self.pairs for name in pair}

    def add(self, predicted: str, actual: str, rows: int = 1) -> None:
        """Count rows; negative `rows` take out ones that were added."""
        self.n += rows
        self.correct += rows * (predicted == actual)
        self._count((predicted, actual), rows)

    def merge(self, other: ClassCounts) -> None:
        """Add what `other` holds."""
        self.n += other.n
        self.correct += other.correct
        if other.overflowed:
            self._overflow()
        for pair, rows in other.pairs.items():
            self._count(pair, rows)

    def state(self) -> ClassState:
        """Everything to go on from; equal counts give equal states."""
        pairs = [(*pair, self.pairs[pair]) for pair in sorted(self.pairs)]
        return ClassState(self.n, self.correct, self.overflowed, pairs)

    @classmethod
    def of_state(cls, state: ClassState) -> ClassCounts:
        """Go on from `state`."""
        self = cls()
        self.n, self.correct, self.overflowed = state.n, state.correct, state.overflowed
        self.pairs = {(predicted, actual): rows for predicted, actual, rows in state.pairs}
        return self

    def _count(self, pair: tuple[str, str], rows: int) -> None:
        if self.overflowed:
            return
        left = self.pairs.get(pair, 0) + rows
        if left:
            self.pairs[pair] = left
        else:
            self.pairs.pop(pair, None)
        # Classes can only be too many once there are more pairs than that in a diagonal's half.
        if len(self.pairs) * 2 > CLASSES_MAX and len(self.names) > CLASSES_MAX:
            self._overflow()

    def _overflow(self) -> None:
        self.overflowed = True
        self.pairs.clear()


def positive_class(known: Collection[str], configured: str = "") -> str | None:
    """Return the class that precision and recall are of; None where they are averaged.

    Parameters
    ----------
    known
        Every class met so far, not only in one window: a window without positives must not
        make the other class the positive one.
    configured
        The operator's choice; empty for the larger of two: as a number where both are, else as
        a text, so that ``1`` beats ``0``, ``true`` beats ``false`` and ``yes`` beats ``no``.

    Examples
    --------
    >>> positive_class({"0", "1"}), positive_class({"a", "b", "c"}), positive_class({"false"})
    ('1', None, 'true')
    """
    if configured:
        return configured
    if len(known) == 1:
        return _POSITIVE_OF.get(next(iter(known)))
    return max(known, key=_order) if len(known) == _BINARY else None


def _order(name: str) -> tuple[float, str]:
    try:
        number = float(name)
    except ValueError:
        return math.inf, name
    return (number, name) if math.isfinite(number) else (math.inf, name)


def class_estimates(
    counts: ClassCounts, *, positive: str | None, averaged: bool, confidence: float
) -> dict[str, Estimate]:
    """Estimate accuracy, precision, recall and F1.

    Accuracy is a share of independent rows, with Clopper and Pearson's interval. Of one
    `positive` class so are precision (of the rows predicted positive) and recall (of those that
    are). F1 is ``2 J / (1 + J)`` with ``J = TP / (TP + FP + FN)``; given the rows in the
    denominator, TP is binomial, so the interval of J carries over exactly [1]_.

    Averaged over classes (macro: the plain mean over those that occur; 0 where a ratio has no
    rows, as scikit-learn does), a bound is the wider of two: the normal one with the delta method's
    variance of a multinomial table [2]_, and what the exact bounds of each class recover [3]_. The
    first minds that one wrong row hurts two classes, the second that a class may have few rows.

    Parameters
    ----------
    positive
        The positive class, None if there is none.
    averaged
        Average over classes where there is no positive one; otherwise the three are untold.
    confidence
        Of both bounds together, in ``(0, 1)``.

    Returns
    -------
    dict
        By metric; untold with no rows, with too many classes (but accuracy), and where a ratio
        has no rows.

    References
    ----------
    .. [1] Hand, Christen, Kirielle, "F*: an interpretable transformation of the F-measure",
       Machine Learning 110, 2021.
    .. [2] Takahashi, Yamamoto, Kuchiba, Koyama, "Confidence interval for micro-averaged F1 and
       macro-averaged F1 scores", Applied Intelligence 52, 2022.
    .. [3] Zou, Donner, "Construction of confidence limits about effect measures: a general
       approach", Statistics in Medicine 27, 2008.

    Examples
    --------
    >>> counts = ClassCounts()
    >>> counts.add("1", "1", 60), counts.add("1", "0", 20), counts.add("0", "1", 20)
    (None, None, None)
    >>> told = class_estimates(counts, positive="1", averaged=False, confidence=0.95)
    >>> told["precision"].value, told["recall"].value, told["f1"].value
    (0.75, 0.75, 0.75)
    """
    accuracy = {"accuracy": ratio(counts.correct, counts.n, confidence=confidence)}
    if not counts.pairs or (positive is None and not averaged):
        return accuracy | dict.fromkeys(("precision", "recall", "f1"), untold(counts.n))
    if positive is None:
        return accuracy | _averaged(counts, confidence)
    hit = counts.pairs.get((positive, positive), 0)
    called = sum(rows for (predicted, _), rows in counts.pairs.items() if predicted == positive)
    actual = sum(rows for (_, actual), rows in counts.pairs.items() if actual == positive)
    return accuracy | binary_estimates(hit, called - hit, actual - hit, confidence=confidence)


def binary_estimates(
    hits: int, false_alarms: int, misses: int, *, confidence: float
) -> dict[str, Estimate]:
    """Estimate precision, recall and F1 from true positives, false positives, false negatives."""
    jaccard = ratio(hits, hits + false_alarms + misses, confidence=confidence)
    return {
        "precision": ratio(hits, hits + false_alarms, confidence=confidence),
        "recall": ratio(hits, hits + misses, confidence=confidence),
        "f1": Estimate(
            2 * hits / (jaccard.n + hits) if jaccard.n else None,
            *(_f1(jaccard.low), _f1(jaccard.high)),
            jaccard.n,
        ),
    }


def _f1(jaccard: float | None) -> float | None:
    return None if jaccard is None else 2 * jaccard / (1 + jaccard)


def _averaged(counts: ClassCounts, confidence: float) -> dict[str, Estimate]:
    names = {name: i for i, name in enumerate(sorted(counts.names))}
    table = np.zeros((len(names), len(names)))
    for (predicted, actual), rows in counts.pairs.items():
        table[names[predicted], names[actual]] = rows
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    each = [_of_class(table, i, confidence) for i in range(len(names))]
    estimates = {}
    for metric, weights in _DENOMINATORS.items():
        value = float(_of_classes(table, weights)[0].mean())
        margin = z * _standard_error(table, weights)
        below, above = _recovered([one[metric] for one in each])
        low, high = max(0.0, value - max(margin, below)), min(1.0, value + max(margin, above))
        estimates[metric] = Estimate(value, low, high, counts.n)
    return estimates


def _of_class(table: Floats, i: int, confidence: float) -> dict[str, Estimate]:
    hits, called, actual = int(table[i, i]), int(table[i].sum()), int(table[:, i].sum())
    return binary_estimates(hits, called - hits, actual - hits, confidence=confidence)


def _recovered(each: Sequence[Estimate]) -> tuple[float, float]:
    """Distances of the bounds of a mean from it, from those of its parts."""
    told = [
        (one.value - one.low, one.high - one.value)
        for one in each
        if one.value is not None and one.low is not None and one.high is not None
    ]
    below, above = (math.hypot(*side) / len(each) for side in zip(*told, strict=True))
    return below, above


#: A class's figure is its diagonal cell over (its predicted rows, its actual rows), so weighted.
_DENOMINATORS = {"precision": (1.0, 0.0), "recall": (0.0, 1.0), "f1": (0.5, 0.5)}


def _of_classes(table: Floats, weights: tuple[float, float]) -> tuple[Floats, Floats]:
    """Return each class's figure and its denominator, shape ``(classes,)`` both."""
    below = weights[0] * table.sum(axis=1) + weights[1] * table.sum(axis=0)
    figures = np.divide(np.diag(table), below, out=np.zeros(len(table)), where=below > 0)
    return figures, below


def _standard_error(table: Floats, weights: tuple[float, float]) -> float:
    """Return the standard error of the mean figure: the gradient at each cell, over the table."""
    n = float(table.sum())
    figures, below = _of_classes(table, weights)
    slope = np.divide(-figures, below, out=np.zeros(len(table)), where=below > 0)
    gradient = np.add.outer(weights[0] * slope, weights[1] * slope)
    gradient[np.diag_indices(len(table))] += np.divide(
        1.0, below, out=np.zeros(len(table)), where=below > 0
    )
    gradient *= n / len(table)
    shares = table / n
    variance = float((shares * gradient**2).sum() - (shares * gradient).sum() ** 2)
    return math.sqrt(max(0.0, variance) / n)
