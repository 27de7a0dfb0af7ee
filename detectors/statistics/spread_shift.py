"""Shift of a column's spread: the sharpest look at a change of variance.

The normal score of a value is the normal quantile of its rank in the reference. Its square is 1 on
average, more where values move outwards and less where they move inwards; that is one number,
as the mean rank (:mod:`detectors.statistics.rank_shift`) is of where the values lie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from detectors.numerics.deviations import chance_beyond, margin_beyond

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints

#: Variance over the squared mean below which all squares are alike but for rounding.
_VARIES_MIN = 1e-9
#: The bound of J stays below this, however far the mean square moves.
_BOUND_MAX = 4.0
#: Powers that make the mean square normal. Outside of these, nearly all rows have the same square
#: and a few rare ones another: then no power does, and nothing is told.
_POWERS = (0.1, 2.0)
#: Standard errors that one row may move the mean square by: with more, the rare are too few.
_ROW_MAX = 1.0


# Not slotted: what several bounds rest on is worked out once.
@dataclass(frozen=True, eq=False)
class SpreadShift:
    """How far the mean square of a window's scores lies from that of its reference.

    With normal values the mean square is Klotz's statistic [1]_, the best there is for a change
    of their variance. Of m rows it is about chi-square; the power `h` of Wilson and Hilferty
    [2]_, ``1 - k1 k3 / (3 k2²)`` of the scores' cumulants, makes it normal, far into its tails.

    For any scores f and any c, by Cauchy and Schwarz's inequality for
    ``∫ (f - c) (√q - √p) (√q + √p)``, and because ``J >= 4 ∫ (√q - √p)²``, a shift d of their
    mean says ``J >= 2 d² / (var_p f + var_q f + d²/2)``. Of a normal column whose standard
    deviation grows by 15 %, that is 95 % of J.

    Parameters
    ----------
    expected, actual
        Rows per bin of the reference and of the window, shape ``(B,)``; missing values take no
        part.
    squares
        Mean square of the normal scores of each bin, shape ``(B,)``.
    effect
        Design effect of mean squares, at least 1.

    References
    ----------
    .. [1] Klotz, "Nonparametric tests for scale", Annals of Mathematical Statistics 33, 1962.
    .. [2] Wilson, Hilferty, "The distribution of chi-square", Proceedings of the National Academy
       of Sciences 17, 1931.

    Examples
    --------
    >>> import numpy as np
    >>> squares = np.array([2.0, 0.5, 0.5, 2.0])
    >>> same = SpreadShift(np.full(4, 500), np.full(4, 50), squares)
    >>> wider = SpreadShift(np.full(4, 500), np.array([80, 20, 20, 80]), squares)
    >>> same.p_value(0.002), wider.p_value(0.002) < 1e-6
    (1.0, True)
    """

    expected: Ints
    actual: Ints
    squares: Floats
    effect: float = 1.0

    def p_value(self, tolerance: float) -> float:
        """Chance of such a shift, either way, if ``J <= tolerance``; 1 where nothing is told."""
        if not self._tells or tolerance >= _BOUND_MAX:
            return 1.0
        shift = math.sqrt(tolerance * self._variances / (2 - tolerance / 2))
        end = self._before + math.copysign(shift, self._moved)
        if end <= 0:
            return 1.0
        margin = abs(self._straight(end) - self._straight(self._before))
        return chance_beyond(abs(self._moved) / self._error, margin / self._error)

    def low(self, level: float) -> float:
        """Lower bound of J that is above it with probability `level` at most.

        It is above a tolerance just where the p-value is below the level. Of a column that
        spreads to twice what it was it errs more often, being further below J.
        """
        if not self._tells:
            return 0.0
        margin = margin_beyond(abs(self._moved) / self._error, level) * self._error
        end = self._straight(self._before) + math.copysign(margin, self._moved)
        base = max(0.0, 1 + self._power * end)
        shift = abs(self._mean * base ** (1 / self._power) - self._before)
        return float(2 * shift**2 / (self._variances + shift**2 / 2))

    @cached_property
    def _before(self) -> float:
        """Mean square of the reference."""
        return float(self.expected @ self.squares) / int(self.expected.sum())

    @cached_property
    def _now(self) -> float:
        return float(self.actual @ self.squares) / int(self.actual.sum())

    @cached_property
    def _variances(self) -> float:
        """Of the reference and of the window, added up."""
        before, now = (self.squares - self._before) ** 2, (self.squares - self._now) ** 2
        return float(self.expected @ before) / int(self.expected.sum()) + float(
            self.actual @ now
        ) / int(self.actual.sum())

    @cached_property
    def _pooled(self) -> tuple[float, float, float]:
        """Cumulants of a square, of the rows of both sides."""
        rows = self.expected + self.actual
        shares = rows / rows.sum()
        mean = float(shares @ self.squares)
        apart = self.squares - mean
        weighted = shares * apart * apart
        return mean, float(weighted.sum()), float(weighted @ apart)

    @property
    def _mean(self) -> float:
        return self._pooled[0]

    @cached_property
    def _tells(self) -> bool:
        mean, variance, _ = self._pooled
        if variance <= _VARIES_MIN * mean**2:
            return False
        there = (self.expected + self.actual) > 0
        one_row = float(np.abs(self.squares[there] - mean).max())
        rows = min(int(self.expected.sum()), int(self.actual.sum()))
        normal = _POWERS[0] < self._power < _POWERS[1]
        return normal and one_row <= _ROW_MAX * math.sqrt(variance * rows)

    @cached_property
    def _power(self) -> float:
        mean, variance, third = self._pooled
        return 1 - mean * third / (3 * variance**2)

    def _straight(self, mean: float) -> float:
        """Transform a mean square, so that its noise is normal."""
        return float(((mean / self._mean) ** self._power - 1) / self._power)

    @cached_property
    def _moved(self) -> float:
        mean, variance, _ = self._pooled
        bias = self.effect * (self._power - 1) / 2 * variance / mean**2
        more = 1 / int(self.actual.sum()) - 1 / int(self.expected.sum())
        return self._straight(self._now) - self._straight(self._before) - bias * more

    @cached_property
    def _error(self) -> float:
        mean, variance, _ = self._pooled
        rows = 1 / int(self.actual.sum()) + 1 / int(self.expected.sum())
        return math.sqrt(self.effect * variance * rows) / mean
