"""Tests of "no more than so much, either way", where the noise is normal.

A statistic lies so many of its standard errors from where it would be without drift. Without
drift beyond a tolerance its mean may be anywhere within a margin on both sides of that, and the
chance to lie as far out, on either side, is greatest with the mean at an end of the margin. There
the two sides are not alike: the far one hardly counts. To double the chance of the near one, as
is done where nothing is tolerated, would ask for more than the level does.
"""

from __future__ import annotations

import math
from statistics import NormalDist

_ROOT_2 = math.sqrt(2)
#: Halvings of an interval of standard errors, to 1e-10.
_HALVINGS = 36


def chance_beyond(deviations: float, margin: float) -> float:
    """Chance that a normal variable is `deviations` or more from 0 with a mean at `margin`.

    Both not negative, in standard deviations.

    Examples
    --------
    >>> round(chance_beyond(1.959964, 0.0), 6), round(chance_beyond(4.0, 3.0), 4)
    (0.05, 0.1587)
    """
    near, far = (deviations - margin) / _ROOT_2, (deviations + margin) / _ROOT_2
    return min(1.0, (math.erfc(near) + math.erfc(far)) / 2)


def margin_beyond(deviations: float, level: float) -> float:
    """Largest margin at which `chance_beyond` is `level`, in (0, 1), at most; 0 if there is none.

    Examples
    --------
    >>> round(margin_beyond(4.0, 0.1587), 3), margin_beyond(1.0, 0.01)
    (3.0, 0.0)
    """
    if chance_beyond(deviations, 0.0) >= level:
        return 0.0
    # Of one side alone the margin could be this, and of both sides at their ends no less than that.
    most = deviations + NormalDist().inv_cdf(level)
    least = max(0.0, deviations + NormalDist().inv_cdf(level / 2))
    for _ in range(_HALVINGS):
        middle = (least + most) / 2
        if chance_beyond(deviations, middle) <= level:
            least = middle
        else:
            most = middle
    return least
