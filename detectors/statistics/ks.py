"""Two-sample Kolmogorov-Smirnov statistic of a window against its reference, from counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from detectors.measurement import Estimate, untold
from detectors.numerics.tails import kolmogorov_above, kolmogorov_quantile

if TYPE_CHECKING:
    from collectors.batch import Ints
    from detectors.columns.profile import NumberProfile


def ks(profile: NumberProfile, upto: Ints, *, confidence: float) -> Estimate:
    """Estimate the largest distance between two distribution functions.

    ``D = sup |F_window - F_reference|``, exactly that of all the rows (up to the profile's rank
    error ``e``, 0 for an exact profile). With ``n`` reference and ``m`` window rows the bounds are
    ``D -/+ (r + e)``, ``r = K(1 - confidence) * sqrt((n + m) / (n m))``, where ``K`` is the
    upper quantile of Kolmogorov's distribution: the band of the difference of both empirical
    functions [1]_. It holds whether or not the distributions differ, and is conservative with
    ties and few rows. The p-value is Kolmogorov's series at ``max(0, D - e)``.

    Missing and invalid values take no part: `missing_ratio` and `psi` see them. A constant
    column gives 0, or how much of the window left the constant. No rows on a side: untold.

    Parameters
    ----------
    profile
        The reference.
    upto
        The window's rows up to each cell of the profile's grid (`NumberCounts.upto`), shape
        ``(2K + 1,)``.
    confidence
        Of both bounds together, in ``(0, 1)``.

    References
    ----------
    .. [1] Smirnov, "Table for estimating the goodness of fit of empirical distributions",
       Annals of Mathematical Statistics 19(2), 1948.

    Examples
    --------
    >>> from detectors.columns.profile import NumberProfile
    >>> profile = NumberProfile(np.array([1.0, 2.0]), np.array([50, 50]), 0, 0)
    >>> ks(profile, np.array([0, 0, 0, 100, 100]), confidence=0.95).value
    0.5
    """
    n, m = profile.rows, int(upto[-1])
    if not n or not m:
        return untold(m)
    value = statistic(profile, upto)
    scale = math.sqrt(n / (n + m) * m)
    margin = kolmogorov_quantile(1 - confidence) / scale + profile.rank_error
    return Estimate(
        value=value,
        low=max(0.0, value - margin),
        high=min(1.0, value + margin),
        n=m,
        p_value=kolmogorov_above(scale * max(0.0, value - profile.rank_error)),
    )


def statistic(profile: NumberProfile, upto: Ints) -> float:
    """Distance of the distribution functions, at each point and just below it; both need rows.

    Between two points the reference's is flat and the window's rises: it is farthest above at
    the upper end, just below the next point, and farthest below at the lower one.
    """
    reference = np.empty(profile.counts.size + 1)
    reference[0] = 0
    np.divide(np.cumsum(profile.counts), profile.rows, out=reference[1:])
    window = upto / upto[-1]
    above = np.subtract(window[::2], reference)
    below = np.subtract(reference[1:], window[1::2], out=reference[1:])
    return float(max(above.max(), below.max()))
