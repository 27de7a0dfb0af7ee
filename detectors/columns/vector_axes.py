"""Arrays as a few small whole numbers: what is counted of a column of vectors.

A window's statistics must not depend on the order of its rows, and a pane must stay small however
long the arrays are. So every row is moved to the reference's middle and put on a grid of whole
numbers; more than :data:`KEPT_MAX` of them are projected to so many by a matrix of random signs,
which keeps distances within a few per cent [1]_ [2]_: the relative error of a distance has a
standard deviation of about ``1 / sqrt(2 * 64)``, 9 %, and is the same in every window, as the
matrix is. Sums of whole numbers are exact in any order, those of the linear algebra library too:
none of them reaches 2**53.

References
----------
.. [1] Johnson, Lindenstrauss, "Extensions of Lipschitz mappings into a Hilbert space",
   Contemporary Mathematics 26, 1984.
.. [2] Achlioptas, "Database-friendly random projections: Johnson-Lindenstrauss with binary coins",
   Journal of Computer and System Sciences 66(4), 2003.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collectors.batch import Floats

#: Numbers that are kept of a row. A word of the random generator has a sign for each.
KEPT_MAX = 64
#: Steps from the middle to a typical row, at least; less than twice as many.
_TYPICAL = 2_048
#: Steps from the middle beyond which a row counts as lying on its line to the middle, so far out:
#: 8 to 16 times as far as a typical one. So one row moves a mean by no more than that.
RADIUS = (1 << 15) - 1
#: Any, but always the same: panes are compared with references that were built elsewhere.
_SEED = 0x6B65646765


@dataclass(frozen=True, slots=True, eq=False)
class VectorAxes:
    """The grid of one column of vectors.

    Parameters
    ----------
    center
        Middle of the first rows of the reference, shape ``(dimensions,)``.
    step
        Width of a step of the grid, in units of the column; a power of two.

    Examples
    --------
    >>> axes = VectorAxes(np.array([1.0, 0.0]), 0.5)
    >>> axes.places(np.array([[1.0, 0.0], [2.0, -3.0], [1e9, 0.0]])).astype(int).tolist()
    [[0, 0], [2, -6], [32767, 0]]
    """

    center: Floats
    step: float

    @classmethod
    def of(cls, rows: Floats) -> VectorAxes:
        """Lay axes for rows like these, shape ``(rows, dimensions)`` with at least one row.

        The middle is the median of each number, and a typical row as far from it as the median
        row; of a column that is constant, a thousandth of its own length.
        """
        center = np.median(rows, axis=0)
        with np.errstate(over="ignore"):
            lengths = _lengths(rows - center)
            own = float(_lengths(center[np.newaxis])[0]) / 1_000
        candidates = (float(np.median(lengths)), float((lengths / lengths.size).sum()), own, 1.0)
        typical = next(one for one in candidates if 0 < one < math.inf)
        # The exponent of a double, and room for the division.
        exponent = max(-1_000, math.frexp(typical / _TYPICAL)[1] - 1)
        return cls(center, math.ldexp(1.0, exponent))

    @property
    def dimensions(self) -> int:
        """Numbers of a row of the column."""
        return int(self.center.size)

    @property
    def kept(self) -> int:
        """Numbers that are kept of a row."""
        return min(self.dimensions, KEPT_MAX)

    def places(self, rows: Floats) -> Floats:
        """Return whole numbers of at most :data:`RADIUS` for each row, shape ``(rows, kept)``.

        Of each row by itself: exactly the same whatever rows come with it.
        """
        with np.errstate(over="ignore"):
            steps = np.rint(np.clip((rows - self.center) / self.step, -RADIUS, RADIUS))
        lengths = np.sqrt(np.einsum("ij,ij->i", steps, steps))
        far = np.flatnonzero(lengths > RADIUS)
        if far.size:
            steps[far] = np.trunc(steps[far] * (RADIUS / lengths[far])[:, np.newaxis])
        if self.dimensions <= KEPT_MAX:
            return np.asarray(steps, np.float64)
        projected = steps @ _signs(self.dimensions)
        return np.clip(np.rint(projected / math.sqrt(KEPT_MAX)), -RADIUS, RADIUS)


@lru_cache(maxsize=16)
def _signs(dimensions: int) -> Floats:
    """Random signs, shape ``(dimensions, KEPT_MAX)``; the bits of a generator that is fixed."""
    words = np.random.Philox(key=_SEED).random_raw(dimensions)
    bits = (words[:, np.newaxis] >> np.arange(KEPT_MAX, dtype=np.uint64)) & np.uint64(1)
    return 2.0 * bits.astype(np.float64) - 1.0


def _lengths(rows: Floats) -> Floats:
    """Euclidean lengths, shape ``(rows,)``, also where their squares are too large or small."""
    largest = np.abs(rows).max(axis=1, initial=0.0)
    unit = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)[:, np.newaxis]
    return np.asarray(unit[:, 0] * np.sqrt(((rows / unit) ** 2).sum(axis=1)))
