"""Two-sample chi-square test of categories, with an effect size and its bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from detectors.measurement import Estimate, untold
from detectors.numerics.tails import chi_square_above
from detectors.statistics.bins import EXPECTED_MIN
from detectors.statistics.divergence import Divergence, root_estimate
from detectors.statistics.psi import Shares, smoothed

if TYPE_CHECKING:
    from collectors.batch import Ints


def chi_square(expected: Ints, actual: Ints, *, confidence: float) -> Estimate:
    """Estimate Cramér's V between being of the window and the category, and test it.

    Pearson's statistic ``X^2`` grows with the rows, and Cramér's ``V = sqrt(X^2 / (n + m))`` falls
    where one side has many more rows than the other. So the value is the V that a table of the
    same shares with equally many rows on both sides has [1]_,
    ``sqrt(1/2 sum (q - p)^2 / (p + q))``: 0 of equal shares, 1 of disjoint ones, and a threshold
    means the same at every size. Its bias and bounds are those of `divergence.root_estimate` with
    ``c = 1/4``; half a row is added to each bin on both sides.

    The p-value is that of the two-sample test [2]_, in which the reference is a sample, too:
    chi-square with one degree of freedom less than bins. There, bins in which either side expects
    fewer than :data:`detectors.statistics.bins.EXPECTED_MIN` rows are merged, by the counts of both
    sides together, so that one rare row is no alarm.

    Untold with no rows on a side, or when only one bin is filled on both (a constant column that
    stays so).

    Parameters
    ----------
    expected, actual
        Rows per category of the reference and of the window, shape ``(B,)``
        (`bins.category_shares`, which merges what is rare in the reference).
    confidence
        Of both bounds together, in ``(0, 1)``.

    References
    ----------
    .. [1] Cramér, "Mathematical methods of statistics", Princeton, 1946, chapter 21.
    .. [2] Pearson, "On the probability that two independent distributions of frequency are really
       samples from the same population", Biometrika 8, 1911.

    Examples
    --------
    >>> chi_square(np.array([500, 500]), np.array([500, 500]), confidence=0.95).value
    0.0
    """
    n, m = int(expected.sum()), int(actual.sum())
    if not n or not m or expected.size < 2:  # noqa: PLR2004 - two bins to compare
        return untold(m)
    shares = smoothed(expected, actual)
    estimate = root_estimate(divergence(shares), shares, n=n, m=m, confidence=confidence)
    expected, actual = merged(expected, actual)
    freedom = expected.size - 1
    p_value = chi_square_above(freedom, statistic(expected, actual)) if freedom else 1.0
    return replace(estimate, p_value=p_value)


def statistic(expected: Ints, actual: Ints) -> float:
    """Pearson's statistic of the table of two rows; no bin empty on both sides.

    Examples
    --------
    >>> statistic(np.array([10, 10]), np.array([0, 20]))
    13.333333333333332
    """
    n, m = int(expected.sum()), int(actual.sum())
    differences = actual / m - expected / n
    return float((differences**2 / (expected + actual)).sum()) * n * m


def merged(expected: Ints, actual: Ints) -> tuple[Ints, Ints]:
    """Merge the bins in which the smaller side expects fewer than `EXPECTED_MIN` rows into one.

    Should that still be too small, the next smallest bin joins it.
    """
    both = expected + actual
    n, m = int(expected.sum()), int(actual.sum())
    order = np.argsort(both, kind="stable")
    enough = np.cumsum(both[order]) * min(n, m) >= EXPECTED_MIN * (n + m)
    rare = int(np.count_nonzero(both * min(n, m) < EXPECTED_MIN * (n + m)))
    if not rare:
        return expected, actual
    # All the rare ones, and as many more as it takes.
    first = max(rare, int(np.count_nonzero(~enough)) + 1)
    joined = [
        np.append(side[order[first:]], side[order[:first]].sum()) for side in (expected, actual)
    ]
    return joined[0], joined[1]


def divergence(shares: Shares) -> Divergence:
    """Squared Cramér's V of two sides' shares, with equally many rows."""
    p, q = shares.expected, shares.actual
    both = p + q
    return Divergence(
        float(((q - p) ** 2 / both).sum()) / 2,
        1 / 4,
        (p - q) * (p + 3 * q) / both**2 / 2,
        (q - p) * (q + 3 * p) / both**2 / 2,
    )
