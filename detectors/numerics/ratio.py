"""Share of rows or requests with a property, with the exact binomial interval."""

from __future__ import annotations

from detectors.measurement import Estimate, untold
from detectors.numerics.tails import beta_quantile


def ratio(hits: int, n: int, *, confidence: float) -> Estimate:
    """Estimate a share from `hits` of `n`; untold of none.

    Clopper and Pearson's interval [1]_: each bound errs at most ``(1 - confidence) / 2`` of the
    time whatever the share. Wilson's is narrower, but its lower bound errs in 6.6 % of the windows
    at a true share of 0.3 % of 500 rows where 2.5 % is stated, and error and missing ratios
    are small shares.

    Parameters
    ----------
    confidence
        Of both bounds together, in ``(0, 1)``.

    References
    ----------
    .. [1] Clopper, Pearson, "The use of confidence or fiducial limits illustrated in the case of
       the binomial", Biometrika 26, 1934.

    Examples
    --------
    >>> estimate = ratio(0, 100, confidence=0.95)
    >>> estimate.value, estimate.low, round(estimate.high, 3)
    (0.0, 0.0, 0.036)
    """
    if not n:
        return untold()
    tail = (1 - confidence) / 2
    low = beta_quantile(hits, n - hits + 1, tail) if hits else 0.0
    high = beta_quantile(hits + 1, n - hits, 1 - tail) if hits < n else 1.0
    return Estimate(hits / n, low, high, n)
