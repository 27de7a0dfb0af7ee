"""How far one column has drifted from its reference: the Jeffreys divergence, with bounds.

``J(p, q) = KL(p || q) + KL(q || p)`` is the population stability index without its binning: its
scale (0.1 is little, 0.25 is much) is the one that people know. Several looks bound it from below:

* its value over bins, which is never more than J, and is what `psi` measures;
* the Kolmogorov-Smirnov distance D, which sees what happens within a bin:
  Pinsker's inequality [1]_, taken in both directions, says ``J >= 4 D²``;
* looks in one direction each (:data:`Look`), which chance moves least, and which find a small
  drift in that direction before the other two do: the mean rank
  (:mod:`detectors.statistics.rank_shift`), the spread (:mod:`detectors.statistics.spread_shift`),
  and single shares (:mod:`detectors.statistics.share_shift`).

The bounds here are meant for levels far smaller than those of one look: a rule over a hundred
columns and a month of windows asks at 1e-7. At such levels the chi-square law of PSI is wrong
with few rows a bin. The statistic that keeps that law furthest into its tail is the likelihood
ratio, whose exponent is exact (Sanov's theorem [1]_); so the smaller of the two is taken.

References
----------
.. [1] Cover, Thomas, "Elements of information theory", 2nd edition, 2006, sections 11.4 and 11.6.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING, Protocol

import numpy as np

from detectors.columns.dispersion import NONE, DesignEffect
from detectors.measurement import Estimate, untold
from detectors.numerics.tails import (
    kolmogorov_above,
    kolmogorov_quantile,
    noncentral_above,
    noncentrality,
)
from detectors.statistics.psi import Shares, smoothed, standard_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from collectors.batch import Floats, Ints

#: With fewer rows on either side nothing is told: the laws that the bounds rest on need them.
ROWS_MIN = 50
#: Expected rows below which a bin counts as one of so many in the correction of the likelihood
#: ratio: Williams' correction diverges for bins that are all but empty.
_EXPECTED_MIN = 5
#: Weight of the looks at all bins and at the distance: each has that share of the level.
BINS_WEIGHT, DISTANCE_WEIGHT = 1.0, 1.0
#: Mean of the square of Kolmogorov's variable: of D², in units of ``1/n + 1/m``.
_KOLMOGOROV_SQUARE = math.pi**2 / 12


@dataclass(frozen=True, slots=True)
class Distance:
    """Kolmogorov-Smirnov distance of a column of numbers.

    Parameters
    ----------
    value
        ``D``, in ``[0, 1]``.
    reference_rows, rows
        Rows with a value, on either side.
    rank_error
        How far the reference's distribution function may be off.
    """

    value: float
    reference_rows: int
    rows: int
    rank_error: float = 0.0


class Look(Protocol):
    """A look at a column in one direction."""

    def p_value(self, tolerance: float) -> float:
        """Chance of what is seen if ``J <= tolerance``."""

    def low(self, level: float) -> float:
        """Lower bound of J that is above it with probability `level` at most."""


@dataclass(frozen=True, slots=True)
class Weighted:
    """A look, and its share of the level over that of the look at all bins."""

    look: Look
    weight: float


# Not slotted: what several bounds rest on is worked out once.
@dataclass(frozen=True)
class Comparison:
    """A column of a window beside its reference: all that the bounds rest on.

    Parameters
    ----------
    expected, actual
        Rows per bin of the reference and of the window, shape ``(B,)`` each; missing values
        have a bin. No bin is empty on both sides.
    distance
        Of a column of numbers; None where there is none, or no rows with a value.
    effect
        How many times noisier the rows are than independent ones.
    directions
        Looks in one direction each.
    bins_weight
        Of the look at all bins.

    Examples
    --------
    >>> column = Comparison(np.array([5000, 5000]), np.array([400, 600]))
    >>> estimate = column.estimate(level=1e-6, confidence=0.99, tolerance=0.002)
    >>> 0 < estimate.low < 0.04 < estimate.high
    True
    """

    expected: Ints
    actual: Ints
    distance: Distance | None = None
    effect: DesignEffect = NONE
    directions: Sequence[Weighted] = ()
    bins_weight: float = BINS_WEIGHT

    @cached_property
    def rows(self) -> int:
        """Rows of the window, those without a value among them."""
        return int(self.actual.sum())

    @property
    def told(self) -> bool:
        """Whether both sides have rows enough to say anything."""
        return self.rows >= ROWS_MIN and int(self.expected.sum()) >= ROWS_MIN

    def p_value(self, tolerance: float) -> float:
        """Chance of such a window if ``J <= tolerance``; 1 where nothing is told.

        The smallest of the looks', each over its share of the level (Bonferroni, weighted).
        """
        if not self.told:
            return 1.0
        p_values = [self._p_by_bins(tolerance) / self.bins_weight]
        if self.distance is not None:
            p_values.append(self._p_by_distance(tolerance) / DISTANCE_WEIGHT)
        p_values += [one.look.p_value(tolerance) / one.weight for one in self.directions]
        return min(1.0, self._weight * min(p_values))

    def low(self, level: float) -> float:
        """Lower bound of J that is above it with probability `level` at most.

        The looks that there are share the level by their weights.
        """
        if not self.told:
            return 0.0
        level /= self._weight
        lows = [
            self._low_by_bins(level * self.bins_weight),
            self._low_by_distance(level * DISTANCE_WEIGHT),
        ]
        lows += [one.look.low(level * one.weight) for one in self.directions]
        return max(lows)

    def high(self, level: float) -> float:
        """Upper bound of J over the bins that is below it with probability `level` at most.

        What happens within a bin has no upper bound but what the distance shows.
        """
        if not self._several:
            return self._high_of_one_bin(level)
        scaled = max(self._by_index, self._by_likelihood)
        central = noncentrality(scaled, self._freedom, level) * self._noise
        root = math.sqrt(self._corrected)
        return max(central, (root + NormalDist().inv_cdf(1 - level) * self._root_error) ** 2)

    @cached_property
    def value(self) -> float:
        """J, less what it would be without drift: over the bins, or 4 D² where that is more."""
        found = self._corrected if self._several else 0.0
        if self.distance is not None:
            noise = _KOLMOGOROV_SQUARE * self._distance_noise
            found = max(found, 4 * (self._sure_distance**2 - noise))
        return found

    def estimate(self, *, level: float, confidence: float, tolerance: float) -> Estimate:
        """J with its bounds; untold with fewer than :data:`ROWS_MIN` rows on a side.

        Parameters
        ----------
        level
            Of `low`: it protects against false alarms, of all columns and windows together.
        confidence
            Of `high`, which is judged by one look: it errs ``(1 - confidence) / 2`` of the time.
        tolerance
            What the p-value tests for.
        """
        if not self.told:
            return untold(self.rows)
        low = self.low(level)
        value = max(low, self.value)
        high = max(value, self.high((1 - confidence) / 2))
        return Estimate(value, low, high, self.rows, self.p_value(tolerance))

    @cached_property
    def _weight(self) -> float:
        distance = 0.0 if self.distance is None else DISTANCE_WEIGHT
        return self.bins_weight + distance + sum(one.weight for one in self.directions)

    @property
    def _several(self) -> bool:
        return self.expected.size > 1

    @property
    def _freedom(self) -> int:
        return self.expected.size - 1

    @cached_property
    def _shares(self) -> Shares:
        return smoothed(self.expected, self.actual)

    @cached_property
    def _noise(self) -> float:
        """Mean of J over the bins without drift, a degree of freedom."""
        return self._shares.noise * self.effect.bins

    @cached_property
    def _by_index(self) -> float:
        """The index in units of its noise: about chi-square."""
        return self._shares.index / self._noise

    @cached_property
    def _by_likelihood(self) -> float:
        """Likelihood ratio statistic with Williams' correction: about chi-square."""
        return _likelihood_ratio(self.expected, self.actual) / self.effect.bins

    @cached_property
    def _corrected(self) -> float:
        """The index less its bias."""
        return max(0.0, self._shares.index - self._freedom * self._noise)

    @cached_property
    def _root_error(self) -> float:
        """Standard error of the square root of the index, which is nearer to normal."""
        error = standard_error(self._shares, int(self.expected.sum()), self.rows)
        # By the index as it stands: near 0 its own noise is most of it, and of its error.
        root = math.sqrt(max(self._shares.index, self._noise))
        return math.sqrt(self.effect.bins) * error / (2 * root)

    def _p_by_bins(self, tolerance: float) -> float:
        if not self._several:
            return 1.0
        scaled = min(self._by_index, self._by_likelihood)
        exceeds = noncentral_above(scaled, self._freedom, tolerance / self._noise)
        excess = math.sqrt(self._corrected) - math.sqrt(tolerance)
        error = self._root_error
        return max(exceeds, NormalDist().cdf(-excess / error) if error else 1.0)

    def _low_by_bins(self, level: float) -> float:
        if not self._several:
            return 0.0
        scaled = min(self._by_index, self._by_likelihood)
        central = noncentrality(scaled, self._freedom, 1 - level) * self._noise
        root = math.sqrt(self._corrected) + NormalDist().inv_cdf(level) * self._root_error
        return min(central, max(0.0, root) ** 2)

    def _p_by_distance(self, tolerance: float) -> float:
        if self.distance is None:
            return 1.0
        excess = self._sure_distance - math.sqrt(tolerance) / 2
        return kolmogorov_above(excess / math.sqrt(self._distance_noise)) if excess > 0 else 1.0

    def _low_by_distance(self, level: float) -> float:
        if self.distance is None:
            return 0.0
        margin = kolmogorov_quantile(level) * math.sqrt(self._distance_noise)
        return 4 * max(0.0, self._sure_distance - margin) ** 2

    @property
    def _sure_distance(self) -> float:
        return max(0.0, self.distance.value - self.distance.rank_error) if self.distance else 0.0

    @cached_property
    def _distance_noise(self) -> float:
        if self.distance is None:
            return 0.0
        return (1 / self.distance.reference_rows + 1 / self.distance.rows) * self.effect.cumulative

    def _high_of_one_bin(self, level: float) -> float:
        """Upper bound where all rows of both sides are in one bin.

        A share ``x`` of the window's rows may be elsewhere and not have been met, with
        ``(1 - x)^m = level``; in the reference, half a row.
        """
        away = -math.expm1(math.log(level) / (self.rows / self.effect.bins))
        before = 0.5 / (int(self.expected.sum()) + 1)
        gone = (away - before) * math.log(away / before)
        return max(0.0, gone + (before - away) * math.log((1 - away) / (1 - before)))


