"""Histograms for people: a column cut into few bins with round edges, the same for every window.

Statistics have bins of their own (:mod:`detectors.bins`): of about equal share, so that each says
as much as the next. A reader wants edges that can be said aloud, and the shape of the column.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from detectors.category_counts import CategoryCounts
from detectors.number_counts import NumberCounts
from detectors.profile import NumberProfile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from collectors.batch import Floats, Ints
    from detectors.column_counts import ColumnCounts
    from detectors.profile import CategoryProfile, ScalarProfile

#: Bins of a column at most, the two ends (or "other" and "new") among them.
BINS_MAX = 20
#: A number column with at most this many distinct values has a bin for each.
VALUES_MAX = 16
#: Category values with a bin of their own.
NAMES_MAX = 14
#: Bins between the ends of a number column. Its edges are whole multiples of the width.
INNER_MAX = 16
#: What lies outside of these quantiles of the reference falls in the end bins.
TAIL_SHARE = 0.01
#: A positive column whose quantiles differ by more than this factor is cut on a logarithmic scale.
LOGARITHMIC_FACTOR = 200.0
#: Names of new values that are kept of a window, those with the most rows, and their characters.
NEW_MAX = 5
NAME_CHARACTERS = 60

Kind: TypeAlias = Literal["values", "ranges", "categories"]


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """A cut of one column, and the reference's rows in it.

    Parameters
    ----------
    kind
        ``values``: a bin a value, and one for what lies between; ``ranges``: half-open ``(a, b]``
        and open at both ends; ``categories``: the most frequent ones, then the others that the
        reference knows, then what it does not know.
    labels
        Of the bins, for people.
    rows
        Of the reference, per bin, shape ``(bins,)``.
    missing, invalid
        Rows of the reference without a value, and with one of a wrong type.
    lasts, bins
        For numbers, last cell and bin of each run of cells (:class:`detectors.profile.Cut`).
    """

    kind: Kind
    labels: tuple[str, ...]
    rows: Ints
    missing: int
    invalid: int
    lasts: Ints
    bins: Ints

    def count(self, counts: ColumnCounts) -> Ints | None:
        """Rows of a window per bin; None if it counted another kind of column."""
        match counts:
            case NumberCounts() if self.kind != "categories":
                return _binned(counts.upto(), self.lasts, self.bins, len(self.labels))
            case CategoryCounts() if self.kind == "categories":
                own = counts.known[: len(self.labels) - 2]
                rest = int(counts.known.sum() - own.sum())
                return np.append(own, (rest, counts.other))
            case _:
                return None


def new_names(counts: ColumnCounts) -> Mapping[str, int]:
    """Values that the reference does not know, by rows: the :data:`NEW_MAX` with the most."""
    if not isinstance(counts, CategoryCounts):
        return {}
    most = sorted(counts.new_names.items(), key=lambda pair: (-pair[1], pair[0]))[:NEW_MAX]
    return {name[:NAME_CHARACTERS]: rows for name, rows in most}


def histogram(profile: ScalarProfile) -> Histogram:
    """Cut a column by its reference.

    Examples
    --------
    >>> flag = histogram(NumberProfile(np.array([0.0, 1.0]), np.array([30, 10]), 0, 0))
    >>> flag.labels, flag.rows.tolist()
    (('0', '1', 'other'), [30, 10, 0])
    >>> age = histogram(NumberProfile(np.arange(1.0, 101.0), np.ones(100, np.int64), 0, 0))
    >>> age.labels[:3], age.rows.tolist()
    (('≤ 0', '0 to 10', '10 to 20'), [0, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 0])
    """
    if not isinstance(profile, NumberProfile):
        return _of_categories(profile)
    if profile.points.size <= VALUES_MAX:
        return _of_values(profile)
    edges = _edges(profile)
    names = _figures(edges)
    inner = [f"{left} to {right}" for left, right in pairwise(names)]
    ends = 2 * profile.points.searchsorted(edges, "right") - 1
    lasts = np.append(ends, 2 * profile.points.size)
    return _of_cells(
        profile, "ranges", (f"≤ {names[0]}", *inner, f"> {names[-1]}"), lasts, np.arange(lasts.size)
    )


def _of_values(profile: NumberProfile) -> Histogram:
    size = profile.points.size
    bins = np.full(2 * size + 1, size)
    bins[1::2] = np.arange(size)
    labels = (*_figures(profile.points), "other")
    return _of_cells(profile, "values", labels, np.arange(2 * size + 1), bins)


def _of_cells(
    profile: NumberProfile, kind: Kind, labels: tuple[str, ...], lasts: Ints, bins: Ints
) -> Histogram:
    cells = np.zeros(2 * profile.points.size + 1, np.int64)
    cells[1::2] = profile.counts
    rows = _binned(np.cumsum(cells), lasts, bins, len(labels))
    return Histogram(kind, labels, rows, profile.missing, profile.invalid, lasts, bins)


def _of_categories(profile: CategoryProfile) -> Histogram:
    own = profile.counts[:NAMES_MAX]
    labels = tuple(value[:NAME_CHARACTERS] for value in profile.values[:NAMES_MAX])
    rows = np.append(own, (profile.rows - int(own.sum()), 0))
    nothing = np.zeros(0, np.int64)
    names = (*labels, "other", "new")
    missing, invalid = profile.missing, profile.invalid
    return Histogram("categories", names, rows, missing, invalid, nothing, nothing)


def _binned(upto: Ints, lasts: Ints, bins: Ints, size: int) -> Ints:
    runs = np.diff(np.append(0, upto)[lasts + 1], prepend=0)
    return np.bincount(bins, weights=runs, minlength=size).astype(np.int64)


def _edges(profile: NumberProfile) -> Floats:
    """Round numbers that divide what lies between the tails into at most :data:`INNER_MAX`."""
    low, high = profile.quantile(TAIL_SHARE), profile.quantile(1 - TAIL_SHARE)
    finite = profile.points[np.isfinite(profile.points)]
    low, high = (float(np.clip(one, finite[0], finite[-1])) for one in (low, high))
    if low == high or not math.isfinite(high - low):
        return np.array([low])
    if low > 0 and high / low > LOGARITHMIC_FACTOR:
        return _logarithmic(low, high)
    widths = _round_widths((high - low) / INNER_MAX)
    width = next(width for width in widths if _fits(width, low, high))
    first, last = math.floor(low / width), math.ceil(high / width)
    return np.array([number * width for number in range(first, last + 1)])


def _fits(width: float, low: float, high: float) -> bool:
    return math.ceil(high / width) - math.floor(low / width) <= INNER_MAX


def _round_widths(least: float) -> Iterator[float]:
    """1, 2 or 5 times a power of ten, ascending, from the first that is not less."""
    power = math.floor(math.log10(least))
    while True:
        for factor in (1, 2, 5):
            width = float(f"{factor}e{power}")
            if width >= least:
                yield width
        power += 1


def _logarithmic(low: float, high: float) -> Floats:
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1, 3), (1,)):
        every = [float(f"{one}e{power}") for power in range(first, last + 1) for one in factors]
        every = [edge for edge in every if 0 < edge < math.inf]
        begins = max((edge for edge in every if edge <= low), default=every[0])
        ends = min((edge for edge in every if edge >= high), default=every[-1])
        edges = [edge for edge in every if begins <= edge <= ends]
        if len(edges) <= INNER_MAX + 1:
            return np.array(edges)
    return np.array(edges[:: math.ceil(len(edges) / INNER_MAX)])


def _figures(values: Floats) -> list[str]:
    """Write numbers as short as leaves them distinct."""
    for digits in (6, 12, 17):
        texts = [f"{value:.{digits}g}" for value in values.tolist()]
        if len(set(texts)) == len(texts):
            break
    return texts
