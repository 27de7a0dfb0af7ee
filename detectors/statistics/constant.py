"""Whether a column that varied in the reference has one value only."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from detectors.measurement import Estimate, untold

if TYPE_CHECKING:
    from collectors.batch import Ints
    from detectors.columns.category_counts import CategoryCounts
    from detectors.columns.profile import CategoryProfile, NumberProfile


def constant_number(profile: NumberProfile, cells: Ints, *, confidence: float) -> Estimate:
    """Say whether all of a window's numbers are one value: 1 if they are, 0 if not.

    The p-value is the chance that nothing but chance makes the window so: that all of its ``m``
    rows are the one value, given how often it occurs in window and reference together [1]_. `low`
    is 1 only where that is at most ``1 - confidence``: a window of 20 rows of a column that is 0 in
    99 of 100 rows proves nothing. 0 is exact. So is 1 where the value is one of the reference's;
    rows that all lie between the same two of its values, or all beyond its range, may be one value
    or not: then `low` is 0, and there is no p-value. A column that is constant in the reference
    already gives 0. Missing and invalid values take no part. No rows on a side: untold.

    Parameters
    ----------
    profile
        The reference.
    cells
        The window's rows over the profile's grid (`NumberCounts.cells`), shape ``(2K + 1,)``.
    confidence
        Of the lower bound, in ``(0, 1)``.

    References
    ----------
    .. [1] Fisher, "The design of experiments", Edinburgh, 1935: the permutation of rows between
       both samples.

    Examples
    --------
    >>> from detectors.columns.profile import NumberProfile
    >>> profile = NumberProfile(np.array([1.0, 2.0]), np.array([50, 50]), 0, 0)
    >>> constant_number(profile, np.array([0, 90, 0, 0, 0]), confidence=0.95).low
    1.0
    """
    n, m = profile.rows, int(cells.sum())
    if not n or not m:
        return untold(m)
    filled = np.flatnonzero(cells)
    if profile.points.size == 1 or filled.size > 1:
        return _varies(m)
    cell = int(filled[0])
    if cell % 2 == 0 and m > 1:
        return Estimate(1.0, 0.0, 1.0, m)
    same = int(profile.counts[cell // 2]) if cell % 2 else 0
    return _is_constant(same, n, m, confidence)


def constant_category(
    profile: CategoryProfile, counts: CategoryCounts, *, confidence: float
) -> Estimate:
    """Say whether all of a window's categories are one value: 1 if they are, 0 if not.

    As :func:`constant_number`. Values that the reference does not name are told apart, too, as long
    as the window's counts keep the names of all of them.

    Parameters
    ----------
    profile
        The reference.
    counts
        The window.
    confidence
        Of the lower bound, in ``(0, 1)``.
    """
    n, m = profile.rows, counts.rows
    if not n or not m:
        return untold(m)
    known = np.flatnonzero(counts.known)
    distinct = known.size + (len(counts.new_names) if counts.other else 0)
    if distinct > 1 or (len(profile.values) == 1 and not profile.other):
        return _varies(m)
    same = int(profile.counts[known[0]]) if known.size else 0
    return _is_constant(same, n, m, confidence)


def _varies(m: int) -> Estimate:
    return Estimate(0.0, 0.0, 0.0, m, p_value=1.0)


def _is_constant(same: int, n: int, m: int, confidence: float) -> Estimate:
    """Weigh a window of one value, which the reference has in `same` of its `n` rows."""
    chance = math.exp(
        math.lgamma(same + m + 1)
        - math.lgamma(same + 1)
        + math.lgamma(n + 1)
        - math.lgamma(n + m + 1)
    )
    chance = min(1.0, chance)
    return Estimate(1.0, 1.0 if chance <= 1 - confidence else 0.0, 1.0, m, p_value=chance)
