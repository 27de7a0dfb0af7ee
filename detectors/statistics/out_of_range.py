"""Share of a window's numbers beyond all that the reference has seen."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from detectors.measurement import Estimate, untold
from detectors.numerics.ratio import ratio

if TYPE_CHECKING:
    from collectors.batch import Ints
    from detectors.columns.profile import NumberProfile


def out_of_range_ratio(profile: NumberProfile, cells: Ints, *, confidence: float) -> Estimate:
    """Estimate the share of rows below the reference's smallest number or above its largest.

    Exact, also of a thinned reference, which keeps its ends. The bounds are Clopper and Pearson's
    of the share. When nothing has changed it is not 0 but about ``2 / (n + 1)`` for a reference of
    ``n`` rows; the p-value is the chance of as many rows or more then [1]_: exact for a continuous
    law, and an upper bound with ties.

    Infinities are beyond, unless the reference has them. Missing and invalid values take no part.
    No rows on a side: untold.

    Parameters
    ----------
    profile
        The reference.
    cells
        The window's rows over the profile's grid (`NumberCounts.cells`), shape ``(2K + 1,)``.
    confidence
        Of both bounds together, in ``(0, 1)``.

    References
    ----------
    .. [1] Wilks, "Statistical prediction with special reference to the problem of tolerance
       limits", Annals of Mathematical Statistics 13(4), 1942.

    Examples
    --------
    >>> import numpy as np
    >>> from detectors.columns.profile import NumberProfile
    >>> profile = NumberProfile(np.array([1.0, 2.0]), np.array([500, 500]), 0, 0)
    >>> out_of_range_ratio(profile, np.array([2, 50, 0, 45, 3]), confidence=0.95).value
    0.05
    """
    n, m = profile.rows, int(cells.sum())
    if not n or not m:
        return untold(m)
    beyond = int(cells[0] + cells[-1])
    return replace(ratio(beyond, m, confidence=confidence), p_value=_chance(beyond, n, m))


def _chance(beyond: int, n: int, m: int) -> float:
    """Chance that so many of `m` rows or more lie outside the range of `n` rows of the same law.

    The rows below the smallest and above the largest are as many as those before the second
    smallest, since all gaps are alike: ``k`` or more, where at most one of the ``k + 1`` smallest
    of all rows is one of the `n`.
    """
    drawn = beyond + 1
    ways = _log_choose(n + m, drawn)
    chance = n * math.exp(_log_choose(m, beyond) - ways)
    if drawn <= m:
        chance += math.exp(_log_choose(m, drawn) - ways)
    return min(1.0, chance)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
