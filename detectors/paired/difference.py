"""Mean of paired differences, from sums without rounding."""

from __future__ import annotations

import math

import msgspec

from detectors.measurement import Estimate, untold
from detectors.numerics.exact_sum import ExactSum, ExactSumState, dyadic
from detectors.numerics.tails import student_above, student_quantile

_TWO = 2


class DifferenceState(msgspec.Struct, array_like=True, frozen=True):
    """What `Differences` keeps in the store."""

    n: int
    total: ExactSumState
    squares: ExactSumState


class Differences:
    """Number, sum and sum of squares of differences; panes add up exactly, in any order.

    Examples
    --------
    >>> differences = Differences()
    >>> for value in (1.0, 2.0, 3.0):
    ...     differences.add(value)
    >>> estimate = differences.mean(confidence=0.95)
    >>> estimate.value, round(estimate.low, 3), round(estimate.high, 3)
    (2.0, -0.484, 4.484)
    """

    __slots__ = ("n", "squares", "total")

    def __init__(self) -> None:
        self.n = 0
        self.total = ExactSum()
        self.squares = ExactSum()

    def add(self, difference: float) -> None:
        """Count a finite difference whose square is finite."""
        self.n += 1
        self.total.add(*dyadic(difference))
        self.squares.add(*dyadic(difference * difference))

    def merge(self, other: Differences) -> None:
        """Add what `other` holds."""
        self.n += other.n
        self.total.merge(other.total)
        self.squares.merge(other.squares)

    def mean(self, *, confidence: float) -> Estimate:
        """Estimate the mean, with Student's interval and two-sided p-value [1]_.

        It takes differences as independent and their mean as about normal. Rows of one request,
        and answers to requests that follow one another, are alike: with a design effect `d` [2]_
        (rows a request, at worst) the interval should be ``sqrt(d)`` times as wide. Untold of
        none; without bounds of one.

        References
        ----------
        .. [1] Student, "The probable error of a mean", Biometrika 6, 1908.
        .. [2] Kish, "Survey sampling", 1965, section 8.2.
        """
        n = self.n
        if not n:
            return untold()
        total = self.total.fraction()
        mean = float(total / n)
        if n < _TWO:
            return Estimate(mean, None, None, n)
        variance = float((self.squares.fraction() - total * total / n) / (n - 1))
        # The squares were rounded, each by itself.
        error = math.sqrt(max(0.0, variance) / n)
        if not error:
            return Estimate(mean, mean, mean, n, 0.0 if mean else 1.0)
        reach = student_quantile(n - 1, (1 + confidence) / 2) * error
        p_value = min(1.0, 2 * student_above(n - 1, abs(mean) / error))
        return Estimate(mean, mean - reach, mean + reach, n, p_value)

    def state(self) -> DifferenceState:
        """Everything to go on from; equal sums give equal states."""
        return DifferenceState(self.n, self.total.state(), self.squares.state())

    @classmethod
    def of_state(cls, state: DifferenceState) -> Differences:
        """Go on from `state`."""
        self = cls()
        self.n = state.n
        self.total, self.squares = ExactSum.of_state(state.total), ExactSum.of_state(state.squares)
        return self
