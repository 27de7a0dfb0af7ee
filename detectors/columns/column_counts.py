"""Counts of one column of a window, whatever its kind: made, added to, merged, restored."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from collectors.batch import CategoryColumn, NumberColumn, VectorColumn
from detectors.columns.category_counts import CategoryCounts, CategoryState
from detectors.columns.number_counts import NumberCounts, NumberState
from detectors.columns.profile import CategoryProfile, NumberProfile, VectorProfile
from detectors.columns.row_counts import RowCounts, RowState
from detectors.columns.vector_counts import VectorCounts, VectorState
from detectors.numerics.packing import PackingError

if TYPE_CHECKING:
    from collectors.batch import Column, Floats
    from detectors.columns.profile import Profile

ColumnCounts: TypeAlias = NumberCounts | CategoryCounts | VectorCounts | RowCounts
ColumnState: TypeAlias = NumberState | CategoryState | VectorState | RowState


def counts_of(profile: Profile | None) -> ColumnCounts:
    """Empty counts of a column: of the kind that its profile states, or of rows only."""
    if isinstance(profile, NumberProfile):
        return NumberCounts(profile.points, profile.grid)
    if isinstance(profile, CategoryProfile):
        return CategoryCounts(profile.values)
    if isinstance(profile, VectorProfile):
        return VectorCounts(profile.axes)
    return RowCounts()


def counts_of_state(state: ColumnState, profile: Profile | None) -> ColumnCounts:
    """Restore counts from their state.

    Raises
    ------
    PackingError
        If the state does not fit the profile.
    """
    if isinstance(state, RowState):
        return RowCounts.of_state(state)
    if isinstance(state, NumberState) and isinstance(profile, NumberProfile):
        return NumberCounts.of_state(state, profile.points, profile.grid)
    if isinstance(state, CategoryState) and isinstance(profile, CategoryProfile):
        return CategoryCounts.of_state(state, profile.values)
    if isinstance(state, VectorState) and isinstance(profile, VectorProfile):
        return VectorCounts.of_state(state, profile.axes)
    raise PackingError("its counts are of another kind than the reference's")


def counts_over(counts: ColumnCounts, profile: Profile | None) -> ColumnCounts:
    """Return counts over those points or values that a profile has; as they are without one."""
    if isinstance(counts, NumberCounts) and isinstance(profile, NumberProfile):
        return counts.over(profile.points)
    if isinstance(counts, CategoryCounts) and isinstance(profile, CategoryProfile):
        return counts.over(profile.values)
    return counts


def add_column(counts: ColumnCounts, column: Column, ts: Floats | None = None) -> None:
    """Count the rows of `column`; values of another kind than the counts' are invalid.

    Parameters
    ----------
    ts
        Event times of the rows, by which a sample of vectors tells equal ones apart.
    """
    match counts, column:
        case NumberCounts(), NumberColumn():
            counts.add(column)
        case CategoryCounts(), CategoryColumn():
            counts.add(column)
        case VectorCounts(), VectorColumn():
            counts.add(column, ts)
        case RowCounts(), _:
            counts.add(column)
        case _:
            counts.invalid += len(column.values)


def merge_column(counts: ColumnCounts, other: ColumnCounts) -> None:
    """Add what `other` holds.

    Raises
    ------
    ValueError
        If they count different things.
    """
    match counts, other:
        case NumberCounts(), NumberCounts():
            counts.merge(other)
        case CategoryCounts(), CategoryCounts():
            counts.merge(other)
        case VectorCounts(), VectorCounts():
            counts.merge(other)
        case RowCounts(), RowCounts():
            counts.merge(other)
        case _:
            raise ValueError(f"cannot add counts of {other.kind} to counts of {counts.kind}")
