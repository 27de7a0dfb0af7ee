"""Sums of products, and variances of values by their shares: the same in every run.

A matrix product would start the threads of the linear algebra library for as few as 10,000 numbers.
On a machine whose cores are busy that takes ten times as long as the sum itself, and it adds up in
an order that depends on how many cores there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints


def dot(weights: Floats | Ints, values: Floats | Ints) -> float:
    """Sum of the products of two arrays of one shape.

    Examples
    --------
    >>> import numpy as np
    >>> dot(np.array([1.0, 2.0]), np.array([3.0, 4.0]))
    11.0
    """
    return float((weights * values).sum())


def variance(values: Floats, shares: Floats) -> float:
    """Return the variance of values that have these shares; shares sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> variance(np.array([0.0, 2.0]), np.array([0.5, 0.5]))
    1.0
    """
    return dot(shares, (values - dot(shares, values)) ** 2)
