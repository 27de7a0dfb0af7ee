"""Which rows of a sorted sample bound a quantile, whatever the distribution."""

from __future__ import annotations

import math

import numpy as np


def ranks(n: int, q: float, tail: float) -> tuple[int, int]:
    """Ranks (from 1) of the rows between which the q-quantile lies, each missing it by `tail`.

    ``P(X(l) > Q) = P(Bin(n, q) <= l - 1)`` and ``P(X(u) < Q) = P(Bin(n, q) >= u)`` [1]_. Ranks 0
    and ``n + 1`` stand for no bound: too few rows to tell.

    References
    ----------
    .. [1] Thompson, "On confidence ranges for the median and other expectation distributions for
       populations of unknown distribution form", Annals of Mathematical Statistics 7, 1936.

    Examples
    --------
    >>> ranks(6, 0.5, 0.025), ranks(5, 0.5, 0.025)
    ((1, 6), (0, 6))
    """
    spread = 12 * math.sqrt(n * q * (1 - q)) + 12
    hits = np.arange(max(0, int(n * q - spread)), min(n, int(n * q + spread)) + 1)
    # Each probability from the one before; what lies outside has one of less than 1e-30.
    logs = np.zeros(hits.size)
    np.log((n - hits[:-1]) / hits[1:] * (q / (1 - q)), out=logs[1:])
    logs = np.cumsum(logs)
    upto = np.cumsum(np.exp(logs - logs.max()))
    upto /= upto[-1]
    below = int(hits[0] + np.count_nonzero(upto <= tail))
    return below, int(hits[0] + np.count_nonzero(upto < 1 - tail)) + 1
