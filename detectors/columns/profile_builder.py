"""Collecting the profile of one column, batch by batch, in bounded memory."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from detectors.columns.dispersion_builder import (
    CategoryDispersion,
    CategoryDispersionState,
    NumberDispersion,
    NumberDispersionState,
)
from detectors.columns.profile import CategoryProfile, NumberProfile
from detectors.numerics.ascending import distinct_counts
from detectors.numerics.packing import (
    PackedArray,
    pack_counts,
    pack_floats,
    unpack_counts,
    unpack_floats,
)

if TYPE_CHECKING:
    from collectors.batch import CategoryColumn, Floats, Ints, NumberColumn

#: Values that wait to be sorted in; sorting a few thousand at a time is cheapest.
_WAITING_MIN = 8_192
#: Distinct categories that a column may hold while it is collected.
NAMES_HELD_MAX = 100_000


class NumberBuilderState(msgspec.Struct, array_like=True, frozen=True):
    """What `NumberBuilder` keeps in the store."""

    points: PackedArray
    counts: PackedArray
    missing: int
    invalid: int
    moved: int
    dispersion: NumberDispersionState | None = None


class NumberBuilder:
    """Distinct values of a number column with their counts.

    Parameters
    ----------
    missing
        Rows that passed before the column was first seen.
    held_max
        Distinct values to hold; past it, half of them are merged into their neighbours.
    in_order
        Whether rows come as the traffic did, so that their order tells how blocks of it differ.
    """

    def __init__(self, missing: int = 0, held_max: int = 640_000, *, in_order: bool = True) -> None:
        self.missing = missing
        self.held_max = held_max
        self._invalid = 0
        self._points: Floats = np.empty(0, np.float64)
        self._counts: Ints = np.empty(0, np.int64)
        # Bound on the rows by which merging displaced any rank, so far.
        self._moved = 0
        self._waiting: list[Floats] = []
        self._waiting_rows = 0
        self._dispersion = NumberDispersion() if in_order else None

    def add(self, column: NumberColumn) -> None:
        """Count the rows of `column`; infinities are values, NaN is none."""
        known = column.values[~np.isnan(column.values)]
        invalid = len(column.invalid_rows)
        self._invalid += invalid
        self.missing += len(column.values) - known.size - invalid
        self._waiting.append(known)
        self._waiting_rows += known.size
        if self._waiting_rows >= max(_WAITING_MIN, self._points.size):
            self._settle()
        if self._dispersion:
            self._dispersion.add(column)

    def miss(self, rows: int) -> None:
        """Count rows that had no such column."""
        self.missing += rows
        if self._dispersion:
            self._dispersion.miss(rows)

    def profile(self, points_max: int) -> NumberProfile:
        """Profile of the rows so far, with at most `points_max` points."""
        self._settle()
        points, counts, moved = thinned(self._points, self._counts, points_max)
        rows = int(counts.sum())
        rank_error = min(1.0, (self._moved + moved) / rows) if rows else 0.0
        dispersion = self._dispersion.dispersion() if self._dispersion else None
        return NumberProfile(points, counts, self.missing, self._invalid, rank_error, dispersion)

    def state(self) -> NumberBuilderState:
        """Everything to go on from."""
        self._settle()
        return NumberBuilderState(
            pack_floats(self._points),
            pack_counts(self._counts),
            self.missing,
            self._invalid,
            self._moved,
            self._dispersion.state() if self._dispersion else None,
        )

    @classmethod
    def of_state(cls, state: NumberBuilderState) -> NumberBuilder:
        """Go on from `state`."""
        builder = cls(missing=state.missing)
        builder._points = unpack_floats(state.points)
        builder._counts = unpack_counts(state.counts)
        builder._invalid = state.invalid
        builder._moved = state.moved
        kept = state.dispersion
        builder._dispersion = NumberDispersion.of_state(kept) if kept else None
        return builder

    def _settle(self) -> None:
        if not self._waiting_rows:
            self._waiting.clear()
            return
        waiting = np.concatenate(self._waiting)
        self._waiting.clear()
        self._waiting_rows = 0
        waiting.sort()
        points, counts = distinct_counts(waiting)
        if self._points.size:
            points, counts = _merged((self._points, points), (self._counts, counts))
        self._points, self._counts = points, counts
        if self._points.size > self.held_max:
            self._points, self._counts, moved = thinned(
                self._points, self._counts, self.held_max // 2
            )
            self._moved += moved


def _merged(points: tuple[Floats, Floats], counts: tuple[Ints, Ints]) -> tuple[Floats, Ints]:
    """Add the counts of two sets of ascending points."""
    together = np.concatenate(points)
    order = together.argsort(kind="stable")
    ascending = together[order]
    starts = np.flatnonzero(np.concatenate(([True], ascending[1:] != ascending[:-1])))
    return ascending[starts], np.add.reduceat(np.concatenate(counts)[order], starts)


def thinned(points: Floats, counts: Ints, points_max: int) -> tuple[Floats, Ints, int]:
    """Keep at most `points_max` points, the ends among them, evenly spaced in rank.

    Rows of a point that goes count at the next kept one above it.

    Parameters
    ----------
    points, counts
        Ascending distinct values and their rows, shape ``(K,)``.
    points_max
        Points to keep, at least 2.

    Returns
    -------
    points, counts
        What is kept; all rows are still in the counts.
    int
        Most rows that moved to one point: how far any rank is off.

    Examples
    --------
    >>> points, counts, moved = thinned(np.arange(5.0), np.ones(5, np.int64), 3)
    >>> points.tolist(), counts.tolist(), moved
    ([0.0, 2.0, 4.0], [1, 2, 2], 1)
    """
    if points.size <= points_max:
        return points, counts, 0
    upto = np.cumsum(counts)
    # The first point takes a rank of its own, so that the smallest value is always kept.
    ranks = np.linspace(upto[0], upto[-1], points_max)
    if upto[-1] == points.size:
        # A row each: what a search would find.
        kept = np.ceil(ranks).astype(np.int64) - 1
    else:
        kept = np.minimum(upto.searchsorted(ranks), points.size - 1)
    # They ascend already.
    kept = kept[np.flatnonzero(np.diff(kept, prepend=-1))]
    upto_kept = upto[kept]
    merged = np.diff(upto_kept, prepend=0)
    moved = int((merged - counts[kept]).max())
    return points[kept], merged, moved


class CategoryBuilderState(msgspec.Struct, array_like=True, frozen=True):
    """What `CategoryBuilder` keeps in the store."""

    counts: dict[str, int]
    other: int
    missing: int
    invalid: int
    dispersion: CategoryDispersionState | None = None


class CategoryBuilder:
    """Values of a category column with their counts.

    Past :data:`NAMES_HELD_MAX` distinct values the rarer half is folded into `other`; a value
    that was folded and comes again is counted from there on.

    Parameters
    ----------
    missing
        Rows that passed before the column was first seen.
    in_order
        As of numbers.
    """

    def __init__(self, missing: int = 0, *, in_order: bool = True) -> None:
        self.missing = missing
        self._invalid = 0
        self._other = 0
        self._counts: Counter[str] = Counter()
        self._dispersion = CategoryDispersion() if in_order else None

    def add(self, column: CategoryColumn) -> None:
        """Count the rows of `column`."""
        counts = Counter(column.values)
        without = counts.pop(None, 0)
        self._invalid += len(column.invalid_rows)
        self.missing += without - len(column.invalid_rows)
        for value, rows in counts.items():
            if value is not None:
                self._counts[value] += rows
        if len(self._counts) > NAMES_HELD_MAX:
            self._fold(NAMES_HELD_MAX // 2)
        if self._dispersion:
            self._dispersion.add(column)

    def miss(self, rows: int) -> None:
        """Count rows that had no such column."""
        self.missing += rows
        if self._dispersion:
            self._dispersion.miss(rows)

    def profile(self, values_max: int) -> CategoryProfile:
        """Profile of the rows so far, with the `values_max` most frequent values by name."""
        ranked = _ranked(self._counts)
        kept = ranked[:values_max]
        folded = sum(rows for _, rows in ranked[values_max:])
        return CategoryProfile(
            tuple(value for value, _ in kept),
            np.array([rows for _, rows in kept], np.int64),
            self._other + folded,
            self.missing,
            self._invalid,
            self._dispersion.dispersion() if self._dispersion else None,
        )

    def state(self) -> CategoryBuilderState:
        """Everything to go on from."""
        return CategoryBuilderState(
            dict(self._counts),
            self._other,
            self.missing,
            self._invalid,
            self._dispersion.state() if self._dispersion else None,
        )

    @classmethod
    def of_state(cls, state: CategoryBuilderState) -> CategoryBuilder:
        """Go on from `state`."""
        builder = cls(missing=state.missing)
        builder._counts = Counter(state.counts)
        builder._other = state.other
        builder._invalid = state.invalid
        kept = state.dispersion
        builder._dispersion = CategoryDispersion.of_state(kept) if kept else None
        return builder

    def _fold(self, names_max: int) -> None:
        ranked = _ranked(self._counts)
        self._counts = Counter(dict(ranked[:names_max]))
        self._other += sum(rows for _, rows in ranked[names_max:])


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    """Most frequent first; equally frequent ones by name, so that the result is one."""
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
