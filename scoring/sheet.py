"""The cells of a request, column by column, before the signature has its say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, Final, TypeAlias

from scoring.protocol import Csv, ScoringError, Split, schema_error

#: Column name, or place where there are no names, to its cells; all of one length.
Sheet: TypeAlias = dict[str | int, Sequence[Any]]

#: Columns that a request may have. MLflow ignores those that the model does not take, and works
#: for minutes on a million of them.
COLUMNS_MAX: Final = 100_000
#: Of a CSV file, whose columns cost pandas a hundred times as much as JSON's.
CSV_COLUMNS_MAX: Final = 20_000
#: Rows are filled up to the longest: to this many times the cells that were sent, and some more.
FILLED_MAX: Final = 4
_FILLED_FREE: Final = 1_000_000


def check_size(columns: int, rows: int, sent: int, columns_max: int = COLUMNS_MAX) -> None:
    """Refuse a table that is out of all proportion to the request that asks for it.

    Parameters
    ----------
    sent
        Cells that are there; all others of the table are to be filled up.

    Raises
    ------
    ScoringError
        It has too many columns, or consists of what is not there.
    """
    if columns > columns_max:
        raise ScoringError(f"the request has {columns} columns; at most {columns_max} are read")
    if columns * rows > FILLED_MAX * sent + _FILLED_FREE:
        raise ScoringError(
            f"the request has {sent} cells for {rows} rows of {columns} columns: send all of them"
        )


def sheet_of_split(data: Split) -> tuple[Sheet, int]:
    """Turn rows into columns. Short rows are filled up with nulls, as pandas does."""
    rows = data.rows
    if rows and not any(isinstance(row, list) for row in rows):
        rows = [[cell] for cell in rows]
    if not all(isinstance(row, list) for row in rows):
        raise ScoringError("dataframe_split.data must be an array of arrays")
    width = max((len(row) for row in rows), default=0)
    if width > 1:
        check_size(width, len(rows), sum(map(len, rows)))
    names = list(range(width)) if data.columns is None else data.columns
    if rows and width != len(names):
        raise ScoringError(f"dataframe_split has {len(names)} columns and rows of {width} cells")
    if len(set(names)) != len(names):
        raise schema_error("dataframe_split.columns names a column twice")
    cells = list(zip_longest(*rows)) if rows else [()] * len(names)
    return dict(zip(names, cells, strict=True)), len(rows)


def sheet_of_records(rows: Sequence[Mapping[str, Any]]) -> tuple[Sheet, int]:
    """Turn objects into columns; a key that an object lacks is null there."""
    names = dict.fromkeys(name for row in rows for name in row)
    check_size(len(names), len(rows), sum(map(len, rows)))
    return {name: [row.get(name) for row in rows] for name in names}, len(rows)


def sheet_of_csv(data: Csv, dtypes: Mapping[Any, Any]) -> tuple[Sheet, int]:
    """Read a CSV file with pandas, whose rules for missing values are MLflow's."""
    from io import StringIO  # noqa: PLC0415 - with pandas, not without

    import pandas as pd  # noqa: PLC0415 - costs 100 MB, and CSV is rare

    text = data.text
    columns = text[: text.find("\n") % (len(text) + 1)].count(",") + 1
    lines = text.count("\n") + 1
    check_size(columns, lines, text.count(",") + lines, CSV_COLUMNS_MAX)
    try:
        frame = pd.read_csv(StringIO(data.text), dtype=dict(dtypes))
    except (OverflowError, TypeError, ValueError) as error:
        raise ScoringError(f"cannot read the CSV: {error}") from error
    return {str(name): frame[name].tolist() for name in frame.columns}, len(frame)


def sheet_of_columns(value: Mapping[str, Any], *, uneven_is_schema: bool) -> tuple[Sheet, int]:
    """Read an object of columns; a scalar beside columns stands for all their rows."""
    lengths = {len(cells) for cells in value.values() if isinstance(cells, list)}
    if len(lengths) > 1:
        message = f"the columns are of different lengths: {sorted(lengths)}"
        raise schema_error(message) if uneven_is_schema else ScoringError(message)
    if any(isinstance(c, list) and c and isinstance(c[0], list) for c in value.values()):
        raise schema_error("the model takes columns of single values; the request nests arrays")
    rows = lengths.pop() if lengths else min(len(value), 1)
    check_size(len(value), rows, sum(len(c) if isinstance(c, list) else 1 for c in value.values()))
    return {n: c if isinstance(c, list) else [c] * rows for n, c in value.items()}, rows


def sheet_of_unnamed(value: object) -> tuple[Sheet, int]:
    """Read an array of rows, an array of cells or one cell, whose columns have no names."""
    if isinstance(value, dict) or value is None:
        raise ScoringError("the model's inputs have no names: send an array or a single value")
    rows = value if isinstance(value, list) else [value]
    return sheet_of_split(Split(None, rows))
