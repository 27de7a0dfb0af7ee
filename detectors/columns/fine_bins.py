"""Fine bins of a number column, evenly spaced in normal scores, for looks at one direction each."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints
    from detectors.columns.profile import NumberProfile

#: Normal scores at which a column is cut: an outlier is as far out as all beyond the last.
_NORMAL = NormalDist()
_CUTS: Floats = np.array([_NORMAL.cdf(step / 5) for step in range(-14, 15)])
#: Rows of the reference beyond an end: with none, one outlier of the reference could hide any.
END_ROWS = 5


@dataclass(frozen=True, slots=True, eq=False)
class FineBins:
    """A cut of a number column, and the reference's rows in it.

    Parameters
    ----------
    ends
        Last cell of each bin, ascending, shape ``(B,)``.
    reference
        Rows per bin, shape ``(B,)``.
    squares
        Mean square of the normal scores of each bin, shape ``(B,)``.
    low, high
        Cells whose rows, and all before, are beyond the lower end; and after which all are
        beyond the upper end. -1 where there is no lower end that could be told.
    low_rows, high_rows
        Rows of the reference beyond each end, at most :data:`END_ROWS`.
    """

    ends: Ints
    reference: Ints
    squares: Floats
    low: int
    high: int
    low_rows: int
    high_rows: int

    def count(self, upto: Ints) -> Ints:
        """Rows with a value per bin, shape ``(B,)``, of those up to each cell of the grid."""
        return np.diff(upto[self.ends], prepend=0)

    def beyond(self, upto: Ints) -> tuple[int, int]:
        """Rows beyond the lower and the upper end."""
        low = int(upto[self.low]) if self.low >= 0 else 0
        return low, int(upto[-1] - upto[self.high])


def fine_bins(profile: NumberProfile) -> FineBins | None:
    """Cut a number column; None of one that has no rows.

    Bins end at values of the reference and include them, so that counts are exact however it
    was thinned. Below the least value of a thinned reference nothing is known.

    Examples
    --------
    >>> from detectors.columns.profile import NumberProfile
    >>> even = fine_bins(NumberProfile(np.arange(1000.0), np.full(1000, 1), 0, 0))
    >>> even.reference.size, round(float(even.squares @ even.reference) / 1000, 6), even.low_rows
    (30, 1.0, 5)
    """
    counts, rows = profile.counts, profile.rows
    if not rows:
        return None
    upto = np.cumsum(counts)
    cuts = np.unique(upto.searchsorted(rows * _CUTS))
    ends = np.append(2 * cuts + 1, 2 * counts.size)
    at = np.append(upto[cuts], rows)
    reference = np.diff(at, prepend=0)
    low = int(upto.searchsorted(END_ROWS, "right")) - 1
    high = int(upto.searchsorted(rows - END_ROWS))
    lowest = 0 if not profile.rank_error else -1
    return FineBins(
        ends,
        reference,
        mean_squares(at / rows),
        2 * low + 1 if low >= 0 else lowest,
        2 * high + 1,
        int(upto[low]) if low >= 0 else 0,
        rows - int(upto[high]),
    )


def mean_squares(upto: Floats) -> Floats:
    """Mean square of the normal scores in each bin of ranks, of which these are the upper ends.

    Over a bin from a to b, as scores, and with so much of all rows, it is
    ``1 + (a φ(a) - b φ(b)) / share``. An empty bin has that of the one before.
    """
    terms = np.zeros(upto.size + 1)
    for i, share in enumerate(upto.tolist()):
        if 0 < share < 1:
            score = _NORMAL.inv_cdf(share)
            terms[i + 1] = score * _NORMAL.pdf(score)
    shares = np.diff(upto, prepend=0)
    there = shares > 0
    squares = 1 - np.diff(terms) / np.where(there, shares, 1)
    last = np.maximum.accumulate(np.where(there, np.arange(there.size), 0))
    return np.asarray(squares[last], np.float64)
