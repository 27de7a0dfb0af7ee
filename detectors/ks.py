"""Two-sample Kolmogorov-Smirnov statistic of a window against its reference, from counts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from detectors.measurement import Estimate, untold

if TYPE_CHECKING:
    from collectors.batch import Ints
    from detectors.profile import NumberProfile


def ks(profile: NumberProfile, cells: Ints, *, confidence: float) -> Estimate:
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
    cells
        The window's rows over the profile's grid (`NumberCounts.cells`), shape ``(2K + 1,)``.
    confidence
        Of both bounds together, in ``(0, 1)``.

    References
    ----------
    .. [1] Smirnov, "Table for estimating the goodness of fit of empirical distributions",
       Annals of Mathematical Statistics 19(2), 1948.

    Examples
    --------
    >>> from detectors.profile import NumberProfile
    >>> profile = NumberProfile(np.array([1.0, 2.0]), np.array([50, 50]), 0, 0)
    >>> ks(profile, np.array([0, 0, 0, 100, 0]), confidence=0.95).value
    0.5
    """
    from scipy.special import kolmogi, kolmogorov  # noqa: PLC0415 - 27 MB, at the first window

    n, m = profile.rows, int(cells.sum())
    if not n or not m:
        return untold(m)
    value = statistic(profile, cells)
    scale = math.sqrt(n / (n + m) * m)
    margin = float(kolmogi(1 - confidence)) / scale + profile.rank_error
    return Estimate(
        value=value,
        low=max(0.0, value - margin),
        high=min(1.0, value + margin),
        n=m,
        p_value=float(kolmogorov(scale * max(0.0, value - profile.rank_error))),
    )


def statistic(profile: NumberProfile, cells: Ints) -> float:
    """Distance of the distribution functions, at each point and just below it; both need rows."""
    reference_at = np.cumsum(profile.counts)
    reference_below = reference_at - profile.counts
    window = np.cumsum(cells)
    n, m = reference_at[-1], window[-1]
    at = np.abs(window[1::2] / m - reference_at / n)
    below = np.abs(window[:-1:2] / m - reference_below / n)
    return float(max(at.max(), below.max()))
