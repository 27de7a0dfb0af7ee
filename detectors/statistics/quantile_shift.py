"""Shift of a window's quantile from its reference's, in spreads of the reference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.measurement import Estimate, untold
from detectors.numerics.order_statistics import ranks
from detectors.statistics.scale import Scale, scaled

if TYPE_CHECKING:
    from collectors.batch import Ints
    from detectors.columns.profile import NumberProfile


def quantile_shift(profile: NumberProfile, cells: Ints, *, q: float, confidence: float) -> Estimate:
    """Estimate by how many spreads a quantile has moved: positive upwards, negative downwards.

    Of the clipped values of :class:`detectors.statistics.scale.Scale`. The quantile of a sample is
    its ``ceil(q n)``-th row. Each side is bounded by its order statistics, free of any
    distribution; where there would need to be more rows, by the end of the axis. The bounds of the
    shift recover the variance of each side from these [1]_. A row between two values of the
    reference counts in the middle, and the bounds reach to both. There is no p-value: `ks` and
    `cvm` test as much.

    Missing and invalid values take no part. A column that is constant in the reference has no
    spread: untold, like no rows on a side.

    Parameters
    ----------
    profile
        The reference.
    cells
        The window's rows over the profile's grid (`NumberCounts.cells`), shape ``(2K + 1,)``.
    q
        Share of the rows at or below the quantile, in ``(0, 1)``.
    confidence
        Of both bounds together, in ``(0, 1)``.

    References
    ----------
    .. [1] Zou, Donner, "Construction of confidence limits about effect measures: a general
       approach", Statistics in Medicine 27, 2008.

    Examples
    --------
    >>> from detectors.columns.profile import NumberProfile
    >>> profile = NumberProfile(np.array([0.0, 2.0]), np.array([600, 400]), 0, 0)
    >>> quantile_shift(profile, np.array([0, 0, 0, 9, 0]), q=0.5, confidence=0.95).value
    2.0
    """
    m = int(cells.sum())
    scale = scaled(profile)
    if scale is None or not m:
        return untold(m)
    tail = (1 - confidence) / 2
    before = _of_reference(scale, profile, q, tail)
    after = _of_window(scale, cells, q, tail)
    shift = after.value - before.value
    return Estimate(
        value=shift,
        low=shift - math.hypot(after.value - after.low, before.high - before.value),
        high=shift + math.hypot(after.high - after.value, before.value - before.low),
        n=m,
    )


@dataclass(frozen=True, slots=True)
class _Quantile:
    value: float
    low: float
    high: float


def _of_window(scale: Scale, cells: Ints, q: float, tail: float) -> _Quantile:
    upto = np.cumsum(cells)
    m = int(upto[-1])
    below, above = ranks(m, q, tail)
    cell = int(upto.searchsorted(math.ceil(q * m - 1e-9)))
    low, high = scale.points[0], scale.points[-1]
    if below:
        lowest = int(upto.searchsorted(below))
        low = scale.places[lowest] - scale.slack[lowest]
    if above <= m:
        highest = int(upto.searchsorted(above))
        high = scale.places[highest] + scale.slack[highest]
    return _Quantile(float(scale.places[cell]), float(low), float(high))


def _of_reference(scale: Scale, profile: NumberProfile, q: float, tail: float) -> _Quantile:
    upto = np.cumsum(profile.counts)
    n = int(upto[-1])
    below, above = ranks(n, q, tail)
    point = int(upto.searchsorted(math.ceil(q * n - 1e-9)))
    low, high = scale.points[0], scale.points[-1]
    if below:
        lowest = int(upto.searchsorted(below))
        # A thinned profile has moved rows up to the point, from above the one before.
        low = scale.points[max(0, lowest - 1) if profile.rank_error else lowest]
    if above <= n:
        high = scale.points[int(upto.searchsorted(above))]
    return _Quantile(float(scale.points[point]), float(low), float(high))
