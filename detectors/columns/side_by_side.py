"""A column of a window beside its reference, in few bars: for pictures, not for statistics.

Statistics count over every point of a reference. A picture needs a dozen bars with round ends that
a person can read, the same for both sides and for every window over one reference. What follows
from the reference (:class:`Bars`) is kept once, and the few counts of a window (:class:`Counted`)
with it; :func:`beside` puts the two together, whenever somebody looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

import msgspec
import numpy as np

from detectors.columns.category_counts import CategoryCounts
from detectors.columns.number_counts import NumberCounts
from detectors.columns.profile import CategoryProfile, NumberProfile
from detectors.columns.round_edges import round_edges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from collectors.batch import Ints
    from detectors.columns.column_counts import ColumnCounts
    from detectors.columns.profile import Profile

#: A number column with at most this many distinct values has a bar for each.
VALUES_MAX: Final = 13
#: Categories with a bar of their own, the most frequent of the reference.
NAMES_MAX: Final = 10
#: New categories that have a bar of their own, those with the most rows.
NEW_MAX: Final = 3
#: Bars of a picture, at most: own and new categories, and one each for the others of both.
BINS_MAX: Final = NAMES_MAX + NEW_MAX + 2
#: Characters of a category that are kept.
NAME_CHARACTERS_MAX: Final = 60

Kind: TypeAlias = Literal["ranges", "values", "categories"]


class Bars(msgspec.Struct, array_like=True, frozen=True):
    """How a column is cut, and the reference's rows in it: one for all windows over a reference.

    Parameters
    ----------
    kind
        ``ranges``: half-open ``(a, b]``, open at both ends; ``values``: a bar for each number;
        ``categories``: a bar for each of the most frequent ones.
    marks
        Ends of the ranges, the values, or the categories.
    rows
        Of the reference, one more than marks: of the ranges, or of each value and of all others.
    missing
        Rows of the reference without a value, or with one of a wrong type.
    """

    kind: Kind
    marks: tuple[float | str, ...]
    rows: tuple[int, ...]
    missing: int


class Counted(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of a window's column.

    Parameters
    ----------
    rows
        In each of the bars.
    missing
        Rows without a value, or with one of a wrong type.
    new
        Rows with a value that the reference has none like: a number outside of its range or of
        its few values, or a category where it names all of its own. New categories are in no bar.
    names
        Rows of the most frequent new categories.
    """

    rows: tuple[int, ...]
    missing: int
    new: int
    names: dict[str, int] = {}


@dataclass(frozen=True, slots=True)
class Bin:
    """One bar, twice.

    Parameters
    ----------
    label
        What it holds, for people; the labels of a column differ, but for categories of its own
        that are cut, or are called as the others are.
    low, high
        Ends of ``(low, high]`` for a range of numbers; None where it is open.
    value
        The one value of the bar; None for a range, and for all other values.
    reference, current
        Rows in it.
    new
        Whether it holds categories that the reference does not know.
    """

    label: str
    low: float | None
    high: float | None
    value: float | str | None
    reference: int
    current: int
    new: bool = False


@dataclass(frozen=True, slots=True)
class SideBySide:
    """A column of one window beside the reference that it was compared with.

    Parameters
    ----------
    kind
        What the column holds.
    bins
        At most :data:`BINS_MAX`, in the order of the numbers, or of the reference's frequencies
        with new categories last.
    reference_missing, current_missing
        Rows without a value, or with one of a wrong type.
    new
        Rows of the window with a value that the reference has none like (:class:`Counted`).
    """

    kind: Literal["number", "category"]
    bins: tuple[Bin, ...]
    reference_missing: int
    current_missing: int
    new: int = 0

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
    """The bars of a reference's column, made once, and how windows are counted into them.

    Parameters
    ----------
    starts
        Of ranges, the first cell of each bar, ascending; None for all else.
    whole
        Of categories, whether the reference names every one that it has seen.
    """

    bars: Bars
    starts: Ints | None = None
    whole: bool = True

    def count(self, counts: ColumnCounts) -> Counted | None:
        """Count a window's rows into the bars; None if they are of another kind."""
        missing = counts.missing + counts.invalid
        if isinstance(counts, NumberCounts) and self.bars.kind != "categories":
            cells = counts.cells()
            # Every other cell lies between two values, the first and the last beyond them all.
            new = cells[:: 2 if self.starts is None else cells.size - 1]
            return Counted(_numbers(self.starts, cells), missing, int(new.sum()))
        if isinstance(counts, CategoryCounts) and self.bars.kind == "categories":
            own = counts.known[: len(self.bars.marks)].tolist()
            rest = int(counts.known.sum()) - sum(own)
            if self.whole:
                return Counted((*own, rest), missing, counts.other, _most(counts.new_names))
            return Counted((*own, rest + counts.other), missing, 0)
        return None


