"""Estimates from samples that were taken while a window lasted."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from detectors.measurement import Estimate, untold
from detectors.numerics.tails import student_quantile

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Fewest samples that say how much they differ.
_TWO = 2


def mean_of(samples: Sequence[float], confidence: float) -> Estimate:
    """Estimate the mean of something that goes up and down and is never below 0.

    Student's interval [1]_, cut off at 0. Samples are taken as independent: a load that lasts for
    several samples makes the interval too narrow. One sample has no bounds; none are untold.

    Parameters
    ----------
    samples
        Finite, each an average over the time since the one before.
    confidence
        Of both bounds together, in ``(0, 1)``.

    References
    ----------
    .. [1] Student, "The probable error of a mean", Biometrika 6, 1908.

    Examples
    --------
    >>> mean_of([1.0, 1.0, 1.0], 0.99)
    Estimate(value=1.0, low=1.0, high=1.0, n=3, p_value=None)
    >>> estimate = mean_of([0.5, 1.5], 0.5)
    >>> estimate.value, round(estimate.low, 3), round(estimate.high, 3)
    (1.0, 0.5, 1.5)
    >>> mean_of([0.5], 0.99).low is None
    True
    """
    n = len(samples)
    if not n:
        return untold()
    mean = float(np.mean(samples))
    if n < _TWO:
        return Estimate(mean, None, None, n)
    error = float(np.std(samples, ddof=1)) / math.sqrt(n)
    reach = student_quantile(n - 1, (1 + confidence) / 2) * error
    return Estimate(mean, max(0.0, mean - reach), mean + reach, n)


def peak_of(samples: Sequence[float], _confidence: float) -> Estimate:
    """Take the largest of samples of a level; the bounds are the smallest and the largest.

    So a rule `above` breaches where the level was beyond the threshold in every sample, and is
    fine where it was in none. What the level did between samples is not known.

    Examples
    --------
    >>> peak_of([3.0, 5.0, 4.0], 0.99)
    Estimate(value=5.0, low=3.0, high=5.0, n=3, p_value=None)
    >>> peak_of([], 0.99).value is None
    True
    """
    if not samples:
        return untold()
    return Estimate(max(samples), min(samples), max(samples), len(samples))


def age_of(samples: Sequence[float], _confidence: float) -> Estimate:
    """Take an age at the end of the window, which is exact: the last sample, and its bounds.

    Examples
    --------
    >>> age_of([60.0], 0.99)
    Estimate(value=60.0, low=60.0, high=60.0, n=1, p_value=None)
    """
    if not samples:
        return untold()
    return Estimate(samples[-1], samples[-1], samples[-1], len(samples))
