"""How well a model did, of the predictions whose labels are known: what a pane counts of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from detectors.measurement import Measurement
from detectors.performance.classes import (
    ClassCounts,
    ClassState,
    class_estimates,
    positive_class,
)
from detectors.performance.errors import VALUE_MAX, ErrorCounts, ErrorState, error_estimates
from detectors.performance.scores import ScoreCounts, ScoreState, score_estimates

if TYPE_CHECKING:
    from collections.abc import Collection

    from collectors.labels import Scalar

#: What is predicted: classes, the probability of one class, or a quantity.
Task: TypeAlias = Literal["classes", "probability", "quantity"]

#: Metrics of pairs of a prediction and its label.
PERFORMANCE_METRICS = frozenset(
    {"accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "mae", "rmse", "r2"}
)

_FORMAT = 1
_OUTCOMES = {"0": False, "false": False, "1": True, "true": True}
_EXACT_INT_END = 2.0**53
#: Share of the pairs that must fit a task for it to be taken as the model's.
_MOST = 0.9


class PerformanceError(ValueError):
    """Bytes that are no counts of pairs."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A prediction and its label."""

    prediction: Scalar
    label: Scalar


@dataclass(frozen=True, slots=True)
class Reading:
    """How pairs of numbers are read as outcomes.

    Parameters
    ----------
    positive
        The positive class; empty for the larger of two.
    threshold
        A probability of at least this predicts the positive class.
    """

    positive: str = ""
    threshold: float = 0.5


class _State(msgspec.Struct, array_like=True, frozen=True):
    format: int
    whole: int
    first: float
    last: float
    classes: ClassState
    scores: ScoreState
    errors: ErrorState


class Performance:
    """Counts of pairs, under every task that they may belong to; they add up exactly.

    Which task it is may only be plain from many pairs, so each is counted as classes, and, where
    it fits, as a probability and as a quantity. A pair can be taken out again.

    Attributes
    ----------
    whole
        Pairs of whole numbers: a class by its number, or a quantity that is counted.
    first, last
        Smallest and largest time at which a label became known, seconds since the epoch; a pair
        that is taken out leaves them as they are.
    classes, scores, errors
        The counts by task.
    """

    __slots__ = ("classes", "errors", "first", "last", "scores", "whole")

    def __init__(self) -> None:
        self.whole = 0
        self.first = math.inf
        self.last = -math.inf
        self.classes = ClassCounts()
        self.scores = ScoreCounts()
        self.errors = ErrorCounts()

    @property
    def n(self) -> int:
        """Pairs."""
        return self.classes.n

    def add(self, pair: Pair, reading: Reading, known: float) -> None:
        """Count a pair whose label became known at `known`."""
        self.first, self.last = min(self.first, known), max(self.last, known)
        self._count(pair, reading, 1)

    def remove(self, pair: Pair, reading: Reading) -> None:
        """Take out a pair that was added."""
        self._count(pair, reading, -1)

    def merge(self, other: Performance) -> None:
        """Add what `other` holds; it stays as it is."""
        self.whole += other.whole
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.classes.merge(other.classes)
        self.scores.merge(other.scores)
        self.errors.merge(other.errors)

    def task(self) -> Task | None:
        """Tell what the pairs look like; None with none.

        Texts, and numbers that are all whole, are classes. Numbers in ``[0, 1]`` whose labels are
        0 and 1 (or false and true) are probabilities, and other numbers quantities. Nine in
        ten decide, so that one odd label does not.
        """
        if not self.n:
            return None
        numbers = self.errors.n
        if numbers >= _MOST * self.n and self.whole < numbers:
            return "probability" if self.scores.n >= _MOST * self.n else "quantity"
        # A label may be true or false, and its prediction a number none the less.
        if self.scores.n >= _MOST * self.n and self.scores.n > self.whole:
            return "probability"
        return "classes"

    def encode(self) -> bytes:
        """Everything to go on from, for the store; equal counts give equal bytes."""
        state = _State(
            _FORMAT,
            self.whole,
            self.first,
            self.last,
            self.classes.state(),
            self.scores.state(),
            self.errors.state(),
        )
        return msgspec.msgpack.encode(state)

    @classmethod
    def decode(cls, data: bytes) -> Performance:
        """Go on where `encode` stood.

        Raises
        ------
        PerformanceError
            If the bytes are damaged, or of a format that this program does not know.
        """
        try:
            state = msgspec.msgpack.decode(data, type=_State)
        except msgspec.DecodeError as error:
            raise PerformanceError(f"stored counts of labels are damaged: {error}") from error
        if state.format != _FORMAT:
            raise PerformanceError(
                f"stored counts of labels have format {state.format}, this program knows {_FORMAT}"
            )
        self = cls()
        self.whole, self.first, self.last = state.whole, state.first, state.last
        self.classes = ClassCounts.of_state(state.classes)
        self.scores = ScoreCounts.of_state(state.scores)
        self.errors = ErrorCounts.of_state(state.errors)
        return self

    def _count(self, pair: Pair, reading: Reading, rows: int) -> None:
        prediction, label = pair.prediction, pair.label
        predicted, actual = class_name(prediction), class_name(label)
        self.classes.add(predicted, _as_written(predicted, actual), rows)
        if isinstance(prediction, str):
            return
        came_true = actual == reading.positive if reading.positive else _OUTCOMES.get(actual)
        if came_true is not None and 0 <= prediction <= 1:
            self.scores.add(prediction, came_true=came_true, threshold=reading.threshold, rows=rows)
        if isinstance(label, str):
            self.whole += rows * prediction.is_integer()
        elif abs(prediction) <= VALUE_MAX and abs(label) <= VALUE_MAX:
            self.whole += rows * (prediction.is_integer() and label.is_integer())
            self.errors.add(prediction, label, rows)


