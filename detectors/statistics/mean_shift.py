"""Shift of a window's mean from its reference's, in spreads of the reference."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from detectors.measurement import Estimate, untold
from detectors.numerics.moments import dot, variance
from detectors.statistics.scale import scaled

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints
    from detectors.columns.profile import NumberProfile


def mean_shift(profile: NumberProfile, cells: Ints, *, confidence: float) -> Estimate:
    """Estimate by how many spreads the mean has moved: positive upwards, negative downwards.

    Of the clipped values of :class:`detectors.statistics.scale.Scale`, so that one row moves it by
    `Scale.width` over the rows at most. Exact where the window's rows lie at values of the
    reference; those between two count in the middle, and the bounds cover where they may lie, and
    what a thinned reference left out. Student's interval, with the variance of each sample apart
    and as many degrees of freedom as the smaller has [1]_; a window is not taken to vary less than
    the reference, since small ones of a rare value do by chance. Where the window is skewed, the
    bound on the side of its tail is moved out by the first term of Cornish and Fisher's expansion
    [2]_. The p-value is two-sided.

    Missing and invalid values take no part. A column that is constant in the reference has no
    spread: untold, like no rows on a side, or one.

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
    .. [1] Welch, "The significance of the difference between two means when the population
       variances are unequal", Biometrika 29, 1938.
    .. [2] Hall, "On the removal of skewness by transformation", Journal of the Royal Statistical
       Society B 54(1), 1992.

    Examples
    --------
    >>> import numpy as np
    >>> from detectors.columns.profile import NumberProfile
    >>> profile = NumberProfile(np.array([0.0, 2.0]), np.array([500, 500]), 0, 0)
    >>> mean_shift(profile, np.array([0, 250, 0, 750, 0]), confidence=0.95).value
    0.5
    """
    from scipy.special import stdtr, stdtrit  # noqa: PLC0415 - 27 MB, at the first window

    n, m = profile.rows, int(cells.sum())
    scale = scaled(profile)
    if scale is None or m < 2 or n < 2:  # noqa: PLR2004 - two rows vary
        return untold(m)
    window = cells / m
    before, before_variance = moments(scale.points, scale.shares, n)
    after, after_variance = moments(scale.places, window, m)
    error = math.sqrt(before_variance / n + max(before_variance, after_variance) / m)
    shift, freedom = after - before, min(n, m) - 1
    slack = dot(window, scale.slack) + scale.rank_slack
    t = float(stdtrit(freedom, (1 + confidence) / 2))
    reach = t * error + slack
    tail = (1 + 2 * t**2) / 6 * _skewness(scale.places, window) * error / math.sqrt(m)
    return Estimate(
        value=shift,
        low=shift - reach + min(0.0, tail),
        high=shift + reach + max(0.0, tail),
        n=m,
        p_value=min(1.0, 2 * float(stdtr(freedom, -max(0.0, abs(shift) - slack) / error))),
    )


def _skewness(places: Floats, shares: Floats) -> float:
    centred = places - dot(shares, places)
    # Products: NumPy's power takes twenty times as long.
    squares = centred * centred
    spread = math.sqrt(dot(shares, squares))
    return dot(shares, squares * centred) / spread**3 if spread else 0.0


def moments(places: Floats, shares: Floats, rows: int) -> tuple[float, float]:
    """Mean, and variance with the divisor ``rows - 1``."""
    return dot(shares, places), variance(places, shares) * rows / (rows - 1)
