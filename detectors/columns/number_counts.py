"""Numbers of a window counted over the points of a reference: exact, additive, order-free.

Between neighbouring points of the reference its distribution function is flat, so the largest
distance of a window's one to it lies at an end of the interval. Hence rows per open interval and
per point ("ties") are all that an exact two-sample Kolmogorov-Smirnov statistic needs, and such
counts add up over panes, processes and days.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from detectors.columns.grid import Grid
from detectors.numerics.packing import PackedArray, PackingError, pack_counts, unpack_counts

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints, NumberColumn
    from detectors.columns.grid import Cells

#: Batches and values that wait to be counted; few large counts are cheaper than many small ones.
_WAITING_BATCHES_MAX = 64
_WAITING_ROWS_MIN = 2_048
#: Cells that are kept one by one, a row each, at least.
_LISTED_ROWS_MIN = 1_024


class NumberState(msgspec.Struct, array_like=True, frozen=True, tag="number"):
    """What `NumberCounts` keeps in the store, rows or cells, whichever are fewer.

    Parameters
    ----------
    size
        Number of cells.
    steps, counts
        With at most as many rows as cells, the cell of each row in ascending order, by its
        distance to the one before, and no counts. With more, the rows of each cell, and no steps.
        Older states have both: the cells that are not empty, and their rows.
    """

    size: int
    steps: PackedArray
    counts: PackedArray
    missing: int
    invalid: int


class NumberCounts:
    """Rows per cell of a reference's grid (:class:`detectors.columns.grid.Grid`).

    Infinities fall in the end cells; NaN is counted as missing or invalid. While there are
    fewer rows than cells, the rows' cells are listed, two bytes each; then they are counted in
    an array of all cells, as narrow as the rows allow. So quiet panes stay small.

    Parameters
    ----------
    points
        Ascending distinct values, shape ``(K,)``; K may be 0.
    grid
        The same points, made ready; counts over one reference share it. By default made here.

    Examples
    --------
    >>> from collectors.batch import NumberColumn
    >>> counts = NumberCounts(np.array([1.0, 2.0]))
    >>> counts.add(NumberColumn(np.array([0.5, 2.0, 2.0, 9.0, np.nan])))
    >>> counts.cells().tolist(), counts.rows, counts.missing
    ([1, 0, 0, 2, 1], 4, 1)
    """

    __slots__ = (
        "_dense",
        "_grid",
        "_listed",
        "_listed_rows",
        "_waiting",
        "_waiting_rows",
        "invalid",
        "missing",
        "rows",
    )

    kind: Literal["number"] = "number"

    def __init__(self, points: Floats, grid: Grid | None = None) -> None:
        self.rows = 0
        self.missing = 0
        self.invalid = 0
        self._grid = grid or Grid(points)
        self._waiting: list[Floats] = []
        self._waiting_rows = 0
        # Arrays in here are shared with sums, and never changed.
        self._listed: list[Cells] = []
        self._listed_rows = 0
        self._dense: npt.NDArray[np.integer] | None = None

    @property
    def size(self) -> int:
        """Number of cells, ``2K + 1``."""
        return self._grid.size

    def add(self, column: NumberColumn) -> None:
        """Count the rows of `column`."""
        values = column.values
        is_nan = np.isnan(values)
        # A copy in either case: a view would keep the whole batch in memory.
        values = values[~is_nan] if is_nan.any() else values.copy()
        invalid = len(column.invalid_rows)
        self.invalid += invalid
        self.missing += column.values.size - values.size - invalid
        self.rows += values.size
        if not values.size:
            return
        self._waiting.append(values)
        self._waiting_rows += values.size
        rows_max = max(_WAITING_ROWS_MIN, self.size // 4)
        if self._waiting_rows >= rows_max or len(self._waiting) >= _WAITING_BATCHES_MAX:
            self._settle()

    def miss(self, rows: int) -> None:
        """Count rows that had no such column."""
        self.missing += rows

    def merge(self, other: NumberCounts) -> None:
        """Add what `other`, counted over the same points, holds.

        Raises
        ------
        ValueError
            If the grids differ in size.
        """
        if other.size != self.size:
            raise ValueError(f"cannot add counts over {other.size} cells to {self.size} cells")
        self._settle()
        other._settle()
        self.rows += other.rows
        self.missing += other.missing
        self.invalid += other.invalid
        if other._dense is not None:
            self._add_dense(other._dense)
        self._list(*other._listed)

    def over(self, points: Floats) -> NumberCounts:
        """Return the same rows counted over some of the points: exactly what `add` would give.

        Parameters
        ----------
        points
            Some of this grid's points, ascending, shape ``(S,)``.

        Examples
        --------
        >>> from collectors.batch import NumberColumn
        >>> counts = NumberCounts(np.array([1.0, 2.0, 3.0]))
        >>> counts.add(NumberColumn(np.array([0.5, 1.0, 2.0, 2.5, 3.0])))
        >>> counts.over(np.array([2.0])).cells().tolist()
        [2, 1, 2]
        """
        at = 2 * self._grid.points.searchsorted(points) + 1
        starts = np.concatenate(([0], np.column_stack((at, at + 1)).ravel()))
        part = NumberCounts(points)
        part.rows, part.missing, part.invalid = self.rows, self.missing, self.invalid
        part._take(np.add.reduceat(self.cells(), starts))
        return part

    def cells(self) -> Ints:
        """Rows per cell, shape ``(2K + 1,)``."""
        self._settle()
        listed = self._listed_counts()
        if self._dense is None:
            return listed
        listed += self._dense
        return listed

    def upto(self) -> Ints:
        """Rows up to each cell and in it, shape ``(2K + 1,)``: the window's distribution function.

        Rows ``< p[i]`` are ``upto[2i]``, rows ``<= p[i]`` are ``upto[2i + 1]``, and the last is
        all rows. It takes as much memory as the grid has cells: make it, use it, let it go.

        Examples
        --------
        >>> from collectors.batch import NumberColumn
        >>> counts = NumberCounts(np.array([1.0, 2.0]))
        >>> counts.add(NumberColumn(np.array([0.5, 2.0, 2.0, 9.0])))
        >>> upto = counts.upto()
        >>> upto[:-1:2].tolist(), upto[1::2].tolist(), int(upto[-1])  # below, at most, rows
        ([1, 1], [1, 3], 4)
        """
        cells = self.cells()
        return np.cumsum(cells, out=cells)

    def state(self) -> NumberState:
        """Everything to go on from; equal counts give equal states."""
        self._settle()
        steps: npt.NDArray[np.integer] = np.empty(0, np.int64)
        counts = steps
        if self.rows <= self.size:
            steps = self._sorted().copy()
            # In place, and of unsigned numbers: `numpy.diff` takes three times as long.
            np.subtract(steps[1:], steps[:-1].copy(), out=steps[1:])
        else:
            counts = self.cells()
        return NumberState(
            self.size, pack_counts(steps), pack_counts(counts), self.missing, self.invalid
        )

    @classmethod
    def of_state(cls, state: NumberState, points: Floats, grid: Grid | None = None) -> NumberCounts:
        """Go on from `state`, which was counted over `points`.

        Raises
        ------
        PackingError
            If the state does not fit the points.
        """
        self = cls(points, grid)
        if state.size != self.size:
            raise PackingError(f"counts over {state.size} cells, expected {self.size}")
        cells, counts = np.cumsum(unpack_counts(state.steps)), unpack_counts(state.counts)
        if cells.size and int(cells[-1]) >= self.size:
            raise PackingError("cells out of order")
        if cells.size and counts.size:
            cells, counts = _cells_of_pairs(cells, counts, self.size)
        if counts.size not in (0, self.size):
            raise PackingError(f"counts over {counts.size} cells, expected {self.size}")
        self.rows = int(counts.sum()) + cells.size
        self.missing = state.missing
        self.invalid = state.invalid
        self._list(cells.astype(self._grid.cell_type))
        if counts.size:
            self._take(counts)
        return self

    @property
    def _listed_rows_max(self) -> int:
        return max(_LISTED_ROWS_MIN, self.size)

    def _settle(self) -> None:
        """Find the cells of what waits."""
        if not self._waiting:
            return
        values = np.concatenate(self._waiting)
        self._waiting.clear()
        self._waiting_rows = 0
        values.sort()
        self._list(self._grid.cells(values))

    def _list(self, *cells: Cells) -> None:
        self._listed += cells
        self._listed_rows += sum(some.size for some in cells)
        if self._listed_rows > self._listed_rows_max:
            counts = self._listed_counts()
            self._listed, self._listed_rows = [], 0
            self._add_dense(counts)

    def _take(self, counts: Ints) -> None:
        """Take rows per cell where there are none yet, in the form that so many rows have."""
        if self.rows <= self._listed_rows_max:
            self._list(np.repeat(np.arange(self.size, dtype=self._grid.cell_type), counts))
        else:
            self._add_dense(counts)

    def _listed_counts(self) -> Ints:
        if not self._listed:
            return np.zeros(self.size, np.int64)
        listed = np.concatenate(self._listed) if len(self._listed) > 1 else self._listed[0]
        return np.bincount(listed, minlength=self.size).astype(np.int64, copy=False)

    def _add_dense(self, counts: npt.NDArray[np.integer]) -> None:
        # All rows fit the cells' type, so nothing is lost by the narrowing.
        width = _width(self.rows)
        if self._dense is None:
            self._dense = counts.astype(width)
            return
        self._dense = self._dense.astype(width, copy=False)
        np.add(self._dense, counts, out=self._dense, casting="unsafe")

    def _sorted(self) -> Cells:
        """Return the cell of each row, ascending, of counts that are listed."""
        if len(self._listed) == 1:
            return self._listed[0]  # each is in order by itself
        listed = np.concatenate([np.empty(0, self._grid.cell_type), *self._listed])
        listed.sort()
        # A pane is written again and again while it grows: one array to sort next time.
        self._listed = [listed]
        return listed


def _width(rows: int) -> type[np.unsignedinteger | np.signedinteger]:
    """Narrowest type whose cells hold so many rows."""
    if rows <= np.iinfo(np.uint16).max:
        return np.uint16
    return np.int32 if rows <= np.iinfo(np.int32).max else np.int64


def _cells_of_pairs(cells: Ints, counts: Ints, size: int) -> tuple[Ints, Ints]:
    """Turn cells that are not empty, and their rows, into rows of all cells."""
    if cells.size != counts.size or bool((np.diff(cells) <= 0).any()):
        raise PackingError("cells out of order")
    every = np.zeros(size, np.int64)
    every[cells] = counts
    return cells[:0], every
