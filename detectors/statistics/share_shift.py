"""Shift of one share of a column's rows: those missing, new, or beyond the reference's ends.

Ten rows in five hundred of a kind that the reference has hardly met are proof, and yet one bin
among many: a sum over all bins drowns them in the noise of the others. So such shares are looked
at by themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from detectors.numerics.deviations import chance_beyond, margin_beyond

#: Yates' correction: counts are whole, and half a row is given back.
_CONTINUITY = 0.5
#: Part of a count by which sums of it may be off.
_ROUNDING = 1e-9


# Not slotted: what several bounds rest on is worked out once.
@dataclass(frozen=True)
class ShareShift:
    """A share of a window's rows beside that of its reference.

    The statistic is the signed root of the likelihood ratio of a fourfold table, with Yates'
    correction [1]_; its exponent is exact, however rare the rows (Sanov's theorem), so that its
    normal law holds far out. It is about the root of the Jeffreys divergence J of the share, and
    of the rest, over the root of ``1/n + 1/m``, wherever the shares lie. So a tolerance of J takes
    as large a part off the one root as off the other.

    Parameters
    ----------
    expected, expected_rows
        Rows of the kind in the reference, of all its rows; not whole where they are worth less.
    actual, actual_rows
        The same of the window.
    effect
        Design effect of single shares, at least 1.

    References
    ----------
    .. [1] Yates, "Contingency tables involving small numbers and the chi-square test",
       Supplement to the Journal of the Royal Statistical Society 1, 1934.

    Examples
    --------
    >>> one, four = (ShareShift(0, 20_000, new, 500) for new in (1, 4))
    >>> one.p_value(0.0005) > 0.01 > 1e-4 > four.p_value(0.0005)
    True
    """

    expected: float
    expected_rows: float
    actual: int
    actual_rows: int
    effect: float = 1.0

    def p_value(self, tolerance: float) -> float:
        """Chance of such a share, either way, if ``J <= tolerance``; 1 without rows."""
        deviations, divergence = self._apart
        if not deviations:
            return 1.0
        return chance_beyond(deviations, deviations * math.sqrt(tolerance / divergence))

    def low(self, level: float) -> float:
        """Lower bound of J that is above it with probability `level` at most.

        It is above a tolerance just where the p-value is below the level.
        """
        deviations, divergence = self._apart
        if not deviations:
            return 0.0
        return divergence * (margin_beyond(deviations, level) / deviations) ** 2

    @cached_property
    def _apart(self) -> tuple[float, float]:
        """Standard errors between the two, and their J; 0 where either side has no rows."""
        n, m = self.expected_rows, self.actual_rows
        if not n or not m:
            return 0.0, 0.0
        both = self.expected + self.actual
        share = both / (n + m)
        fair = m * share
        nearer = abs(self.actual - fair) - _CONTINUITY
        if nearer <= _ROUNDING * both:
            return 0.0, 0.0
        now = fair + math.copysign(nearer, self.actual - fair)
        before = both - now
        likelihood = 2 * (
            _divergence(now, fair)
            + _divergence(m - now, m - fair)
            + _divergence(before, n * share)
            + _divergence(n - before, n - n * share)
        )
        odds = now * (n - before) / (before * (m - now))
        divergence = (now / m - before / n) * math.log(odds)
        if likelihood <= 0 or divergence <= 0:
            return 0.0, 0.0
        return math.sqrt(likelihood / self.effect), divergence


def _divergence(rows: float, fair: float) -> float:
    return rows * math.log(rows / fair) if rows > 0 else 0.0
