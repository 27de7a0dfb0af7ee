"""Shift and spread of a column's ranks: the sharpest look at the commonest drifts.

A value's rank is its place in the reference, in ``[0, 1]``: evenly distributed while nothing
drifts. A shift of the values moves the mean rank; a wider or narrower column moves the mean
distance of ranks from the middle. Each is one number, so that chance moves it less than it moves
ten bins.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints

#: Variance of an even distribution on [0, 1].
_EVEN_VARIANCE = 1 / 12
#: Jeffreys divergence is at least this much times the square of either shift, see `RankShift`.
_DIVERGENCE_FACTOR = 12.0
#: Two functions of the rank, each moved up or down.
_WAYS = 4


# Not slotted: what several bounds rest on is worked out once.
@dataclass(frozen=True)
class RankShift:
    """How far the mean ranks of a window lie from those of its reference.

    With ``u`` the rank, the functions are ``u`` and ``|2 u - 1|``, both even on [0, 1] in the
    reference; rows of one bin count as the bin's mean. Let ``d`` be how far the mean of either, f,
    has moved. By Donsker and Varadhan's formula [1]_ ``KL(q || p) >= 6 d²``, because an even
    variable is sub-Gaussian with its own variance 1/12; and with ``g = 1 - 12 d (f - 1/2)``
    ``KL(p || q) >= E_p ln g - ln E_q g = 6 d² + 7.2 d^4 + ...``. So ``J >= 12 d²``, which of a
    shifted normal column is 95 % of J.

    Parameters
    ----------
    expected, actual
        Rows per bin of the reference and of the window, bins ascending, shape ``(B,)``; missing
        values take no part.
    effect
        Design effect of mean ranks, at least 1.

    References
    ----------
    .. [1] Boucheron, Lugosi, Massart, "Concentration inequalities", Oxford, 2013, section 4.9.

    Examples
    --------
    >>> same = RankShift(np.array([500, 500]), np.array([50, 50]))
    >>> moved = RankShift(np.array([500, 500]), np.array([20, 80]))
    >>> same.p_value(0.002), moved.p_value(0.002) < 1e-3
    (1.0, True)
    """

    expected: Ints
    actual: Ints
    effect: float = 1.0

    def p_value(self, tolerance: float) -> float:
        """Chance of such a shift if ``J <= tolerance``."""
        excess = self._largest - math.sqrt(tolerance / _DIVERGENCE_FACTOR)
        if excess <= 0:
            return 1.0
        return min(1.0, _WAYS * NormalDist().cdf(-excess / self._error))

    def low(self, level: float) -> float:
        """Lower bound of J that is above it with probability `level` at most."""
        margin = -NormalDist().inv_cdf(level / _WAYS) * self._error
        return _DIVERGENCE_FACTOR * max(0.0, self._largest - margin) ** 2

    @cached_property
    def _functions(self) -> Floats:
        """Means of both functions over each bin's ranks, shape ``(2, B)``."""
        ends = np.cumsum(self.expected) / self.expected.sum()
        starts = np.append(0.0, ends[:-1])
        below = np.minimum(ends, 0.5) - np.minimum(starts, 0.5)
        above = np.maximum(ends, 0.5) - np.maximum(starts, 0.5)
        # Of |2 u - 1| over an interval: the mean of each side of the middle, by its length.
        area = below * (1 - np.minimum(starts, 0.5) - np.minimum(ends, 0.5))
        area += above * (np.maximum(starts, 0.5) + np.maximum(ends, 0.5) - 1)
        length = ends - starts
        # A bin that the reference leaves empty lies at a point.
        spread = np.divide(area, length, out=np.abs(2 * ends - 1), where=length > 0)
        return np.stack(((starts + ends) / 2, spread))

    @cached_property
    def _largest(self) -> float:
        means = self._functions @ self.actual / self.actual.sum()
        return float(np.abs(means - 0.5).max())

    @cached_property
    def _error(self) -> float:
        """Standard error of a mean, at least that of independent rows that are even."""
        shares = self.actual / self.actual.sum()
        means = self._functions @ shares
        variance = float((self._functions**2 @ shares - means**2).max())
        window = max(variance, _EVEN_VARIANCE) / int(self.actual.sum())
        return math.sqrt(self.effect * (window + _EVEN_VARIANCE / int(self.expected.sum())))
