"""Hellinger distance of a window from its reference, with bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.measurement import Estimate, untold
from detectors.statistics.divergence import Divergence, root_estimate
from detectors.statistics.psi import Shares, smoothed

if TYPE_CHECKING:
    from collectors.batch import Ints


def hellinger(expected: Ints, actual: Ints, *, confidence: float) -> Estimate:
    """Estimate the Hellinger distance, less its bias: 0 of equal shares, 1 of disjoint ones.

    ``sqrt(1/2 sum (sqrt(p) - sqrt(q))^2)`` [1]_. Bias, bounds and p-value are those of
    `divergence.root_estimate`; ``c = 1/8``. Half a row is added to each bin on both sides, as for
    PSI, and missing values have a bin. Beside Jensen-Shannon's it weighs a bin that empties more.

    Untold with no rows on a side, or when only one bin is filled on both (a constant column that
    stays so).

    Parameters
    ----------
    expected, actual
        Rows per bin of the reference and of the window, shape ``(B,)``
        (`bins.number_shares`, `bins.category_shares`).
    confidence
        Of both bounds together, in ``(0, 1)``.

    References
    ----------
    .. [1] Hellinger, "Neue Begründung der Theorie quadratischer Formen von unendlichvielen
       Veränderlichen", Journal für die reine und angewandte Mathematik 136, 1909.

    Examples
    --------
    >>> hellinger(np.array([500, 500]), np.array([500, 500]), confidence=0.95).value
    0.0
    """
    n, m = int(expected.sum()), int(actual.sum())
    if not n or not m or expected.size < 2:  # noqa: PLR2004 - two bins to compare
        return untold(m)
    shares = smoothed(expected, actual)
    return root_estimate(divergence(shares), shares, n=n, m=m, confidence=confidence)


def divergence(shares: Shares) -> Divergence:
    """Squared Hellinger distance of two sides' shares."""
    p, q = shares.expected, shares.actual
    index = float(((np.sqrt(p) - np.sqrt(q)) ** 2).sum()) / 2
    return Divergence(index, 1 / 8, -np.sqrt(q / p) / 2, -np.sqrt(p / q) / 2)
