"""CSV files, read as columns of a reference.

CSV says nothing of types, so the first rows decide: a column whose values are all numbers is one
of numbers, and every other one of categories. A later value that is no number counts as a wrong
value. An empty cell is missing; in a column of numbers so are ``NA``, ``NaN``, ``null`` and
``None``. In a column of categories those are values (``NA`` is Namibia).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from collectors.batch import Column, NumberColumn
from collectors.formats.event_columns import categories
from monitor.references.tables import (
    ROWS_AT_ONCE,
    Piece,
    TableError,
    number_column,
    require_columns,
    times_of,
)

if TYPE_CHECKING:
    from pandas.io.parsers import TextFileReader

#: Spellings of a missing number, in lower case.
MISSING_NUMBERS: Final = frozenset({"", "na", "n/a", "nan", "null", "none"})
_BOOLEANS: Final = frozenset({"true", "false"})

_Kind: TypeAlias = Literal["number", "boolean", "category"]


def csv_pieces(path: Path, columns: Collection[str], time_column: str = "") -> Iterator[Piece]:
    """Read a CSV file with a header line, piece by piece.

    Raises
    ------
    TableError
        It is not CSV, not UTF-8, or has no such column.
    """
    kinds: dict[str, _Kind] = {}
    size = max(1, path.stat().st_size)
    try:
        with path.open("rb") as file, _frames(file) as frames:
            for frame in frames:
                names = [str(name) for name in frame.columns]
                require_columns(path, [*columns, time_column] if time_column else columns, names)
                read = {
                    name: column
                    for name in names
                    if (not columns or name in columns)
                    and name != time_column
                    and (column := _column(name, frame[name], kinds)) is not None
                }
                ts = times_of(path, time_column, frame[time_column]) if time_column else None
                yield Piece(read, file.tell() / size, ts=ts)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, OSError) as error:
        raise TableError(f"cannot read {path} as CSV: {error}") from error


def _frames(file: BinaryIO) -> TextFileReader:
    return pd.read_csv(
        file,
        chunksize=ROWS_AT_ONCE,
        dtype=str,
        keep_default_na=False,
        skipinitialspace=True,
        encoding="utf-8-sig",
    )


def _column(name: str, texts: Any, kinds: dict[str, _Kind]) -> Column | None:  # noqa: ANN401 - a pandas series
    values: list[str] = texts.tolist()
    kind = kinds.get(name) or _kind(values)
    if kind is None:
        return None  # nothing but missing so far; the builder counts its rows once it is told
    kinds[name] = kind
    if kind == "number":
        return _numbers(texts, values)
    if kind == "boolean":
        return categories([value.lower() or None for value in values])
    return categories([value or None for value in values])


def _kind(values: list[str]) -> _Kind | None:
    present = [value for value in values if value.lower() not in MISSING_NUMBERS]
    if not present:
        return "category" if any(values) else None
    if {value.lower() for value in present} <= _BOOLEANS:
        return "boolean"
    numbers = pd.to_numeric(pd.Series(present, dtype=str), errors="coerce")
    return "category" if bool(numbers.isna().any()) else "number"


def _numbers(texts: Any, values: list[str]) -> NumberColumn:  # noqa: ANN401 - a pandas series
    numbers = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    column = number_column(numbers)
    nothing = np.flatnonzero(np.isnan(numbers)).tolist()
    wrong = [row for row in nothing if values[row].strip().lower() not in MISSING_NUMBERS]
    return NumberColumn(column.values, tuple(sorted({*column.invalid_rows, *wrong})))
