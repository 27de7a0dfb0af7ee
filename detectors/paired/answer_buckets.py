"""Numbers in signed logarithmic buckets: additive, in no need of a reference, half a percent exact.

The answers of two models are compared where no grid was laid before: a model may answer anything.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from detectors.columns.profile import NumberProfile
from detectors.measurement import Estimate, untold
from detectors.statistics.ks import ks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from collectors.batch import Ints

#: A number stands for another that differs by at most this share of itself.
RELATIVE_ERROR = 0.005
#: Numbers nearer to 0 than this count as 0, numbers further than that as that far.
SMALLEST, LARGEST = 1e-12, 1e15

_LOG_GROWTH = math.log((1 + RELATIVE_ERROR) / (1 - RELATIVE_ERROR))
_LOG_SMALLEST = math.log(SMALLEST)


def bucket_of(value: float) -> int:
    """Return the bucket of a finite number; buckets are in the order of their numbers.

    Examples
    --------
    >>> bucket_of(0.0), bucket_of(-1e-12), bucket_of(3.0) == -bucket_of(-3.0)
    (0, -1, True)
    >>> bucket_of(0.5) < bucket_of(0.51) < bucket_of(1e200) == bucket_of(1e300)
    True
    """
    size = abs(value)
    if size < SMALLEST:
        return 0
    bucket = 1 + round((math.log(min(size, LARGEST)) - _LOG_SMALLEST) / _LOG_GROWTH)
    return bucket if value > 0 else -bucket


def number_of(bucket: int) -> float:
    """Return a number that stands for all of a bucket.

    Examples
    --------
    >>> abs(number_of(bucket_of(-40.0)) / -40.0 - 1) < RELATIVE_ERROR
    True
    """
    if not bucket:
        return 0.0
    return math.copysign(math.exp(_LOG_SMALLEST + (abs(bucket) - 1) * _LOG_GROWTH), bucket)


class AnswerBuckets:
    """Rows per bucket; those of panes add up exactly, in any order.

    Examples
    --------
    >>> buckets = AnswerBuckets()
    >>> for value in (1.0, 2.0, 2.0):
    ...     buckets.add(value)
    >>> buckets.n, sorted(buckets.counts.values())
    (3, [1, 2])
    """

    __slots__ = ("counts",)

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self.counts: dict[int, int] = dict(counts or {})

    @property
    def n(self) -> int:
        """Rows."""
        return sum(self.counts.values())

    def add(self, value: float) -> None:
        """Count a finite number."""
        bucket = bucket_of(value)
        self.counts[bucket] = self.counts.get(bucket, 0) + 1

    def merge(self, other: AnswerBuckets) -> None:
        """Add what `other` holds."""
        for bucket, rows in other.counts.items():
            self.counts[bucket] = self.counts.get(bucket, 0) + rows

    def state(self) -> list[tuple[int, int]]:
        """Everything to go on from; equal counts give equal states."""
        return sorted(self.counts.items())

    @classmethod
    def of_state(cls, state: Iterable[tuple[int, int]]) -> AnswerBuckets:
        """Go on from `state`."""
        return cls(dict(state))

    def spread(self) -> float | None:
        """Return the standard deviation; None of fewer than two numbers."""
        n = self.n
        if n < 2:  # noqa: PLR2004 - a spread is of two
            return None
        pairs = [(number_of(bucket), rows) for bucket, rows in self.counts.items()]
        mean = math.fsum(value * rows for value, rows in pairs) / n
        return math.sqrt(math.fsum((value - mean) ** 2 * rows for value, rows in pairs) / (n - 1))

    def beyond(self, limit: float) -> int:
        """Rows whose number is further from 0 than `limit`, as far as buckets tell them apart."""
        last = bucket_of(limit)
        return sum(rows for bucket, rows in self.counts.items() if abs(bucket) > last)

    def profile(self) -> NumberProfile:
        """Return them as a reference for others: its points are the buckets that are filled."""
        state = self.state()
        return NumberProfile(
            np.array([bucket for bucket, _ in state], np.float64),
            np.array([rows for _, rows in state], np.int64),
            0,
            0,
        )

    def upto(self, profile: NumberProfile) -> Ints:
        """Return rows up to each cell of another's profile, as `NumberCounts.upto` does."""
        cells = np.zeros(2 * profile.points.size + 1, np.int64)
        for bucket, rows in self.counts.items():
            place = int(profile.points.searchsorted(bucket))
            known = place < profile.points.size and profile.points[place] == bucket
            cells[2 * place + known] += rows
        return np.cumsum(cells)


def buckets_apart(first: AnswerBuckets, second: AnswerBuckets, *, confidence: float) -> Estimate:
    """Estimate the largest distance between two distribution functions (`detectors.statistics.ks`).

    Numbers in one bucket count as equal. The bounds are those of two samples that know nothing of
    each other. Two answers to the same question do, mostly, and then the bounds are wider than
    need be and the p-value is too large: a small one can be trusted, a large one says little.
    """
    if not first.counts:
        return untold(second.n)
    profile = first.profile()
    return ks(profile, second.upto(profile), confidence=confidence)
