"""Tensors of the Open Inference Protocol V2, as columns.

The first dimension is the rows. A tensor of ``[n]`` or ``[n, 1]`` is a column of its own name, a
wider one makes the columns ``<name>.0``, ``<name>.1`` and so on, or one of vectors if it is as
wide as an embedding.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Mapping, Sequence
from typing import Any

from collectors.formats.event_line import Unusable
from collectors.formats.event_vectors import is_long_vector

#: Columns of one tensor; an image is no table.
WIDTH_MAX = 10_000


def is_tensors(value: object) -> bool:
    """Whether a value is a list of tensors."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and "name" in one and "data" in one for one in value)
    )


def tensor_rows(tensors: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of tensors that have equally many.

    Parameters
    ----------
    names
        Names for the columns of a single tensor that is as wide; otherwise its own are used.

    Raises
    ------
    Unusable
        They are no tensors: the shape is not that of the data, or their rows differ.

    Examples
    --------
    >>> tensor_rows([{"name": "x", "shape": [2, 2], "data": [41, 52.5, 23, 18.0]}], ())
    [{'x.0': 41, 'x.1': 52.5}, {'x.0': 23, 'x.1': 18.0}]
    """
    columns: dict[str, list[Any]] = {}
    for tensor in tensors:
        columns |= _columns(tensor, names if len(tensors) == 1 else ())
    lengths = set(map(len, columns.values()))
    if len(lengths) > 1:
        raise Unusable("rows_differ")
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]


def _columns(tensor: Mapping[str, Any], names: Sequence[str]) -> dict[str, list[Any]]:
    name, data = tensor.get("name"), tensor.get("data")
    if not isinstance(name, str) or not isinstance(data, list):
        raise Unusable("wrong_type")
    shape = tensor.get("shape", [len(data)])
    if not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape):
        raise Unusable("wrong_type")
    width = math.prod(shape[1:])
    values = _decoded(_flat(data, len(shape)), tensor)
    if width > WIDTH_MAX or math.prod(shape) != len(values):
        raise Unusable("wrong_type")
    if width == 1:
        return {names[0] if len(names) == 1 else name: values}
    if len(names) != width and is_long_vector(values[:width]):
        return {name: [values[row : row + width] for row in range(0, len(values), width)]}
    if len(names) != width:
        names = [f"{name}.{i}" for i in range(width)]
    return {column: values[i::width] for i, column in enumerate(names)}


def _flat(data: list[Any], levels: int) -> list[Any]:
    """Values in the order of rows, nested as the shape has it or flat already."""
    for _ in range(levels - 1):
        if not data or not isinstance(data[0], list):
            break
        if not all(isinstance(part, list) for part in data):
            raise Unusable("wrong_type")
        data = [value for part in data for value in part]
    return data


def _decoded(values: list[Any], tensor: Mapping[str, Any]) -> list[Any]:
    """Bytes are text, unless their sender says that they are base64."""
    parameters = tensor.get("parameters")
    if not isinstance(parameters, dict) or parameters.get("content_type") != "base64":
        return values
    try:
        return [base64.b64decode(value, validate=True).decode() for value in values]
    except (TypeError, binascii.Error, ValueError) as error:
        raise Unusable("wrong_type") from error
