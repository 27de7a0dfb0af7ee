"""What a signature asks of a request, compiled once when the model is loaded.

MLflow walks over the columns three times a request and makes two pandas frames on the way: that
is nearly all of its work. Here the common case, every column a ``double``, is one conversion of
the rows into one array; all other cases go column by column and follow MLflow's rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from scoring.protocol.arrays import frame_of_value, typed_value
from scoring.protocol.cast import numbers
from scoring.protocol.frame import (
    converted,
    csv_dtypes,
    fitted,
    frame_of,
    frame_of_csv,
    frame_of_parquet,
)
from scoring.protocol.protocol import Arrays, Csv, Language, Parquet, Records, RequestData, Split
from scoring.protocol.signature import ColumnSpec, Signature, TensorSpec
from scoring.protocol.size import COLUMNS_MAX
from scoring.protocol.table import Block, Frame, Table
from scoring.protocol.tensor_plan import OpenPlan, TensorPlan

if TYPE_CHECKING:
    import pandas as pd


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
        return self.block(data) or self._table(self._fitted(data))

    def block(self, data: RequestData) -> Block | None:
        """Return rows of doubles, sent as such, in one go; None to have them looked at closely."""
        if not self._doubles or not self._named:
            return None
        if isinstance(data, Split):
            return self._block_of_split(data)
        if isinstance(data, Arrays):
            return self._block_of_arrays(data.value)
        return self._block_of_records(data) if isinstance(data, Records) else None

    def _fitted(self, data: RequestData) -> pd.DataFrame:
        """Return the columns that the signature states, by the long way."""
        columns = self._columns
        if isinstance(data, Split | Records):
            frame = converted(frame_of(data), columns, wraps=self._wraps)
        elif isinstance(data, Csv):
            frame = frame_of_csv(data, csv_dtypes(columns))
        elif isinstance(data, Parquet):
            frame = frame_of_parquet(data)
        elif isinstance(data, Language):
            frame = frame_of_value(data.value)
        else:
            frame = frame_of_value(typed_value(data, columns))
        return fitted(frame, columns)

    def _table(self, frame: pd.DataFrame) -> Table:
        """Return a frame as the model takes it; doubles are one array wherever that will do."""
        numbered = self._named and _is_numbered(frame)
        if self._doubles and (self.frame_columns is None or numbered):
            return Block(self._log_names, frame.to_numpy(np.float64), self.frame_columns)
        return Frame(frame)

    def _block_of_split(self, data: Split) -> Block | None:
        rows, names = data.rows, data.columns
        if not isinstance(rows, list) or not isinstance(names, list) or data.index is not None:
            return None
        if names == self._names:
            return self._block(rows)
        if len(names) > COLUMNS_MAX or not all(isinstance(name, str) for name in names):
            return None
        places = {name: place for place, name in enumerate(names)}
        if len(places) < len(names) or not places.keys() >= set(self._names):
            return None
        if not all(isinstance(row, list) and len(row) == len(names) for row in rows):
            return None
        order = [places[name] for name in self._log_names]
        return self._block([[row[place] for place in order] for row in rows])

    def _block_of_records(self, data: Records) -> Block | None:
        if not data.rows or not all(isinstance(row, dict) for row in data.rows):
            return None
        try:
            return self._block([[row[name] for name in self._log_names] for row in data.rows])
        except KeyError:
            return None

    def _block_of_arrays(self, value: Any) -> Block | None:  # noqa: ANN401 - any JSON
        """Return columns of one length, or objects, that have the inputs and nothing else."""
        names = set(self._names)
        if isinstance(value, list):
            alike = all(isinstance(row, dict) and row.keys() == names for row in value)
            return self._block_of_records(Records(value)) if alike else None
        if not isinstance(value, dict) or value.keys() != names:
            return None
        cells = [value[name] for name in self._log_names]
        if not all(isinstance(column, list) and len(column) == len(cells[0]) for column in cells):
            return None
        return self._block(list(zip(*cells, strict=True)))

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


def _is_numbered(frame: pd.DataFrame) -> bool:
    """Whether the rows have no labels of their own."""
    return frame.index.equals(_pandas_index(list(range(len(frame)))))


def _pandas_index(names: Sequence[str | int]) -> Any:  # noqa: ANN401 - a pandas Index
    import pandas as pd  # noqa: PLC0415 - only for models that take frames

    return pd.Index(names)
