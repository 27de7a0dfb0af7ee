"""Reading tables of healthy rows: however large a file is, only a piece of it is in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from monitor.references.tables import Notes, Piece, TableError

TableKind: TypeAlias = Literal["parquet", "csv", "jsonl"]


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
        from monitor.references.parquet import parquet_pieces  # noqa: PLC0415 - it costs pyarrow

        yield from parquet_pieces(path, columns, notes, time_column)
    elif kind == "csv":
        from monitor.references.csv_rows import csv_pieces  # noqa: PLC0415 - it costs pandas

        yield from csv_pieces(path, columns, time_column)
    else:
        from monitor.references.json_lines import jsonl_pieces  # noqa: PLC0415 - as the others

        yield from jsonl_pieces(path, columns, notes, time_column, segment_keys)
