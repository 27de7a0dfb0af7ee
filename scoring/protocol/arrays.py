"""``inputs`` and ``instances``: JSON made into arrays of the signature's types, as MLflow does it.

Unlike a frame's, their cells are converted by numpy, and each by itself in an array of objects.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scoring.protocol.cast import DTYPES
from scoring.protocol.protocol import Arrays, ScoringError, schema_error
from scoring.protocol.signature import ColumnSpec, ColumnType, TensorSpec
from scoring.protocol.size import check_columns

if TYPE_CHECKING:
    import pandas as pd

#: numpy's own types, of numbers and of what is none.
_DTYPES: Final[Mapping[ColumnType, Any]] = {
    **DTYPES,
    "string": np.dtype(str),
    "binary": np.dtype(bytes),
    "datetime": np.dtype("datetime64[ns]"),
}


def typed_value(data: Arrays, specs: Sequence[ColumnSpec] | Sequence[TensorSpec]) -> Any:  # noqa: ANN401 - arrays, by name or in a list
    """Return the value with arrays, or single values, of the stated types in place of JSON's.

    Parameters
    ----------
    specs
        Of the signature; empty for a model that states none, whose arrays are as numpy makes them.

    Raises
    ------
    ScoringError
        Something cannot be converted, or an input has another length than the others.
    """
    value = data.value
    check_columns(value)
    named: dict[Any, ColumnSpec | TensorSpec] = {s.name: s for s in specs if s.name is not None}
    if data.by_row and isinstance(value, list) and value and isinstance(value[0], dict):
        made: Any = _by_column(value, named)
    else:
        made = _typed(value, specs, named)
    if data.by_row and isinstance(made, dict):
        _refuse_uneven(made, named)
    return made


def _by_column(rows: Sequence[Any], named: Mapping[Any, ColumnSpec | TensorSpec]) -> Any:  # noqa: ANN401 - arrays by name
    columns: dict[str, list[Any]] = {}
    for row in rows:
        if not isinstance(row, dict):
            raise ScoringError("instances must all be objects if the first one is")
        for name, cell in row.items():
            columns.setdefault(name, []).append(_of_type(cell, named.get(name)))
    return {name: _array(cells) for name, cells in columns.items()}


def _typed(
    value: Any,  # noqa: ANN401 - any JSON
    specs: Sequence[ColumnSpec] | Sequence[TensorSpec],
    named: Mapping[Any, ColumnSpec | TensorSpec],
) -> Any:  # noqa: ANN401 - arrays, by name or in a list
    objects = isinstance(value, list) and any(isinstance(item, dict) for item in value)
    if len(named) == 1 and isinstance(value, list) and not objects:
        value = {next(iter(named)): value}
    elif specs and not named and (value is None or isinstance(value, dict)):
        raise ScoringError("the model's inputs have no names: send an array or a single value")
    if isinstance(value, dict):
        return {name: _of_type(cells, named.get(name)) for name, cells in value.items()}
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return [{k: _of_type(cell, named.get(k)) for k, cell in row.items()} for row in value]
    return _of_type(value, specs[0] if specs else None)


def _of_type(value: Any, spec: ColumnSpec | TensorSpec | None) -> Any:  # noqa: ANN401 - any JSON, an array or a value
    if spec is None:
        return _array(value)
    if isinstance(spec, TensorSpec):
        return _array(value, spec.dtype)
    if spec.type == "other":
        return value
    dtype = _DTYPES[spec.type]
    return _array(value, dtype) if isinstance(value, list) else _array([value], dtype)[0]


def _array(value: object, dtype: Any = None) -> Any:  # noqa: ANN401 - a type, an array
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.array(value, dtype=dtype)
    except Exception as error:  # numpy raises what it likes, Python's own limits among it
        raise ScoringError(f"the input cannot be converted to an array: {error}") from error


def _refuse_uneven(made: Mapping[Any, Any], named: Mapping[Any, ColumnSpec | TensorSpec]) -> None:
    """Refuse inputs of several lengths. Single values have none, and optional inputs any."""
    checked = {name: cells for name, cells in made.items() if isinstance(cells, np.ndarray)}
    if named:
        required = {name for name, spec in named.items() if getattr(spec, "required", True)}
        checked = {name: cells for name, cells in checked.items() if name in required}
    if any(not cells.ndim for cells in checked.values()):
        raise ScoringError("the instances must be arrays, one value an instance")
    if len({len(cells) for cells in checked.values()}) > 1:
        raise ScoringError("the instances must all have the same inputs")


def frame_of_value(value: Any) -> pd.DataFrame:  # noqa: ANN401 - what `typed_value` returned
    """Return the frame that MLflow makes of arrays for a signature of columns.

    Raises
    ------
    ScoringError
        pandas cannot make one.
    """
    import pandas as pd  # noqa: PLC0415 - costs 100 MB where a model takes arrays

    try:
        if np.isscalar(value) or (isinstance(value, dict) and _is_one_row(value)):
            return pd.DataFrame([value])
        if isinstance(value, dict):
            return pd.DataFrame({name: _flat(cells) for name, cells in value.items()})
        if isinstance(value, list | np.ndarray):
            return pd.DataFrame(value)
    except Exception as error:  # pandas raises what it likes
        raise schema_error(f"the request is no table: {error}") from error
    raise schema_error("the request is no table: send an array or an object")


def _is_one_row(value: Mapping[Any, Any]) -> bool:
    """Whether all cells are single values, or lists of texts, which one row holds."""
    return all(
        cell is None
        or np.isscalar(cell)
        or (isinstance(cell, list) and all(isinstance(item, str) for item in cell))
        for cell in value.values()
    ) or all(
        isinstance(cell, np.ndarray) and cell.ndim == 0 and cell.dtype.kind == "U"
        for cell in value.values()
    )


def _flat(cells: Any) -> Any:  # noqa: ANN401 - an array or a value
    """Return an array of one axis; pandas takes a list where an array has several."""
    return cells.tolist() if isinstance(cells, np.ndarray) and cells.ndim > 1 else cells
