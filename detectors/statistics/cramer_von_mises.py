"""Two-sample Cramér-von Mises distance of a window from its reference, from counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from detectors.measurement import Estimate, untold
from detectors.numerics.moments import dot, variance

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints
    from detectors.columns.profile import NumberProfile

#: The limit of the statistic falls below this once in 1e27 times.
_LEAST = 0.002
#: With a smaller largest share of one value, the law without ties is right to one in a hundred.
_TIED_MIN = 0.1


def cramer_von_mises(profile: NumberProfile, cells: Ints, *, confidence: float) -> Estimate:
    """Estimate the mean squared distance of two distribution functions, less its bias.

    ``w^2 = integral (G - F)^2 dH``, ``H`` the law of both samples together, from 0 to 1/2 (to 1/3
    without ties). The statistic ``T`` is ``n m / (n + m)`` times that of the samples; ``T`` grows
    with the rows, while ``w^2`` means the same at every size. At a tie the square is the mean of
    that below it and that at it, so that the sign of a column does not matter; without ties that
    is Anderson's ``T`` [1]_ exactly, as long as no two of the window's rows are equal where the
    reference has no such value: those are taken as distinct.

    What noise adds, ``integral F (1 - F) / n + G (1 - G) / m dH``, is taken off the value (down
    to 0). The bounds are the wider of two: ``w`` -/+ the noise's own quantile, right near 0 by the
    triangle inequality, and those of the delta method, right far from it. The p-value is that of
    Anderson's approximation; where a tenth of the rows are one value, the larger of it and that
    of Pearson's three moments of the law with these ties [2]_, since ties thicken its tail. A
    thinned reference moves ``F`` by up to its rank error, and the bounds and the p-value with it.

    Missing and invalid values take no part. A column that is constant on both sides gives 0. No
    rows on a side: untold.

    Parameters
    ----------
    profile
        The reference.
    cells
        The window's rows over the profile's grid (`NumberCounts.cells`), shape ``(2K + 1,)``.
    confidence
        Of both bounds together, in ``(0, 1)``.

    References
    ----------
    .. [1] Anderson, "On the distribution of the two-sample Cramér-von Mises criterion", Annals of
       Mathematical Statistics 33(3), 1962.
    .. [2] Imhof, "Computing the distribution of quadratic forms in normal variables", Biometrika
       48, 1961.

    Examples
    --------
    >>> from detectors.columns.profile import NumberProfile
    >>> profile = NumberProfile(np.array([1.0, 2.0]), np.array([500, 500]), 0, 0)
    >>> cramer_von_mises(profile, np.array([0, 500, 0, 500, 0]), confidence=0.95).value
    0.0
    """
    n, m = profile.rows, int(cells.sum())
    if not n or not m:
        return untold(m)
    steps = _steps(profile, cells)
    raw, noise = steps.criterion, 1 / n + 1 / m
    tail = (1 - confidence) / 2
    law = steps.null_law()
    quantile = _upper_quantile(tail)
    if law is not None:
        quantile = max(quantile, law.quantile(tail))
    reach = math.sqrt(quantile * noise) + profile.rank_error
    margin = NormalDist().inv_cdf(1 - tail) * steps.standard_error()
    value = max(0.0, raw - steps.bias)
    root, error = math.sqrt(raw), profile.rank_error
    least = max(0.0, root - error) ** 2
    p_value = p_without_ties(least / noise, n, m)
    if law is not None:
        p_value = max(p_value, law.above(least / noise))
    return Estimate(
        value=value,
        low=max(0.0, min(max(0.0, root - reach) ** 2, value - margin - 2 * error * root)),
        high=min(0.5, max((root + reach) ** 2, value + margin + 2 * error * root + error**2)),
        n=m,
        p_value=p_value,
    )


def statistic(profile: NumberProfile, cells: Ints) -> float:
    """Anderson's ``T`` of the samples; both need rows."""
    n, m = profile.rows, int(cells.sum())
    return _steps(profile, cells).criterion * n * m / (n + m)


