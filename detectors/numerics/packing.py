"""Arrays as little-endian bytes with their type: how statistics are kept in files and stores.

Counts are packed into the narrowest unsigned integers that hold them, because most are small
and a pane is written at every commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collectors.batch import Floats, Ints

_DType: TypeAlias = Literal["u1", "u2", "u4", "i8", "f8"]


class PackingError(ValueError):
    """Packed bytes that cannot be an array of the stated type."""


class PackedArray(msgspec.Struct, array_like=True, frozen=True):
    """One array: its element type and its bytes, little-endian."""

    dtype: _DType
    data: bytes


_NO_COUNTS = PackedArray("u1", b"")


def pack_counts(values: npt.NDArray[np.integer]) -> PackedArray:
    """Non-negative integers in the narrowest type that holds the largest.

    Examples
    --------
    >>> pack_counts(np.array([1, 2, 300])).dtype
    'u2'
    """
    if not values.size:
        return _NO_COUNTS
    largest = int(values.max())
    if values.dtype.kind != "u" and int(values.min()) < 0:
        raise PackingError("cannot pack counts: one is negative")
    dtype: _DType = "i8"
    if largest < 1 << 8:
        dtype = "u1"
    elif largest < 1 << 16:
        dtype = "u2"
    elif largest < 1 << 32:
        dtype = "u4"
    return PackedArray(dtype, values.astype(f"<{dtype}").tobytes())


def unpack_counts(packed: PackedArray) -> Ints:
    """Return the non-negative integers that `pack_counts` was given.

    Raises
    ------
    PackingError
        If the bytes are no whole number of elements, or one is negative.
    """
    if packed.dtype == "f8":
        raise PackingError("expected whole numbers, found floating-point ones")
    values = _unpack(packed).astype(np.int64)
    if values.size and int(values.min()) < 0:
        raise PackingError("a count is negative")
    return values


def pack_floats(values: Floats) -> PackedArray:
    """Pack floating-point numbers, bit by bit."""
    return PackedArray("f8", values.astype("<f8").tobytes())


def unpack_floats(packed: PackedArray) -> Floats:
    """Return the numbers that `pack_floats` was given.

    Raises
    ------
    PackingError
        If the bytes are not floating-point numbers, or not a whole number of them.
    """
    if packed.dtype != "f8":
        raise PackingError("expected floating-point numbers, found whole ones")
    return _unpack(packed).astype(np.float64)


def _unpack(packed: PackedArray) -> npt.NDArray[np.generic]:
    dtype = np.dtype(f"<{packed.dtype}")
    if len(packed.data) % dtype.itemsize:
        raise PackingError(f"{len(packed.data)} bytes are no whole number of {packed.dtype}")
    return np.frombuffer(packed.data, dtype=dtype)
