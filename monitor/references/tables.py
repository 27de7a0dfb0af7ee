"""Tables of healthy rows: the pieces that a reference is built from, and what their columns become.

A column of a table becomes what the same values in a prediction log would become, because that
is what they are compared with: numbers are numbers, strings and booleans are categories
(``"true"``, ``"false"``), an infinite number counts as a wrong value, lists of numbers are
vectors. Columns that a log cannot hold (times, lists of anything else, bytes) are left out, and
named in the notes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from monitor.settings.faults import nearest

if TYPE_CHECKING:
    from collectors.batch import Column, Floats, NumberColumn
    from collectors.labels import Scalar

#: Rows held in memory at a time: 50 MB with 100 columns of numbers.
ROWS_AT_ONCE: Final = 65_536


class TableError(ValueError):
    """A file that no reference can be built from; the message says which and why."""


@dataclass(slots=True)
class Notes:
    """What was left out on the way, for whoever builds the reference.

    Parameters
    ----------
    left_out
        Columns that a prediction log cannot hold, with their types.
    rejected
        Lines that could not be used, by reason.
    shadow
        Rows that were answers of a shadow.
    small_segments
        Segments that have too few rows for a reference.
    folded
        Rows of segments past the limit.
    failed
        Rows whose request failed: the daemon's windows are without them, too.
    """

    left_out: dict[str, str] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    shadow: int = 0
    small_segments: Sequence[str] = ()
    folded: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a table, and which share of the file has been read with them.

    Parameters
    ----------
    labels
        What came true; None where the file does not say.
    ts
        Event times, seconds since the epoch; None where the file has none.
    segments
        Values of the segment keys that are no features, by key.
    """

    columns: Mapping[str, Column]
    share_read: float
    labels: Sequence[Scalar | None] | None = None
    ts: Floats | None = None
    segments: Mapping[str, Sequence[str | None]] = field(default_factory=dict)

    def labelled(self, name: str) -> Piece:
        """Return the rows with a column of theirs as their labels, and no longer as a column."""
        if not name or name not in self.columns:
            return self
        rest = {column: values for column, values in self.columns.items() if column != name}
        from collectors.labels import scalar  # noqa: PLC0415 - it brings in numpy

        labels = [scalar(value) for value in list(self.columns[name].values)]
        return replace(self, columns=rest, labels=labels)

    def segmented(self, keys: Collection[str]) -> Piece:
        """Return the rows of a table with columns of theirs as segments, and no longer as such."""
        from collectors.batch import CategoryColumn  # noqa: PLC0415 - it brings in numpy

        found = {
            key: column.values
            for key in keys
            if isinstance(column := self.columns.get(key), CategoryColumn)
            and key not in self.segments
        }
        rest = {name: column for name, column in self.columns.items() if name not in found}
        return replace(self, columns=rest, segments={**self.segments, **found})


def require_columns(path: Path, wanted: Collection[str], present: Collection[str]) -> None:
    """Raise TableError if a wanted column is not among those present."""
    for name in wanted:
        if name not in present:
            raise TableError(f'{path} has no column "{name}"{nearest(name, present)}')


def number_column(values: Floats) -> NumberColumn:
    """Make a column of numbers; an infinite one counts as a value of a wrong type."""
    import numpy as np  # noqa: PLC0415 - the command line loads it only to build

    from collectors.batch import NumberColumn  # noqa: PLC0415 - it brings in numpy

    infinite = np.flatnonzero(np.isinf(values))
    if infinite.size:
        values = np.where(np.isinf(values), np.nan, values)
    return NumberColumn(values, tuple(infinite.tolist()))


def times_of(path: Path, name: str, texts_or_times: Any) -> Floats:  # noqa: ANN401 - pandas takes anything
    """Read a column of times: numbers are seconds since the epoch, times without a zone are UTC.

    Raises
    ------
    TableError
        A value is no time, or missing.
    """
    import numpy as np  # noqa: PLC0415 - the command line loads it only to build
    import pandas as pd  # noqa: PLC0415 - only for tables with times

    values = pd.Series(texts_or_times)
    texts = values.dtype.kind != "M"
    numbers = pd.to_numeric(values, errors="coerce") if texts else pd.Series(np.nan, values.index)
    if numbers.notna().all():
        return np.asarray(numbers, np.float64)
    try:
        moments = pd.to_datetime(values, utc=True, format="ISO8601" if texts else None)
    except (ValueError, TypeError) as error:
        raise TableError(f'cannot read column "{name}" of {path} as times: {error}') from error
    if moments.isna().any():
        raise TableError(f'column "{name}" of {path} lacks the time of a row')
    seconds = (moments - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    return np.asarray(seconds, np.float64)
