"""Distance of a window's mean vector from its reference's, in spreads of the reference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from detectors.measurement import Estimate, untold

if TYPE_CHECKING:
    from collectors.batch import Floats
    from detectors.columns.profile import VectorProfile
    from detectors.columns.vector_counts import VectorCounts

#: With fewer rows on either side nothing is told: a mean of fewer is not normal.
ROWS_MIN = 30
#: Halvings of an interval.
_HALVINGS = 48
#: So near to its mean a law's tail is taken as at the mean itself.
_NEAR = 1e-4
_NORMAL = NormalDist()


def mean_distance(profile: VectorProfile, counts: VectorCounts, *, confidence: float) -> Estimate:
    """Estimate how far the mean vector has moved: 1 is as far as a typical row from the mean.

    With the means ``a`` and ``b`` of n rows of the reference and m of the window, and the total
    variance ``t`` (the trace of the covariance) of either::

        value = sqrt(max(0, |a - b|² - t_a / n - t_b / m) / t_a)

    The second and third terms are what ``|a - b|²`` is on average without drift. On places
    (:class:`detectors.columns.vector_axes.VectorAxes`): rows far out count as nearer, and arrays of
    more than 64 numbers are projected to 64, by which all distances are off by some per cent, the
    same in every window. Bounds and p-value are those of the projected distance.

    The p-value is of Dempster's test [1]_ for means of many dimensions, which has no inverse of a
    covariance: ``F = |a - b|² / (t_a / n + t / m)``, with the larger of both variances as t.
    Without drift F is a ratio of sums of chi-square variables, weighted by the eigenvalues of the
    reference's covariance; its tail is taken from their saddlepoint approximation [2]_. The bounds
    are the distances d for which ``|a - b|² - d²`` is not too far from its mean: by the
    quantiles of that law, and by the normal law of what grows with d.

    Rows are taken as independent; those of sessions raise false alarms. Untold with fewer than
    :data:`ROWS_MIN` rows on a side, and of a reference that is constant. Missing and invalid rows
    take no part.

    Parameters
    ----------
    profile
        The reference.
    counts
        The window's, on the profile's axes.
    confidence
        Of both bounds together, in ``(0, 1)``.

    References
    ----------
    .. [1] Dempster, "A high dimensional two sample significance test", Annals of Mathematical
       Statistics 29, 1958.
    .. [2] Kuonen, "Saddlepoint approximations for distributions of quadratic forms in normal
       variables", Biometrika 86, 1999.

    Examples
    --------
    >>> from collectors.batch import VectorColumn
    >>> from detectors.columns.vector_builder import VectorBuilder
    >>> from detectors.columns.vector_counts import VectorCounts
    >>> square = np.array([[0.0, 0.0], [0.0, 2.0], [2.0, 0.0], [2.0, 2.0]])
    >>> builder = VectorBuilder()
    >>> builder.add(VectorColumn(np.tile(square, (1_000, 1))))
    >>> profile = builder.profile()
    >>> counts = VectorCounts(profile.axes)
    >>> counts.add(VectorColumn(np.tile(square + [1.0, 0.0], (1_000, 1))))
    >>> round(mean_distance(profile, counts, confidence=0.95).value, 2)
    0.71
    """
    n, m = profile.rows, counts.rows
    variance = float(np.trace(profile.covariance))
    if min(n, m) < ROWS_MIN or variance <= 0:
        return untold(m)
    moved = counts.sums / m - profile.mean
    squared = float((moved * moved).sum())
    own = _variance(counts)
    # Small windows of a rare value vary less than the reference by chance.
    noise = variance / n + max(variance, own) / m
    law = _Law.of(profile.covariance, n - 1)
    tail = (1 - confidence) / 2
    spread, level = math.sqrt(variance), _NORMAL.inv_cdf(1 - tail)
    centred = squared - variance / n - own / m
    along = float(moved @ profile.covariance @ moved) / squared if squared else variance
    # Of the square, for each unit of the distance.
    slope = 2 * level * math.sqrt(max(0.0, along) * noise / variance)
    above, below = noise * (law.quantile(tail) - 1), noise * (1 - law.quantile(1 - tail))
    low = _ends(squared - noise, above, slope)[0] if squared - noise > above else 0.0
    value = math.sqrt(max(0.0, centred))
    return Estimate(
        value=value / spread,
        low=min(low, value) / spread,
        high=max(_ends(centred, below, slope)[1], value) / spread,
        n=m,
        p_value=law.above(squared / noise),
    )


def _ends(centred: float, noise: float, slope: float) -> tuple[float, float]:
    """Return both distances d at which ``|centred - d²|`` is ``hypot(noise, slope d)``."""
    middle = centred + slope**2 / 2
    reach = math.sqrt(max(0.0, middle**2 - centred**2 + noise**2))
    return math.sqrt(max(0.0, middle - reach)), math.sqrt(max(0.0, middle + reach))


def _variance(counts: VectorCounts) -> float:
    """Total variance of a window's places; of whole numbers, so that nothing cancels."""
    m = counts.rows
    of_means = sum(one * one for one in counts.sums.tolist())
    return float((counts.squares * m - of_means) / (m * (m - 1)))


@dataclass(frozen=True, slots=True)
class _Law:
    """Law of ``sum(w X) / (sum(w Y) / freedom)``, chi-squares X of 1 and Y of `freedom` each.

    Parameters
    ----------
    weights
        Positive, with the sum 1, shape ``(k,)``.
    freedom
        Of what the scale is estimated from.
    """

    weights: Floats
    freedom: int

    @classmethod
    def of(cls, covariance: Floats, freedom: int) -> _Law:
        eigenvalues = np.linalg.eigvalsh(covariance)
        kept = eigenvalues[eigenvalues > eigenvalues[-1] * 1e-9]
        return cls(kept / kept.sum(), freedom)

    def above(self, ratio: float) -> float:
        """Chance of a ratio as large: that ``sum(w X) - ratio sum(w Y) / freedom`` is positive."""
        if ratio <= 0:
            return 1.0
        terms = 2 * np.concatenate((self.weights, -ratio / self.freedom * self.weights))
        degrees = np.repeat([1.0, self.freedom], self.weights.size)
        low, high = 1 / float(terms.min()), 1 / float(terms.max())
        at = 0.0
        for _ in range(_HALVINGS):
            at = (low + high) / 2
            slope = _sum(degrees * terms / (1 - at * terms))
            low, high = (at, high) if slope < 0 else (low, at)
        bent = _sum(degrees * (terms / (1 - at * terms)) ** 2) / 2
        if abs(at) * math.sqrt(bent) < _NEAR:
            third = _sum(degrees * terms**3)
            return 0.5 - float(third / (6 * math.sqrt(2 * math.pi) * bent**1.5))
        cumulant = -_sum(degrees * np.log1p(-at * terms)) / 2
        root = math.copysign(math.sqrt(max(0.0, -2 * cumulant)), at)
        tail = math.erfc(root / math.sqrt(2)) / 2
        found = tail + _NORMAL.pdf(root) * (1 / (at * math.sqrt(bent)) - 1 / root)
        return min(1.0, max(0.0, found))

    def quantile(self, level: float) -> float:
        """Ratio that is exceeded with the chance `level`."""
        low, high = 0.0, 2.0
        while self.above(high) > level:
            low, high = high, 2 * high
        for _ in range(_HALVINGS // 2):
            middle = (low + high) / 2
            low, high = (middle, high) if self.above(middle) > level else (low, middle)
        return (low + high) / 2


def _sum(values: Floats) -> float:
    return float(values.sum())
