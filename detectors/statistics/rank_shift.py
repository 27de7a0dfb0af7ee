"""Shift of a column's mean rank: the sharpest look at the commonest drift.

A value's rank is its place in the reference, in ``[0, 1]``: evenly distributed while nothing
drifts. Where the values move up or down, so does the mean rank, and that is one number, which
chance moves less than it moves ten bins. Of a change of spread it sees nothing; bins do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from detectors.numerics.deviations import chance_beyond, margin_beyond

if TYPE_CHECKING:
    from collectors.batch import Ints

#: Variance of an even distribution on [0, 1].
_EVEN_VARIANCE = 1 / 12
#: Jeffreys divergence is at least this much times the square of the shift, see `RankShift`.
_DIVERGENCE_FACTOR = 12.0


# Not slotted: what several bounds rest on is worked out once.
@dataclass(frozen=True)
class RankShift:
    """How far the mean rank of a window lies from that of its reference, one half.

    Rows of one bin have the bin's mean rank, so that the mean is that of Mann and Whitney [1]_
    with ties. Let ``d`` be how far it has moved. By Donsker and Varadhan's formula [2]_
    ``KL(q || p) >= 6 d²``, because an even variable u is sub-Gaussian with its own variance 1/12;
    and with ``g = 1 - 12 d (u - 1/2)`` ``KL(p || q) >= E_p ln g - ln E_q g``, which is
    ``6 d² + 7.2 d^4 + ...``. So ``J >= 12 d²``, which of a shifted normal column is 95 % of J.

    Parameters
    ----------
    expected, actual
        Rows per bin of the reference and of the window, bins ascending, shape ``(B,)``; missing
        values take no part.
    effect
        Design effect of mean ranks, at least 1.

    References
    ----------
    .. [1] Mann, Whitney, "On a test of whether one of two random variables is stochastically
       larger than the other", Annals of Mathematical Statistics 18(1), 1947.
    .. [2] Boucheron, Lugosi, Massart, "Concentration inequalities", Oxford, 2013, section 4.9.

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

    @cached_property
    def value(self) -> float:
        """Mean rank of the window less one half, in ``(-1/2, 1/2)``."""
        ends = np.cumsum(self.expected) / self.expected.sum()
        ranks = ends - self.expected / self.expected.sum() / 2
        return float(ranks @ self.actual) / float(self.actual.sum()) - 0.5

    def p_value(self, tolerance: float) -> float:
        """Chance of such a shift, either way, if ``J <= tolerance``."""
        margin = math.sqrt(tolerance / _DIVERGENCE_FACTOR)
        return chance_beyond(abs(self.value) / self._error, margin / self._error)

    def low(self, level: float) -> float:
        """Lower bound of J that is above it with probability `level` at most.

        It is above a tolerance just where the p-value is below the level.
        """
        shift = margin_beyond(abs(self.value) / self._error, level) * self._error
        return _DIVERGENCE_FACTOR * shift**2

    @cached_property
    def _error(self) -> float:
        """Standard error of the mean of even ranks.

        Ranks of a drifted window may vary more: then they lie nearer to both ends, and J is above
        ``12 d²`` by more than that.
        """
        rows = 1 / int(self.actual.sum()) + 1 / int(self.expected.sum())
        return math.sqrt(self.effect * _EVEN_VARIANCE * rows)
