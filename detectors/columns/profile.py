"""Profiles of one column: what is kept of a reference, and what windows are counted against."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, TypeAlias

import numpy as np

from collectors.batch import VECTOR_DIMENSIONS_MAX
from detectors.columns.dispersion import NONE, DesignEffect, Dispersion
from detectors.columns.grid import Grid
from detectors.columns.reference_error import ReferenceError  # noqa: A004 - the builtin is about weak references

if TYPE_CHECKING:
    import numpy.typing as npt

    from collectors.batch import ColumnKind, Floats, Ints
    from detectors.columns.vector_axes import VectorAxes


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A number column cut into bins, as runs of cells of its grid.

    Parameters
    ----------
    lasts
        Last cell of each run, ascending, shape ``(runs,)``.
    bins
        Bin of each run, shape ``(runs,)``; the runs of a bin need not be neighbours.
    reference
        Rows of the reference per bin, shape ``(B,)``.
    """

    lasts: Ints
    bins: Ints
    reference: Ints


@dataclass(frozen=True, slots=True, eq=False)
class NumberProfile:
    """Distribution of a number column: its distinct values and how often each occurred.

    A column with too many distinct values is thinned to quantile points. Rows of a value that
    was left out count at the next larger kept point, so that the profile's distribution
    function lies nowhere above the true one, and below it by at most `rank_error`.

    Parameters
    ----------
    points
        Kept values, ascending and distinct, shape ``(K,)``; infinities may stand at the ends.
    counts
        Rows at each point, shape ``(K,)``, all positive.
    missing, invalid
        Rows without a value, and rows with one of a wrong type.
    rank_error
        Largest distance between the profile's distribution function and that of all the rows,
        as a share of the rows; 0 when every distinct value was kept.
    dispersion
        How much windows of the column differ by themselves; None where it was not learned.

    Attributes
    ----------
    cuts
        Bins made of this profile so far (`bins.number_shares`): they follow from it, and take
        longer to make than a window to sort into them.
    grid
        The points, made ready for counting against them.
    rows
        Rows with a value.

    Raises
    ------
    ReferenceError
        If the parts contradict one another.
    """

    points: Floats
    counts: Ints
    missing: int
    invalid: int
    rank_error: float = 0.0
    dispersion: Dispersion | None = None
    cuts: dict[tuple[int, int], Cut] = field(default_factory=dict, init=False, repr=False)
    grid: Grid = field(init=False, repr=False)
    rows: int = field(init=False, repr=False)
    kind: ClassVar[ColumnKind] = "number"

    def __post_init__(self) -> None:
        if self.points.shape != self.counts.shape or self.points.ndim != 1:
            raise ReferenceError("a number profile needs one count a point")
        if np.isnan(self.points).any() or not (self.points[1:] > self.points[:-1]).all():
            raise ReferenceError("points of a number profile must be distinct and ascending")
        if (self.counts <= 0).any() or min(self.missing, self.invalid) < 0:
            raise ReferenceError("counts of a number profile must not be negative or zero")
        if not 0 <= self.rank_error <= 1:
            raise ReferenceError("the rank error of a number profile must lie in [0, 1]")
        object.__setattr__(self, "grid", Grid(self.points))
        object.__setattr__(self, "rows", int(self.counts.sum()))

    def rows_by_edges(self, edges: Floats, upto: Ints) -> Ints:
        """Rows per bin ``(a, b]`` between edges, open at both ends, shape ``(edges + 1,)``.

        Exact where the edges are points; else rows between an edge and the next point count
        above it.

        Parameters
        ----------
        edges
            Ends of the bins, ascending.
        upto
            Rows up to each cell of the points (`NumberCounts.upto`), shape ``(2K + 1,)``.
        """
        ends = np.append(0, upto)[2 * self.points.searchsorted(edges, "right")]
        return np.diff(ends, prepend=0, append=upto[-1])

    def quantile(self, share: float) -> float:
        """Smallest kept value with at least `share` of the rows at or below it; NaN of no rows.

        Examples
        --------
        >>> NumberProfile(np.array([1.0, 2.0]), np.array([3, 1]), 0, 0).quantile(0.5)
        1.0
        """
        if not self.points.size:
            return float("nan")
        upto = np.cumsum(self.counts)
        return float(self.points[min(upto.searchsorted(share * upto[-1]), upto.size - 1)])


