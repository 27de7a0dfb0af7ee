"""Round numbers to cut a column of numbers at: such as a person can say aloud."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectors.batch import Floats
    from detectors.columns.profile import NumberProfile

#: Intervals between the outermost edges, at most.
INNER_MAX: Final = 12
#: What lies outside of these quantiles of the reference may lie beyond the outermost edges.
TAIL_SHARE: Final = 0.01
#: A positive column whose quantiles differ by more than this factor is cut on a logarithmic scale.
LOGARITHMIC_FACTOR: Final = 200.0


def round_edges(profile: NumberProfile) -> Floats:
    """Choose edges that span the bulk of a reference, ascending, at least one.

    They are whole multiples of 1, 2 or 5 times a power of ten; of a column that spans decades,
    such numbers themselves. The reference has at least one row.

    Examples
    --------
    >>> from detectors.columns.profile import NumberProfile
    >>> age = NumberProfile(np.arange(1.0, 101.0), np.ones(100, np.int64), 0, 0)
    >>> round_edges(age)
    array([  0.,  10.,  20.,  30.,  40.,  50.,  60.,  70.,  80.,  90., 100.])
    """
    finite = profile.points[np.isfinite(profile.points)]
    if not finite.size:
        return np.zeros(1)
    low, high = (profile.quantile(share) for share in (TAIL_SHARE, 1 - TAIL_SHARE))
    low, high = (float(np.clip(one, finite[0], finite[-1])) for one in (low, high))
    if low == high:
        # Nearly all rows have one value: what there is beside it is worth showing too.
        low, high = float(finite[0]), float(finite[-1])
    if low == high or not math.isfinite(high - low):
        return np.array([low])
    if low > 0 and high / low > LOGARITHMIC_FACTOR:
        return _logarithmic(low, high)
    for factor, power in _round_widths((high - low) / INNER_MAX):
        width = float(f"{factor}e{power}")
        first, last = math.floor(low / width), math.ceil(high / width)
        if last - first <= INNER_MAX:
            break
    # Written and read again: three times 0.1 is not the number that is called 0.3. Of numbers so
    # far from zero that a width is lost in rounding, fewer edges are left.
    return np.unique([float(f"{number * factor}e{power}") for number in range(first, last + 1)])


def _round_widths(least: float) -> Iterator[tuple[int, int]]:
    """1, 2 or 5 and a power of ten, ascending, from the first that is not less."""
    power = math.floor(math.log10(least))
    while True:
        yield from ((one, power) for one in (1, 2, 5) if float(f"{one}e{power}") >= least)
        power += 1


def _logarithmic(low: float, high: float) -> Floats:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        every = [float(f"{one}e{power}") for power in range(first, last + 1) for one in factors]
        every = [edge for edge in every if 0 < edge < math.inf]
        begins = max((edge for edge in every if edge <= low), default=every[0])
        ends = min((edge for edge in every if edge >= high), default=every[-1])
        edges = [edge for edge in every if begins <= edge <= ends]
        if len(edges) <= INNER_MAX + 1:
            return np.array(edges)
    return np.array(edges[:: math.ceil(len(edges) / INNER_MAX)])
