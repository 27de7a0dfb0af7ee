"""Tables out of all proportion to the request that asks for them, refused before they are made.

MLflow works for minutes, in gigabytes, on a million columns, and on short rows that it fills up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from scoring.protocol.protocol import Csv, Records, ScoringError, Split

#: Columns that a request may have, whether the model takes them or not.
COLUMNS_MAX: Final = 100_000
#: Of a CSV file, whose columns cost pandas a hundred times as much as JSON's.
CSV_COLUMNS_MAX: Final = 20_000
#: Rows are filled up to the longest: to this many times the cells that were sent, and some more.
FILLED_MAX: Final = 4
_FILLED_FREE: Final = 1_000_000


def check_size(columns: int, rows: int, sent: int, columns_max: int = COLUMNS_MAX) -> None:
    """Refuse a table that consists of columns, or of what was not sent.

    Parameters
    ----------
    sent
        Cells that are there; all others of the table are to be filled up.

    Raises
    ------
    ScoringError
        It has too many columns, or too few of its cells were sent.
    """
    if columns > columns_max:
        raise ScoringError(f"the request has {columns} columns; at most {columns_max} are read")
    if columns * rows > FILLED_MAX * sent + _FILLED_FREE:
        raise ScoringError(
            f"the request has {sent} cells for {rows} rows of {columns} columns: send all of them"
        )


def check_frame(data: Split | Records) -> None:
    """Refuse the data of a frame that would be too large; see `check_size`."""
    columns, index = (data.columns, data.index) if isinstance(data, Split) else (None, None)
    width, rows, sent = _extent(data.rows)
    check_size(max(width, _length(columns)), max(rows, _length(index)), sent)


def check_columns(value: object) -> None:
    """Refuse an object of columns, or an array of rows, that would be too large a table."""
    check_size(*_extent(value))


def check_csv(data: Csv) -> None:
    """Refuse a CSV file that would be too large a table."""
    text = data.text
    columns = text[: text.find("\n") % (len(text) + 1)].count(",") + 1
    lines = text.count("\n") + 1
    check_size(columns, lines, text.count(",") + lines, CSV_COLUMNS_MAX)


def _extent(value: object) -> tuple[int, int, int]:
    """Return how many columns and rows pandas makes of a value, and how many cells it has."""
    if isinstance(value, Mapping):
        labels, longest, sent = _inner(value.values())
        return len(value), max(labels, longest), sent
    if isinstance(value, Sequence) and not isinstance(value, str):
        labels, longest, sent = _inner(value)
        return max(labels, longest), len(value), sent
    return 1, 1, 1


def _inner(parts: Iterable[Any]) -> tuple[int, int, int]:
    """Return how many keys the objects among the parts have, the longest array's length, cells."""
    labels: set[str] = set()
    longest, sent = 1, 0
    for part in parts:
        if isinstance(part, dict):
            labels.update(part)
        elif isinstance(part, list) and len(part) > longest:
            longest = len(part)
        sent += max(len(part), 1) if isinstance(part, dict | list) else 1
    return len(labels), longest, sent


def _length(labels: object) -> int:
    """Return how many labels there are; those of several levels are arrays of one length."""
    if not isinstance(labels, list | dict | str):
        return 0
    inner = [len(level) for level in labels if isinstance(level, list)]
    return max([len(labels), *inner])