@dataclass(frozen=True, slots=True, eq=False)
class CategoryProfile:
    """Distribution of a category column: its most frequent values and how often each occurred.

    Parameters
    ----------
    values
        Kept values, most frequent first (in the whole reference), distinct.
    counts
        Rows of each kept value, shape ``(len(values),)``; 0 in a slot of a season that lacks
        one.
    other
        Rows of values that were too many to keep.
    missing, invalid
        Rows without a value, and rows with one of a wrong type.
    dispersion
        How much windows of the column differ by themselves; None where it was not learned.

    Raises
    ------
    ReferenceError
        If the parts contradict one another.
    """

    values: tuple[str, ...]
    counts: Ints
    other: int
    missing: int
    invalid: int
    dispersion: Dispersion | None = None
    kind: ClassVar[ColumnKind] = "category"

    def __post_init__(self) -> None:
        if self.counts.shape != (len(self.values),):
            raise ReferenceError("a category profile needs one count a value")
        if len(set(self.values)) != len(self.values):
            raise ReferenceError("values of a category profile must be distinct")
        if (self.counts < 0).any() or min(self.other, self.missing, self.invalid) < 0:
            raise ReferenceError("counts of a category profile must not be negative")

    @property
    def rows(self) -> int:
        """Rows with a value."""
        return int(self.counts.sum()) + self.other


@dataclass(frozen=True, slots=True, eq=False)
class VectorProfile:
    """Where the rows of a column of vectors lie, on axes of their own, and a few of them.

    Parameters
    ----------
    axes
        What windows are counted on.
    rows
        Rows with a value.
    sums
        Sum of their places, shape ``(kept,)``.
    products
        Sums of the products of every two of their numbers, shape ``(kept, kept)``.
    sample
        Places of some rows, spread evenly over all, shape ``(sampled, kept)``.
    missing, invalid
        Rows without a value, and rows with one of a wrong type.

    Attributes
    ----------
    mean
        Mean place, shape ``(kept,)``.
    covariance
        Of the places, shape ``(kept, kept)``, with the divisor ``rows - 1``; 0 of fewer than two.
    dispersion
        None: how much windows of vectors differ by themselves is not learned.

    Raises
    ------
    ReferenceError
        If the parts contradict one another.
    """

    axes: VectorAxes
    rows: int
    sums: Ints
    products: Ints
    sample: npt.NDArray[np.int16]
    missing: int
    invalid: int
    mean: Floats = field(init=False, repr=False)
    covariance: Floats = field(init=False, repr=False)
    kind: ClassVar[ColumnKind] = "vector"
    dispersion: ClassVar[None] = None

    def __post_init__(self) -> None:
        kept = self.axes.kept
        if not (kept and np.isfinite(self.axes.center).all() and 0 < self.axes.step < np.inf):
            raise ReferenceError("the axes of a vector profile are none")
        if self.axes.dimensions > VECTOR_DIMENSIONS_MAX:
            raise ReferenceError("a vector profile has more numbers than any column may have")
        if self.sums.shape != (kept,) or self.products.shape != (kept, kept):
            raise ReferenceError("a vector profile needs sums of each of its numbers")
        if self.sample.shape[1:] != (kept,) or len(self.sample) > self.rows:
            raise ReferenceError("the sample of a vector profile does not fit its rows")
        if min(self.rows, self.missing, self.invalid) < 0:
            raise ReferenceError("counts of a vector profile must not be negative")
        mean = self.sums / max(1, self.rows)
        spread = self.products / max(1, self.rows) - np.outer(mean, mean)
        freedom = self.rows / (self.rows - 1) if self.rows > 1 else 0.0
        if (np.diag(spread) < -1e-6 * np.diag(self.products) / max(1, self.rows)).any():
            raise ReferenceError("the sums of a vector profile contradict one another")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "covariance", spread * freedom)


#: Of a column whose values can be counted one by one.
ScalarProfile: TypeAlias = NumberProfile | CategoryProfile
Profile: TypeAlias = ScalarProfile | VectorProfile


def design_effect(profile: Profile, rows: int) -> DesignEffect:
    """Effects on a window of `rows` rows of a profile's column; 1 where nothing is known of it."""
    return NONE if profile.dispersion is None else profile.dispersion.design_effect(rows)
