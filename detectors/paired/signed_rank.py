"""Wilcoxon's signed-rank test of paired differences, from counts that add up."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING

from detectors.measurement import Estimate, untold

if TYPE_CHECKING:
    from detectors.paired.answer_buckets import AnswerBuckets

#: Fewest differences for which the normal law stands in for the exact one.
NORMAL_MIN = 10


def signed_rank(differences: AnswerBuckets) -> Estimate:
    """Estimate how one-sided paired differences are, with Wilcoxon's test [1]_.

    Differences of 0 are left out; the rest are ranked by size, ties at the middle of their ranks,
    and ``W+`` and ``W-`` are the sums of the ranks on either side. The value is the matched-pairs
    rank correlation ``(W+ - W-) / (W+ + W-)`` [2]_: 1 where every difference is upwards, 0 where
    as much weight lies on either side. The p-value is two-sided, from the normal law with the
    variance corrected for ties and half a rank for continuity; None of fewer than `NORMAL_MIN`.

    Differences in one bucket tie, that is, sizes within one percent. No bounds are given. It
    takes rows as independent; rows of one request are not.

    Parameters
    ----------
    differences
        Second answer less the first, a row each.

    References
    ----------
    .. [1] Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1(6), 1945;
       ties as in Lehmann, "Nonparametrics", 1975, chapter 3.
    .. [2] Kerby, "The simple difference formula", Comprehensive Psychology 3, 2014.

    Examples
    --------
    >>> from detectors.paired.answer_buckets import AnswerBuckets
    >>> differences = AnswerBuckets()
    >>> for value in (1.0, 2.0, -3.0, 0.0):
    ...     differences.add(value)
    >>> signed_rank(differences).value
    0.0
    """
    counts = differences.counts
    sizes = sorted({abs(bucket) for bucket in counts} - {0})
    n = sum(rows for bucket, rows in counts.items() if bucket)
    if not n:
        return untold(differences.n)
    # Twice the ranks, so that those of ties stay whole.
    before, up, down, ties = 0, 0, 0, 0
    for size in sizes:
        above, below = counts.get(size, 0), counts.get(-size, 0)
        tied = above + below
        rank = 2 * before + tied + 1
        up, down = up + above * rank, down + below * rank
        ties += tied**3 - tied
        before += tied
    value = (up - down) / (up + down)
    if n < NORMAL_MIN:
        return Estimate(value, None, None, differences.n)
    variance = n * (n + 1) * (2 * n + 1) / 24 - ties / 48
    apart = max(0.0, abs(up - down) / 4 - 0.5)
    p_value = min(1.0, 2 * NormalDist().cdf(-apart / math.sqrt(variance))) if variance else 1.0
    return Estimate(value, None, None, differences.n, p_value)
