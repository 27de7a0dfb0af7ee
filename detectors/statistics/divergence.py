"""Bounds of a divergence between two samples' shares, whatever the divergence.

Every smooth divergence ``d(p, q)`` that is 0 for equal shares is a quadratic form near there:
``d = c * sum (q - p)^2 / p`` with a constant ``c``. So of two samples of one law, ``d`` divided by
``c (1/n + 1/m)`` follows about a chi-square law with one degree of freedom less than bins, and
under drift a noncentral one; farther away it is normal with the variance of the delta method.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

from detectors.measurement import Estimate
from detectors.numerics.moments import variance
from detectors.numerics.tails import chi_square_above, noncentrality

if TYPE_CHECKING:
    from collectors.batch import Floats
    from detectors.statistics.psi import Shares


@dataclass(frozen=True, slots=True, eq=False)
class Divergence:
    """A divergence at two samples' shares.

    Parameters
    ----------
    index
        Its figure, as it stands: with the bias of the sample sizes. In ``[0, 1]``.
    curvature
        The constant ``c`` above.
    by_expected, by_actual
        Derivatives by the shares of the reference and of the window, shape ``(B,)``.
    """

    index: float
    curvature: float
    by_expected: Floats
    by_actual: Floats


def root_estimate(
    divergence: Divergence, shares: Shares, *, n: int, m: int, confidence: float
) -> Estimate:
    """Estimate the square root of a divergence, which is a distance, less its bias.

    The bias ``c (B - 1) (1/n + 1/m)`` is taken off the divergence (down to 0). The bounds are the
    wider of those of the noncentral chi-square law and of the normal one; the p-value is that of
    the chi-square law.

    Parameters
    ----------
    divergence, shares
        The divergence of these shares.
    n, m
        Rows of the reference and of the window.
    confidence
        Of both bounds together, in ``(0, 1)``.
    """
    noise = divergence.curvature * shares.noise
    scaled, freedom = divergence.index / noise, shares.expected.size - 1
    value = max(0.0, divergence.index - freedom * noise)
    tail = (1 - confidence) / 2
    error = math.sqrt(
        variance(divergence.by_actual, shares.actual) / m
        + variance(divergence.by_expected, shares.expected) / n
    )
    margin = NormalDist().inv_cdf(1 - tail) * error
    low = min(noncentrality(scaled, freedom, 1 - tail) * noise, value - margin)
    high = max(noncentrality(scaled, freedom, tail) * noise, value + margin)
    return Estimate(
        value=math.sqrt(value),
        low=math.sqrt(max(0.0, low)),
        high=math.sqrt(min(1.0, high)),
        n=m,
        p_value=chi_square_above(freedom, scaled),
    )
