"""Wasserstein's distance of a window from its reference, in units of the reference's spread."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from detectors.measurement import Estimate, untold
from detectors.numerics.moments import dot, variance
from detectors.statistics.scale import Scale, scaled

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints
    from detectors.columns.profile import NumberProfile


def wasserstein(profile: NumberProfile, cells: Ints, *, confidence: float) -> Estimate:
    """Estimate how far rows would have to move, on average, to turn one law into the other.

    ``W = integral |G(z) - F(z)| dz`` over the standardised and clipped axis of
    :class:`detectors.statistics.scale.Scale`: spreads of the reference, between its ends. A shift
    of a normal column by ``s`` of its deviations gives ``s``; one row moves it by `Scale.width`
    over the rows at most. The value is exactly that of all the rows where the window's rows lie at
    values of the reference; those between two of them are taken to lie evenly, and the bounds cover
    every way in which they may lie, and what a thinned reference left out.

    With ``B`` the noise of ``G - F``, Gaussian in the limit, and ``V`` its variance,
    ``integral |B|`` has the mean ``A = sqrt(2 / pi) integral sqrt(V)``. All of the noise's
    covariances are positive, so its largest deviation in any direction is that of the difference of
    the two means, ``s``, and by Borell's inequality [1]_ it exceeds ``A + z s`` no more often than
    a normal variable exceeds ``z``. So ``low = W - A - z s``. The median of ``W`` lies above the
    truth, since the noise is symmetric and the distance convex: ``high = W + z s``. Both hold
    at every drift. The p-value is Borell's, an upper bound: 1 up to ``A``.

    Like KS it is not corrected for bias: two samples of one law are ``A`` apart on average.
    Missing and invalid values take no part. A column that is constant in the reference has no
    spread: untold, like no rows on a side.

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
    .. [1] Borell, "The Brunn-Minkowski inequality in Gauss space", Inventiones mathematicae 30,
       1975.

    Examples
    --------
    >>> from detectors.columns.profile import NumberProfile
    >>> profile = NumberProfile(np.array([0.0, 2.0]), np.array([500, 500]), 0, 0)
    >>> wasserstein(profile, np.array([0, 250, 0, 750, 0]), confidence=0.95).value
    0.5
    """
    n, m = profile.rows, int(cells.sum())
    scale = scaled(profile)
    if scale is None or not m:
        return untold(m)
    distance = distances(scale, cells)
    mean, deviation = _noise(scale, cells, n, m)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    slack = scale.rank_slack
    beyond = max(0.0, distance.least - slack) - mean
    return Estimate(
        value=distance.value,
        low=max(0.0, beyond - z * deviation),
        high=distance.most + slack + z * deviation,
        n=m,
        p_value=math.erfc(beyond / deviation / math.sqrt(2)) / 2 if beyond > 0 else 1.0,
    )


@dataclass(frozen=True, slots=True)
class Distance:
    """Distance of the two samples: as it is taken to be, and as small and large as it may be."""

    value: float
    least: float
    most: float


def distances(scale: Scale, cells: Ints) -> Distance:
    """Distance of the samples, in spreads; rows on both sides."""
    begins, ends = _window_in_gaps(cells)
    reference = np.cumsum(scale.shares)[:-1]
    begins, ends = begins - reference, ends - reference
    begins_far, ends_far = np.abs(begins), np.abs(ends)
    crosses = (begins < 0) & (ends > 0)
    even = (begins_far + ends_far) / 2
    least = np.minimum(begins_far, ends_far)
    # Where the window's function crosses the reference's, so does a straight line; and some of
    # the rows may lie at one end of the gap, so that it runs as close to it as a row allows.
    rows = int(cells.sum())
    steps = -begins[crosses] * rows
    even[crosses] = (begins[crosses] ** 2 + ends[crosses] ** 2) / (
        2 * (ends[crosses] - begins[crosses])
    )
    least[crosses] = np.abs(steps - np.rint(steps)) / rows
    gaps = scale.gaps
    return Distance(dot(gaps, even), dot(gaps, least), dot(gaps, np.maximum(begins_far, ends_far)))


def _window_in_gaps(cells: Ints) -> tuple[Floats, Floats]:
    """Window's distribution function where each gap begins and ends, each shape ``(K - 1,)``."""
    upto = np.cumsum(cells)
    upto = upto / upto[-1]
    return upto[1:-3:2], upto[2:-2:2]


def _noise(scale: Scale, cells: Ints, n: int, m: int) -> tuple[float, float]:
    """Mean of the noise's absolute integral, and its largest deviation in any direction.

    Variances are the larger of those of the samples apart and of both together: a window that
    happens to vary little, as small ones do, is not taken at its word.
    """
    begins, ends = _window_in_gaps(cells)
    f, g = np.cumsum(scale.shares)[:-1], (begins + ends) / 2
    pooled = (n * f + m * g) / (n + m)
    apart = f * (1 - f) / n + g * (1 - g) / m
    together = pooled * (1 - pooled) * (1 / n + 1 / m)
    mean = math.sqrt(2 / math.pi) * dot(
        scale.gaps, np.sqrt(np.maximum(0.0, np.maximum(apart, together)))
    )
    window = cells / m
    of_cells = np.zeros(cells.size)
    of_cells[1::2] = scale.shares
    apart_mean = variance(scale.places, of_cells) / n + variance(scale.places, window) / m
    both = (n * of_cells + m * window) / (n + m)
    together_mean = variance(scale.places, both) * (1 / n + 1 / m)
    return mean, math.sqrt(max(apart_mean, together_mean))
