"""Drift that no single column shows: correlations that changed.

A window's correlations of normal scores (:mod:`detectors.joint.scores`) are compared with the
reference's on the scale of Fisher's z, where their noise hardly depends on what they are.
All pairs of columns are looked at together, each at its share of the level (Bonferroni), so that
what is said of the pair that changed most holds although it was chosen.

For rules over all columns (:mod:`detectors.rules.drift_rule`) a change is also told in the unit of
single columns, as the Jeffreys divergence of two normal pairs with correlations a and b:
``J = (1 - a b) / (1 - a²) + (1 - a b) / (1 - b²) - 2``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from detectors.joint.profile import CORRELATION_MAX, ROWS_MIN, Expected, fisher_z
from detectors.measurement import Estimate, untold
from detectors.numerics.tails import student_above, student_quantile

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints
    from detectors.joint.counts import JointCounts
    from detectors.joint.profile import JointProfile
    from detectors.reference.reference import Reference

#: What a rule over all columns calls the correlations.
CORRELATION = "(correlation)"
#: With fewer rows nothing is told.
EVENTS_MIN = 50
_Z_MAX = math.atanh(CORRELATION_MAX)
#: Halvings of an interval of Fisher's z, to 1e-9.
_HALVINGS = 32


# Not slotted: what several bounds rest on is worked out once.
@dataclass(frozen=True, eq=False)
class Correlations:
    """The correlations of a window beside those of its reference: all that the bounds rest on.

    Parameters
    ----------
    profile
        The reference's.
    rows, sums, products
        The window's, as of :meth:`detectors.joint.counts.JointCounts.moments`.
    """

    profile: JointProfile
    rows: int
    sums: Ints
    products: Ints

    @classmethod
    def of(cls, profile: JointProfile, counts: JointCounts) -> Correlations:
        """Compare what was counted of a window with its reference."""
        return cls(profile, *counts.moments())

    @property
    def told(self) -> bool:
        """Whether there are rows enough for any pair."""
        return self.rows >= EVENTS_MIN and self._pairs.size > 0

    @property
    def pair(self) -> tuple[str, str] | None:
        """The pair whose change is surest; None where nothing is told."""
        return self.profile.pair(int(self._pairs[self._surest])) if self.told else None

    def shift(self, *, confidence: float) -> Estimate:
        """Change of the correlation that changed most, in [0, 2]: metric ``correlation_shift``.

        `low` and `high` bound the largest change of all pairs with the stated confidence. The
        level of `low` is shared out over the pairs; that all changes are small may be said of
        each at the whole level (an intersection-union test [1]_). `value` is the change of the
        pair that is surest to have changed; without drift it is not 0 but what noise makes of
        it. `p_value` is of no change in any pair.

        References
        ----------
        .. [1] Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics
           24, 1982.
        """
        if not self.told:
            return untold(self.rows)
        level = (1 - confidence) / 2
        value = float(_change(self._before, self._there)[self._surest])
        low = float(_change(self._before, self._nearest(level)).max())
        high = max(float(_change(self._before, end).max()) for end in self._farthest(level))
        return Estimate(value, min(value, low), max(value, high), self.rows, self.p_value(0.0))

    def p_value(self, tolerance: float) -> float:
        """Chance of such a window if no pair's J exceeds `tolerance`; 1 where nothing is told."""
        if not self.told:
            return 1.0
        beyond = np.abs(self._moved) - self._margins(tolerance)
        return min(1.0, 2 * self._pairs.size * self._above(float((beyond / self._errors).max())))

    def low(self, level: float) -> float:
        """Lower bound of the largest J that is above it with probability `level` at most."""
        if not self.told:
            return 0.0
        return float(_divergence(self._before, self._nearest(level / 2)).max())

    def high(self, level: float) -> float:
        """Upper bound of the largest J that is below it with probability `level` at most."""
        return max(float(_divergence(self._before, end).max()) for end in self._farthest(level))

    @cached_property
    def value(self) -> float:
        """J of the pair that is surest to have changed, less its noise."""
        bias = (1 + self._before**2) * self._errors**2
        found = _divergence(self._before, self._there) - bias
        return max(0.0, float(found[self._surest]))

    def estimate(self, *, level: float, confidence: float, tolerance: float) -> Estimate:
        """J with its bounds, as `detectors.rules.drift.Comparison.estimate` says of a column."""
        if not self.told:
            return untold(self.rows)
        low = self.low(level)
        value = max(low, self.value)
        high = max(value, self.high((1 - confidence) / 2))
        return Estimate(value, low, high, self.rows, self.p_value(tolerance))

    @cached_property
    def _expected(self) -> Expected:
        return self.profile.expected(self.rows)

    @cached_property
    def _all(self) -> Floats:
        return fisher_z(self.rows, self.sums, self.products)

    @cached_property
    def _pairs(self) -> Ints:
        """Pairs that can be told: neither constant, nor too few rows for their noise."""
        enough = self.rows - 3 >= ROWS_MIN * self._expected.noises
        return np.flatnonzero(enough & ~np.isnan(self._all) & ~np.isnan(self._expected.centers))

    @cached_property
    def _there(self) -> Floats:
        return self._all[self._pairs]

    @cached_property
    def _center(self) -> Floats:
        return self._expected.centers[self._pairs]

    @cached_property
    def _before(self) -> Floats:
        """Correlations of the reference."""
        return np.tanh(self._center)

    @cached_property
    def _moved(self) -> Floats:
        return self._there - self._center

    @cached_property
    def _errors(self) -> Floats:
        noise = 1 / (self.rows - 3) + 1 / self.profile.rows
        return np.sqrt(self._expected.noises[self._pairs] * noise)

    @cached_property
    def _surest(self) -> int:
        return int((np.abs(self._moved) / self._errors).argmax())

    def _above(self, deviations: float) -> float:
        freedom = self._expected.freedom
        if math.isinf(freedom):
            # Exact far out, where a distribution function's difference from 1 is lost.
            return math.erfc(deviations / math.sqrt(2)) / 2
        return student_above(freedom, deviations)

    def _deviations(self, level: float) -> float:
        """Deviations that are exceeded on one side with this probability."""
        freedom, level = self._expected.freedom, max(level, 1e-300)
        if math.isinf(freedom):
            return -NormalDist().inv_cdf(level)
        return -student_quantile(freedom, level)

    def _nearest(self, level: float) -> Floats:
        """Fisher's z as near to the reference's as it may be, for all pairs together."""
        margin = self._deviations(level / self._pairs.size) * self._errors
        return self._center + np.copysign(np.maximum(np.abs(self._moved) - margin, 0), self._moved)

    def _farthest(self, level: float) -> tuple[Floats, Floats]:
        """Fisher's z as far to either side as it may be, of each pair by itself."""
        margin = self._deviations(level) * self._errors
        return self._there - margin, self._there + margin

    def _margins(self, tolerance: float) -> Floats:
        """Largest changes of Fisher's z, on the side of the change, that J allows."""
        if tolerance <= 0:
            return np.zeros(self._pairs.size)
        least, most = np.zeros(self._pairs.size), np.full(self._pairs.size, 2 * _Z_MAX)
        side = np.copysign(1.0, self._moved)
        for _ in range(_HALVINGS):
            middle = (least + most) / 2
            within = _divergence(self._before, self._center + side * middle) <= tolerance
            least, most = np.where(within, middle, least), np.where(within, most, middle)
        return most


def correlations_of(window: JointCounts | None, reference: Reference | None) -> Correlations | None:
    """Compare the correlations of a window; None where either side does not have them."""
    if reference is None or reference.joint is None or window is None:
        return None
    return Correlations.of(reference.joint, window)


def _change(before: Floats, z: Floats) -> Floats:
    return np.asarray(np.abs(np.tanh(z) - before))


def _divergence(before: Floats, z: Floats) -> Floats:
    return jeffreys(before, np.tanh(np.clip(z, -_Z_MAX, _Z_MAX)))


def jeffreys(before: Floats, after: Floats) -> Floats:
    """Jeffreys divergence of pairs of standard normal variables with these correlations.

    Examples
    --------
    >>> jeffreys(np.array([0.0, 0.5]), np.array([0.6, 0.5])).round(4).tolist()
    [0.5625, 0.0]
    """
    across = 1 - before * after
    return np.asarray(across / (1 - before**2) + across / (1 - after**2) - 2)
