"""Standard deviation of a window over that of its reference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detectors.measurement import Estimate, untold
from detectors.numerics.moments import dot
from detectors.statistics.mean_shift import moments
from detectors.statistics.scale import scaled

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints
    from detectors.columns.profile import NumberProfile

#: A smaller quantile gives no bound.
_LEAST = 1e-100


def std_ratio(profile: NumberProfile, cells: Ints, *, confidence: float) -> Estimate:
    """Estimate how many times as far as the reference's rows the window's lie from their mean.

    1 where nothing has changed, from 0 upwards. Of the clipped values of
    :class:`detectors.statistics.scale.Scale`, so that one row of 1e9 counts as one at the end. The
    square follows about an F law, whose degrees of freedom are fewer the heavier the tails are:
    ``2 n / (kurtosis - (n - 3) / (n - 1))`` on each side [1]_, ``n - 1`` of a normal law. The
    p-value is two-sided, from the same law. Rows between two values of
    the reference count in the middle, and the bounds cover where they may lie, and what a thinned
    reference left out: a standard deviation moves by no more than the root mean square of what its
    rows move.

    A window of one value gives 0, with no upper bound and no p-value; nor has one an upper bound
    that is small beside tails as heavy as the reference's. Missing and invalid values
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
    .. [1] Shoemaker, "Fixing the F test for equal variances", American Statistician 57(2), 2003.

    Examples
    --------
    >>> import numpy as np
    >>> from detectors.columns.profile import NumberProfile
    >>> points = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    >>> profile = NumberProfile(points, np.full(5, 100), 0, 0)
    >>> cells = np.array([0, 250, 0, 0, 0, 0, 0, 0, 0, 250, 0])
    >>> round(std_ratio(profile, cells, confidence=0.95).value, 3)
    1.414
    """
    from scipy.special import fdtri  # noqa: PLC0415 - 27 MB, at the first window

    n, m = profile.rows, int(cells.sum())
    scale = scaled(profile)
    if scale is None or min(n, m) < 4:  # noqa: PLR2004 - where a kurtosis begins
        return untold(m)
    window = cells / m
    before = _side(scale.points, scale.shares, n)
    after = _side(scale.places, window, m)
    if not after.deviation:
        return Estimate(0.0, 0.0, None, m)
    moved_before = math.sqrt(dot(scale.displaced[1:], scale.gaps**2))
    moved_after = math.sqrt(dot(window, scale.slack**2))
    least = max(0.0, after.deviation - moved_after) / (before.deviation + moved_before)
    room = before.deviation - moved_before
    most = (after.deviation + moved_after) / room if room > 0 else None
    pooled = (before.kurtosis * n + after.kurtosis * m) / (n + m)
    freedom = _freedom(after, pooled), _freedom(before, pooled)
    tail = (1 - confidence) / 2
    few, many = float(fdtri(*freedom, tail)), float(fdtri(*freedom, 1 - tail))
    return Estimate(
        value=after.deviation / before.deviation,
        low=least / math.sqrt(max(1.0, many)),
        # With tails so heavy that a window says nothing, the quantile is 0 to the last digit.
        high=None if most is None or few < _LEAST else most / math.sqrt(min(1.0, few)),
        n=m,
        p_value=_p_value(least, most, freedom),
    )


def _p_value(least: float, most: float | None, freedom: tuple[float, float]) -> float:
    from scipy.special import fdtr, fdtrc  # noqa: PLC0415 - 27 MB, at the first window

    if most is None or least <= 1 <= most:
        return 1.0
    chance = fdtrc(*freedom, least**2) if least > 1 else fdtr(*freedom, most**2)
    return min(1.0, 2 * float(chance))


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


def _freedom(side: _Side, pooled: float) -> float:
    """Degrees of freedom of a side's variance.

    By its own kurtosis or that of both sides together, whichever is larger: that of few rows is
    mostly too small.
    """
    kurtosis = max(side.kurtosis, pooled)
    return 2 * side.rows / max(1.0, kurtosis - (side.rows - 3) / (side.rows - 1))
