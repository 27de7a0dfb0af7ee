"""McNemar's test: which of two answers to the same question is right more often."""

from __future__ import annotations

import math

from detectors.measurement import Estimate, untold
from detectors.numerics.ratio import ratio

#: Terms of the sum that are smaller than this share of it are left out.
_NEGLIGIBLE = 1e-18


def mcnemar(only_first: int, only_second: int) -> float:
    """Chance of such a split of the rows where exactly one of two is right, were both as good.

    Exact and two-sided: of ``b + c`` rows each goes either way like a fair coin, so the p-value is
    ``min(1, 2 P(X <= min(b, c)))``, ``X`` binomial of ``b + c`` and one half [1]_. Rows on which
    both are right, or both wrong, say nothing. 1 without any row that does.

    References
    ----------
    .. [1] McNemar, "Note on the sampling error of the difference between correlated proportions
       or percentages", Psychometrika 12, 1947; the exact form is the sign test's.

    Examples
    --------
    >>> mcnemar(0, 5), mcnemar(3, 3), mcnemar(0, 0)
    (0.0625, 1.0, 1.0)
    """
    n, fewer = only_first + only_second, min(only_first, only_second)
    if not n:
        return 1.0
    # From the largest term down; each is the one before times a ratio below 1.
    term, total = 1.0, 1.0
    for k in range(fewer, 0, -1):
        term *= k / (n - k + 1)
        total += term
        if term < _NEGLIGIBLE * total:
            break
    largest = math.lgamma(n + 1) - math.lgamma(fewer + 1) - math.lgamma(n - fewer + 1)
    # Where the logarithm of a huge factorial is rounded, the chance may come out above 1.
    return min(1.0, 2 * math.exp(largest - n * math.log(2) + math.log(total)))


def accuracy_difference(
    only_first: int, only_second: int, n: int, *, confidence: float
) -> Estimate:
    """Estimate how much larger the second's share of right answers is than the first's.

    ``(c - b) / n``, with McNemar's exact p-value. The bounds are those of both shares ``b / n`` and
    ``c / n``, exact (Clopper and Pearson), each with half of the error allowed (Bonferroni):
    wider than need be, and true at every number of rows. Untold without rows.

    Parameters
    ----------
    only_first, only_second
        Rows on which only the first was right (`b`), and only the second (`c`).
    n
        All rows whose right answer is known.

    Examples
    --------
    >>> estimate = accuracy_difference(10, 30, 100, confidence=0.95)
    >>> estimate.value, round(estimate.p_value, 4)
    (0.2, 0.0022)
    """
    if not n:
        return untold()
    each = (1 + confidence) / 2
    first, second = (ratio(hits, n, confidence=each) for hits in (only_first, only_second))
    # A share of at least one row always has bounds.
    low = (second.low or 0.0) - (first.high or 0.0)
    high = (second.high or 0.0) - (first.low or 0.0)
    return Estimate((only_second - only_first) / n, low, high, n, mcnemar(only_first, only_second))
