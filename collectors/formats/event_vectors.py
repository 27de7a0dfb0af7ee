"""Arrays of numbers in a log: which are vectors, and columns made of them."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from collectors.batch import VECTOR_DIMENSIONS_MAX, Column, Floats, VectorColumn

#: Numbers from which on an array is a vector where shorter ones become columns of their own:
#: in predictions, and in the features of foreign formats. Tables without names are narrower, and
#: embeddings are wider.
VECTOR_MIN = 128
_OF_VECTORS = frozenset({float, int, type(None)})


def is_vector(value: object) -> bool:
    """Whether a value is an array of finite numbers that is not empty.

    Examples
    --------
    >>> is_vector([1, 0.5]), is_vector([]), is_vector([True]), is_vector([1.0, None])
    (True, False, False, False)
    """
    return (
        isinstance(value, list)
        and bool(value)
        and set(map(type, value)) <= {float, int}
        and all(map(math.isfinite, value))
    )


def is_long_vector(value: object) -> bool:
    """Whether a value is one vector rather than several columns, if perhaps one with gaps."""
    return (
        isinstance(value, list | tuple)
        and len(value) >= VECTOR_MIN
        and set(map(type, value)) <= _OF_VECTORS
    )


def kind_of_array(value: list[Any]) -> Literal["vector"] | None:
    """Kind of column that an array makes as the first value; None where it fits none.

    One with gaps is no vector itself, but tells that the column holds some.
    """
    fits = 0 < len(value) <= VECTOR_DIMENSIONS_MAX and set(map(type, value)) <= _OF_VECTORS
    return "vector" if fits else None


def vectors(name: str, values: Sequence[Any], dimensions: dict[str, int]) -> VectorColumn:
    """Make a column of arrays of numbers, of None, and of values that are anything else.

    Parameters
    ----------
    dimensions
        Length of arrays by column. Of a column that it does not have the first array decides,
        and is taken up.
    """
    length = dimensions.get(name)
    if length is None:
        first = next((value for value in values if is_vector(value)), None)
        if first is None or len(first) > VECTOR_DIMENSIONS_MAX:
            # No column without a length: one of an array is never missing throughout.
            length = 1
        else:
            length = dimensions[name] = len(first)
    fits = [type(value) is list and len(value) == length for value in values]
    column = np.full((len(values), length), np.nan)
    at = [row for row, fit in enumerate(fits) if fit]
    if at:
        column[at] = np.array([values[row] for row in at], dtype=np.float64)
    if len(at) == len(values):
        return VectorColumn(column)
    wrong = [row for row, fit in enumerate(fits) if not fit and values[row] is not None]
    return VectorColumn(column, tuple(wrong))


def joined_vectors(columns: Sequence[Column | None], rows: Sequence[int]) -> Floats:
    """Join a column's parts, each of so many rows; missing where a part has no such vectors."""
    found = [column for column in columns if isinstance(column, VectorColumn)]
    length = max(column.dimensions for column in found)
    return np.concatenate(
        [
            column.values
            if isinstance(column, VectorColumn) and column.dimensions == length
            else np.full((count, length), np.nan)
            for column, count in zip(columns, rows, strict=True)
        ]
    )


def split_known(row: Mapping[str, Any], features: Container[str]) -> Mapping[str, Any]:
    """Split a long vector that a reference knows by its parts, ``<name>.0`` and so on."""
    split = [
        name
        for name, value in row.items()
        if type(value) is list and name not in features and f"{name}.0" in features
    ]
    if not split:
        return row
    rest = {name: value for name, value in row.items() if name not in split}
    return rest | {f"{name}.{i}": part for name in split for i, part in enumerate(row[name])}
