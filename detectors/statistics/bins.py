"""Bins of a reference, for statistics that compare shares.

Bins follow from the reference and the window's size only, never from the window's values: one
outlier must not move them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from detectors.columns.profile import Cut
from detectors.numerics.ascending import distinct

if TYPE_CHECKING:
    import numpy.typing as npt

    from collectors.batch import Floats, Ints
    from detectors.columns.category_counts import CategoryCounts
    from detectors.columns.profile import CategoryProfile, NumberProfile

#: Smallest share of the reference that a bin of its own needs.
SHARE_MIN = 0.01
#: Rows that a bin must expect in the window: with fewer, smoothing outweighs the shares.
EXPECTED_MIN = 5
#: Rows of the reference that a value needs for a bin of its own. Values are chosen by the very
#: counts that are then compared, and with fewer rows chance chooses: with 5 rows, p < 0.05 in
#: 4 of 5 quiet windows of 2,000 categories that fall off like 1/rank (5,000 rows against 20,000).
CHOSEN_MIN = 20
#: A column with at most this many distinct values, of :data:`CHOSEN_MIN` rows each on average,
#: has a bin for each value.
DISCRETE_MAX = 50
#: Cuts that are kept of one profile: windows of very different sizes need different ones.
CUTS_MAX = 16


def number_shares(profile: NumberProfile, upto: Ints, missing: int, bins: int) -> tuple[Ints, Ints]:
    """Rows of the reference and of the window per bin; see `bin_of_cells` for the bins.

    Parameters
    ----------
    upto
        The window's rows up to each cell of the profile's grid (`NumberCounts.upto`), shape
        ``(2K + 1,)``.
    missing
        The window's rows without a usable value; they have a bin of their own.
    bins
        Bins to cut the reference into, at most; fewer when the window expects less than
        :data:`EXPECTED_MIN` rows in each.

    Returns
    -------
    reference, window
        Rows per bin, each shape ``(B,)``; bins that are empty on both sides are left out.
    """
    cut = _cut(profile, bins, int(upto[-1]) + missing)
    runs = upto[cut.lasts]
    runs[1:] -= runs[:-1].copy()
    actual = np.bincount(cut.bins, weights=runs)
    return _filled(cut.reference, actual, profile.missing + profile.invalid, missing)


def _cut(profile: NumberProfile, bins: int, window_rows: int) -> Cut:
    """Cut the grid into bins; most windows of a reference are cut alike, so cuts are kept."""
    rows = profile.rows
    bins = max(1, min(bins, window_rows // EXPECTED_MIN, rows // EXPECTED_MIN))
    # Only values of a discrete column can be too rare for the window and still be candidates.
    key = (bins, window_rows if _is_discrete(profile.counts, rows) else 0)
    cut = profile.cuts.get(key)
    if cut is None:
        of_cell = bin_of_cells(profile, bins, window_rows)
        lasts = np.flatnonzero(np.diff(of_cell, append=-1))
        reference = np.bincount(of_cell[1::2], profile.counts, int(of_cell.max()) + 1)
        cut = Cut(lasts, of_cell[lasts], reference.astype(np.int64))
        if len(profile.cuts) >= CUTS_MAX:
            profile.cuts.clear()
        profile.cuts[key] = cut
    return cut


def category_shares(profile: CategoryProfile, counts: CategoryCounts) -> tuple[Ints, Ints]:
    """Rows of the reference and of the window per category.

    A category has a bin of its own where it has :data:`CHOSEN_MIN` rows in the reference and the
    window expects :data:`EXPECTED_MIN`; the others share one with those that the reference does not
    know. Missing values have their own.

    Returns
    -------
    reference, window
        Rows per bin, each shape ``(B,)``; bins that are empty on both sides are left out.
    """
    missing = counts.missing + counts.invalid
    rows = profile.rows + profile.missing + profile.invalid
    own = _are_chosen(profile.counts, rows, counts.rows + missing)
    expected = np.append(profile.counts[own], profile.rows - profile.counts[own].sum())
    actual = np.append(counts.known[own], counts.rows - counts.known[own].sum())
    return _filled(expected, actual, profile.missing + profile.invalid, missing)


def bin_of_cells(profile: NumberProfile, bins: int, window_rows: int) -> Ints:
    """Bin of each cell of the grid, shape ``(2K + 1,)``.

    Values so frequent that they would fill a bin have one each; of a discrete column (few distinct
    values), all that have rows enough. The rest of a column that is not discrete is cut at
    quantiles, half-open ``(a, b]``, open at both ends. Bin 0 is for everything else: values
    between those of a discrete column, beyond a constant, and those too rare for a bin.
    """
    counts = profile.counts
    rows = int(counts.sum())
    of_cell = np.zeros(2 * counts.size + 1, np.int64)
    if not rows:
        return of_cell
    bins = max(1, min(bins, window_rows // EXPECTED_MIN, rows // EXPECTED_MIN))
    discrete = _is_discrete(counts, rows)
    enough = _are_chosen(counts, rows, window_rows)
    own = enough & (counts >= rows * (SHARE_MIN if discrete else 1 / bins))
    atoms = np.flatnonzero(own)
    of_cell[2 * atoms + 1] = np.arange(1, atoms.size + 1)
    if discrete:
        return of_cell
    upto = np.concatenate(([0], np.cumsum(counts)))
    last = atoms.size
    for left, right in pairwise([-1, *atoms.tolist(), counts.size]):
        ends = _quantile_ends(upto[left + 1 : right + 1], rows / bins, SHARE_MIN * rows)
        starts = [left + 1, *(left + 2 + end for end in ends)]
        for start, stop in pairwise(starts):
            last += 1
            of_cell[2 * start : 2 * stop] = last
        if ends:
            # Above the last light point, up to the next frequent value or without end.
            of_cell[2 * right] = last
    return of_cell


def _quantile_ends(upto: Ints, target: float, rows_min: float) -> list[int]:
    """Points at which bins of about `target` rows end, the last point among them.

    `upto` are rows up to before the first and after each point. Empty when all the points
    together have too few rows for a bin.
    """
    before, rows = int(upto[0]), int(upto[-1] - upto[0])
    if not rows or rows < rows_min:
        return []
    parts = max(1, round(rows / target))
    aims = before + rows * np.arange(1, parts) / parts
    ends: list[int] = []
    for end in distinct(upto[1:].searchsorted(aims)).tolist():
        begun = upto[ends[-1] + 1] if ends else before
        if upto[end + 1] - begun >= rows_min and upto[-1] - upto[end + 1] >= rows_min:
            ends.append(end)
    return [*ends, upto.size - 2]


def _is_discrete(counts: Ints, rows: int) -> bool:
    return counts.size <= DISCRETE_MAX and rows >= CHOSEN_MIN * counts.size


def _are_chosen(counts: Ints, rows: int, window_rows: int) -> npt.NDArray[np.bool_]:
    """Which values have rows enough for a bin of their own."""
    return (counts >= CHOSEN_MIN) & (counts * window_rows >= EXPECTED_MIN * rows)


def _filled(
    expected: Floats | Ints, actual: Floats | Ints, expected_missing: int, actual_missing: int
) -> tuple[Ints, Ints]:
    rows = np.empty((2, expected.size + 1), np.int64)
    rows[0, :-1], rows[1, :-1] = expected, actual
    rows[:, -1] = expected_missing, actual_missing
    filled = rows[:, rows.any(axis=0)]
    return filled[0], filled[1]
