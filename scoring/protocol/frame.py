"""The long way of a table: a pandas frame, with the conversions and the checks of MLflow.

It is the way of whatever is not plain: a null, a number in quotes, a column too many, a file. Its
steps are MLflow's, in its order, since the order decides which fault a caller is told of: the
frame as pandas reads it, the cells of JSON converted to the signature's types, and at last what
is missing or of another type refused.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from scoring.protocol.cast import DTYPES
from scoring.protocol.protocol import Csv, Parquet, Records, ScoringError, Split, schema_error
from scoring.protocol.signature import ColumnSpec, ColumnType
from scoring.protocol.size import COLUMNS_MAX, check_csv, check_frame

if TYPE_CHECKING:
    import pandas as pd

#: Cells of a Parquet file that are unpacked: a few kilobytes may state any number of them.
CELLS_MAX: Final = 20_000_000
#: Column names of a request that an error message repeats, at most.
NAMES_SHOWN: Final = 20
#: Bytes of an integer that a double holds whole, whatever its value.
_WHOLE_IN_DOUBLE_BYTES: Final = 6
#: What pandas holds a column of each type in.
_HELD: Final[Mapping[ColumnType, Any]] = {
    **DTYPES,
    "string": np.dtype(object),
    "binary": np.dtype(object),
    "datetime": np.dtype("datetime64[ns]"),
}


def frame_of(data: Split | Records) -> pd.DataFrame:
    """Return rows of JSON as pandas reads them.

    Raises
    ------
    ScoringError
        pandas cannot, or the frame would be out of proportion.
    """
    import pandas as pd  # noqa: PLC0415 - costs 100 MB where a model takes arrays

    check_frame(data)
    index, columns = (data.index, data.columns) if isinstance(data, Split) else (None, None)
    try:
        return pd.DataFrame(data=data.rows, index=index, columns=columns)
    except Exception as error:  # pandas raises what it likes
        raise ScoringError(f"the request is no table: {error}") from error


def frame_of_csv(data: Csv, dtypes: Mapping[Any, Any] | None) -> pd.DataFrame:
    """Read a CSV file with pandas, whose rules for missing values are MLflow's.

    Raises
    ------
    ScoringError
        It is not one, or a cell is not of its column's type.
    """
    import pandas as pd  # noqa: PLC0415 - as above

    check_csv(data)
    try:
        return pd.read_csv(StringIO(data.text), dtype=dtypes)
    except Exception as error:  # pandas raises what it likes
        raise ScoringError(f"cannot read the CSV: {error}") from error


def frame_of_parquet(data: Parquet) -> pd.DataFrame:
    """Read a Parquet file with pandas.

    Raises
    ------
    ScoringError
        It is not one, or has too many cells.
    """
    import pandas as pd  # noqa: PLC0415 - as above
    from pyarrow.parquet import ParquetFile  # noqa: PLC0415 - as above, and Parquet is rare

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
    return frame


def csv_dtypes(columns: Sequence[ColumnSpec]) -> dict[Any, Any]:
    """Return what pandas is told of the columns of a CSV file."""
    return {c.name or place: _HELD.get(c.type, object) for place, c in enumerate(columns)}


def converted(
    frame: pd.DataFrame, columns: Sequence[ColumnSpec], *, wraps: bool = False
) -> pd.DataFrame:
    """Convert the cells of JSON to the types of the columns; what is not there stays away.

    Parameters
    ----------
    wraps
        Whether a number that an integer column cannot hold wraps, as with MLflow.

    Raises
    ------
    ScoringError
        A cell cannot be converted.
    """
    there = set(frame.columns)
    for name, spec in _places(frame, columns):
        if name not in there:
            continue
        try:
            frame[name] = _converted(frame[name], spec.type, wraps=wraps)
        except Exception as error:  # pandas raises what it likes
            raise ScoringError(
                f"column {name!r} cannot be converted to {spec.type}: {error}"
            ) from error
    return frame


def _places(frame: pd.DataFrame, columns: Sequence[ColumnSpec]) -> list[tuple[Any, ColumnSpec]]:
    """Return the columns with the names that they have in a frame: their own, or by place."""
    if columns[0].name is not None:
        return [(spec.name, spec) for spec in columns]
    return list(zip(frame.columns, columns, strict=False))


def _converted(cells: Any, kind: ColumnType, *, wraps: bool) -> Any:  # noqa: ANN401 - pandas
    import pandas as pd  # noqa: PLC0415 - as above

    if kind == "binary":
        return cells.map(lambda text: base64.decodebytes(bytes(text, "utf8")))
    if kind == "datetime":
        times = pd.to_datetime(cells)
        return times.dt.as_unit("ns") if pd.api.types.is_datetime64_any_dtype(times) else times
    if kind == "string":
        # Strings stay what they are, null among them.
        return cells if isinstance(cells.dtype, pd.StringDtype) else cells.astype(object)
    if kind not in DTYPES:
        return cells
    made = cells.astype(DTYPES[kind])
    if kind in ("integer", "long") and not wraps:
        _refuse_wrapped(cells, np.dtype(DTYPES[kind]))
    return made


def _refuse_wrapped(cells: Any, dtype: np.dtype[Any]) -> None:  # noqa: ANN401 - pandas
    """Refuse numbers that an integer type cannot hold, of which pandas makes others silently."""
    if cells.ndim != 1 or cells.dtype.kind not in "iuf" or not len(cells):
        return
    limits = np.iinfo(dtype)
    # The most that a long holds is no double: the next one up is the first that does not fit.
    wide = cells.dtype.kind == "f" and dtype == np.int64
    beyond = cells >= 2.0**63 if wide else cells > limits.max
    if bool(np.any(beyond)) or bool(np.any(cells < limits.min)):
        raise OverflowError(f"a number is outside of {limits.min} to {limits.max}")


def fitted(frame: pd.DataFrame, columns: Sequence[ColumnSpec]) -> pd.DataFrame:
    """Return the columns of the signature, in its order and types.

    Raises
    ------
    ScoringError
        One is missing, or of a type that is not converted without loss.
    """
    import pandas as pd  # noqa: PLC0415 - as above

    try:
        _refuse_missing(frame, columns)
        fits = {
            name: conform(frame[name], spec.type, name)
            for name, spec in _places(frame, columns)
            if spec.name is None or name in frame
        }
        return pd.DataFrame(fits)
    except ScoringError:
        raise
    except Exception as error:  # a name that stands there twice, for one
        raise schema_error(f"the request does not fit the signature: {error}") from error


def _refuse_missing(frame: pd.DataFrame, columns: Sequence[ColumnSpec]) -> None:
    if columns[0].name is None:
        if len(frame.columns) < len(columns):
            raise schema_error(
                f"the model takes {len(columns)} columns; the request has {len(frame.columns)}"
            )
        return
    there = set(frame.columns)
    missing = [spec.name for spec in columns if spec.required and spec.name not in there]
    if not missing:
        return
    message = (
        f"the request lacks the inputs {missing[:NAMES_SHOWN]}, which the model's signature "
        "requires"
    )
    extra = there - {spec.name for spec in columns}
    if extra:
        shown = [name for name in frame.columns if name in extra][:NAMES_SHOWN]
        message += f"; it has {shown}, which the signature does not know"
    raise schema_error(message)


def conform(cells: pd.Series[Any], kind: ColumnType, name: object) -> pd.Series[Any]:
    """Return a column in the type that the signature states, if nothing is lost by it.

    Raises
    ------
    ScoringError
        The column is of another type.
    """
    import pandas as pd  # noqa: PLC0415 - as above

    if cells.dtype.kind == "O" and kind not in ("binary", "string"):
        cells = cells.infer_objects()
    found: Any = cells.dtype
    textual = kind in ("binary", "string") and isinstance(found, pd.StringDtype)
    # pandas' own type of strings calls itself one of objects, too.
    of_objects = found.kind == "O" and not isinstance(found, pd.StringDtype)
    untouched = (kind == "boolean" and of_objects) or (kind == "binary" and found.kind == "S")
    if kind not in _HELD or found == _HELD[kind] or textual or untouched:
        return cells
    if kind == "datetime" and (found.kind == "M" or of_objects):
        return cells.astype(np.dtype("datetime64[ns]"))
    if kind == "double" and of_objects:
        # What is left of any type in a column of doubles is taken if it reads as numbers.
        return pd.to_numeric(cells)
    if kind not in DTYPES or not _is_lossless(cells, np.dtype(DTYPES[kind])):
        raise schema_error(f"column {name!r} is {found}; the model takes {kind}")
    return cells.astype(np.dtype(DTYPES[kind]))


def _is_lossless(cells: pd.Series[Any], dtype: np.dtype[Any]) -> bool:
    found: Any = cells.dtype
    if found.kind == dtype.kind:
        return bool(found.itemsize <= dtype.itemsize)
    if found.kind == "u" and dtype.kind == "i":
        return bool(found.itemsize < dtype.itemsize)
    if found.kind in "iu" and dtype == np.float64 and found.itemsize <= _WHOLE_IN_DOUBLE_BYTES:
        return True
    return found == np.int64 and dtype.kind == "f" and bool(np.isin(cells, (0, 1)).all())
