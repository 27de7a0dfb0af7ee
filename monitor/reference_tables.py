"""Tables of healthy rows, read piece by piece as the columns that a reference is built from.

Parquet is read here; CSV by :mod:`monitor.reference_csv`, JSON lines by
:mod:`monitor.reference_jsonl`. However large a file is, only a piece of it is in memory.

A column of a table becomes what the same values in a prediction log would become, because that
is what they are compared with: numbers are numbers, strings and booleans are categories
(``"true"``, ``"false"``), an infinite number counts as a wrong value, lists of numbers are
vectors. Columns that a log cannot hold (times, lists of anything else, bytes) are left out, and
named in the notes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from monitor.reference_lists import is_vectors, vector_column
from monitor.settings_faults import nearest

if TYPE_CHECKING:
    from collectors.batch import Column, Floats, NumberColumn
    from collectors.labels import Scalar

#: Rows held in memory at a time: 50 MB with 100 columns of numbers.
ROWS_AT_ONCE: Final = 65_536
#: The same of a table with lists: as much with lists of 1,600 numbers.
ROWS_AT_ONCE_WITH_VECTORS: Final = 4_096

TableKind: TypeAlias = Literal["parquet", "csv", "jsonl"]


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


def table_kind(path: Path) -> TableKind:
    """Tell what a file is, by how it begins; CSV by its name, since it begins like anything.

    Raises
    ------
    TableError
        It cannot be read, is empty, or is none of the three.
    """
    try:
        with path.open("rb") as file:
            head = file.read(1024)
    except OSError as error:
        raise TableError(f"cannot read {path}: {error.strerror}") from error
    if head.startswith(b"PAR1"):
        return "parquet"
    if path.suffix.lower() == ".csv" and head.strip():
        return "csv"
    if head.lstrip().startswith(b"{"):
        return "jsonl"
    what = "it is empty" if not head.strip() else "it is neither Parquet, nor JSON lines, nor .csv"
    if head.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd")):
        what = "it is compressed; unpack it first"
    elif head.lstrip().startswith(b"["):
        what = "it is a JSON array; write one object a line instead"
    raise TableError(f"cannot build a reference from {path}: {what}")


def pieces(
    path: Path,
    columns: Collection[str],
    notes: Notes,
    *,
    time_column: str = "",
    segment_keys: Sequence[str] = (),
) -> Iterator[Piece]:
    """Read a table piece by piece.

    Parameters
    ----------
    columns
        The only columns to read; all that there are, if empty.
    time_column
        Column of a table that says when its rows were: it is no feature. Prediction events
        carry their time.
    segment_keys
        What events carry as their segment; columns of a table that say the same.

    Raises
    ------
    TableError
        The file cannot be read, or has no such column.
    """
    kind = table_kind(path)
    if columns and kind != "jsonl":
        columns = [*columns, *segment_keys]
    if kind == "parquet":
        yield from _parquet_pieces(path, columns, notes, time_column)
    elif kind == "csv":
        from monitor.reference_csv import csv_pieces  # noqa: PLC0415 - it costs pandas

        yield from csv_pieces(path, columns, time_column)
    else:
        from monitor.reference_jsonl import jsonl_pieces  # noqa: PLC0415 - as the others

        yield from jsonl_pieces(path, columns, notes, time_column, segment_keys)


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


def _parquet_pieces(
    path: Path, columns: Collection[str], notes: Notes, time_column: str
) -> Iterator[Piece]:
    import pyarrow as pa  # noqa: PLC0415 - it costs 50 MB
    import pyarrow.parquet as pq  # noqa: PLC0415 - it costs 50 MB

    try:
        with pq.ParquetFile(path) as file:
            timed = [time_column] if time_column else []
            require_columns(path, [*columns, *timed], file.schema_arrow.names)
            rows, read = max(1, file.metadata.num_rows), 0
            wanted = [*columns, *timed] if columns else None
            dimensions: dict[str, int] = {}
            at_once = ROWS_AT_ONCE
            if any(is_vectors(one.type) for one in file.schema_arrow):
                at_once = ROWS_AT_ONCE_WITH_VECTORS
            for batch in file.iter_batches(at_once, columns=wanted):
                read += batch.num_rows
                names = batch.schema.names
                converted = {
                    name: column
                    for name, array in zip(names, batch.columns, strict=True)
                    if name != time_column
                    and (column := _arrow_column(name, array, notes, dimensions)) is not None
                }
                times = batch.column(time_column).to_pandas() if time_column else None
                ts = None if times is None else times_of(path, time_column, times)
                yield Piece(converted, read / rows, ts=ts)
    except (pa.ArrowException, OSError) as error:
        raise TableError(f"cannot read {path} as Parquet: {error}") from error


def _arrow_column(
    name: str,
    array: Any,  # noqa: ANN401 - untyped library
    notes: Notes,
    dimensions: dict[str, int],
) -> Column | None:
    import pyarrow as pa  # noqa: PLC0415 - it costs 50 MB

    from collectors.formats.event_columns import categories  # noqa: PLC0415 - it brings in numpy

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kind = array.type
    if pa.types.is_null(kind):
        return None  # a later file may say what it is; until then its rows count as missing
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return number_column(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    if pa.types.is_boolean(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return categories(array.to_pylist())
    if is_vectors(kind):
        return vector_column(name, array, dimensions)
    notes.left_out[name] = str(kind)
    return None
