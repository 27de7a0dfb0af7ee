"""Population stability index of a window against its reference, with bounds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from detectors.measurement import Estimate, untold
from detectors.numerics.tails import chi_square_above, noncentrality

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints

#: Rows added to every bin on both sides, so that an empty bin costs a finite amount: half a row,
#: Jeffreys' choice. A bin that empties is then as if half a row had been seen in it.
SMOOTHING = 0.5


@dataclass(frozen=True, slots=True)
class Shares:
    """Smoothed shares of both sides, per bin.

    Parameters
    ----------
    expected, actual
        Shape ``(B,)``, each summing to 1, all positive.
    noise
        ``1/n + 1/m``: what the index of two samples of one distribution is a multiple of.
    """

    expected: Floats
    actual: Floats
    noise: float

    @property
    def index(self) -> float:
        """PSI, ``sum (q - p) ln(q / p)``, as it stands: with the bias of its sample sizes."""
        return float((self.actual - self.expected) @ np.log(self.actual / self.expected))

    @property
    def bias(self) -> float:
        """What the index is on average when nothing has changed."""
        return (self.expected.size - 1) * self.noise


def smoothed(expected: Ints, actual: Ints, *, smoothing: float = SMOOTHING) -> Shares:
    """Turn rows per bin, shape ``(B,)`` each, into shares; both sides need rows."""
    n, m = int(expected.sum()), int(actual.sum())
    added = smoothing * expected.size
    return Shares(
        np.asarray((expected + smoothing) / (n + added), np.float64),
        np.asarray((actual + smoothing) / (m + added), np.float64),
        1 / n + 1 / m,
    )


def psi(
    expected: Ints, actual: Ints, *, confidence: float, smoothing: float = SMOOTHING
) -> Estimate:
    """Estimate the population stability index, less its bias.

    With ``B`` bins, ``n`` reference and ``m`` window rows, the index of two samples of one
    distribution, divided by ``1/n + 1/m``, follows about a chi-square law with ``B - 1`` degrees of
    freedom [1]_. So ``(B - 1) (1/n + 1/m)`` is subtracted (down to 0), and the p-value is that
    law's. The bounds are the wider of two: those of the noncentral chi-square law, right for
    small indices, and those of a normal one with the delta method's variance, right for large.

    Untold with no rows on a side, or when only one bin is filled on both.

    Parameters
    ----------
    expected, actual
        Rows per bin of the reference and of the window, shape ``(B,)``
        (`bins.number_shares`, `bins.category_shares`).
    confidence
        Of both bounds together, in ``(0, 1)``.
    smoothing
        Rows added to each bin of both sides, positive.

    References
    ----------
    .. [1] Yurdakul, "Statistical properties of population stability index", PhD thesis, Western
       Michigan University, 2018.

    Examples
    --------
    >>> psi(np.array([500, 500]), np.array([500, 500]), confidence=0.95).value
    0.0
    """
    m = int(actual.sum())
    if not m or not expected.sum() or expected.size < 2:  # noqa: PLR2004 - two bins to compare
        return untold(m)
    shares = smoothed(expected, actual, smoothing=smoothing)
    scaled = shares.index / shares.noise
    freedom = expected.size - 1
    value = max(0.0, shares.index - shares.bias)
    tail = (1 - confidence) / 2
    margin = NormalDist().inv_cdf(1 - tail) * standard_error(shares, int(expected.sum()), m)
    return Estimate(
        value=value,
        low=max(0.0, min(noncentrality(scaled, freedom, 1 - tail) * shares.noise, value - margin)),
        high=max(noncentrality(scaled, freedom, tail) * shares.noise, value + margin),
        n=m,
        p_value=chi_square_above(freedom, scaled),
    )


def standard_error(shares: Shares, n: int, m: int) -> float:
    """Return the index's standard error by the delta method, both sides multinomial."""
    p, q = shares.expected, shares.actual
    ratio = q / p
    logs = np.log(ratio)
    by_actual = logs + 1 - p / q
    by_expected = 1 - logs - ratio
    return math.sqrt(_variance(by_actual, q) / m + _variance(by_expected, p) / n)


def _variance(values: Floats, shares: Floats) -> float:
    apart = values - shares @ values
    return float(shares @ (apart * apart))
