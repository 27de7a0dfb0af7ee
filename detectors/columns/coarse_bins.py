"""Few bins of a column, the same for every window: what evidence is gathered over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from detectors.columns.category_counts import CategoryCounts
from detectors.columns.number_counts import NumberCounts
from detectors.columns.profile import CategoryProfile, NumberProfile, ScalarProfile
from detectors.numerics.ascending import distinct

if TYPE_CHECKING:
    from collectors.batch import Ints
    from detectors.columns.column_counts import ColumnCounts

#: Bins of about equal share that a column is cut into, apart from those of frequent values.
#: More see finer changes, and cost more windows to learn the shares of.
PARTS = 8
#: A value with this share of the rows has a bin of its own.
OWN_SHARE = 1 / PARTS
#: Bins that a column has at most: the parts, those of the frequent values, and what is missing.
BINS_MAX = 2 * PARTS + 2


@dataclass(frozen=True, slots=True, eq=False)
class CoarseBins:
    """A cut of one column, and the reference's rows in it.

    Parameters
    ----------
    ends
        For numbers, the last cell of each bin, ascending, shape ``(B - 1,)``; for categories how
        many of the reference's values have a bin of their own, shape ``(1,)``.
    reference
        Rows per bin, shape ``(B,)``. The last is of missing values; of categories, the last but
        one of all values without a bin.
    """

    ends: Ints
    reference: Ints

    def count(self, counts: ColumnCounts) -> Ints:
        """Rows per bin of a window, shape ``(B,)``; none if it counted another kind of column."""
        missing = counts.missing + counts.invalid
        match counts:
            case NumberCounts():
                rows = self.count_numbers(counts.upto())
            case CategoryCounts():
                own = counts.known[: self.ends[0]]
                rows = np.append(own, counts.rows - own.sum())
            case _:
                return np.zeros_like(self.reference)
        return np.append(rows, missing)

    def count_numbers(self, upto: Ints) -> Ints:
        """Rows with a value per bin, shape ``(B - 1,)``, of those up to each cell of the grid."""
        return np.diff(upto[self.ends], prepend=0)


def coarse_bins(profile: ScalarProfile) -> CoarseBins:
    """Cut a column into about :data:`PARTS` bins, and one for missing values.

    Numbers are cut at quantiles of the reference, half-open ``(a, b]``, open at both ends; a
    value with a share of :data:`OWN_SHARE` or more is cut off on both sides. Of categories the
    most frequent have a bin each, and the others one.

    Examples
    --------
    >>> constant = coarse_bins(NumberProfile(np.array([7.0]), np.array([100]), 0, 0))
    >>> constant.ends.tolist(), constant.reference.tolist()  # below, at, above it, missing
    ([0, 1, 2], [0, 100, 0, 0])
    """
    missing = profile.missing + profile.invalid
    if isinstance(profile, CategoryProfile):
        own = min(PARTS, profile.counts.size)
        rest = profile.rows - int(profile.counts[:own].sum())
        return CoarseBins(np.array([own]), np.array([*profile.counts[:own], rest, missing]))
    ends = _ends(profile)
    cells = np.zeros(2 * profile.counts.size + 1, np.int64)
    cells[1::2] = profile.counts
    return CoarseBins(ends, np.append(np.diff(np.cumsum(cells)[ends], prepend=0), missing))


def _ends(profile: NumberProfile) -> Ints:
    """Last cell of each bin: of point ``i``, cell ``2 i + 1``; just below it, cell ``2 i``."""
    counts = profile.counts
    if not counts.size:
        return np.zeros(1, np.int64)
    upto = np.cumsum(counts)
    rows = int(upto[-1])
    quantiles = upto.searchsorted(rows * np.arange(1, PARTS) / PARTS)
    frequent = np.flatnonzero(counts >= OWN_SHARE * rows)
    inner = np.concatenate((2 * quantiles + 1, 2 * frequent, 2 * frequent + 1))
    return distinct(np.sort(np.append(inner, 2 * counts.size)))
