"""A column of a window beside its reference, in few bins: for pictures, not for statistics.

Statistics count over every point of a reference. A picture needs a dozen bars with round ends that
a person can read, the same for both sides, and small enough to be kept beside each other for all
columns of the last window.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import numpy as np

from detectors.category_counts import CategoryCounts
from detectors.number_counts import NumberCounts
from detectors.profile import CategoryProfile, NumberProfile

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints
    from detectors.column_counts import ColumnCounts
    from detectors.profile import Profile

#: Bars of a column, at most, besides the one for all other values.
BINS_MAX: Final = 14
#: Bars between the two open ends of a number column, at most: an end more than bars.
_STEPS: Final = BINS_MAX - 2
#: New categories that have a bar of their own, those with the most rows.
_NEW_MAX: Final = 3
#: Characters of a category that are kept.
NAME_CHARACTERS_MAX: Final = 80
#: Share of the reference that lies beyond each of the outer ends.
_TAIL: Final = 0.005
#: Steps that people count in, as multiples of a power of ten.
_ROUND: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


class Bin(msgspec.Struct, array_like=True, frozen=True):
    """One bar, twice.

    Parameters
    ----------
    low, high
        Ends of ``(low, high]`` for numbers; None where it is open, both None for a bar of values.
    value
        The one value of the bar; None for an interval, and for all other values.
    reference, current
        Rows with such a value.
    """

    low: float | None
    high: float | None
    value: float | str | None
    reference: int
    current: int


class SideBySide(msgspec.Struct, array_like=True, frozen=True):
    """A column of one window beside the reference that it was compared with.

    Parameters
    ----------
    kind
        What the column holds.
    bins
        At most :data:`BINS_MAX` and one for all other values, in the order of the numbers, or of
        the reference's frequencies.
    reference_missing, current_missing
        Rows without a value, or with one of a wrong type.
    """

    kind: Literal["number", "category"]
    bins: tuple[Bin, ...]
    reference_missing: int
    current_missing: int

    @property
    def reference_rows(self) -> int:
        """Rows with a value."""
        return sum(one.reference for one in self.bins)

    @property
    def current_rows(self) -> int:
        """Rows with a value."""
        return sum(one.current for one in self.bins)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The bars of a reference's column, made once: what windows are then counted into.

    Parameters
    ----------
    before
        Of numbers, the bars with the reference's rows, and none of a window.
    starts
        Of numbers in intervals, the first cell of each bar, ascending; None for all else.
    missing
        Rows of the reference without a value, or with one of a wrong type.
    categories
        Of categories, the profile. That of numbers is many times larger, and not needed again.
    """

    kind: Literal["number", "category"]
    before: tuple[Bin, ...]
    starts: Ints | None
    missing: int
    categories: CategoryProfile | None = None

    def beside(self, counts: ColumnCounts) -> SideBySide | None:
        """Put a window's counts beside the reference; None if they are of another kind."""
        if isinstance(counts, NumberCounts) and self.kind == "number":
            bins = _with(self.before, _numbers(self.starts, counts.cells()))
        elif isinstance(counts, CategoryCounts) and self.categories is not None:
            bins = _categories(self.categories, counts)
        else:
            return None
        missing = counts.missing + counts.invalid
        return SideBySide(self.kind, tuple(bins), self.missing, missing)


def frame_of(profile: Profile | None) -> Frame | None:
    """Choose the bars of a column; None for one without a reference, and for one of vectors.

    Numbers with at most :data:`BINS_MAX` distinct values have a bar for each of them, and one for
    all others. Of more, bars of equal width with round ends span all but the outer hundredth of
    the reference; what lies beyond is in the two bars at the ends. The widths follow from the
    reference alone, so two windows can be compared. A window's rows between a round end and the
    next point of the reference stand in the bar above.
    """
    if isinstance(profile, CategoryProfile):
        return Frame("category", (), None, profile.missing + profile.invalid, profile)
    if not isinstance(profile, NumberProfile):
        return None
    bins, starts = _values(profile) if _few(profile) else _intervals(profile)
    return Frame("number", tuple(bins), starts, profile.missing + profile.invalid)


