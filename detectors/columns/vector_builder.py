"""Collecting the profile of a column of vectors, batch by batch, in bounded memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt

from detectors.columns.profile import VectorProfile
from detectors.columns.vector_axes import VectorAxes
from detectors.columns.vector_counts import unpacked_places
from detectors.numerics.packing import PackedArray, PackingError, pack_floats, unpack_floats

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints, VectorColumn

#: Rows that the axes are laid by: 8 MB of the longest arrays.
FIRST_ROWS = 256
#: Rows that a profile keeps whole, at most, once there are twice as many half of it at least.
SAMPLE_MAX = 512
#: Rows whose products are added up at once: their sums stay below 2**53.
_AT_ONCE = 65_536


class VectorBuilderState(msgspec.Struct, array_like=True, frozen=True):
    """What `VectorBuilder` keeps in the store."""

    dimensions: int
    first: PackedArray
    center: PackedArray
    step: float
    rows: int
    stride: int
    sums: bytes
    products: bytes
    sample: bytes
    missing: int
    invalid: int


class VectorBuilder:
    """Sums of vectors on axes that the first rows lay, and every k-th row.

    The length of the first array holds: rows of another are invalid. The sample is of the rows
    whose number is a multiple of a stride that grows, whatever they hold.

    Parameters
    ----------
    missing
        Rows that passed before the column was first seen.
    """

    def __init__(self, missing: int = 0) -> None:
        self.missing = missing
        self._invalid = 0
        self._dimensions = 0
        self._first: Floats = np.empty((0, 0))
        self._counted: _Counted | None = None

    def add(self, column: VectorColumn) -> None:
        """Count the rows of `column`."""
        finite = np.isfinite(column.values).all(axis=1)
        wrong = int(np.count_nonzero(column.there() & ~finite)) + len(column.invalid_rows)
        rows = column.values[finite]
        self.missing += len(column.values) - len(rows) - wrong
        self._invalid += wrong
        if not len(rows):
            return
        self._dimensions = self._dimensions or column.dimensions
        if column.dimensions != self._dimensions:
            self._invalid += len(rows)
            return
        if self._counted is None:
            self._first = np.concatenate((self._first.reshape(-1, self._dimensions), rows))
            if len(self._first) < FIRST_ROWS:
                return
            self._counted = _Counted(VectorAxes.of(self._first[:FIRST_ROWS]))
            rows, self._first = self._first, np.empty((0, self._dimensions))
        self._counted.add(rows)

    def miss(self, rows: int) -> None:
        """Count rows that had no such column."""
        self.missing += rows

    def profile(self) -> VectorProfile:
        """Profile of the rows so far."""
        counted = self._counted
        if counted is None:
            first = self._first
            axes = VectorAxes.of(first) if len(first) else VectorAxes(np.zeros(1), 1.0)
            counted = _Counted(axes)
            counted.add(first if len(first) else np.empty((0, 1)))
        return VectorProfile(
            counted.axes,
            counted.rows,
            counted.sums.copy(),
            counted.products.copy(),
            counted.sample,
            self.missing,
            self._invalid,
        )

    def state(self) -> VectorBuilderState:
        """Everything to go on from."""
        counted = self._counted
        return VectorBuilderState(
            self._dimensions,
            pack_floats(self._first),
            pack_floats(np.empty(0) if counted is None else counted.axes.center),
            0.0 if counted is None else counted.axes.step,
            0 if counted is None else counted.rows,
            1 if counted is None else counted.stride,
            b"" if counted is None else counted.sums.astype("<i8").tobytes(),
            b"" if counted is None else counted.products.astype("<i8").tobytes(),
            b"" if counted is None else counted.sample.astype("<i2").tobytes(),
            self.missing,
            self._invalid,
        )

    @classmethod
    def of_state(cls, state: VectorBuilderState) -> VectorBuilder:
        """Go on from `state`.

        Raises
        ------
        PackingError
            If its parts contradict one another.
        """
        self = cls(state.missing)
        self._invalid, self._dimensions = state.invalid, state.dimensions
        first = unpack_floats(state.first)
        if self._dimensions and first.size % self._dimensions:
            raise PackingError("the first rows of a column of vectors are cut off")
        self._first = first.reshape(-1, self._dimensions) if self._dimensions else self._first
        center = unpack_floats(state.center)
        if center.size:
            axes = VectorAxes(center, state.step)
            counted = self._counted = _Counted(axes)
            counted.rows, counted.stride = state.rows, max(1, state.stride)
            counted.sums, counted.products = unpacked_sums(state.sums, state.products, axes.kept)
            sampled = -(-counted.rows // counted.stride)
            counted.sample = unpacked_places(state.sample, sampled, axes.kept)
        return self


class _Counted:
    """Rows on axes."""

    def __init__(self, axes: VectorAxes) -> None:
        self.axes = axes
        self.rows = 0
        self.stride = 1
        self.sums: Ints = np.zeros(axes.kept, np.int64)
        self.products: Ints = np.zeros((axes.kept, axes.kept), np.int64)
        self.sample: npt.NDArray[np.int16] = np.empty((0, axes.kept), np.int16)

    def add(self, rows: Floats) -> None:
        for start in range(0, len(rows), _AT_ONCE):
            self._add(self.axes.places(rows[start : start + _AT_ONCE]))

    def _add(self, places: Floats) -> None:
        self.sums += places.sum(axis=0).astype(np.int64)
        self.products += (places.T @ places).astype(np.int64)
        due = places[-self.rows % self.stride :: self.stride].astype(np.int16)
        self.sample = np.concatenate((self.sample, due))
        self.rows += len(places)
        while len(self.sample) > SAMPLE_MAX:
            self.stride *= 2
            self.sample = self.sample[::2].copy()


def unpacked_sums(sums: bytes, products: bytes, kept: int) -> tuple[Ints, Ints]:
    """Return sums and products out of their bytes.

    Raises
    ------
    PackingError
        If there are more or fewer.
    """
    if (len(sums), len(products)) != (8 * kept, 8 * kept * kept):
        raise PackingError("the sums of a column of vectors are cut off")
    return (
        np.frombuffer(sums, "<i8").astype(np.int64),
        np.frombuffer(products, "<i8").astype(np.int64).reshape(kept, kept),
    )
