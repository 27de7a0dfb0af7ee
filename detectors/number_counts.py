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

from detectors.packing import PackedArray, PackingError, pack_counts, unpack_counts

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints, NumberColumn

#: So many times more values than points: the points are cheaper to search in the values.
_GRID_IN_VALUES_RATIO = 4
#: Batches and values that wait to be counted; few large counts are cheaper than many small ones.
_WAITING_BATCHES_MAX = 64
_WAITING_ROWS_MIN = 2_048
#: A sum whose parts fill this share of the grid is made densely: that is several times quicker
#: than sorting cells, and sums do not live long.
_SUM_DENSE_SHARE = 1 / 8
#: A 32-bit cell holds this many rows; with more, cells become 64 bits wide.
_NARROW_ROWS_MAX = 2**31 - 1


class NumberState(msgspec.Struct, array_like=True, frozen=True, tag="number"):
    """What `NumberCounts` keeps in the store: cells that are not empty, by distance."""

    size: int
    steps: PackedArray
    counts: PackedArray
    missing: int
    invalid: int


class NumberCounts:
    """Rows per cell of a reference's grid.

    With points ``p[0] < ... < p[K-1]`` there are ``2K + 1`` cells: cell ``2i`` holds the rows
    strictly between ``p[i-1]`` and ``p[i]`` (open-ended at both ends), cell ``2i + 1`` the rows
    equal to ``p[i]``. Infinities fall in the end cells; NaN is counted as missing or invalid.
    Sparse while few cells are filled, so that quiet panes stay small.

    Parameters
    ----------
    points
        Ascending distinct values, shape ``(K,)``; K may be 0.

    Examples
    --------
    >>> from collectors.batch import NumberColumn
    >>> counts = NumberCounts(np.array([1.0, 2.0]))
    >>> counts.add(NumberColumn(np.array([0.5, 2.0, 2.0, 9.0, np.nan])))
    >>> counts.cells().tolist(), counts.rows, counts.missing
    ([1, 0, 0, 2, 1], 4, 1)
    """

    __slots__ = (
        "_cells",
        "_counts",
        "_dense",
        "_points",
        "_waiting",
        "_waiting_rows",
        "invalid",
        "missing",
        "rows",
    )

    kind: Literal["number"] = "number"

    def __init__(self, points: Floats) -> None:
        self.rows = 0
        self.missing = 0
        self.invalid = 0
        self._points = points
        self._cells: npt.NDArray[np.int32] = np.empty(0, np.int32)
        self._counts: Ints = np.empty(0, np.int64)
        self._dense: npt.NDArray[np.signedinteger] | None = None
        self._waiting: list[Floats] = []
        self._waiting_rows = 0

    @property
    def size(self) -> int:
        """Number of cells, ``2K + 1``."""
        return 2 * self._points.size + 1

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
        self._widen()
        if other._dense is not None:
            self._add_dense(other._dense)
            return
        if self._cells.size + other._cells.size > _SUM_DENSE_SHARE * self.size:
            self._densified()
        self._add_sparse(other._cells, other._counts)

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
        at = 2 * self._points.searchsorted(points) + 1
        starts = np.concatenate(([0], np.column_stack((at, at + 1)).ravel()))
        part = NumberCounts(points)
        part.rows, part.missing, part.invalid = self.rows, self.missing, self.invalid
        part._add_dense(np.add.reduceat(self.cells(), starts))
        return part

    def cells(self) -> Ints:
        """Rows per cell, shape ``(2K + 1,)``."""
        self._settle()
        if self._dense is not None:
            return self._dense.astype(np.int64)
        cells = np.zeros(self.size, np.int64)
        cells[self._cells] = self._counts
        return cells

    def state(self) -> NumberState:
        """Everything to go on from; equal counts give equal states."""
        self._settle()
        cells, counts = self._cells, self._counts
        if self._dense is not None:
            cells = np.flatnonzero(self._dense).astype(np.int32)
            counts = self._dense[cells].astype(np.int64)
        steps = np.diff(cells, prepend=np.int32(0))
        return NumberState(
            self.size, pack_counts(steps), pack_counts(counts), self.missing, self.invalid
        )

    @classmethod
    def of_state(cls, state: NumberState, points: Floats) -> NumberCounts:
        """Go on from `state`, which was counted over `points`.

        Raises
        ------
        PackingError
            If the state does not fit the points.
        """
        self = cls(points)
        cells = np.cumsum(unpack_counts(state.steps))
        counts = unpack_counts(state.counts)
        if state.size != self.size or cells.size != counts.size:
            raise PackingError(f"counts over {state.size} cells, expected {self.size}")
        if cells.size and (int(cells[-1]) >= self.size or bool((np.diff(cells) <= 0).any())):
            raise PackingError("cells out of order")
        self.rows = int(counts.sum())
        self.missing = state.missing
        self.invalid = state.invalid
        self._add_sparse(cells.astype(np.int32), counts)
        return self

    def _settle(self) -> None:
        """Count what waits."""
        if not self._waiting:
            return
        values = np.concatenate(self._waiting)
        self._waiting.clear()
        self._waiting_rows = 0
        self._widen()
        # Sorted, values search the grid with few cache misses, and their cells ascend.
        values.sort()
        if values.size > _GRID_IN_VALUES_RATIO * self._points.size:
            self._add_dense(_cells_by_grid(values, self._points))
            return
        self._add_sparse(*_run_lengths(_cells_by_value(values, self._points)))

    def _add_dense(self, counts: npt.NDArray[np.signedinteger]) -> None:
        dense = self._densified()
        # The rows fit the cells' type (`_widen`), so nothing is lost by the narrowing.
        np.add(dense, counts, out=dense, casting="unsafe")

    def _add_sparse(self, cells: npt.NDArray[np.int32], counts: Ints) -> None:
        if self._dense is not None:
            self._dense[cells] += counts
            return
        if self._cells.size:
            cells = np.concatenate((self._cells, cells))
            counts = np.concatenate((self._counts, counts))
            order = cells.argsort(kind="stable")
            cells = cells[order]
            starts = _run_starts(cells)
            cells, counts = cells[starts], np.add.reduceat(counts[order], starts)
        self._cells, self._counts = cells, counts
        # A filled cell costs 12 bytes here and 4 in the dense form.
        if 3 * cells.size > self.size:
            self._densified()

    def _densified(self) -> npt.NDArray[np.signedinteger]:
        if self._dense is None:
            wide = self.rows > _NARROW_ROWS_MAX
            self._dense = np.zeros(self.size, np.int64 if wide else np.int32)
            self._dense[self._cells] = self._counts
            self._cells, self._counts = np.empty(0, np.int32), np.empty(0, np.int64)
        return self._dense

    def _widen(self) -> None:
        if (
            self.rows > _NARROW_ROWS_MAX
            and self._dense is not None
            and self._dense.dtype == np.int32
        ):
            self._dense = self._dense.astype(np.int64)