@dataclass(frozen=True, slots=True, eq=False)
class _NullLaw:
    """Law of ``w^2 / (1/n + 1/m)`` of two samples of one law, by its first three cumulants.

    About ``mean + deviation (X - freedom) / sqrt(2 freedom)``, ``X`` chi-square.
    """

    mean: float
    deviation: float
    freedom: float

    def above(self, x: float) -> float:
        from scipy.special import chdtrc  # noqa: PLC0415 - 27 MB, at the first window

        standard = (x - self.mean) / self.deviation
        there = self.freedom + standard * math.sqrt(2 * self.freedom)
        return float(chdtrc(self.freedom, max(0.0, there)))

    def quantile(self, tail: float) -> float:
        from scipy.special import chdtri  # noqa: PLC0415 - 27 MB, at the first window

        standard = (float(chdtri(self.freedom, tail)) - self.freedom) / math.sqrt(2 * self.freedom)
        return self.mean + self.deviation * standard


@dataclass(frozen=True, slots=True, eq=False)
class _Steps:
    """Both samples over the cells of the grid, each shape ``(2K + 1,)``.

    Parameters
    ----------
    n, m
        Rows of the reference and of the window.
    reference, window, both
        Shares of the rows in each cell: of the samples, and of both together.
    difference
        ``G - F`` at the end of each cell.
    squares
        Mean square of the difference in each cell: of its beginning and its end.
    weights
        Weight of the difference at the end of each cell.
    criterion
        ``w^2`` of the samples.
    """

    n: int
    m: int
    reference: Floats
    window: Floats
    both: Floats
    difference: Floats
    squares: Floats
    weights: Floats
    criterion: float

    @property
    def bias(self) -> float:
        """What the noise adds to the criterion on average."""
        f, g = np.cumsum(self.reference), np.cumsum(self.window)
        return dot(self.weights, np.maximum(0, f * (1 - f) / self.n + g * (1 - g) / self.m))

    def standard_error(self) -> float:
        """Return the criterion's standard error by the delta method."""
        squares = self.squares
        above = 2 * np.cumsum((self.difference * self.weights)[::-1])[::-1]
        share = self.n / (self.n + self.m)
        by_reference = share * squares - above
        by_window = (1 - share) * squares + above
        return math.sqrt(
            variance(by_reference, self.reference) / self.n
            + variance(by_window, self.window) / self.m
        )

    def null_law(self) -> _NullLaw | None:
        """Law with these ties: a quadratic form of a Brownian bridge; None where ties are few.

        The cumulants are ``2^(k-1) (k-1)!`` times the traces of the powers of
        ``w(s) H(min(s, t)) (1 - H(max(s, t)))``.
        """
        both = self.both
        if not _TIED_MIN < both[1::2].max() < 1:
            return None
        h, weights = np.cumsum(both), self.weights
        low, high = weights * h**2, weights * np.maximum(0.0, 1 - h) ** 2
        middle = weights * h * np.maximum(0.0, 1 - h)
        below = np.cumsum(low) - low
        above = np.cumsum(high[::-1])[::-1] - high
        mean = float(middle.sum())
        second = 2 * dot(low, above) + dot(middle, middle)
        inner = dot(middle * below, above)
        # Two of three equal: the lower two, or the upper two.
        pairs = dot(middle * low, above) + dot(middle * high, below)
        third = 6 * inner + 3 * pairs + float((middle**3).sum())
        variance, skew = 2 * second, 8 * third
        return _NullLaw(mean, math.sqrt(variance), 8 * variance**3 / skew**2)


