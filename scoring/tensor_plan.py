"""The plans of models whose signature is of tensors, and of models that have no signature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scoring.parquet import sheet_of_parquet
from scoring.protocol import (
    NO_LANGUAGE,
    Arrays,
    Csv,
    Language,
    Parquet,
    Records,
    RequestData,
    ScoringError,
    Split,
    schema_error,
)
from scoring.sheet import Sheet, check_size, sheet_of_csv, sheet_of_records, sheet_of_split
from scoring.signature import TensorSpec
from scoring.table import Array, Block, Columns, Objects, Table, Tensors


class TensorPlan:
    """The plan of a signature of tensors: one without a name, or several with."""

    frame_columns: Any = None

    def __init__(self, tensors: tuple[TensorSpec, ...]) -> None:
        self._tensors = tensors

    def table(self, data: RequestData) -> Table:
        """Return the table; see `scoring.plan.Plan`."""
        if isinstance(data, Language):
            raise schema_error(NO_LANGUAGE)
        if isinstance(data, Csv | Parquet):
            raise ScoringError("the model takes tensors: send JSON")
        if self._tensors[0].name is None:
            return self._unnamed(data, self._tensors[0])
        return self._named(data)

    def _unnamed(self, data: Split | Records | Arrays, spec: TensorSpec) -> Block:
        if isinstance(data, Arrays):
            _refuse_names(data.value)
            values = _array(data.value, spec)
        else:
            sheet, rows = _sheet(data)
            if not sheet:
                raise schema_error("the request has no columns")
            if not rows:
                raise ScoringError("the request has no rows")
            values = _array(list(zip(*sheet.values(), strict=True)), spec)
            # A single column of arrays is the tensor itself; MLflow reshapes it.
            values = _reshape(values, spec) if len(sheet) == 1 else values
        return Block((), _check_shape(values, spec))

    def _named(self, data: Split | Records | Arrays) -> Tensors:
        arrays: dict[str, Array] = {}
        cells, reshape = self._cells(data)
        for spec in self._tensors:
            name = str(spec.name)
            if name not in cells:
                raise schema_error(f"the request lacks the input {name!r}")
            values = _array(cells[name], spec)
            arrays[name] = _check_shape(_reshape(values, spec) if reshape else values, spec)
        return Tensors(arrays)

    def _cells(self, data: Split | Records | Arrays) -> tuple[Sheet, bool]:
        """Return the inputs by name, and whether they came flattened, as cells of a frame."""
        if not isinstance(data, Arrays):
            return _sheet(data)[0], True
        value = data.value
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            return sheet_of_records(value)[0], False
        if isinstance(value, list) and len(self._tensors) == 1:
            return {str(self._tensors[0].name): value}, False
        if not isinstance(value, dict):
            raise schema_error("the model takes named tensors: send an object of arrays")
        return value, False


class OpenPlan:
    """The plan of a model without a signature: what came goes to the model."""

    frame_columns: Any = None

    def table(self, data: RequestData) -> Table:
        """Return the table; see `scoring.plan.Plan`."""
        if isinstance(data, Language):
            raise ScoringError(NO_LANGUAGE)
        if isinstance(data, Split | Records):
            return Columns(*_sheet(data))
        if isinstance(data, Csv):
            return Columns(*sheet_of_csv(data, {}))
        if isinstance(data, Parquet):
            return Columns(*sheet_of_parquet(data))
        value = data.value
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            if not data.by_row:
                return Objects(value)
            value = sheet_of_records(value)[0]
        if isinstance(value, dict):
            check_size(len(value), 0, 0)
            return Tensors(
                {str(name): _converted(np.array, cells) for name, cells in value.items()}
            )
        return Block((), _converted(np.array, value))


def _sheet(data: Split | Records) -> tuple[Sheet, int]:
    return sheet_of_split(data) if isinstance(data, Split) else sheet_of_records(data.rows)


def _refuse_names(value: object) -> None:
    if value is None or isinstance(value, dict):
        raise ScoringError("the model's input has no name: send an array or a single value")
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        raise schema_error("the model's input has no name: send an array, not objects")


def _array(value: object, spec: TensorSpec) -> Array:
    return _converted(lambda cells: np.array(cells, dtype=spec.dtype), value)


def _converted(convert: Callable[[Any], Array], value: object) -> Array:
    try:
        return convert(value)
    except (OverflowError, TypeError, ValueError) as error:
        raise ScoringError(f"the input cannot be converted to an array: {error}") from error


def _reshape(values: Array, spec: TensorSpec) -> Array:
    inner: Sequence[int] = spec.shape[1:]
    if values.ndim == 0 or -1 in inner:
        return values
    try:
        return values.reshape((len(values), *inner))
    except ValueError as error:
        raise schema_error(f"the input cannot be shaped to {spec.shape}: {error}") from error


def _check_shape(values: Array, spec: TensorSpec) -> Array:
    fits = len(values.shape) == len(spec.shape) and all(
        expected in (-1, actual) for expected, actual in zip(spec.shape, values.shape, strict=True)
    )
    if not fits:
        raise schema_error(f"the input's shape is {values.shape}; the model takes {spec.shape}")
    return values
