"""Standard deviation of a window over that of its reference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from detectors.mean_shift import moments
from detectors.measurement import Estimate, untold
from detectors.moments import dot
from detectors.scale import scaled

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints
    from detectors.profile import NumberProfile


def std_ratio(profile: NumberProfile, cells: Ints, *, confidence: float) -> Estimate:
    """Estimate how many times as far as the reference's rows the window's lie from their mean.

    1 where nothing has changed, from 0 upwards. Of the clipped values of
    :class:`detectors.scale.Scale`, so that one row of 1e9 counts as one at the end. Bonett's
    interval [1]_ of the logarithm, from the kurtosis of the samples, which is right for laws
    that are not normal; the p-value is two-sided, from the same law. Rows between two values of
    the reference count in the middle, and the bounds cover where they may lie, and what a thinned
    reference left out: a standard deviation moves by no more than the root mean square of what its
    rows move.

    A window of one value gives 0, with no upper bound and no p-value. Missing and invalid values
    take no part. A column that is constant in the reference: untold, like fewer than four rows on
    a side.

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
    .. [1] Bonett, "Robust confidence interval for a ratio of standard deviations", Applied
       Psychological Measurement 30(5), 2006.

    Examples
    --------
    >>> import numpy as np
    >>> from detectors.profile import NumberProfile
    >>> points = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    >>> profile = NumberProfile(points, np.full(5, 100), 0, 0)
    >>> cells = np.array([0, 250, 0, 0, 0, 0, 0, 0, 0, 250, 0])
    >>> round(std_ratio(profile, cells, confidence=0.95).value, 3)
    1.414
    """
    n, m = profile.rows, int(cells.sum())
    scale = scaled(profile)
    if scale is None or min(n, m) < 4:  # noqa: PLR2004 - where a kurtosis begins
        return untold(m)
    window = cells / m
    before = _side(scale.points, scale.shares, n)
    after = _side(scale.places, window, m)
    ratio = after.deviation / before.deviation
    moved_before = math.sqrt(dot(scale.displaced[1:], scale.gaps**2))
    moved_after = math.sqrt(dot(window, scale.slack**2))
    least = max(0.0, after.deviation - moved_after) / (before.deviation + moved_before)
    if not after.deviation:
        return Estimate(0.0, 0.0, None, m)
    error = _standard_error(before, after)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    room = before.deviation - moved_before
    most = (after.deviation + moved_after) / room if room > 0 else None
    # Few rows have a smaller deviation than their law, on the scale of logarithms.
    few = math.sqrt(m / max(1.0, m - z) * max(1.0, n - z) / n)
    return Estimate(
        value=ratio,
        low=min(ratio, least * few * math.exp(-z * error)),
        high=None if most is None else max(ratio, most * few * math.exp(z * error)),
        n=m,
        p_value=_p_value(least, most, error),
    )


def _p_value(least: float, most: float | None, error: float) -> float:
    if most is None or least <= 1 <= most:
        return 1.0
    far = math.log(least) if least > 1 else -math.log(most)
    return math.erfc(far / error / math.sqrt(2))


@dataclass(frozen=True, slots=True)
class _Side:
    """One sample: its standard deviation, its kurtosis (3 of a normal law) and its rows."""

    deviation: float
    kurtosis: float
    rows: int


def _side(places: Floats, shares: Floats, rows: int) -> _Side:
    mean, variance = moments(places, shares, rows)
    squares = (places - mean) ** 2
    second, fourth = dot(shares, squares), dot(shares, squares**2)
    return _Side(math.sqrt(variance), fourth / second**2 if second else 0.0, rows)


def _standard_error(*sides: _Side) -> float:
    """Return the standard error of the logarithm of the ratio of the deviations.

    Of a side's own kurtosis or that of both together, whichever is larger: that of few rows is
    mostly too small.
    """
    pooled = sum(side.kurtosis * side.rows for side in sides) / sum(side.rows for side in sides)
    variances = [
        (max(side.kurtosis, pooled) - (side.rows - 3) / side.rows) / (side.rows - 1)
        for side in sides
    ]
    return math.sqrt(max(0.0, sum(variances))) / 2
