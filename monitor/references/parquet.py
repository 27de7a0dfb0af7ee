"""Parquet files, read as columns of a reference."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from monitor.references.lists import is_vectors, vector_column
from monitor.references.tables import (
    ROWS_AT_ONCE,
    Notes,
    Piece,
    TableError,
    number_column,
    require_columns,
    times_of,
)

if TYPE_CHECKING:
    from collectors.batch import Column

#: As `ROWS_AT_ONCE`, of a table with lists: as much with lists of 1,600 numbers.
ROWS_AT_ONCE_WITH_VECTORS: Final = 4_096


def parquet_pieces(
    path: Path, columns: Collection[str], notes: Notes, time_column: str
) -> Iterator[Piece]:
    """Read a Parquet file, as :func:`monitor.references.pieces.pieces`."""
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
