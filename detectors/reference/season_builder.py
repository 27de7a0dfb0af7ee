"""Building the season of a reference: rows counted by slot, and how blocks of them differ.

Columns of vectors have no season: their windows are compared with the whole reference.
Two looks at the rows, once the whole reference is there: :class:`SeasonBuilder` counts them,
:class:`SeasonResiduals` then learns how much windows differ beyond what the season explains.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from collectors.batch import CategoryColumn, NumberColumn, VectorColumn
from detectors.columns.category_counts import CategoryCounts
from detectors.columns.column_counts import ColumnCounts, add_column, counts_of
from detectors.columns.dispersion_builder import NumberDispersion
from detectors.columns.number_counts import NumberCounts
from detectors.columns.profile import (
    CategoryProfile,
    NumberProfile,
    Profile,
    ScalarProfile,
    VectorProfile,
)
from detectors.columns.profile_builder import thinned
from detectors.reference.reference import Reference
from detectors.reference.season import SLOTS, Season, SeasonKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from collectors.batch import Column, Floats, Ints

#: Points and values that all slots keep together: 16 MB in memory.
CELLS_MAX = 1_000_000
#: Bounds of what one column of one slot gets of it.
SLOT_CELLS_MIN, SLOT_CELLS_MAX = 32, 1_000
#: Rows that a slot needs: of fewer, its bounds are wider than what the season explains.
SLOT_ROWS_MIN = 500
#: Conjugate of the golden ratio: multiples of it, modulo 1, fill the unit interval evenly.
_GOLDEN = 0.618_033_988_749_894_8


class SeasonBuilder:
    """Counts rows by slot, over a coarser grid than the whole reference's.

    Memory depends on the number of slots and columns alone: :data:`CELLS_MAX` is shared by all.

    Parameters
    ----------
    whole
        The reference of the same rows.
    """

    def __init__(self, whole: Reference, kind: SeasonKind, zone: str) -> None:
        self._whole = whole
        self._kind: SeasonKind = kind
        self._zone = zone
        share = CELLS_MAX // (SLOTS[kind] * max(1, len(whole.columns)))
        cells_max = max(SLOT_CELLS_MIN, min(SLOT_CELLS_MAX, share))
        columns = {
            name: _coarse(profile, cells_max)
            for name, profile in whole.columns.items()
            if not isinstance(profile, VectorProfile)
        }
        self._grid = Reference(columns, whole.rows, whole.created, whole.origin)
        self._counts: dict[int, dict[str, ColumnCounts]] = {}
        self._rows: dict[int, int] = {}

    def add(self, slots: Ints, columns: Mapping[str, Column]) -> None:
        """Count rows.

        Parameters
        ----------
        slots
            Slot of each row, shape ``(rows,)``.
        columns
            As the whole reference was given them.
        """
        for slot, rows in _by_slot(slots):
            counts = self._counts.get(slot)
            if counts is None:
                counts = self._counts[slot] = {
                    name: counts_of(profile) for name, profile in self._grid.columns.items()
                }
            for name, one in counts.items():
                column = columns.get(name)
                if column is None:
                    one.miss(rows.size)
                else:
                    add_column(one, column.pick(rows))
            self._rows[slot] = self._rows.get(slot, 0) + rows.size

    def season(self) -> Season:
        """Return the season of the slots that have :data:`SLOT_ROWS_MIN` rows."""
        slots = {
            slot: Reference(
                {
                    name: _profile(self._grid.columns[name], one)
                    for name, one in self._counts[slot].items()
                },
                rows,
                self._whole.created,
                self._whole.origin,
            )
            for slot, rows in sorted(self._rows.items())
            if rows >= SLOT_ROWS_MIN
        }
        return Season(self._kind, self._zone, slots)


class SeasonResiduals:
    """Learns how much blocks of rows differ when each is compared with its slot.

    Every value is replaced by its rank within its slot, in ``(0, 1)``, which removes whatever the
    season explains: were that all, ranks would be independent and uniform. Their dispersion, in the
    order of the traffic, is what the season does not explain, and goes to every slot's profiles.
    Among equal values ranks are spread evenly (by multiples of the golden ratio, as chance has no
    place here), and categories are ranked in the order of the reference's values.
    """

    def __init__(self, season: Season) -> None:
        self._season = season
        self._columns: dict[str, NumberDispersion] = {}
        self._spread: dict[str, int] = {}

    def add(self, slots: Ints, columns: Mapping[str, Column]) -> None:
        """Take rows in the order of the traffic; those of slots that are left out are passed."""
        known = np.flatnonzero(np.isin(slots, list(self._season.slots)))
        if not known.size:
            return
        of_slot = slots[known]
        for name, column in columns.items():
            if isinstance(column, VectorColumn):
                continue
            picked = column.pick(known)
            ranks = np.full(known.size, np.nan)
            for slot, rows in _by_slot(of_slot):
                profile = self._season.slots[slot].columns.get(name)
                if profile is not None and not isinstance(profile, VectorProfile):
                    ranks[rows] = self._ranks(name, profile, picked.pick(rows))
            self._columns.setdefault(name, NumberDispersion()).add(NumberColumn(ranks))

    def season(self) -> Season:
        """Return the season with the dispersions."""
        learned = {name: column.dispersion() for name, column in self._columns.items()}
        slots = {
            slot: Reference(
                {
                    name: replace(profile, dispersion=learned.get(name))
                    for name, profile in one.columns.items()
                    if not isinstance(profile, VectorProfile)
                },
                one.rows,
                one.created,
                one.origin,
            )
            for slot, one in self._season.slots.items()
        }
        return Season(self._season.kind, self._season.zone, slots)

    def _ranks(self, name: str, profile: ScalarProfile, column: Column) -> Floats:
        """Rank of each value within a slot; NaN of those without a value."""
        upto = np.concatenate(([0], np.cumsum(profile.counts)))
        if isinstance(profile, CategoryProfile):
            if not isinstance(column, CategoryColumn):
                return np.full(len(column.values), np.nan)
            upto = np.append(upto, upto[-1] + profile.other)
            codes: dict[str | None, int] = {value: i for i, value in enumerate(profile.values)}
            other = len(profile.values)
            found = [codes.get(value, other) for value in column.values]
            known = np.array([value is not None for value in column.values], np.bool_)
            index = np.array(found, np.int64)
        else:
            if not isinstance(column, NumberColumn):
                return np.full(len(column.values), np.nan)
            known = ~np.isnan(column.values)
            index = profile.points.searchsorted(column.values)
            index = np.minimum(index, max(0, profile.points.size - 1))
        if not profile.rows:
            return np.full(known.size, np.nan)
        index = np.minimum(index, upto.size - 2)
        first = self._spread.get(name, 0)
        self._spread[name] = first + known.size
        share = np.mod((first + np.arange(known.size)) * _GOLDEN, 1.0)
        ranks = (upto[index] + share * (upto[index + 1] - upto[index])) / profile.rows
        return np.where(known, ranks, np.nan)


def _by_slot(slots: Ints) -> Iterator[tuple[int, Ints]]:
    """Yield each slot with the rows that are in it, ascending."""
    order = slots.argsort(kind="stable")
    found, starts = np.unique(slots[order], return_index=True)
    yield from zip(found.tolist(), np.split(order, starts[1:]), strict=True)


def _coarse(profile: ScalarProfile, cells_max: int) -> ScalarProfile:
    if isinstance(profile, NumberProfile):
        points, counts, _ = thinned(profile.points, profile.counts, cells_max)
        return NumberProfile(points, counts, profile.missing, profile.invalid)
    folded = int(profile.counts[cells_max:].sum())
    return CategoryProfile(
        profile.values[:cells_max],
        profile.counts[:cells_max],
        profile.other + folded,
        profile.missing,
        profile.invalid,
    )


def _profile(grid: Profile, counts: ColumnCounts) -> Profile:
    """Make the profile of a slot of its counts over the grid.

    Rows between two points count at the upper one, as in a thinned profile; points without rows
    go, values without rows stay: that a slot has not seen them makes them no news.
    """
    if isinstance(grid, NumberProfile) and isinstance(counts, NumberCounts):
        cells = counts.cells()
        # Nothing lies above the last point, which is the largest value of all rows.
        between, at = cells[:-1:2], cells[1::2]
        rows = between + at
        filled = np.flatnonzero(rows)
        moved = int(between.max()) if between.size else 0
        error = moved / int(rows.sum()) if filled.size else 0.0
        return NumberProfile(
            grid.points[filled], rows[filled], counts.missing, counts.invalid, error
        )
    if isinstance(grid, CategoryProfile) and isinstance(counts, CategoryCounts):
        return CategoryProfile(
            grid.values, counts.known.copy(), counts.other, counts.missing, counts.invalid
        )
    raise TypeError("a column's counts are of another kind than its grid")
