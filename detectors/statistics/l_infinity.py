"""Largest change of any category's share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from detectors.measurement import Estimate, untold

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints


def l_infinity(expected: Ints, actual: Ints, *, confidence: float) -> Estimate:
    """Estimate the largest difference ``|q - p|`` between a category's two shares, 0 to 1.

    The one of the distances here that says without more ado by how many points a category's share
    has moved. Values that are rare in the reference, or new, count as one: those that it happens
    not to have would else be as many a false alarm. Each side's share is bounded by Clopper
    and Pearson's interval, each at ``(1 - confidence) / B`` so that all ``B`` hold together
    (Bonferroni), and those of a difference recover the variance of both [1]_. Then `low` is the
    largest of the lower bounds and `high` of the upper ones. Like KS the value is not corrected
    for bias. There is no p-value: `chi2` tests as much.

    Untold with no rows on a side.

    Parameters
    ----------
    expected, actual
        Rows per category of the reference and of the window, shape ``(B,)``, each of them filled
        on a side (`bins.category_shares`).
    confidence
        Of both bounds together, in ``(0, 1)``.

    References
    ----------
    .. [1] Zou, Donner, "Construction of confidence limits about effect measures: a general
       approach", Statistics in Medicine 27, 2008.

    Examples
    --------
    >>> l_infinity(np.array([500, 500]), np.array([70, 30]), confidence=0.95).value
    0.2
    """
    n, m = int(expected.sum()), int(actual.sum())
    if not n or not m:
        return untold(m)
    tail = (1 - confidence) / 2 / expected.size
    p, p_low, p_high = _bounded(expected, n, tail)
    q, q_low, q_high = _bounded(actual, m, tail)
    change = q - p
    low = change - np.hypot(q - q_low, p_high - p)
    high = change + np.hypot(q_high - q, p - p_low)
    return Estimate(
        value=float(np.abs(change).max()),
        low=float(max(0.0, low.max(), (-high).max())),
        high=float(min(1.0, max(high.max(), (-low).max()))),
        n=m,
    )


def _bounded(rows: Ints, n: int, tail: float) -> tuple[Floats, Floats, Floats]:
    """Shares with their exact bounds, which miss by `tail` each; each shape ``(B,)``."""
    from scipy.special import betaincinv  # noqa: PLC0415 - 27 MB, at the first window

    low = np.where(rows > 0, betaincinv(np.maximum(rows, 1), n - rows + 1, tail), 0.0)
    high = np.where(rows < n, betaincinv(rows + 1, np.maximum(n - rows, 1), 1 - tail), 1.0)
    return rows / n, low, high
