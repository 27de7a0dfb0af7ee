"""Categories of a window counted over the values that a reference knows."""

from __future__ import annotations

import zlib
from collections import Counter
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from detectors.numerics.packing import PackedArray, PackingError, pack_counts, unpack_counts

if TYPE_CHECKING:
    from collectors.batch import CategoryColumn, Ints

#: New values that are kept by name, for reports.
NEW_NAMES_MAX = 100
#: Characters of a new value's name that are kept.
NAME_LENGTH_MAX = 200


class CategoryState(msgspec.Struct, array_like=True, frozen=True, tag="category"):
    """What `CategoryCounts` keeps in the store."""

    known: PackedArray
    other: int
    new_names: dict[str, int]
    missing: int
    invalid: int


class CategoryCounts:
    """Rows per known value, and of all values that the reference does not name.

    Parameters
    ----------
    values
        What the reference names; a window's counts of them come in this order.

    Attributes
    ----------
    known
        Rows per value, shape ``(len(values),)``.
    other
        Rows of all other values.
    new_names
        Rows by name of at most :data:`NEW_NAMES_MAX` of the other values: those of the smallest
        (CRC-32, name). Such a choice is a sample of the names that does not depend on the order
        in which rows came or panes were added, and its counts are exact.

    Examples
    --------
    >>> from collectors.batch import CategoryColumn
    >>> counts = CategoryCounts(("a", "b"))
    >>> counts.add(CategoryColumn(["a", "a", "c", None]))
    >>> counts.known.tolist(), counts.other, counts.new_names, counts.missing
    ([2, 0], 1, {'c': 1}, 1)
    """

    __slots__ = ("_index", "invalid", "known", "missing", "new_names", "other")

    kind: Literal["category"] = "category"

    def __init__(self, values: tuple[str, ...]) -> None:
        self._index = {value: index for index, value in enumerate(values)}
        self.known: Ints = np.zeros(len(values), np.int64)
        self.other = 0
        self.new_names: dict[str, int] = {}
        self.missing = 0
        self.invalid = 0

    @property
    def rows(self) -> int:
        """Rows with a value."""
        return int(self.known.sum()) + self.other

    def add(self, column: CategoryColumn) -> None:
        """Count the rows of `column`."""
        counts = Counter(column.values)
        invalid = len(column.invalid_rows)
        self.invalid += invalid
        self.missing += counts.pop(None, 0) - invalid
        new: Counter[str] = Counter()
        for value, rows in counts.items():
            index = self._index.get(value)  # type: ignore[arg-type]  # None was popped above
            if index is not None:
                self.known[index] += rows
            elif value is not None:
                self.other += rows
                new[value[:NAME_LENGTH_MAX]] += rows
        if new:
            self._name(new)

    def miss(self, rows: int) -> None:
        """Count rows that had no such column."""
        self.missing += rows

    def merge(self, other: CategoryCounts) -> None:
        """Add what `other`, counted over the same values, holds.

        Raises
        ------
        ValueError
            If it counts another number of values.
        """
        if other.known.size != self.known.size:
            raise ValueError(
                f"cannot add counts of {other.known.size} values to {self.known.size} values"
            )
        self.known += other.known
        self.other += other.other
        self.missing += other.missing
        self.invalid += other.invalid
        self._name(other.new_names)

    def over(self, values: tuple[str, ...]) -> CategoryCounts:
        """Return the same rows counted over the first of the values: the rest are others."""
        part = CategoryCounts(values)
        part.known = self.known[: len(values)].copy()
        part.other = self.other + int(self.known[len(values) :].sum())
        part.new_names = dict(self.new_names)
        part.missing, part.invalid = self.missing, self.invalid
        return part

    def state(self) -> CategoryState:
        """Everything to go on from; equal counts give equal states."""
        return CategoryState(
            pack_counts(self.known),
            self.other,
            dict(sorted(self.new_names.items())),
            self.missing,
            self.invalid,
        )

    @classmethod
    def of_state(cls, state: CategoryState, values: tuple[str, ...]) -> CategoryCounts:
        """Go on from `state`, which was counted over `values`.

        Raises
        ------
        PackingError
            If the state does not fit the values.
        """
        self = cls(values)
        known = unpack_counts(state.known)
        if known.size != self.known.size:
            raise PackingError(f"counts of {known.size} values, expected {self.known.size}")
        self.known = known
        self.other = state.other
        self.new_names = dict(state.new_names)
        self.missing = state.missing
        self.invalid = state.invalid
        return self

    def _name(self, new: dict[str, int]) -> None:
        for name, rows in new.items():
            self.new_names[name] = self.new_names.get(name, 0) + rows
        if len(self.new_names) > NEW_NAMES_MAX:
            kept = sorted(self.new_names, key=_rank)[:NEW_NAMES_MAX]
            self.new_names = {name: self.new_names[name] for name in kept}


def _rank(name: str) -> tuple[int, str]:
    # A lone surrogate is a legal Python string that UTF-8 cannot carry.
    return zlib.crc32(name.encode("utf-8", "surrogatepass")), name