def _likelihood_ratio(expected: Ints, actual: Ints) -> float:
    """Twice the logarithm of the likelihood ratio of two samples, over Williams' factor.

    ``G = 2 sum (e ln(e / e0) + a ln(a / a0))`` with ``e0``, ``a0`` what both would be of the
    pooled shares. Without drift it is chi-square with ``B - 1`` degrees of freedom. With few
    rows a bin it is a little more, which the factor [1]_ takes off.

    References
    ----------
    .. [1] Williams, "Improved likelihood ratio tests for complete contingency tables",
       Biometrika 63, 1976.
    """
    n, m = int(expected.sum()), int(actual.sum())
    rows = n + m
    pooled = (expected + actual) / rows
    ratio = 2 * (_divergence(expected, n * pooled) + _divergence(actual, m * pooled))
    least = _EXPECTED_MIN / min(n, m)
    spread = _sum(1 / np.maximum(pooled, least)) - 1
    factor = 1 + (rows / n + rows / m - 1) * spread / (6 * rows * (expected.size - 1))
    return ratio / factor


def _divergence(rows: Ints, pooled: Floats) -> float:
    """``sum(rows ln(rows / pooled))``; 0 where there are no rows."""
    there = rows > 0
    return float((rows[there] * np.log(rows[there] / pooled[there])).sum())


def _sum(values: npt.NDArray[np.floating]) -> float:
    return float(values.sum())
