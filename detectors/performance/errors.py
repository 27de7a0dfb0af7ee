"""Predicted numbers against actual ones: MAE, RMSE and R², with bounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from detectors.measurement import Estimate, untold
from detectors.numerics.exact_sum import ExactSum, ExactSumState, dyadic
from detectors.numerics.tails import student_quantile
from detectors.performance.scores import mean_estimate

if TYPE_CHECKING:
    from fractions import Fraction

#: Predictions and labels beyond this are no measurement: the fourth power would leave the doubles.
VALUE_MAX = 1e75

_RATIO_MAX = 10**300  # of mean squares: beyond it R² would leave the doubles
_BOUNDS_MIN = 3  # rows below which R² has no bounds

#: What is summed: powers of the error e and the label y.
_SUMS = (
    *("e_abs", "e2", "e4", "y", "y2", "y3"),
    *("y4", "e2_y", "e2_y2"),
)


class ErrorState(msgspec.Struct, array_like=True, frozen=True):
    """What `ErrorCounts` keeps in the store."""

    n: int
    sums: list[ExactSumState]


class ErrorCounts:
    """Moments of errors and labels. They add up exactly, and a row can be taken out again.

    All sums are exact (:mod:`detectors.numerics.exact_sum`): labels around a billion that differ by
    one have the R² that they have.

    Attributes
    ----------
    n
        Rows.
    sums
        By name: the error ``e = prediction - label`` and the label ``y``, in powers up to four.

    Examples
    --------
    >>> counts = ErrorCounts()
    >>> counts.add(2.5, 3.0), counts.add(5.0, 4.0)
    (None, None)
    >>> error_estimates(counts, confidence=0.95)["mae"].value
    0.75
    """

    __slots__ = ("n", "sums")

    def __init__(self) -> None:
        self.n = 0
        self.sums = {name: ExactSum() for name in _SUMS}

    def add(self, prediction: float, label: float, rows: int = 1) -> None:
        """Count rows of one pair of numbers; negative `rows` take out ones that were added.

        Both must be finite and at most :data:`VALUE_MAX` in size.
        """
        self.n += rows
        p, p_exponent = dyadic(prediction)
        y, exponent = dyadic(label)
        if p_exponent < exponent:
            y, exponent = y << (exponent - p_exponent), p_exponent
        else:
            p <<= p_exponent - exponent
        e = p - y
        e2, y2 = e * e, y * y
        values = (
            *((abs(e), 1), (e2, 2), (e2 * e2, 4), (y, 1), (y2, 2), (y2 * y, 3)),
            *((y2 * y2, 4), (e2 * y, 3), (e2 * y2, 4)),
        )
        for total, (units, power) in zip(self.sums.values(), values, strict=True):
            total.add(units * rows, exponent * power)

    def merge(self, other: ErrorCounts) -> None:
        """Add what `other` holds."""
        self.n += other.n
        for name, total in self.sums.items():
            total.merge(other.sums[name])

    def state(self) -> ErrorState:
        """Everything to go on from; equal counts give equal states."""
        return ErrorState(self.n, [total.state() for total in self.sums.values()])

    @classmethod
    def of_state(cls, state: ErrorState) -> ErrorCounts:
        """Go on from `state`."""
        self = cls()
        self.n = state.n
        self.sums = {
            name: ExactSum.of_state(total) for name, total in zip(_SUMS, state.sums, strict=True)
        }
        return self


def error_estimates(counts: ErrorCounts, *, confidence: float) -> dict[str, Estimate]:
    """Estimate MAE, RMSE and R²; untold with no rows.

    Bounds rest on the variation that was seen: where all errors are alike, MAE and RMSE have none.
    """
    sums = counts.sums
    return {
        "mae": mean_estimate(sums["e_abs"], sums["e2"], counts.n, confidence=confidence),
        "rmse": rmse(counts, confidence=confidence),
        "r2": r2(counts, confidence=confidence),
    }


def rmse(counts: ErrorCounts, *, confidence: float) -> Estimate:
    """Root of the mean squared error, in the unit of the label.

    The bounds are Student's for the logarithm of the mean square, by the delta method: a mean of
    squares is skewed, its logarithm much less so.
    """
    n = counts.n
    if not n:
        return untold()
    square = counts.sums["e2"].fraction() / n
    value = math.sqrt(square)
    if n == 1 or not square:
        bound = None if n == 1 else value
        return Estimate(value, bound, bound, n)
    relative = (counts.sums["e4"].fraction() / n / (square * square) - 1) / (n - 1)
    factor = math.exp(_t(n, confidence) * math.sqrt(max(float(relative), 0.0)) / 2)
    return Estimate(value, value / factor, value * factor, n)


def r2(counts: ErrorCounts, *, confidence: float) -> Estimate:
    """Share of the labels' variance that predictions account for: ``1 - sum e² / sum (y - ȳ)²``.

    Negative where the mean label would have been the better prediction. Untold where all labels
    are alike. The bounds are Student's for ``ln(1 - R²)``, a ratio of two mean squares, with the
    delta method's variance [1]_; none below three rows.

    References
    ----------
    .. [1] van der Vaart, "Asymptotic Statistics", Cambridge University Press, 1998, chapter 3.
    """
    n = counts.n
    if not n:
        return untold()
    mean = {name: total.fraction() / n for name, total in counts.sums.items()}
    error, variance = mean["e2"], mean["y2"] - mean["y"] ** 2
    if variance <= 0 or error > variance * _RATIO_MAX:
        return untold(n)
    left = error / variance
    value = float(1 - left)
    if not error or n < _BOUNDS_MIN:
        bound = None if error else value
        return Estimate(value, bound, bound, n)
    spread = math.sqrt(max(float(_log_variance(mean, error, variance)), 0.0) / (n - 1))
    margin = min(_t(n, confidence) * spread, 700.0)
    return Estimate(
        value, 1 - float(left) * math.exp(margin), 1 - float(left) * math.exp(-margin), n
    )


def _log_variance(mean: dict[str, Fraction], error: Fraction, variance: Fraction) -> Fraction:
    """Variance over rows of ``e²/E - (y - ȳ)²/V``: what one row moves ``ln(E / V)`` by, times n."""
    y = mean["y"]
    fourth = mean["y4"] - 4 * y * mean["y3"] + 6 * y * y * mean["y2"] - 3 * y**4
    mixed = mean["e2_y2"] - 2 * y * mean["e2_y"] + y * y * error
    return mean["e4"] / error**2 + fourth / variance**2 - 2 * mixed / (error * variance)


def _t(n: int, confidence: float) -> float:
    return student_quantile(n - 1, (1 + confidence) / 2)
