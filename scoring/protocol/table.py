"""The rows of one request as a model takes them, and as the prediction log writes them.

pandas is imported where a frame is made, and never for a model that takes arrays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

#: A feature's value in the log. Anything else (an array in a cell) is left out there.
Scalar: TypeAlias = float | int | str | bool | None
Array: TypeAlias = npt.NDArray[Any]

_MATRIX_DIMENSIONS = 2


class Table(Protocol):
    """The rows of one request, checked against the signature."""

    @property
    def rows(self) -> int:
        """Number of rows."""

    def model_input(self) -> Any:  # noqa: ANN401 - array, frame or dict: the model knows
        """Return what the model's predict takes."""

    def features(self) -> list[dict[str, Any]]:
        """Return the features by name, a dict a row. Values may be other than scalars."""


@dataclass(frozen=True, slots=True)
class Block:
    """An array with the rows along its first axis.

    Parameters
    ----------
    names
        Names of the columns for the log; used where `values` has two axes.
    frame_columns
        A pandas Index: the model is handed a frame with these columns. None: the array.
    """

    names: tuple[str, ...]
    values: Array
    frame_columns: Any = None

    @property
    def rows(self) -> int:
        """Number of rows; 1 for a single value."""
        return len(self.values) if self.values.ndim else 1

    def model_input(self) -> Any:  # noqa: ANN401 - see the protocol
        """Return the array, or a frame around it without a copy."""
        if self.frame_columns is None:
            return self.values
        import pandas as pd  # noqa: PLC0415 - costs 100 MB where a model takes arrays

        return pd.DataFrame(self.values, columns=self.frame_columns)

    def features(self) -> list[dict[str, Any]]:
        """Return a dict a row; empty dicts for arrays that are no table."""
        if self.values.ndim != _MATRIX_DIMENSIONS:
            return [{} for _ in range(self.rows)]
        names = self.names or tuple(str(i) for i in range(self.values.shape[1]))
        return [dict(zip(names, row, strict=True)) for row in self.values.tolist()]


@dataclass(frozen=True, slots=True)
class Columns:
    """Columns of several types, by name, all of one length."""

    columns: Mapping[str | int, Array | Sequence[Any]]
    rows: int

    def model_input(self) -> Any:  # noqa: ANN401 - see the protocol
        """Return a pandas frame."""
        import pandas as pd  # noqa: PLC0415 - costs 100 MB where a model takes arrays

        return pd.DataFrame(dict(self.columns), index=pd.RangeIndex(self.rows))

    def features(self) -> list[dict[str, Any]]:
        """Return a dict a row."""
        names = [str(name) for name in self.columns]
        values = [_items(column) for column in self.columns.values()]
        if not names:
            return [{} for _ in range(self.rows)]
        return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


@dataclass(frozen=True, slots=True)
class Tensors:
    """Named arrays for a model whose signature is of tensors. The log takes those of one axis."""

    arrays: Mapping[str, Array]

    @property
    def rows(self) -> int:
        """Length of the first axis, which the tensors share; 1 for single values."""
        return max((len(array) if array.ndim else 1 for array in self.arrays.values()), default=0)

    def model_input(self) -> Any:  # noqa: ANN401 - see the protocol
        """Return a dict of arrays."""
        return dict(self.arrays)

    def features(self) -> list[dict[str, Any]]:
        """Return a dict a row, of the arrays that have one value a row."""
        flat = {n: a.tolist() for n, a in self.arrays.items() if a.shape == (self.rows,)}
        return [{name: values[row] for name, values in flat.items()} for row in range(self.rows)]


@dataclass(frozen=True, slots=True)
class Frame:
    """A pandas frame that went the long way (`scoring.protocol.frame`), or that mlflow made."""

    frame: Any

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.frame)

    def model_input(self) -> Any:  # noqa: ANN401 - see the protocol
        """Return the frame."""
        return self.frame

    def features(self) -> list[dict[str, Any]]:
        """Return a dict a row; what pandas holds for a missing text is None."""
        columns = {str(name): self.frame.iloc[:, i] for i, name in enumerate(self.frame.columns)}
        if not columns:
            return [{} for _ in range(self.rows)]
        values = [_items(_plain_cells(cells)) for cells in columns.values()]
        return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


@dataclass(frozen=True, slots=True)
class Other:
    """Whatever else goes to a model as it came: objects, a text, a language model's request."""

    value: Any

    @property
    def rows(self) -> int:
        """Number of items of an array; 1 for anything else."""
        return len(self.value) if isinstance(self.value, list) else 1

    def model_input(self) -> Any:  # noqa: ANN401 - see the protocol
        """Return the value."""
        return self.value

    def features(self) -> list[dict[str, Any]]:
        """Return the objects, their arrays as lists; empty dicts for what is none."""
        rows = self.value if isinstance(self.value, list) else [self.value]
        return [
            {str(name): _listed(cell) for name, cell in row.items()}
            if isinstance(row, dict)
            else {}
            for row in rows
        ]


def table_of(value: Any) -> Table:  # noqa: ANN401 - any value that a model may take
    """Return the table whose `model_input` is a value, as it is."""
    if isinstance(value, np.ndarray):
        return Block((), value)
    if hasattr(value, "columns") and hasattr(value, "iloc"):
        return Frame(value)
    if isinstance(value, dict) and all(isinstance(cells, np.ndarray) for cells in value.values()):
        return Tensors(value)
    return Other(value)


def _listed(cell: Any) -> Any:  # noqa: ANN401 - any JSON, an array, a scalar of numpy's
    return cell.tolist() if isinstance(cell, np.ndarray | np.generic) else cell


def _plain_cells(cells: Any) -> Any:  # noqa: ANN401 - a pandas Series; an array, or a list
    if cells.dtype.kind == "O":
        return cells.astype(object).where(cells.notna(), None).tolist()
    return cells.to_numpy()


def _items(column: Array | Sequence[Any]) -> Sequence[Any]:
    if not isinstance(column, np.ndarray):
        return column
    if column.dtype.kind == "M":
        # tolist() would give nanoseconds as a bare integer.
        return [None if np.isnat(time) else str(time) for time in column]
    items: Sequence[Any] = column.tolist()
    return items
