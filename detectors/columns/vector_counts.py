"""What a pane keeps of a column of vectors: their sum, how far they lie, and a few rows."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from detectors.columns.vector_axes import KEPT_MAX, RADIUS
from detectors.numerics.packing import PackingError

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints, VectorColumn
    from detectors.columns.vector_axes import VectorAxes

#: Rows of a window that are kept whole: 25 kB at most.
SAMPLE_MAX = 200
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


class VectorState(msgspec.Struct, array_like=True, frozen=True, tag="vector"):
    """What `VectorCounts` keeps in the store: arrays little-endian, of fixed types."""

    rows: int
    missing: int
    invalid: int
    sums: bytes
    squares: int
    keys: bytes
    sample: bytes


class VectorCounts:
    """Rows of vectors, added up on a reference's axes.

    Everything is whole numbers, so panes add up exactly, in any order and however rows were
    batched. The sample is of the rows with the smallest keys, where a key is a hash of the row's
    value and event time: a uniform sample of rows that does not depend on their order. Rows equal
    in both are told apart by their number within a batch; if such rows come in different batches,
    they share their keys.

    Parameters
    ----------
    axes
        The reference's.

    Attributes
    ----------
    rows, missing, invalid
        Rows with a value, without one, and with one of a wrong type or another length.
    sums
        Sum of the places of the rows, shape ``(kept,)``.
    squares
        Sum of the squares of their distances from the middle.
    sample
        Places of at most :data:`SAMPLE_MAX` rows, by ascending key, shape ``(sampled, kept)``.

    Examples
    --------
    >>> from collectors.batch import VectorColumn
    >>> from detectors.columns.vector_axes import VectorAxes
    >>> counts = VectorCounts(VectorAxes(np.zeros(2), 1.0))
    >>> counts.add(VectorColumn(np.array([[1.0, 2.0], [np.nan, np.nan], [3.0, 0.0]])))
    >>> counts.rows, counts.missing, counts.sums.tolist(), counts.squares
    (2, 1, [4, 2], 14)
    """

    __slots__ = ("axes", "invalid", "keys", "missing", "rows", "sample", "squares", "sums")

    kind: Literal["vector"] = "vector"

    def __init__(self, axes: VectorAxes) -> None:
        self.axes = axes
        self.rows = 0
        self.missing = 0
        self.invalid = 0
        self.sums: Ints = np.zeros(axes.kept, np.int64)
        self.squares = 0
        self.keys: npt.NDArray[np.uint64] = np.empty(0, np.uint64)
        self.sample: npt.NDArray[np.int16] = np.empty((0, axes.kept), np.int16)

    def add(self, column: VectorColumn, ts: Floats | None = None) -> None:
        """Count the rows of `column`.

        Parameters
        ----------
        ts
            Event times, which tell equal rows apart; shape ``(rows,)``.
        """
        there = column.there()
        found, wrong = int(np.count_nonzero(there)), len(column.invalid_rows)
        self.missing += len(there) - found - wrong
        self.invalid += wrong
        if found and column.dimensions != self.axes.dimensions:
            self.invalid += found
            return
        if not found:
            return
        places = self.axes.places(column.values[there])
        self.rows += found
        self.sums += places.sum(axis=0).astype(np.int64)
        self.squares += int(np.einsum("ij,ij->i", places, places).astype(np.int64).sum())
        keys = _keys(places.astype(np.int64), None if ts is None else ts[there])
        self._keep(keys, places.astype(np.int16))

    def miss(self, rows: int) -> None:
        """Count rows that had no such column."""
        self.missing += rows

    def merge(self, other: VectorCounts) -> None:
        """Add what `other`, counted on the same axes, holds.

        Raises
        ------
        ValueError
            If its rows have another length.
        """
        if other.axes.dimensions != self.axes.dimensions:
            raise ValueError(
                f"cannot add vectors of {other.axes.dimensions} numbers to vectors of "
                f"{self.axes.dimensions}"
            )
        self.rows += other.rows
        self.missing += other.missing
        self.invalid += other.invalid
        self.sums = self.sums + other.sums
        self.squares += other.squares
        self._keep(other.keys, other.sample)

    def state(self) -> VectorState:
        """Everything to go on from; equal counts give equal states."""
        return VectorState(
            self.rows,
            self.missing,
            self.invalid,
            self.sums.astype("<i8").tobytes(),
            self.squares,
            self.keys.astype("<u8").tobytes(),
            self.sample.astype("<i2").tobytes(),
        )

    @classmethod
    def of_state(cls, state: VectorState, axes: VectorAxes) -> VectorCounts:
        """Go on from `state`, which was counted on `axes`.

        Raises
        ------
        PackingError
            If the state does not fit the axes.
        """
        self = cls(axes)
        self.rows, self.missing, self.invalid = state.rows, state.missing, state.invalid
        if min(self.rows, self.missing, self.invalid) < 0:
            raise PackingError("a count of a column of vectors is negative")
        self.squares = state.squares
        sampled = min(self.rows, SAMPLE_MAX)
        if (len(state.sums), len(state.keys)) != (8 * axes.kept, 8 * sampled):
            raise PackingError("the sums or the sample of a column of vectors are cut off")
        self.sums = np.frombuffer(state.sums, "<i8").astype(np.int64)
        self.keys = np.frombuffer(state.keys, "<u8").astype(np.uint64)
        self.sample = unpacked_places(state.sample, sampled, axes.kept)
        return self

    def _keep(self, keys: npt.NDArray[np.uint64], places: npt.NDArray[np.int16]) -> None:
        if self.keys.size == SAMPLE_MAX:
            # Most rows of a long window are above the largest key that is kept.
            below = np.flatnonzero(keys < self.keys[-1])
            if not below.size:
                return
            keys, places = keys[below], places[below]
        keys = np.concatenate((self.keys, keys))
        kept = keys.argsort(kind="stable")[:SAMPLE_MAX]
        self.keys = keys[kept]
        self.sample = np.concatenate((self.sample, places))[kept]


def unpacked_places(packed: bytes, rows: int, kept: int) -> npt.NDArray[np.int16]:
    """Return places out of their bytes, shape ``(rows, kept)``.

    Raises
    ------
    PackingError
        If there are more or fewer, or one lies outside the axes.
    """
    if len(packed) != 2 * rows * kept:
        raise PackingError(f"{len(packed)} bytes are no {rows} rows of {kept} numbers")
    places = np.frombuffer(packed, "<i2").astype(np.int16).reshape(rows, kept)
    if places.size and int(places.min()) < -RADIUS:
        raise PackingError("a row of a sample lies outside its axes")
    return places


def _keys(places: Ints, ts: Floats | None) -> npt.NDArray[np.uint64]:
    """Hash each row: a sum with random weights, well mixed."""
    kept = places.shape[1]
    with np.errstate(over="ignore"):
        keys = (places.astype(np.uint64) * _weights()[:kept]).sum(axis=1, dtype=np.uint64)
        if ts is not None:
            keys += np.ascontiguousarray(ts).view(np.uint64) * _weights()[KEPT_MAX]
        keys = _mixed(keys)
        order = keys.argsort(kind="stable")
        is_new = np.concatenate(([True], keys[order][1:] != keys[order][:-1]))
        if is_new.all():
            return keys
        # The how-manieth of equal rows each is.
        first = np.maximum.accumulate(np.where(is_new, np.arange(order.size), 0))
        turn = np.empty(order.size, np.uint64)
        turn[order] = (np.arange(order.size) - first).astype(np.uint64)
        return np.where(turn > 0, _mixed(keys + turn * _GOLDEN), keys)


def _mixed(words: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix bits as SplitMix64 does (Steele, Lea, Flood, OOPSLA 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


@cache
def _weights() -> npt.NDArray[np.uint64]:
    """Return a weight for each number of a row, and one for its time, shape ``(KEPT_MAX + 1,)``."""
    # Only where there are vectors: numpy.random takes 3 MB.
    words = np.random.Philox(key=0x73616D706C65).random_raw(KEPT_MAX + 1)
    return np.asarray(words | np.uint64(1), np.uint64)
