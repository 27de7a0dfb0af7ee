"""Jensen-Shannon distance of a window from its reference, with bounds."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from detectors.measurement import Estimate, untold
from detectors.numerics.moments import dot
from detectors.statistics.divergence import Divergence, root_estimate
from detectors.statistics.psi import Shares, smoothed

if TYPE_CHECKING:
    from collectors.batch import Ints


def jensen_shannon(expected: Ints, actual: Ints, *, confidence: float) -> Estimate:
    """Estimate the Jensen-Shannon distance, less its bias: 0 of equal shares, 1 of disjoint ones.

    ``sqrt(1/2 sum p log2(p / h) + 1/2 sum q log2(q / h))`` with ``h = (p + q) / 2``: the square
    root of the divergence in bits [1]_, a metric [2]_. Bias, bounds and p-value are those of
    `divergence.root_estimate`; ``c = 1 / (8 ln 2)``. Half a row is added to each bin on both
    sides, as for PSI, and missing values have a bin.

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
    .. [1] Lin, "Divergence measures based on the Shannon entropy", IEEE Transactions on Information
       Theory 37(1), 1991.
    .. [2] Endres, Schindelin, "A new metric for probability distributions", IEEE Transactions on
       Information Theory 49(7), 2003.

    Examples
    --------
    >>> jensen_shannon(np.array([500, 500]), np.array([500, 500]), confidence=0.95).value
    0.0
    """
    n, m = int(expected.sum()), int(actual.sum())
    if not n or not m or expected.size < 2:  # noqa: PLR2004 - two bins to compare
        return untold(m)
    shares = smoothed(expected, actual)
    return root_estimate(divergence(shares), shares, n=n, m=m, confidence=confidence)


def divergence(shares: Shares) -> Divergence:
    """Jensen-Shannon divergence of two sides' shares, in bits."""
    p, q = shares.expected, shares.actual
    middle = (p + q) / 2
    by_expected, by_actual = np.log2(p / middle) / 2, np.log2(q / middle) / 2
    index = max(0.0, dot(p, by_expected) + dot(q, by_actual))
    return Divergence(index, 1 / (8 * math.log(2)), by_expected, by_actual)
