"""Resampling a series whose neighbours are alike: in blocks, of a length that the series gives.

Windows of real traffic are not independent: they overlap, the hour of the day moves them, and one
odd minute is in several. Drawn one by one they would look far quieter together than they are. The
stationary bootstrap draws blocks of geometrically distributed length, which keeps what lies close
together close together.

References
----------
D. N. Politis and J. P. Romano (1994), The stationary bootstrap. Journal of the American
Statistical Association 89, 1303-1313.

D. N. Politis and H. White (2004), Automatic block-length selection for the dependent bootstrap.
Econometric Reviews 23, 53-70; with the correction of A. Patton, D. N. Politis and H. White
(2009), Econometric Reviews 28, 372-375.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectors.batch import Floats, Ints

#: Correlations below so many times ``sqrt(log10(N) / N)`` pass for none (Politis and White's c).
_NOISE_FACTOR = 2.0
#: Fewest values of a series whose correlations tell anything.
_VALUES_MIN = 10


def block_length(values: Floats) -> float:
    """Return the mean block length that the stationary bootstrap of a mean should have.

    With autocovariances R(k), tapered by the flat-top kernel w up to twice the lag m after which
    correlations are noise::

        b = (G^2 / g^2 * N)^(1/3),  G = sum w(k/2m) |k| R(k),  g = sum w(k/2m) R(k)

    Parameters
    ----------
    values
        The series in order, shape ``(N,)``; finite.

    Returns
    -------
    float
        At least 1, at most ``min(3 sqrt(N), N / 3)``; 1 for a series that is constant or shorter
        than ten values.

    Examples
    --------
    >>> block_length(np.zeros(100))
    1.0
    """
    n = values.size
    if n < _VALUES_MIN or values.min() == values.max():
        return 1.0
    run = max(5, math.ceil(math.sqrt(math.log10(n))))
    lags = min(n - 1, math.ceil(math.sqrt(n)) + run)
    covariances = _autocovariances(values, lags)
    noise = _NOISE_FACTOR * math.sqrt(math.log10(n) / n)
    matters = np.abs(covariances[1:]) >= noise * covariances[0]
    last = _last_before_silence(matters, run)
    reach = min(2 * max(last, 1), lags)
    k = np.arange(-reach, reach + 1)
    tapered = np.minimum(1.0, 2.0 * (1.0 - np.abs(k) / reach)) * covariances[np.abs(k)]
    total = float(tapered.sum())
    if total <= 0.0:
        return 1.0
    slope = float((np.abs(k) * tapered).sum())
    length = (slope**2 / total**2 * n) ** (1 / 3)
    return float(np.clip(length, 1.0, max(1.0, min(3 * math.sqrt(n), n / 3))))


def resamples(
    n: int, mean_length: float, count: int, chance: np.random.Generator
) -> Iterator[Ints]:
    """Draw indices of a series, in blocks that begin anywhere and go round at its end.

    Parameters
    ----------
    n
        Length of the series, and of each drawn one.
    mean_length
        Mean length of a block: each goes on with probability ``1 - 1 / mean_length``.
    count
        How many to draw.

    Yields
    ------
    Ints
        Indices, shape ``(n,)``.
    """
    steps = np.arange(n)
    for _ in range(count):
        begins = chance.random(n) < 1.0 / mean_length
        begins[0] = True
        starts = chance.integers(n, size=n)
        latest = np.maximum.accumulate(np.where(begins, steps, 0))
        yield (starts[latest] + steps - latest) % n


def _autocovariances(values: Floats, lags: int) -> Floats:
    centred = values - values.mean()
    n = values.size
    return np.array([float(centred[: n - k] @ centred[k:]) / n for k in range(lags + 1)])


def _last_before_silence(matters: Floats, run: int) -> int:
    """Return the lag after which `run` correlations in a row do not matter."""
    silent = 0
    for place, one in enumerate(matters.tolist()):
        silent = 0 if one else silent + 1
        if silent == run:
            return place + 1 - run
    found = np.flatnonzero(matters)
    return int(found[-1]) + 1 if found.size else 0
