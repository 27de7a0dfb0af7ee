"""Distinct values of arrays that ascend.

`numpy.unique` would do; but the first call of it imports all of `numpy.ma`, to see that nothing is
masked, which takes as long as sorting a million numbers, and it sorts what is sorted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collectors.batch import Ints

_Number = TypeVar("_Number", np.float64, np.int64)


def distinct(ascending: npt.NDArray[_Number]) -> npt.NDArray[_Number]:
    """Each value once.

    Examples
    --------
    >>> distinct(np.array([1.0, 1.0, 2.0])).tolist()
    [1.0, 2.0]
    """
    return ascending[_starts(ascending)]


def distinct_counts(ascending: npt.NDArray[_Number]) -> tuple[npt.NDArray[_Number], Ints]:
    """Each value once, and how often it is there.

    Examples
    --------
    >>> values, counts = distinct_counts(np.array([1.0, 1.0, 2.0]))
    >>> values.tolist(), counts.tolist()
    ([1.0, 2.0], [2, 1])
    """
    starts = _starts(ascending)
    if starts.size == ascending.size:
        return ascending, np.ones(starts.size, np.int64)
    return ascending[starts], np.diff(starts, append=ascending.size)


def _starts(ascending: npt.NDArray[_Number]) -> Ints:
    """Index of the first of each run of equal values."""
    is_start = np.ones(ascending.size, np.bool_)
    np.not_equal(ascending[1:], ascending[:-1], out=is_start[1:])
    return np.flatnonzero(is_start)