def _steps(profile: NumberProfile, cells: Ints) -> _Steps:
    n, m = profile.rows, int(cells.sum())
    reference, window = np.zeros(cells.size), cells / m
    reference[1::2] = profile.counts / n
    both = (n * reference + m * window) / (n + m)
    difference = np.cumsum(window - reference)
    difference[-1] = 0.0  # but for rounding it is
    squares = difference**2
    squares = (squares + np.concatenate(([0.0], squares[:-1]))) / 2
    # In a gap the difference rises in as many steps as there are rows, not in one.
    between = cells[::2].astype(np.float64)
    steps = dot(between * between - 1, between) / 6 / m**2 / (n + m)
    return _Steps(
        n,
        m,
        reference,
        window,
        both,
        difference,
        squares,
        (both + np.append(both[1:], 0.0)) / 2,
        max(0.0, dot(both, squares) - steps),
    )


def p_without_ties(criterion: float, n: int, m: int) -> float:
    """Chance of such a statistic of two samples of one continuous law.

    Moved and stretched so that mean and variance are those of ``n`` and ``m`` rows [1]_.

    References
    ----------
    .. [1] Anderson, "On the distribution of the two-sample Cramér-von Mises criterion", Annals of
       Mathematical Statistics 33(3), 1962.
    """
    rows, product = n + m, n * m
    mean = (1 + 1 / rows) / 6
    variance = (rows + 1) / 45 / rows
    variance *= (4 * product * rows - 3 * (n**2 + m**2) - 2 * product) / (4 * product * rows)
    if variance <= 0:
        return 1.0
    return above(1 / 6 + (criterion - mean) / math.sqrt(45 * variance))


def above(x: float) -> float:
    """Probability that the limit of the Cramér-von Mises statistic exceeds `x`.

    Up to 1 one less Anderson and Darling's series [1]_; beyond, the first term of Smirnov's [2]_,
    which keeps its relative precision however small it is (the next is ``exp(-4 pi^2)`` of it):

    ``(2 / pi) integral_pi^(2 pi) exp(-x u^2 / 2) / sqrt(-u sin u) du``.

    References
    ----------
    .. [1] Anderson, Darling, "Asymptotic theory of certain goodness of fit criteria based on
       stochastic processes", Annals of Mathematical Statistics 23(2), 1952.
    .. [2] Smirnov, "Sur la distribution de omega^2", Comptes Rendus 202, 1936.

    Examples
    --------
    >>> round(above(0.46136), 4), round(above(1.16786), 4)
    (0.05, 0.001)
    """
    if x < _LEAST:
        return 1.0
    return 1 - _series(x) if x < 1 else _tail(x)


def _series(x: float) -> float:
    from scipy.special import gammaln, kv  # noqa: PLC0415 - 27 MB, at the first window

    # It ends quickly, since the terms fall like exp(-2 q).
    k = np.arange(12.0)
    q = (4 * k + 1) ** 2 / (16 * x)
    weights = np.exp(gammaln(k + 0.5) - gammaln(k + 1) - q) * np.sqrt(4 * k + 1)
    return float((weights * kv(0.25, q)).sum()) / (math.pow(math.pi, 1.5) * math.sqrt(x))


#: The integral is cut off where its integrand has fallen by ``exp(-REACH)``.
_REACH = 40.0


def _tail(x: float) -> float:
    # With u = pi (1 + sin^2 t) the integrand is smooth at both ends.
    end = math.asin(math.sqrt(min(1.0, _REACH / (x * math.pi**2))))
    points, weights = _rule()
    t = end * (1 + points) / 2
    part = np.sin(t) ** 2
    u = math.pi * (1 + part)
    slopes = 2 * math.pi * np.sin(t) * np.cos(t) / np.sqrt(u * np.sin(math.pi * part))
    values = slopes * np.exp(-x * (u**2 - math.pi**2) / 2)
    return math.exp(-x * math.pi**2 / 2) * end / math.pi * dot(weights, values)


@lru_cache(maxsize=1)
def _rule() -> tuple[Floats, Floats]:
    """Points and weights of Gauss's rule on ``[-1, 1]``."""
    return np.polynomial.legendre.leggauss(64)


@lru_cache(maxsize=64)
def _upper_quantile(tail: float) -> float:
    low, high = 0.0, 20.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if above(middle) > tail else (low, middle)
    return high
