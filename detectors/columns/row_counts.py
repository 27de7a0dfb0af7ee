"""Rows of a column that no reference describes: only how many there were, and were missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from collectors.batch import NumberColumn, VectorColumn

if TYPE_CHECKING:
    from collectors.batch import Column


class RowState(msgspec.Struct, array_like=True, frozen=True, tag="rows"):
    """What `RowCounts` keeps in the store."""

    rows: int
    missing: int
    invalid: int


class RowCounts:
    """Rows with a value, without one, and with one of a wrong type.

    Examples
    --------
    >>> counts = RowCounts()
    >>> counts.add(NumberColumn(np.array([1.0, np.nan])))
    >>> counts.rows, counts.missing
    (1, 1)
    """

    __slots__ = ("invalid", "missing", "rows")

    kind: Literal["rows"] = "rows"

    def __init__(self) -> None:
        self.rows = 0
        self.missing = 0
        self.invalid = 0

    def add(self, column: Column) -> None:
        """Count the rows of `column`."""
        invalid = len(column.invalid_rows)
        if isinstance(column, NumberColumn):
            without = int(np.count_nonzero(np.isnan(column.values)))
        elif isinstance(column, VectorColumn):
            without = int(np.count_nonzero(~column.there()))
        else:
            without = column.values.count(None)
        self.rows += len(column.values) - without
        self.invalid += invalid
        self.missing += without - invalid

    def miss(self, rows: int) -> None:
        """Count rows that had no such column."""
        self.missing += rows

    def merge(self, other: RowCounts) -> None:
        """Add what `other` holds."""
        self.rows += other.rows
        self.missing += other.missing
        self.invalid += other.invalid

    def state(self) -> RowState:
        """Everything to go on from."""
        return RowState(self.rows, self.missing, self.invalid)

    @classmethod
    def of_state(cls, state: RowState) -> RowCounts:
        """Go on from `state`."""
        self = cls()
        self.rows, self.missing, self.invalid = state.rows, state.missing, state.invalid
        return self