def frame_of(profile: Profile | None) -> Frame | None:
    """Choose the bars of a column; None without rows of a reference, and for one of vectors.

    Numbers with at most :data:`VALUES_MAX` distinct values have a bar for each of them, and one for
    all others. Of more, the bars lie between round numbers (:mod:`detectors.columns.round_edges`);
    what is beyond the bulk of the reference is in the two bars at the ends. All of it follows from
    the reference alone, so two windows can be compared. A window's rows between a round end and the
    next point of the reference stand in the bar above.
    """
    if profile is None or not profile.rows:
        return None
    missing = profile.missing + profile.invalid
    if isinstance(profile, CategoryProfile):
        own = profile.counts[:NAMES_MAX].tolist()
        names = tuple(_name(value) for value in profile.values[:NAMES_MAX])
        bars = Bars("categories", names, (*own, profile.rows - sum(own)), missing)
        return Frame(bars, whole=not profile.other)
    if not isinstance(profile, NumberProfile):
        return None
    if profile.points.size <= VALUES_MAX and profile.rank_error == 0:
        rows = (*profile.counts.tolist(), 0)
        return Frame(Bars("values", tuple(profile.points.tolist()), rows, missing))
    edges = round_edges(profile)
    # Cells up to the point at an end, or before the first one above it, are below that end.
    starts = np.append(0, 2 * profile.points.searchsorted(edges, "right"))
    cells = np.zeros(2 * profile.counts.size + 1, np.int64)
    cells[1::2] = profile.counts
    return Frame(Bars("ranges", tuple(edges.tolist()), _numbers(starts, cells), missing), starts)


def beside(bars: Bars, counted: Counted) -> SideBySide:
    """Put what is kept of a window beside what is kept of its reference.

    Examples
    --------
    >>> bars = Bars("categories", ("gold", "tin"), (30, 10, 0), 0)
    >>> column = beside(bars, Counted((1, 2, 0), 0, 9, {"silver": 4}))
    >>> [(bin.label, bin.reference, bin.current) for bin in column.bins]
    [('gold', 30, 1), ('tin', 10, 2), ('other', 0, 0), ('silver', 0, 4), ('other new', 0, 5)]
    """
    places = _ranges(bars) if bars.kind == "ranges" else _values(bars)
    rows = zip(places, bars.rows, counted.rows, strict=True)
    bins = [Bin(*place, before, now) for place, before, now in rows]
    if bars.kind != "categories":
        return SideBySide("number", tuple(bins), bars.missing, counted.missing, counted.new)
    bins += [Bin(name, None, None, name, 0, now, new=True) for name, now in counted.names.items()]
    rest = counted.new - sum(counted.names.values())
    bins.append(Bin("other new", None, None, None, 0, rest, new=True))
    return SideBySide("category", tuple(bins), bars.missing, counted.missing, counted.new)


def side_by_side(profile: Profile | None, counts: ColumnCounts) -> SideBySide | None:
    """Put a window's counts of a column beside its profile; None where they cannot be compared.

    Examples
    --------
    >>> from collectors.batch import NumberColumn
    >>> profile = NumberProfile(np.array([0.0, 1.0]), np.array([30, 10]), 0, 0)
    >>> counts = NumberCounts(profile.points)
    >>> counts.add(NumberColumn(np.array([0.0, 1.0, 1.0, 7.0])))
    >>> [(bin.label, bin.reference, bin.current) for bin in side_by_side(profile, counts).bins]
    [('0', 30, 1), ('1', 10, 2), ('other', 0, 1)]
    """
    frame = frame_of(profile)
    counted = None if frame is None else frame.count(counts)
    return None if frame is None or counted is None else beside(frame.bars, counted)


_Place: TypeAlias = "tuple[str, float | None, float | None, float | str | None]"


def _ranges(bars: Bars) -> list[_Place]:
    edges = [one for one in bars.marks if isinstance(one, float)]
    said = _figures(edges)
    inner: list[_Place] = [
        (f"{left} to {right}", low, high, None)
        for (left, right), (low, high) in zip(pairwise(said), pairwise(edges), strict=True)
    ]
    first, last = (f"up to {said[0]}", None, edges[0], None), (f"above {said[-1]}", edges[-1])
    return [first, *inner, (*last, None, None)]


def _values(bars: Bars) -> list[_Place]:
    numbers = [one for one in bars.marks if isinstance(one, float)]
    labels = _figures(numbers) if numbers else [str(one) for one in bars.marks]
    own: list[_Place] = [
        (label, None, None, value) for label, value in zip(labels, bars.marks, strict=True)
    ]
    return [*own, ("other", None, None, None)]


def _numbers(starts: Ints | None, cells: Ints) -> tuple[int, ...]:
    """Rows of each bar: from its first cell to the next one's; without starts, of each point."""
    if starts is None:
        return (*cells[1::2].tolist(), int(cells[0::2].sum()))
    rows = np.add.reduceat(cells, starts)
    # A bar without a cell of its own would get the first of the next.
    rows[:-1][np.diff(starts) == 0] = 0
    return tuple(rows.tolist())


def _most(names: dict[str, int]) -> dict[str, int]:
    most = sorted(names.items(), key=lambda pair: (-pair[1], pair[0]))[:NEW_MAX]
    return {_name(name): rows for name, rows in most}


def _name(value: str) -> str:
    # A lone surrogate is a legal Python string that UTF-8 cannot carry.
    return value[:NAME_CHARACTERS_MAX].encode("utf-8", "replace").decode()


def _figures(values: Sequence[float]) -> list[str]:
    """Write numbers as short as leaves them distinct."""
    for digits in (6, 12, 17):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(texts):
            break
    return texts