def class_name(value: Scalar) -> str:
    """Return a value as the name of a class: ``1.0`` and ``"1"`` are one.

    Examples
    --------
    >>> class_name(1.0), class_name("1"), class_name(0.5)
    ('1', '1', '0.5')
    """
    if isinstance(value, str):
        return value
    if value.is_integer() and abs(value) < _EXACT_INT_END:
        return str(int(value))
    return str(value)


def _as_written(predicted: str, actual: str) -> str:
    """Return a label of 0 or 1 as a truth value where the prediction is one, and the reverse."""
    outcome = _OUTCOMES.get(actual)
    if outcome is None or predicted not in _OUTCOMES:
        return actual
    return next(
        name
        for name, came_true in _OUTCOMES.items()
        if came_true == outcome and name.isdigit() == predicted.isdigit()
    )


def measure_performance(
    counts: Performance,
    task: Task | None,
    *,
    known: Collection[str],
    reading: Reading,
    confidence: float,
) -> list[Measurement]:
    """Measure what applies to a task; nothing where it is not known.

    Parameters
    ----------
    task
        What is predicted. Pairs that do not fit it do not enter: their number is `counts.n` less
        the `n` of the measurement.
    known
        All classes met so far (:func:`detectors.performance.classes.positive_class`).
    confidence
        Of `low` and `high` together, in ``(0, 1)``.
    """
    if task is None:
        return []
    if task == "quantity":
        estimates = error_estimates(counts.errors, confidence=confidence)
    elif task == "probability":
        estimates = score_estimates(counts.scores, confidence=confidence)
    else:
        positive = positive_class(known, reading.positive)
        estimates = class_estimates(
            counts.classes,
            positive=positive,
            averaged=len(known) > 2,  # noqa: PLR2004 - two have a positive one
            confidence=confidence,
        )
    return [
        Measurement(metric, None, one.value, one.low, one.high, one.p_value, one.n)
        for metric, one in estimates.items()
    ]