def _run_starts(cells: npt.NDArray[np.int32]) -> npt.NDArray[np.intp]:
    """Where each run of equal cells starts."""
    is_start = np.empty(cells.size, np.bool_)
    is_start[:1] = True
    np.not_equal(cells[1:], cells[:-1], out=is_start[1:])
    return np.flatnonzero(is_start)


def _run_lengths(cells: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int32], Ints]:
    """Return the distinct cells of ascending ones, and how often each occurs."""
    starts = _run_starts(cells)
    return cells[starts], np.diff(starts, append=cells.size).astype(np.int64)


def _cells_by_value(values: Floats, points: Floats) -> npt.NDArray[np.int32]:
    """Cell of each value, by searching the values in the grid; ascending like the values."""
    cells = points.searchsorted(values).astype(np.int32)
    if points.size:
        ties = points.take(cells, mode="clip") == values
        cells += cells
        cells += ties
    return cells


def _cells_by_grid(values: Floats, points: Floats) -> Ints:
    """Rows per cell, by searching the grid in the sorted values."""
    upto = np.empty(2 * points.size + 2, np.int64)
    upto[0] = 0
    upto[1:-1:2] = values.searchsorted(points, "left")
    upto[2:-1:2] = values.searchsorted(points, "right")
    upto[-1] = values.size
    return np.diff(upto)