def side_by_side(profile: Profile | None, counts: ColumnCounts) -> SideBySide | None:
    """Put a window's counts of a column beside its profile; None where they cannot be compared.

    Examples
    --------
    >>> from collectors.batch import NumberColumn
    >>> profile = NumberProfile(np.array([0.0, 1.0]), np.array([30, 10]), 0, 0)
    >>> counts = NumberCounts(profile.points)
    >>> counts.add(NumberColumn(np.array([0.0, 1.0, 1.0, 7.0])))
    >>> [(bin.value, bin.reference, bin.current) for bin in side_by_side(profile, counts).bins]
    [(0.0, 30, 1), (1.0, 10, 2), (None, 0, 1)]
    """
    frame = frame_of(profile)
    return None if frame is None else frame.beside(counts)


def _few(profile: NumberProfile) -> bool:
    return profile.points.size <= BINS_MAX and profile.rank_error == 0


def _values(profile: NumberProfile) -> tuple[list[Bin], None]:
    pairs = zip(profile.points.tolist(), profile.counts.tolist(), strict=True)
    bins = [Bin(None, None, _finite(value), rows, 0) for value, rows in pairs]
    return [*bins, Bin(None, None, None, 0, 0)], None


def _intervals(profile: NumberProfile) -> tuple[list[Bin], Ints]:
    edges = _edges(profile)
    # Cells up to the point at an end, or before the first one above it, are below that end.
    starts = np.append(0, 2 * profile.points.searchsorted(edges, "right"))
    cells = np.zeros(2 * profile.counts.size + 1, np.int64)
    cells[1::2] = profile.counts
    ends = [None, *edges.tolist(), None]
    rows = zip(ends, ends[1:], _numbers(starts, cells), strict=False)
    return [Bin(low, high, None, count, 0) for low, high, count in rows], starts


def _numbers(starts: Ints | None, cells: Ints) -> list[int]:
    """Rows of each bar: from its first cell to the next one's; without starts, of each point."""
    if starts is None:
        return [*cells[1::2].tolist(), int(cells[0::2].sum())]
    rows = np.add.reduceat(cells, starts)
    # A bar without a cell of its own would get the first of the next.
    rows[:-1][np.diff(starts) == 0] = 0
    return [int(count) for count in rows]


def _with(before: tuple[Bin, ...], rows: list[int]) -> list[Bin]:
    return [
        Bin(one.low, one.high, one.value, one.reference, count)
        for one, count in zip(before, rows, strict=True)
    ]


def _edges(profile: NumberProfile) -> Floats:
    """Round ends of bars; the reference has more points than bars, and so a width."""
    points = profile.points[np.isfinite(profile.points)]
    low, high = profile.quantile(_TAIL), profile.quantile(1 - _TAIL)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        # Nearly all rows have one value: what there is beside it is worth showing too.
        low, high = float(points[0]), float(points[-1])
    step = round_step((high - low) / _STEPS)
    if not (0 < step < math.inf):
        return np.array([low])
    first, last = math.ceil(low / step), math.floor(high / step)
    decimals = max(0, 1 - math.floor(math.log10(step)))
    # Of numbers so far from zero that a step is lost in rounding, fewer ends are left.
    return np.unique(np.round(np.arange(first, last + 1) * step, decimals))[: BINS_MAX - 1]


def round_step(width: float) -> float:
    """Smallest round step that is at least `width`; 0 of no width.

    Examples
    --------
    >>> [round_step(width) for width in (0.03, 1.2, 70.0)]
    [0.05, 2.0, 100.0]
    """
    if not (0 < width < math.inf):
        return 0.0
    power = 10.0 ** math.floor(math.log10(width))
    return next((power * one for one in _ROUND if power * one >= width), power * _ROUND[-1])


def _categories(profile: CategoryProfile, counts: CategoryCounts) -> list[Bin]:
    # Names can be called new only where the reference named every value.
    new = {} if profile.other else counts.new_names
    named = sorted(new.items(), key=lambda item: (-item[1], item[0]))[:_NEW_MAX]
    own = BINS_MAX - len(named)
    before, now = profile.counts[:own].tolist(), counts.known[:own].tolist()
    bins = [
        Bin(None, None, _name(value), *both)
        for value, *both in zip(profile.values[:own], before, now, strict=True)
    ]
    bins += [Bin(None, None, _name(value), 0, rows) for value, rows in named]
    rest = _left(profile.rows, before), _left(counts.rows, [*now, *(rows for _, rows in named)])
    return [*bins, Bin(None, None, None, *rest)]


def _left(rows: int, counted: list[int]) -> int:
    return rows - sum(counted)


def _name(value: str) -> str:
    # A lone surrogate is a legal Python string that UTF-8 cannot carry.
    return value[:NAME_CHARACTERS_MAX].encode("utf-8", "replace").decode()


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
