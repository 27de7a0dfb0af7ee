"""What is counted of two models' answers to the same requests: sums that add up."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.columns.latency import LatencyHistogram, LatencyState
from detectors.numerics.packing import PackingError
from detectors.paired.answer_buckets import AnswerBuckets
from detectors.paired.difference import Differences, DifferenceState
from detectors.performance.performance import class_name

if TYPE_CHECKING:
    from collectors.labels import Scalar

#: Different answers that are not numbers, that are told apart in a pane; the rest are one.
CLASSES_MAX = 200
#: Name of the rest.
OTHER = "\x00other"
#: Numbers that differ by less than this share of the larger were rounded, and are the same.
ROUNDING = 1e-6
#: Further from 0, a number's square is no number.
_LARGEST = 1e150
_FORMAT = 2


class PairedStateError(ValueError):
    """Bytes that are no counts of paired answers."""


@dataclass(frozen=True, slots=True)
class PairedAnswer:
    """Two answers to one row.

    Parameters
    ----------
    live, shadow
        What the live version answered, and what the other did.
    label
        The right answer, where it is known.
    """

    live: Scalar
    shadow: Scalar
    label: Scalar | None = None


def disagree(live: Scalar, shadow: Scalar, tolerance: float) -> bool:
    """Say whether two answers differ: numbers by more than `tolerance`, others in their name.

    Examples
    --------
    >>> disagree(0.5, 0.5 + 1e-9, 0.0), disagree(0.5, 0.6, 0.2), disagree("a", "b", 9.0)
    (False, False, True)
    >>> disagree(1.0, "1", 0.0)
    False
    """
    if isinstance(live, str) or isinstance(shadow, str):
        return class_name(live) != class_name(shadow)
    return abs(live - shadow) > max(tolerance, ROUNDING * max(abs(live), abs(shadow)))


class _State(msgspec.Struct, array_like=True, frozen=True):
    format: int
    first: float
    last: float
    n: int
    disagreements: int
    whole: int
    labelled: int
    only_live: int
    only_shadow: int
    right_live: int
    live_classes: list[tuple[str, int]]
    shadow_classes: list[tuple[str, int]]
    live_numbers: list[tuple[int, int]]
    shadow_numbers: list[tuple[int, int]]
    sizes: list[tuple[int, int]]
    differences: DifferenceState
    errors: DifferenceState
    live_errors: DifferenceState
    shadow_errors: DifferenceState
    live_latency: LatencyState
    shadow_latency: LatencyState


class PairedAnswers:
    """Counts of pairs; ``merge(a, b)`` holds the same as one count of both, in any order.

    That is exact as long as no pane meets more than `CLASSES_MAX` different answers that are not
    numbers; which of them are told apart is then a matter of order.

    Attributes
    ----------
    first, last
        Smallest and largest event time, seconds since the epoch.
    n, disagreements
        Pairs, and those whose answers differ.
    whole
        Pairs of whole numbers: classes by their number, perhaps.
    labelled, only_live, only_shadow
        Pairs whose right answer is known, and those of them where only one of both is right.
    right_live
        Those of them where the live version is right.
    live_classes, shadow_classes
        Rows per answer, where one of the two is no number.
    live_numbers, shadow_numbers, sizes
        Answers, and differences (shadow less live), where both are numbers.
    differences, errors
        Their sums: of ``shadow - live``, and of ``|shadow - label| - |live - label|``.
    live_errors, shadow_errors
        Sums of ``|live - label|`` and of ``|shadow - label|``.
    live_latency, shadow_latency
        Of requests, each once.
    """

    def __init__(self) -> None:
        self.first = math.inf
        self.last = -math.inf
        self.n = self.disagreements = self.whole = 0
        self.labelled = self.only_live = self.only_shadow = self.right_live = 0
        self.live_classes: dict[str, int] = {}
        self.shadow_classes: dict[str, int] = {}
        self.live_numbers = AnswerBuckets()
        self.shadow_numbers = AnswerBuckets()
        self.sizes = AnswerBuckets()
        self.differences = Differences()
        self.errors = Differences()
        self.live_errors = Differences()
        self.shadow_errors = Differences()
        self.live_latency = LatencyHistogram()
        self.shadow_latency = LatencyHistogram()

    @property
    def right_shadow(self) -> int:
        """Labelled pairs where the other version is right."""
        return self.right_live - self.only_live + self.only_shadow

    @property
    def numbers(self) -> int:
        """Pairs of numbers."""
        return self.differences.n

    def add(self, pair: PairedAnswer, ts: float, *, tolerance: float) -> None:
        """Count a pair of a row of that event time; numbers must be finite."""
        self.first, self.last = min(self.first, ts), max(self.last, ts)
        self.n += 1
        live, shadow = pair.live, pair.shadow
        self.disagreements += disagree(live, shadow, tolerance)
        if isinstance(live, str) or isinstance(shadow, str):
            _count(self.live_classes, class_name(live))
            _count(self.shadow_classes, class_name(shadow))
        else:
            self._add_numbers(live, shadow)
        if pair.label is not None:
            self._add_label(live, shadow, pair.label)

    def add_latency(self, live_ms: float, shadow_ms: float) -> None:
        """Count how long a request took both, in milliseconds; NaN is not known."""
        self.live_latency.add(np.array([live_ms]))
        self.shadow_latency.add(np.array([shadow_ms]))

    def _add_numbers(self, live: float, shadow: float) -> None:
        live, shadow = (max(-_LARGEST, min(_LARGEST, number)) for number in (live, shadow))
        self.live_numbers.add(live)
        self.shadow_numbers.add(shadow)
        self.sizes.add(shadow - live)
        self.differences.add(shadow - live)
        self.whole += live.is_integer() and shadow.is_integer()

    def _add_label(self, live: Scalar, shadow: Scalar, label: Scalar) -> None:
        self.labelled += 1
        right = class_name(label)
        is_live, is_shadow = class_name(live) == right, class_name(shadow) == right
        self.right_live += is_live
        self.only_live += is_live and not is_shadow
        self.only_shadow += is_shadow and not is_live
        if not (isinstance(live, str) or isinstance(shadow, str) or isinstance(label, str)):
            live_error, shadow_error = abs(live - label), abs(shadow - label)
            for sums, error in (
                (self.errors, shadow_error - live_error),
                (self.live_errors, live_error),
                (self.shadow_errors, shadow_error),
            ):
                sums.add(max(-_LARGEST, min(_LARGEST, error)))

    def merge(self, other: PairedAnswers) -> None:
        """Add what `other` holds; it stays as it is."""
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.n += other.n
        self.disagreements += other.disagreements
        self.whole += other.whole
        self.labelled += other.labelled
        self.only_live += other.only_live
        self.only_shadow += other.only_shadow
        self.right_live += other.right_live
        for mine, theirs in (
            (self.live_classes, other.live_classes),
            (self.shadow_classes, other.shadow_classes),
        ):
            for name, rows in theirs.items():
                _count(mine, name, rows)
        self.live_numbers.merge(other.live_numbers)
        self.shadow_numbers.merge(other.shadow_numbers)
        self.sizes.merge(other.sizes)
        self.differences.merge(other.differences)
        self.errors.merge(other.errors)
        self.live_errors.merge(other.live_errors)
        self.shadow_errors.merge(other.shadow_errors)
        self.live_latency.merge(other.live_latency)
        self.shadow_latency.merge(other.shadow_latency)

    def encode(self) -> bytes:
        """Everything to go on from, for the store; equal counts give equal bytes."""
        return msgspec.msgpack.encode(
            _State(
                format=_FORMAT,
                first=self.first,
                last=self.last,
                n=self.n,
                disagreements=self.disagreements,
                whole=self.whole,
                labelled=self.labelled,
                only_live=self.only_live,
                only_shadow=self.only_shadow,
                right_live=self.right_live,
                live_classes=sorted(self.live_classes.items()),
                shadow_classes=sorted(self.shadow_classes.items()),
                live_numbers=self.live_numbers.state(),
                shadow_numbers=self.shadow_numbers.state(),
                sizes=self.sizes.state(),
                differences=self.differences.state(),
                errors=self.errors.state(),
                live_errors=self.live_errors.state(),
                shadow_errors=self.shadow_errors.state(),
                live_latency=self.live_latency.state(),
                shadow_latency=self.shadow_latency.state(),
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> PairedAnswers:
        """Go on where `encode` stood.

        Raises
        ------
        PairedStateError
            If the bytes are damaged, or of a format that this program does not know.
        """
        self = cls()
        try:
            state = msgspec.msgpack.decode(data, type=_State)
            self.live_latency = LatencyHistogram.of_state(state.live_latency)
            self.shadow_latency = LatencyHistogram.of_state(state.shadow_latency)
        except (msgspec.DecodeError, PackingError) as error:
            raise PairedStateError(
                f"stored counts of paired answers are damaged: {error}"
            ) from error
        if state.format != _FORMAT:
            raise PairedStateError(
                f"stored counts of paired answers have format {state.format}, "
                f"this program knows {_FORMAT}"
            )
        self.first, self.last = state.first, state.last
        self.n, self.disagreements, self.whole = state.n, state.disagreements, state.whole
        self.labelled, self.right_live = state.labelled, state.right_live
        self.only_live, self.only_shadow = state.only_live, state.only_shadow
        self.live_classes = dict(state.live_classes)
        self.shadow_classes = dict(state.shadow_classes)
        self.live_numbers = AnswerBuckets.of_state(state.live_numbers)
        self.shadow_numbers = AnswerBuckets.of_state(state.shadow_numbers)
        self.sizes = AnswerBuckets.of_state(state.sizes)
        self.differences = Differences.of_state(state.differences)
        self.errors = Differences.of_state(state.errors)
        self.live_errors = Differences.of_state(state.live_errors)
        self.shadow_errors = Differences.of_state(state.shadow_errors)
        return self


def _count(classes: dict[str, int], name: str, rows: int = 1) -> None:
    if name not in classes and len(classes) >= CLASSES_MAX:
        name = OTHER
    classes[name] = classes.get(name, 0) + rows
