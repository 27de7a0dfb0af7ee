"""The points of a reference's number column, made ready for finding where values fall."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collectors.batch import Floats

#: Numbers of cells: 16 bits wide where that is enough, and 32 bits else.
Cells: TypeAlias = npt.NDArray[np.integer]

#: With fewer points a binary search is as quick as a table.
_TABLE_POINTS_MIN = 256
#: Buckets of a table per point, at least: so many that most hold one point or none.
_BUCKETS_PER_POINT = 3
#: Share of the points on either side that a table does not spread its buckets for: outliers.
_TAIL = 0.01
#: With more than this share of the points in crowded buckets, a table is not worth its memory.
_CROWDED_MAX = 0.5


@dataclass(frozen=True, slots=True)
class _Table:
    """Buckets of equal width: bucket ``b`` of a value is ``floor((value - origin) * scale)``.

    That never falls while a value grows, whatever the rounding, so all points in buckets below
    a value's are smaller than it, and all in buckets above are larger.

    Parameters
    ----------
    first
        Points in buckets below each one, shape ``(buckets,)``; the largest number of the type
        for a bucket that holds more than one point.
    """

    origin: float
    scale: float
    first: npt.NDArray[np.integer]

    def before(self, values: Floats) -> npt.NDArray[np.integer]:
        """Look up `first` for the bucket of each value."""
        return self.first.take(_buckets(values, self.origin, self.scale, self.first.size))


class Grid:
    """Cells between and at the points of a reference.

    With points ``p[0] < ... < p[K-1]`` there are ``2K + 1`` cells: cell ``2i`` is the open interval
    between ``p[i-1]`` and ``p[i]`` (open-ended at both ends), cell ``2i + 1`` is ``p[i]``.

    A binary search costs 15 to 30 ns a value over 20,000 points, because a processor guesses
    half of its steps wrong. Once enough values were searched to pay for it, a table of buckets
    (6 bytes a point) finds all but those in crowded buckets in 5 ns; the cells are the same.

    Parameters
    ----------
    points
        Ascending distinct values, shape ``(K,)``; K may be 0, infinities may stand at the ends.

    Examples
    --------
    >>> Grid(np.array([1.0, 2.0])).cells(np.array([0.5, 1.0, 1.5, 2.0, 9.0])).tolist()
    [0, 1, 2, 3, 4]
    """

    __slots__ = ("_searched", "_table", "points")

    def __init__(self, points: Floats) -> None:
        self.points = points
        self._searched = 0
        self._table: _Table | None = None

    @property
    def size(self) -> int:
        """Number of cells, ``2K + 1``."""
        return 2 * self.points.size + 1

    @property
    def cell_type(self) -> np.dtype[np.integer]:
        """Type of the cells' numbers."""
        # One more than the largest cell is met on the way to it.
        return _width(self.size + 1)

    def cells(self, values: Floats) -> Cells:
        """Cell of each of ascending `values` without NaN; ascending like them."""
        if self._searched <= self.points.size:
            self._searched += values.size
            if self._searched > self.points.size >= _TABLE_POINTS_MIN:
                self._table = _table(self.points)
        if self._table is None:
            return self._searched_cells(values)
        return self._looked_up_cells(values, self._table)

    def _searched_cells(self, values: Floats) -> Cells:
        cells = self.points.searchsorted(values).astype(self.cell_type)
        if self.points.size:
            ties = self.points.take(cells, mode="clip") == values
            cells += cells
            cells += ties
        return cells

    def _looked_up_cells(self, values: Floats, table: _Table) -> Cells:
        before = table.before(values)
        # The only point of the value's bucket, or the next one above, or past the end the last.
        point = self.points.take(before, mode="clip")
        cells = before.astype(self.cell_type)
        cells += cells
        cells += point == values
        is_beyond = point < values
        cells += is_beyond
        cells += is_beyond
        np.minimum(cells, self.cell_type.type(self.size - 1), out=cells)
        crowded = np.flatnonzero(before == _crowded(before.dtype))
        if crowded.size:
            cells[crowded] = self._searched_cells(values[crowded])
        return cells


def _buckets(values: Floats, origin: float, scale: float, buckets: int) -> npt.NDArray[np.intp]:
    """Bucket of each value; those outside fall in the buckets at the ends."""
    # Numbers so large that they overflow are infinite, and in a bucket at an end.
    with np.errstate(over="ignore"):
        scaled = values - origin
        scaled *= scale
    np.clip(scaled, 0, buckets - 1, out=scaled)
    return scaled.astype(np.intp)


def _table(points: Floats) -> _Table | None:
    """Make a table of distinct points; None where they lie so unevenly that it would not help."""
    tail = int(points.size * _TAIL)
    low, high = float(points[tail]), float(points[-1 - tail])
    buckets = 1 << (_BUCKETS_PER_POINT * points.size - 1).bit_length()
    # The tails share as much of the table as they have points.
    scale = buckets * (1 - 2 * _TAIL) / (high - low)
    origin = low - buckets * _TAIL / scale if scale else -math.inf
    if not (math.isfinite(scale) and math.isfinite(origin)):
        return None
    of_point = _buckets(points, origin, scale, buckets)
    held = np.bincount(of_point, minlength=buckets)
    if int(held[held > 1].sum()) > _CROWDED_MAX * points.size:
        return None
    first = np.cumsum(held) - held
    width = _width(points.size + 1)
    first[held > 1] = _crowded(width)
    return _Table(origin, scale, first.astype(width))


def _width(largest: int) -> np.dtype[np.integer]:
    return np.dtype(np.uint16) if largest <= np.iinfo(np.uint16).max else np.dtype(np.int32)


def _crowded(width: np.dtype[np.integer]) -> int:
    """Stand for a bucket with more than one point: larger than any number of points."""
    return int(np.iinfo(width).max)
