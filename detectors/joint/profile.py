"""What a reference knows of its number columns together: correlations, and how much they vary."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from detectors.columns.reference_error import ReferenceError  # noqa: A004 - the builtin is about weak references

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints
    from detectors.joint.scores import ScoreTables

#: Chance that independent rows are taken for dependent ones.
LEVEL = 1e-3
#: Correlations beyond are taken for these: Fisher's z of 1 is infinite.
CORRELATION_MAX = 0.999
#: Rows that a correlation needs, after division by the noise that they have.
ROWS_MIN = 8


@dataclass(frozen=True, slots=True, eq=False)
class JointScale:
    """How much correlations vary between blocks of one length.

    Parameters
    ----------
    rows
        Rows of a block.
    blocks
        Blocks, fewest over the pairs.
    centers
        Mean Fisher's z of the blocks, shape ``(P,)``; NaN of a pair that has too few.
    noises
        Variance of Fisher's z between blocks times ``rows - 3``, shape ``(P,)``: about 1 of
        independent rows of normal scores.
    p_value
        Chance that noises as large come of independent rows.
    """

    rows: int
    blocks: int
    centers: Floats
    noises: Floats
    p_value: float


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What windows of a certain length have, as long as nothing changes.

    Parameters
    ----------
    centers
        Fisher's z by pair, shape ``(P,)``; NaN where it cannot be told.
    noises
        Variance of Fisher's z by pair: `noises` times ``1 / (n - 3) + 1 / m``.
    freedom
        Degrees of freedom that the noises were estimated with; infinite of independent rows.
    """

    centers: Floats
    noises: Floats
    freedom: float


@dataclass(frozen=True, slots=True, eq=False)
class JointProfile:
    """Correlations of all pairs of number columns, and what is needed to compare with them.

    Pairs stand in the order of the upper triangle of a matrix of the columns.

    Parameters
    ----------
    tables
        What rows' scores are looked up in.
    rows
        Rows that the rest was made of.
    centers
        Fisher's z of all rows, shape ``(P,)``; NaN where a column is constant.
    noises
        Variance of Fisher's z, by the delta method, times the rows; shape ``(P,)``.
    scales
        By ascending rows; none where the rows had no order, or were too few.
    left_out
        Number columns beyond the limit, whose correlations are not watched.

    Raises
    ------
    ReferenceError
        If the parts contradict one another.
    """

    tables: ScoreTables
    rows: int
    centers: Floats
    noises: Floats
    scales: tuple[JointScale, ...]
    left_out: int = 0

    def __post_init__(self) -> None:
        pairs = (pair_count(len(self.tables.tables)),)
        arrays = [self.centers, self.noises]
        arrays += [array for one in self.scales for array in (one.centers, one.noises)]
        if any(array.shape != pairs for array in arrays):
            raise ReferenceError("a joint profile needs one figure a pair of columns")
        if any(np.isinf(array).any() for array in arrays):
            raise ReferenceError("a figure of a joint profile is infinite")
        if self.rows < 1 or self.left_out < 0:
            raise ReferenceError("a joint profile of no rows")
        if any(one.rows >= other.rows for one, other in pairwise(self.scales)):
            raise ReferenceError("the scales of a joint profile must be ascending")
        for one in self.scales:
            if one.rows < 1 or one.blocks < 2 or not 0 <= one.p_value <= 1:  # noqa: PLR2004 - a variance needs two
                raise ReferenceError("a scale of a joint profile has no rows, blocks or chance")

    @property
    def independent(self) -> bool:
        """Whether blocks vary as those of independent rows do: Bonferroni's test over scales."""
        return all(one.p_value * len(self.scales) > LEVEL for one in self.scales)

    def pair(self, index: int) -> tuple[str, str]:
        """Names of the columns of a pair."""
        first, second = np.triu_indices(len(self.tables.tables), 1)
        names = self.tables.names
        return names[int(first[index])], names[int(second[index])]

    def expected(self, rows: int) -> Expected:
        """Say what windows of so many rows have.

        Of independent rows that is what the reference has, with the noise of the delta method.
        Of others it is the mean of blocks as long: a season moves columns together in a week, and
        not in an hour. Their noise is the largest of blocks up to that length, the next longer
        scale among them; beyond the longest it grows in proportion to the rows, as fast as any
        stationary series' does. Noises count as 1 at least.
        """
        if self.independent:
            return Expected(self.centers, np.maximum(self.noises, 1.0), math.inf)
        reached: list[JointScale] = []
        for one in self.scales:
            reached.append(one)
            if one.rows >= rows:
                break
        last = reached[-1]
        noises = np.max([one.noises for one in reached], axis=0) * max(1.0, rows / last.rows)
        return Expected(self._centers(rows), np.maximum(noises, 1.0), float(last.blocks - 1))

    def _centers(self, rows: int) -> Floats:
        """Interpolate the centres in the logarithm of the rows; those of all rows come last."""
        known: list[tuple[int, Floats]] = [(one.rows, one.centers) for one in self.scales]
        if self.rows > known[-1][0]:
            known.append((self.rows, self.centers))
        for (below, at_below), (above, at_above) in pairwise(known):
            if rows <= above:
                share = max(0.0, math.log(rows / below) / math.log(above / below))
                return at_below + share * (at_above - at_below)
        return known[-1][1]


def pair_count(columns: int) -> int:
    """Pairs of so many columns.

    Examples
    --------
    >>> pair_count(4)
    6
    """
    return columns * (columns - 1) // 2


@lru_cache(maxsize=8)
def _pairs(columns: int) -> tuple[Ints, Ints]:
    """First and second column of each pair; not to be written to."""
    first, second = np.triu_indices(columns, 1)
    return first, second


def fisher_z(rows: int, sums: Ints, products: Ints) -> Floats:
    """Fisher's z of the correlations of all pairs, ``atanh r`` [1]_; NaN of constant columns.

    Parameters
    ----------
    rows
        Rows that were summed.
    sums, products
        Shapes ``(..., p)`` and ``(..., p, p)``.

    Returns
    -------
    Floats
        Shape ``(..., P)``.

    References
    ----------
    .. [1] Fisher, "On the probable error of a coefficient of correlation deduced from a small
       sample", Metron 1, 1921.
    """
    size = sums.shape[-1]
    first, second = _pairs(size)
    # Whole numbers below 2^63 for 10^7 rows and more; beyond, doubles are as good.
    real = sums.astype(np.float64)
    flat = products.reshape(*products.shape[:-2], size * size)
    scaled = rows * flat.take(first * size + second, axis=-1).astype(np.float64)
    variances = rows * flat[..., :: size + 1].astype(np.float64) - real**2
    covariances = scaled - real.take(first, axis=-1) * real.take(second, axis=-1)
    squares = variances.take(first, axis=-1) * variances.take(second, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations = np.where(squares > 0, covariances / np.sqrt(squares), np.nan)
    return np.asarray(np.arctanh(np.clip(correlations, -CORRELATION_MAX, CORRELATION_MAX)))
