"""One column of JSON cells made into the type that the signature states, as MLflow does it."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from scoring.protocol.protocol import ScoringError
from scoring.protocol.signature import ColumnType
from scoring.protocol.table import Array

#: The types that are numbers or truth values, and what holds them.
DTYPES: Final[Mapping[ColumnType, npt.DTypeLike]] = {
    "boolean": np.bool_,
    "integer": np.int32,
    "long": np.int64,
    "float": np.float32,
    "double": np.float64,
}


def cast(
    values: Sequence[Any], column: ColumnType, name: object, *, wraps: bool = False
) -> Array | list[Any]:
    """Return a column's cells in its type, shape ``(rows,)``.

    The rules are MLflow's: whole numbers, truth values and numeric strings become doubles; 4.75
    becomes 4 in a ``long``; null becomes NaN in a ``double`` and ``float``, false in a
    ``boolean``, and is refused in an ``integer`` and ``long``; any cell may stand in a
    ``string``. One rule is not: a number outside a ``long`` or ``integer`` is refused, where
    MLflow wraps it to another number; with `wraps` it does here too.

    Raises
    ------
    ScoringError
        A cell cannot be converted.

    Examples
    --------
    >>> cast([1, "2.5", True, None], "double", "x")
    array([1. , 2.5, 1. , nan])
    """
    dtype = DTYPES.get(column)
    try:
        if dtype is not None:
            return _wrapped(values, dtype) if wraps else numbers(values, dtype)
        if column == "datetime":
            return _times(values)
        if column == "string":
            return _texts(values)
        if column == "binary":
            return [base64.decodebytes(value.encode()) for value in values]
    except (AttributeError, OverflowError, TypeError, ValueError) as error:
        raise ScoringError(f"column {name!r} cannot be converted to {column}: {error}") from error
    return list(values)


def numbers(values: Any, dtype: npt.DTypeLike, *, dimensions: int = 1) -> Array:  # noqa: ANN401
    """Return JSON numbers as an array, whatever of them can be a number.

    Raises
    ------
    ValueError, TypeError, OverflowError
        Something cannot, or the array would have other than `dimensions` axes.
    """
    with np.errstate(over="ignore"):
        array = np.array(values, dtype=dtype)
    if array.ndim != dimensions:
        raise ValueError(f"expected {dimensions} dimension(s), got {array.ndim}")
    return array


def _wrapped(values: Sequence[Any], dtype: npt.DTypeLike) -> Array:
    """Return numbers as `numbers` does, those that are too large modulo the type's range."""
    try:
        return numbers(values, dtype)
    except OverflowError:
        # Within 64 bits only: beyond, MLflow refuses as well.
        whole = np.array(values)
        if whole.dtype.kind not in "iu":
            raise
        wrapped: Array = whole.astype(dtype)
        return wrapped


def _texts(values: Sequence[Any]) -> Array | list[Any]:
    """Return cells of any type, so that pandas finds strings only where all of them are."""
    if all(value is None or isinstance(value, str) for value in values):
        return list(values)
    cells = np.empty(len(values), dtype=object)
    cells[:] = values
    return cells


def _times(values: Sequence[Any]) -> Array:
    import pandas as pd  # noqa: PLC0415 - costs 100 MB, and few signatures hold times

    times = pd.to_datetime(pd.Series(list(values), dtype=object))
    if times.dt.tz is not None:
        raise ValueError("times must not carry a zone")
    array: Array = times.to_numpy(dtype="datetime64[ns]")
    return array
