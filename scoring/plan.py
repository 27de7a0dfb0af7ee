"""What a signature asks of a request, compiled once when the model is loaded.

MLflow walks over the columns three times a request and makes two pandas frames on the way: that
is nearly all of its work. Here the common case, every column a ``double``, is one conversion of
the rows into one array; all other cases go column by column and follow MLflow's rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from scoring.cast import DTYPES, cast, numbers
from scoring.parquet import conform, sheet_of_parquet
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
from scoring.sheet import (
    Sheet,
    sheet_of_columns,
    sheet_of_csv,
    sheet_of_records,
    sheet_of_split,
    sheet_of_unnamed,
)
from scoring.signature import ColumnSpec, ColumnType, Signature, TensorSpec
from scoring.table import Block, Columns, Table
from scoring.tensor_plan import OpenPlan, TensorPlan

#: Column names of a request that an error message repeats, at most.
NAMES_SHOWN = 20


class Plan(Protocol):
    """Makes the table that a model takes of the data of a request."""

    @property
    def frame_columns(self) -> Any:  # noqa: ANN401 - a pandas Index, or None
        """The names of the columns of a frame, for models that want one of doubles."""

    def table(self, data: RequestData) -> Table:
        """Return the table.

        Raises
        ------
        ScoringError
            The data do not fit the signature; the status and the code are MLflow's.
        """


def compile_plan(signature: Signature, *, arrays: bool, wraps: bool = False) -> Plan:
    """Return the plan of a signature.

    Parameters
    ----------
    arrays
        Whether the model was trained without column names, so that it takes an array where
        every column is a double. Otherwise, and for every other signature of columns, it is
        handed a pandas frame.
    wraps
        Whether whole numbers that are too large wrap, as with MLflow.
    """
    inputs = signature.inputs
    if not inputs:
        return OpenPlan()
    tensors = tuple(spec for spec in inputs if isinstance(spec, TensorSpec))
    if tensors:
        return TensorPlan(tensors)
    columns = tuple(spec for spec in inputs if isinstance(spec, ColumnSpec))
    return ColumnPlan(columns, arrays=arrays, wraps=wraps)


class ColumnPlan:
    """The plan of a signature of columns, named or told apart by their place."""

    def __init__(
        self, columns: tuple[ColumnSpec, ...], *, arrays: bool, wraps: bool = False
    ) -> None:
        self._columns = columns
        self._wraps = wraps
        self._by_name = {column.name or place: column for place, column in enumerate(columns)}
        self._names = list(self._by_name)
        self._named = columns[0].name is not None
        self._log_names = tuple(str(name) for name in self._names)
        self._doubles = all(c.type == "double" and c.required for c in columns)
        self.frame_columns = None if arrays and self._doubles else _pandas_index(self._names)

    def table(self, data: RequestData) -> Table:
        """Return the table; see `Plan`."""
        if isinstance(data, Language):
            raise schema_error(NO_LANGUAGE)
        if isinstance(data, Split):
            return self._block_of_split(data) or self._table(*sheet_of_split(data))
        if isinstance(data, Records):
            return self._block_of_records(data) or self._table(*sheet_of_records(data.rows))
        if isinstance(data, Csv):
            dtypes = {c.name: DTYPES[c.type] for c in self._columns if c.type in DTYPES and c.name}
            return self._table(*sheet_of_csv(data, dtypes))
        if isinstance(data, Parquet):
            return self._table(*sheet_of_parquet(data), typed=True)
        return self._table_of_arrays(data)

    def _block_of_split(self, data: Split) -> Block | None:
        if not (self._doubles and self._named and data.columns is not None):
            return None
        if len(data.columns) != len(self._names):
            return None
        block = self._block(data.rows)
        if block is None or data.columns == self._names:
            return block
        places = {name: place for place, name in enumerate(data.columns)}
        if places.keys() != set(self._names):
            return None
        order = [places[name] for name in self._names]
        return Block(self._log_names, block.values[:, order], self.frame_columns)

    def _block_of_records(self, data: Records) -> Block | None:
        if not (self._doubles and self._named and data.rows):
            return None
        try:
            return self._block([[row[name] for name in self._log_names] for row in data.rows])
        except KeyError:
            return None

    def _block(self, rows: Sequence[Any]) -> Block | None:
        """Return rows of doubles in one go; None to have them looked at one by one."""
        try:
            values = numbers(rows, np.float64, dimensions=2) if rows else np.empty((0, 0))
        except (OverflowError, TypeError, ValueError):
            return None
        if not rows:
            values = values.reshape(0, len(self._names))
        if values.shape[1] != len(self._names):
            return None
        return Block(self._log_names, values, self.frame_columns)

    def _table(self, sheet: Sheet, rows: int, *, typed: bool = False) -> Table:
        """Cast what is there, then miss what is not: the order in which MLflow finds faults."""
        if self._named:
            found = [(name, spec) for name, spec in self._by_name.items() if name in sheet]
        else:
            found = list(zip(sheet, self._columns, strict=False))
        if typed:
            # Types that a file states are checked last, those of JSON are made first.
            self._refuse_missing(sheet)
            cells = {name: conform(sheet[name], spec.type, name) for name, spec in found}
        else:
            cells = {n: cast(sheet[n], spec.type, n, wraps=self._wraps) for n, spec in found}
            self._refuse_missing(sheet)
        if self._doubles:
            values = np.column_stack(list(cells.values()))
            return Block(self._log_names, values, self.frame_columns)
        return Columns(cells, rows)

    def _refuse_missing(self, sheet: Sheet) -> None:
        if not self._named:
            if len(sheet) < len(self._columns):
                raise schema_error(
                    f"the model takes {len(self._columns)} columns; the request has {len(sheet)}"
                )
            return
        missing = [n for n, spec in self._by_name.items() if spec.required and n not in sheet]
        if not missing:
            return
        message = (
            f"the request lacks the inputs {missing[:NAMES_SHOWN]}, which the model's signature "
            "requires"
        )
        extra = [name for name in sheet if name not in self._by_name]
        if extra:
            message += f"; it has {extra[:NAMES_SHOWN]}, which the signature does not know"
        raise schema_error(message)

    def _table_of_arrays(self, data: Arrays) -> Table:
        """Read ``inputs`` and ``instances``, which MLflow treats unlike the data frames."""
        value = data.value
        if not self._named:
            return self._table(*sheet_of_unnamed(value))
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
            sheet, rows = sheet_of_records(value)
            if data.by_row and any(row.keys() != value[0].keys() for row in value):
                raise ScoringError("instances must all have the same inputs")
            return self._table(self._texts(sheet), rows)
        if isinstance(value, list) and len(self._columns) == 1:
            value = {self._names[0]: value}
        if not isinstance(value, dict):
            _refuse_unreadable(value, self._columns[0].type)
            return self._table({}, 0)
        known = {name: cells for name, cells in value.items() if name in self._by_name}
        sheet_of_columns(known, uneven_is_schema=not data.by_row)
        lists = any(isinstance(cells, list) for cells in value.values())
        if not lists and len(known) < len(value):
            raise schema_error("an input that the signature does not know must be an array")
        sheet, rows = sheet_of_columns(value, uneven_is_schema=True)
        return self._table(self._texts(sheet), rows)

    def _texts(self, sheet: Sheet) -> Sheet:
        """Turn the cells of string columns to text: only here does MLflow do that."""
        texts = {c.name for c in self._columns if c.type == "string"}
        return {n: [str(v) for v in cells] if n in texts else cells for n, cells in sheet.items()}


def _refuse_unreadable(value: object, column: ColumnType) -> None:
    """Refuse an array that MLflow cannot convert to the first column's type.

    It tries that before it misses the names, so this decides on the error code.
    """
    if column not in DTYPES:
        return
    try:
        np.array(value, dtype=DTYPES[column])
    except (OverflowError, TypeError, ValueError) as error:
        raise ScoringError(f"the array cannot be converted to {column}: {error}") from error


def _pandas_index(names: Sequence[str | int]) -> Any:  # noqa: ANN401 - a pandas Index
    import pandas as pd  # noqa: PLC0415 - only for models that take frames

    return pd.Index(names)
