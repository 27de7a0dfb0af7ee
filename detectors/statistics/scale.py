"""A number column in units of its reference's spread, with both ends cut off.

Distances between numbers mean something only against how far the column's numbers usually lie
apart, and one number of 1e9 must not outweigh all the others. So shifts, Wasserstein's distance
and ratios of deviations are taken of values that were clipped and divided by a robust spread.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.numerics.moments import dot, variance

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints
    from detectors.columns.profile import NumberProfile

#: Shares of the reference at or below which a normal law's values one deviation from its mean lie.
_DEVIATION = (0.158655, 0.841345)
#: Where more than two thirds of the rows are one value, the spread is the standard deviation of
#: the values between these quantiles.
_BULK = (0.001, 0.999)
#: Values count in full as far as so many spreads beyond these quantiles.
_FENCE = (0.01, 0.99)
FENCE_SPREADS = 10.0
#: A smaller spread is none: dividing by it could overflow.
_SPREAD_MIN = 1e-300


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """The cells of a reference's grid as places on a standardised axis.

    Place 0 is the reference's median, 1 a spread above it.

    Parameters
    ----------
    spread
        Half the distance between the quantiles 15.87 % and 84.13 % (the standard deviation of a
        normal law), in the column's unit. Where that is 0, the standard deviation of the values
        clipped to the quantiles 0.1 % and 99.9 %.
    points
        The profile's points, clipped, shape ``(K,)``, ascending.
    places
        Where rows of each cell are taken to lie, shape ``(2K + 1,)``: at a point exactly,
        between two in the middle, beyond the ends at the ends.
    slack
        How far a row may lie from its place, shape ``(2K + 1,)``: half of each gap, else 0.
    shares
        Share of the reference's rows at each point, shape ``(K,)``.
    displaced
        Share of the reference's rows that a thinned profile may have moved up to each point from
        within the gap below it, shape ``(K,)``; 0 for an exact profile.
    """

    spread: float
    points: Floats
    places: Floats
    slack: Floats
    shares: Floats
    displaced: Floats

    @property
    def gaps(self) -> Floats:
        """Distances between neighbouring points, shape ``(K - 1,)``."""
        return np.diff(self.points)

    @property
    def width(self) -> float:
        """Distance between the ends: how far one row can move, in spreads."""
        return float(self.points[-1] - self.points[0])

    @property
    def rank_slack(self) -> float:
        """Mean distance by which a thinned profile may have moved the reference's rows."""
        return dot(self.displaced[1:], self.gaps)


def scaled(profile: NumberProfile) -> Scale | None:
    """Standardise a reference's grid; None of a column without spread (constant, or no rows).

    Values are clipped to the reference's range, beyond which a window's rows are only counted,
    and to :data:`FENCE_SPREADS` spreads beyond its quantiles 1 % and 99 %, so that an outlier of
    the reference does not stretch the range.

    Examples
    --------
    >>> from detectors.columns.profile import NumberProfile
    >>> profile = NumberProfile(np.array([0.0, 4.0, 5.0, 6.0]), np.array([1, 3, 3, 1]), 0, 0)
    >>> scale = scaled(profile)
    >>> scale.spread, scale.points.tolist()
    (0.5, [-8.0, 0.0, 2.0, 4.0])
    >>> scale.places.tolist()
    [-8.0, -8.0, -4.0, 0.0, 1.0, 2.0, 3.0, 4.0, 4.0]
    """
    if profile.points.size < 2:  # noqa: PLR2004 - two points to lie apart
        return None
    upto = np.cumsum(profile.counts)
    spread = _spread(profile.points, upto)
    middle = _quantile(profile.points, upto, 0.5)
    if not _SPREAD_MIN < spread < np.inf or not np.isfinite(middle):
        return None
    low, high = (_quantile(profile.points, upto, share) for share in _FENCE)
    low = max(float(profile.points[0]), low - FENCE_SPREADS * spread)
    high = min(float(profile.points[-1]), high + FENCE_SPREADS * spread)
    # Halves do not overflow where numbers are as large as numbers get.
    clipped = np.clip(profile.points, max(low, -_LARGEST), min(high, _LARGEST))
    points = (clipped / 2 - middle / 2) / (spread / 2)
    gaps = np.diff(points)
    places = np.empty(2 * points.size + 1)
    places[1::2] = points
    places[2:-2:2] = points[:-1] + gaps / 2
    places[0], places[-1] = points[0], points[-1]
    slack = np.zeros(places.size)
    slack[2:-2:2] = gaps / 2
    shares = profile.counts / upto[-1]
    return Scale(spread, points, places, slack, shares, np.minimum(shares, profile.rank_error))


_LARGEST = float(np.finfo(np.float64).max)


def _spread(points: Floats, upto: Ints) -> float:
    low, high = (_quantile(points, upto, share) for share in _DEVIATION)
    if low < high:
        return high / 2 - low / 2
    low, high = (_quantile(points, upto, share) for share in _BULK)
    if not low < high or not np.isfinite(high / 2 - low / 2):
        return 0.0
    half = high / 2 - low / 2
    # Standardised first: squares of large numbers would overflow.
    places = (np.clip(points, low, high) / 2 - low / 2) / half
    shares = np.diff(upto, prepend=0) / upto[-1]
    return half * math.sqrt(variance(places, shares))


def _quantile(points: Floats, upto: Ints, share: float) -> float:
    return float(points[min(upto.searchsorted(share * upto[-1]), upto.size - 1)])
