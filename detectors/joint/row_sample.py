"""A bounded sample of whole rows, for what the counts of single columns cannot tell."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from collectors.batch import NumberColumn, VectorColumn
from detectors.numerics.packing import PackedArray, PackingError, pack_floats, unpack_floats

if TYPE_CHECKING:
    from collections.abc import Mapping

    from collectors.batch import Column, Floats

#: Rows that are kept at most; half of it at least, once so many have come.
SAMPLE_MAX = 16_384


class RowSampleState(msgspec.Struct, array_like=True, frozen=True):
    """What `RowSample` keeps in the store."""

    seen: int
    stride: int
    numbers: dict[str, PackedArray]
    categories: dict[str, list[str | None]]


class RowSample:
    """Every k-th row of a stream, k a power of two that grows with it.

    Which rows are kept follows from their number alone: not from their values, nor from how the
    stream is cut into batches. A column that comes late is missing in the rows before.
    Columns of vectors are not kept.

    Parameters
    ----------
    rows_max
        Rows to keep at most.

    Examples
    --------
    >>> sample = RowSample(rows_max=4)
    >>> sample.add({"age": NumberColumn(np.arange(10.0))})
    >>> sample.numbers["age"].tolist()
    [0.0, 4.0, 8.0]
    """

    def __init__(self, rows_max: int = SAMPLE_MAX) -> None:
        self._rows_max = rows_max
        self._seen = 0
        self._stride = 1
        self._kept = 0
        self._numbers: dict[str, list[Floats]] = {}
        self._categories: dict[str, list[str | None]] = {}

    @property
    def rows(self) -> int:
        """Rows that are kept."""
        return self._kept

    @property
    def numbers(self) -> Mapping[str, Floats]:
        """Number columns, NaN where a value is missing, shape ``(rows,)`` each."""
        for parts in self._numbers.values():
            parts[:] = [np.concatenate([np.empty(0), *parts])]
        return {name: parts[0] for name, parts in self._numbers.items()}

    @property
    def categories(self) -> Mapping[str, list[str | None]]:
        """Category columns, None where a value is missing, ``rows`` long each."""
        return self._categories

    def add(self, columns: Mapping[str, Column]) -> None:
        """Take the rows of `columns`: those that are due."""
        rows = max((len(column.values) for column in columns.values()), default=0)
        start = 0
        while start < rows:
            # So many more rows fit before the stride must grow.
            space = self._ahead() + (self._rows_max - self._kept) * self._stride
            if space <= 0:
                self._thin()
                continue
            stop = min(rows, start + space)
            self._take(columns, slice(start + self._ahead(), stop, self._stride))
            self._seen += stop - start
            start = stop

    def state(self) -> RowSampleState:
        """Everything to go on from."""
        numbers = {name: pack_floats(values) for name, values in self.numbers.items()}
        return RowSampleState(self._seen, self._stride, numbers, dict(self._categories))

    @classmethod
    def of_state(cls, state: RowSampleState, rows_max: int = SAMPLE_MAX) -> RowSample:
        """Go on from `state`.

        Raises
        ------
        PackingError
            If its parts contradict one another.
        """
        self = cls(rows_max)
        self._seen, self._stride = state.seen, state.stride
        if self._stride < 1:
            raise PackingError(f"a sample of every {self._stride}th row")
        self._kept = -(-self._seen // self._stride)
        self._numbers = {name: [unpack_floats(kept)] for name, kept in state.numbers.items()}
        self._categories = {name: list(kept) for name, kept in state.categories.items()}
        lengths = {parts[0].size for parts in self._numbers.values()}
        lengths |= {len(values) for values in self._categories.values()}
        if lengths - {self._kept}:
            raise PackingError(f"columns of {sorted(lengths)} rows, expected {self._kept}")
        return self

    def _ahead(self) -> int:
        """Rows until the next one that is due."""
        return -self._seen % self._stride

    def _thin(self) -> None:
        self._stride *= 2
        for parts in self._numbers.values():
            parts[:] = [np.concatenate(parts)[::2].copy()]
        for name, values in self._categories.items():
            self._categories[name] = values[::2]
        self._kept = (self._kept + 1) // 2

    def _take(self, columns: Mapping[str, Column], rows: slice) -> None:
        taken = max(0, -(-(rows.stop - rows.start) // rows.step))
        for name, column in columns.items():
            if isinstance(column, VectorColumn):
                continue
            if isinstance(column, NumberColumn):
                parts = self._numbers.setdefault(name, [np.full(self._kept, np.nan)])
                parts.append(column.values[rows].copy())
            else:
                self._categories.setdefault(name, [None] * self._kept).extend(column.values[rows])
        for name, parts in self._numbers.items():
            if name not in columns:
                parts.append(np.full(taken, np.nan))
        for name, values in self._categories.items():
            if name not in columns:
                values.extend([None] * taken)
        self._kept += taken
