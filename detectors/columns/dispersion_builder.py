"""Collecting how much blocks of a column's rows vary, in the order in which rows come."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from itertools import chain, repeat
from typing import TYPE_CHECKING, ClassVar, Generic, Protocol, TypeVar

import msgspec
import numpy as np

from detectors.columns.block_counts import BlockCounts, BlockState, Codes
from detectors.columns.dispersion_estimates import dispersion_of
from detectors.numerics.ascending import distinct
from detectors.numerics.packing import PackedArray, PackingError, pack_floats, unpack_floats

if TYPE_CHECKING:
    from collectors.batch import CategoryColumn, Floats, NumberColumn
    from detectors.columns.dispersion import Dispersion

#: The first rows fix the bins. So many wait for it, and after it to be counted together.
PILOT_ROWS = 4_096
#: Bins of values that a column is cut into; missing values have one more.
BINS_MAX = 15
#: Rows of the pilot that a category needs for a bin of its own: 1 %.
NAMED_MIN = 41

_Values = TypeVar("_Values")
_Values_contra = TypeVar("_Values_contra", contravariant=True)


class NumberDispersionState(msgspec.Struct, array_like=True, frozen=True):
    """What `NumberDispersion` keeps in the store: rows that wait, and bins once they are fixed."""

    waiting: PackedArray
    edges: PackedArray | None
    counts: BlockState | None


class CategoryDispersionState(msgspec.Struct, array_like=True, frozen=True):
    """What `CategoryDispersion` keeps in the store: as of numbers."""

    waiting: list[str | None]
    names: list[str] | None
    counts: BlockState | None


@dataclass(frozen=True, slots=True, eq=False)
class NumberBins:
    """Half-open bins ``(a, b]`` between edges, open at both ends; the last bin is of NaN."""

    edges: Floats

    @classmethod
    def of_pilot(cls, values: Floats) -> NumberBins:
        """Cut at quantiles; a value that fills several bins has one."""
        known = np.sort(values[~np.isnan(values)])
        if not known.size:
            return cls(known)
        ranks = np.ceil(np.arange(1, BINS_MAX) / BINS_MAX * known.size).astype(np.int64) - 1
        return cls(distinct(known[ranks]))

    @property
    def known(self) -> int:
        """Bins of values."""
        return self.edges.size + 1

    def codes(self, values: Floats) -> Codes:
        """Bin of each value."""
        # With so few edges this is several times quicker than to search them.
        above = (values > self.edges[:, None]).sum(axis=0, dtype=np.uint8)
        return np.where(np.isnan(values), np.uint8(self.known), above)


@dataclass(frozen=True, slots=True)
class CategoryBins:
    """A bin for each of the most frequent values, one for the others, and one for None."""

    names: tuple[str, ...]

    @classmethod
    def of_pilot(cls, values: list[str | None]) -> CategoryBins:
        """Name the values that have :data:`NAMED_MIN` rows, or as large a share of fewer."""
        counts = Counter(value for value in values if value is not None)
        rows_min = NAMED_MIN * len(values) / PILOT_ROWS
        ranked = sorted((-rows, name) for name, rows in counts.items() if rows >= rows_min)
        return cls(tuple(name for _, name in ranked[: BINS_MAX - 1]))

    @property
    def known(self) -> int:
        """Bins of values."""
        return len(self.names) + 1

    def codes(self, values: list[str | None]) -> Codes:
        """Bin of each value."""
        bins: dict[str | None, int] = {name: index for index, name in enumerate(self.names)}
        bins[None] = self.known
        # All of it runs within the interpreter's C code: a reference has millions of rows.
        return np.frombuffer(bytes(map(bins.get, values, repeat(len(self.names)))), np.uint8)


class _Bins(Protocol[_Values_contra]):
    @property
    def known(self) -> int:
        """Bins of values."""

    def codes(self, values: _Values_contra, /) -> Codes:
        """Bin of each value."""


class _Collector(ABC, Generic[_Values]):
    """Lets rows wait for the pilot to be whole, then counts them in blocks.

    Rows before the first value do not count: a column that comes late begins when it comes. What
    is collected does not depend on how the rows are cut into batches.
    """

    ordered: ClassVar[bool]

    def __init__(self) -> None:
        self._waiting: list[_Values] = []
        self._waiting_rows = 0
        self._bins: _Bins[_Values] | None = None
        self._counts: BlockCounts | None = None

    def dispersion(self) -> Dispersion | None:
        """Estimate from the rows so far; None of too few, or of a constant. More may follow."""
        self._settle()
        bins, counts = self._bins, self._counts
        if bins is None or counts is None:
            values = self._joined()
            bins = self._cut(values)
            counts = BlockCounts(bins.known + 1)
            counts.add(bins.codes(values))
        return dispersion_of(counts, bins.known, ordered=self.ordered)

    @abstractmethod
    def _joined(self) -> _Values:
        """Return all that waits."""

    @abstractmethod
    def _cut(self, values: _Values) -> _Bins[_Values]:
        """Fix the bins by the first rows."""

    def _wait(self, values: _Values, rows: int) -> None:
        if not rows:
            return
        self._waiting.append(values)
        self._waiting_rows += rows
        if self._waiting_rows >= PILOT_ROWS:
            self._settle()

    def _settle(self) -> None:
        if not self._waiting_rows or (self._bins is None and self._waiting_rows < PILOT_ROWS):
            return
        values = self._joined()
        self._waiting.clear()
        self._waiting_rows = 0
        if self._bins is None or self._counts is None:
            self._bins = self._cut(values)
            self._counts = BlockCounts(self._bins.known + 1)
        self._counts.add(self._bins.codes(values))

    @property
    def _has_begun(self) -> bool:
        return self._bins is not None or bool(self._waiting)

    def _restore(self, counts: BlockState | None) -> None:
        if (counts is None) != (self._bins is None):
            raise PackingError("bins without counts of blocks, or counts without bins")
        if counts is not None and self._bins is not None:
            if counts.bins != self._bins.known + 1:
                raise PackingError(f"counts of {counts.bins} bins, expected {self._bins.known + 1}")
            self._counts = BlockCounts.of_state(counts)


class NumberDispersion(_Collector["Floats"]):
    """Collects the dispersion of a number column."""

    ordered = True

    def add(self, column: NumberColumn) -> None:
        """Take the rows of `column`; values of a wrong type are missing."""
        # A copy, because a view would keep the whole batch in memory.
        self._take(column.values.copy())

    def miss(self, rows: int) -> None:
        """Take rows that had no such column."""
        self._take(np.full(rows, np.nan))

    def state(self) -> NumberDispersionState:
        """Everything to go on from; equal rows give equal states."""
        self._settle()
        bins = self._bins
        return NumberDispersionState(
            pack_floats(self._joined()),
            pack_floats(bins.edges) if isinstance(bins, NumberBins) else None,
            self._counts.state() if self._counts else None,
        )

    @classmethod
    def of_state(cls, state: NumberDispersionState) -> NumberDispersion:
        """Go on from `state`.

        Raises
        ------
        PackingError
            If its parts contradict one another.
        """
        self = cls()
        if state.edges is not None:
            self._bins = NumberBins(unpack_floats(state.edges))
        self._restore(state.counts)
        waiting = unpack_floats(state.waiting)
        self._wait(waiting, waiting.size)
        return self

    def _take(self, values: Floats) -> None:
        if not self._has_begun:
            known = ~np.isnan(values)
            values = values[int(known.argmax()) :] if known.any() else values[:0]
        self._wait(values, values.size)

    def _joined(self) -> Floats:
        waiting = self._waiting
        return waiting[0] if len(waiting) == 1 else np.concatenate([np.empty(0), *waiting])

    def _cut(self, values: Floats) -> NumberBins:
        return NumberBins.of_pilot(values[:PILOT_ROWS])


class CategoryDispersion(_Collector[list[str | None]]):
    """Collects the dispersion of a category column."""

    ordered = False

    def add(self, column: CategoryColumn) -> None:
        """Take the rows of `column`; values of a wrong type are missing."""
        self._take(list(column.values))

    def miss(self, rows: int) -> None:
        """Take rows that had no such column."""
        self._take([None] * rows)

    def state(self) -> CategoryDispersionState:
        """Everything to go on from; equal rows give equal states."""
        self._settle()
        bins = self._bins
        return CategoryDispersionState(
            self._joined(),
            list(bins.names) if isinstance(bins, CategoryBins) else None,
            self._counts.state() if self._counts else None,
        )

    @classmethod
    def of_state(cls, state: CategoryDispersionState) -> CategoryDispersion:
        """Go on from `state`.

        Raises
        ------
        PackingError
            If its parts contradict one another.
        """
        self = cls()
        if state.names is not None:
            self._bins = CategoryBins(tuple(state.names))
        self._restore(state.counts)
        self._wait(state.waiting, len(state.waiting))
        return self

    def _take(self, values: list[str | None]) -> None:
        if not self._has_begun:
            first = next((row for row, value in enumerate(values) if value is not None), None)
            values = [] if first is None else values[first:]
        self._wait(values, len(values))

    def _joined(self) -> list[str | None]:
        waiting = self._waiting
        return waiting[0] if len(waiting) == 1 else list(chain.from_iterable(waiting))

    def _cut(self, values: list[str | None]) -> CategoryBins:
        return CategoryBins.of_pilot(values[:PILOT_ROWS])
