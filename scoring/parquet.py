"""Requests as Parquet files, whose columns have types of their own: converted only without loss."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

import numpy as np

from scoring.cast import DTYPES
from scoring.protocol import Parquet, ScoringError, schema_error
from scoring.sheet import COLUMNS_MAX, Sheet
from scoring.signature import ColumnType
from scoring.table import Array

#: Cells that are unpacked: a file of a few kilobytes may state any number of them.
CELLS_MAX: Final = 20_000_000
#: Bytes of an integer that a double holds whole, whatever its value.
_WHOLE_IN_DOUBLE_BYTES: Final = 6


def sheet_of_parquet(data: Parquet) -> tuple[Sheet, int]:
    """Read a file with pandas, as MLflow does.

    Raises
    ------
    ScoringError
        It is not a Parquet file.
    """
    import pandas as pd  # noqa: PLC0415 - costs 100 MB, and Parquet is rare
    from pyarrow.parquet import ParquetFile  # noqa: PLC0415 - as above

    try:
        stated = ParquetFile(BytesIO(data.body)).metadata
        cells = stated.num_columns * stated.num_rows
        fits = stated.num_columns <= COLUMNS_MAX and cells <= CELLS_MAX
        frame = pd.read_parquet(BytesIO(data.body)) if fits else None
    except Exception as error:  # pyarrow raises what it likes on bytes of any kind
        raise ScoringError(f"cannot read the Parquet file: {error}") from error
    if frame is None:
        raise ScoringError(
            f"the Parquet file has {stated.num_rows} rows of {stated.num_columns} columns: at most "
            f"{COLUMNS_MAX} columns and {CELLS_MAX} cells are read"
        )
    sheet: dict[str | int, Any] = {name: frame[name].to_numpy() for name in frame.columns}
    return sheet, len(frame)


def conform(values: Sequence[Any], column: ColumnType, name: object) -> Array | Sequence[Any]:
    """Return a column in the type that the signature states, if nothing is lost by it.

    Raises
    ------
    ScoringError
        The column is of another type: MLflow does not convert here what it converts in JSON.
    """
    array = np.asarray(values)
    stated = DTYPES.get(column)
    if stated is None:
        return _conform_other(array, column, name)
    dtype = np.dtype(stated)
    found = array.dtype
    if found == dtype or (found.kind == "O" and dtype.kind == "b"):
        return array
    if found.kind == dtype.kind:
        fits = found.itemsize <= dtype.itemsize
    elif found.kind == "u" and dtype.kind == "i":
        fits = found.itemsize < dtype.itemsize
    elif found.kind in "iu" and dtype == np.float64:
        fits = found.itemsize <= _WHOLE_IN_DOUBLE_BYTES
    else:
        fits = False
    if found == np.int64 and dtype.kind == "f":
        fits = fits or bool(np.isin(array, (0, 1)).all())
    if not fits:
        raise schema_error(f"column {name!r} is {found}; the model takes {column}")
    return array.astype(dtype)


def _conform_other(array: Array, column: ColumnType, name: object) -> Array | list[Any]:
    kinds = {"string": "OUT", "datetime": "M", "binary": "OS"}.get(column)
    if kinds is not None and array.dtype.kind not in kinds:
        raise schema_error(f"column {name!r} is {array.dtype}; the model takes {column}")
    if column == "datetime":
        return array.astype("datetime64[ns]")
    cells: list[Any] = array.tolist()
    return cells
